"""What a backlog costs: the score side of the delay task (spec multicell 8.4)."""

from __future__ import annotations

from typing import Literal

from ....physics.membership import Membership
from ....types import Array, array_namespace


def slots_of_arrivals(bits: Array, mean_arrivals: Array, /) -> Array:
    r"""Bits in units of a slot's mean arrivals, :math:`q_u / (\lambda_u \Delta t)`; 0 where nothing ever arrives.

    ``bits`` and ``mean_arrivals`` (..., users) [bit] -> (..., users) [-]. NaN, which the rates of a NaN allocation make
    of a backlog, stays NaN.
    """
    xp = array_namespace(bits)
    comes = mean_arrivals > 0
    return xp.where(comes, bits / xp.where(comes, mean_arrivals, xp.ones_like(mean_arrivals)), 0.0 * bits)


def backlog_score(slots: Array, /, *, membership: Membership, reward: Literal["delay", "drain"]) -> Array:
    r"""What the backlog after the slot costs in each cell.

    The mean over cells is, with :math:`d_u` the backlog in :func:`slots_of_arrivals`,

    .. math:: \text{delay: } -\frac1U \sum_u d_u, \qquad \text{drain: } -\frac1U \sum_u d_u^2

    ``drain`` is what a search or a gradient can use: it feels every bit that waits, long queues more than short ones.

    Parameters
    ----------
    slots : Array, shape (..., users)
        Backlog after the slot, in slots of arrivals [-].
    membership : Membership
    reward : {"delay", "drain"}

    Returns
    -------
    Array, shape (..., cells)
        Not positive [-] (spec multicell 8, spec learning 4).
    """
    cost = slots if reward == "delay" else slots**2
    return -membership.cells / slots.shape[-1] * membership.cell_sum(cost)
