"""Whole subcarriers: from shares to counts, from counts to places in the band, and sums over what a user got."""

from __future__ import annotations

from math import prod

from array_api_compat import array_namespace, device

from ...physics.rounding import largest_remainder
from ...types import Array


def proportional_counts(weight: Array, /, *, total: int, least: int) -> Array:
    r"""Whole counts that sum to ``total``, at least ``least`` each, the rest in proportion to weights.

    Quotas :math:`w_u (N - U n_\min)` are rounded by the largest remainder (spec mesh 6).

    Parameters
    ----------
    weight : Array, shape (..., users)
        Not negative, summing to one [-].
    total, least : int
        N and n_min, with ``total >= users * least``.

    Returns
    -------
    Array, shape (..., users)
        Whole numbers in the precision of ``weight``; their sum is N exactly.
    """
    spare = total - weight.shape[-1] * least
    return least + largest_remainder(weight * spare, spare)


def comb_placement(counts: Array, /, *, total: int) -> Array:
    r"""Spread every user's subcarriers evenly over the band by stride scheduling.

    The keys :math:`(i + \tfrac12)/n_u`, :math:`i = 0 \dots n_u - 1`, of all users are sorted (stable, lower user
    first); the place in the sorted list is the subcarrier. What the counts leave over is placed like one more user,
    so that the combs span the band whatever is used (spec mesh 3.6).

    Parameters
    ----------
    counts : Array, shape (..., users)
        Whole numbers, summing to at most ``total``.
    total : int
        Number N of subcarriers.

    Returns
    -------
    Array, shape (..., total), int64
        User of each subcarrier; -1 where it is left over.
    """
    xp = array_namespace(counts)
    users = counts.shape[-1]
    counts = xp.astype(counts, xp.float64)  # equal keys of different users must be equal numbers
    spare = total - xp.sum(counts, axis=-1, keepdims=True)
    counts = xp.concat([counts, spare], axis=-1)
    end = xp.cumulative_sum(counts, axis=-1)
    place = xp.arange(total, dtype=xp.float64, device=device(counts))
    owner = ranks(end, xp.broadcast_to(place, (*end.shape[:-1], total)), total + 1.0)
    start = xp.take_along_axis(end - counts, owner, axis=-1)
    key = (place - start + 0.5) / xp.take_along_axis(counts, owner, axis=-1)
    placed = xp.take_along_axis(owner, xp.argsort(key, axis=-1, stable=True), axis=-1)
    return xp.where(placed == users, -1, placed)


def ranks(edges: Array, values: Array, period: float) -> Array:
    """Number of sorted edges at or below each value, (..., edges), (..., values) -> (..., values) int64.

    Both are numbers from 0 to below ``period``: lanes are laid end to end, so that one search serves all of them.
    """
    xp = array_namespace(edges, values)
    lanes = edges.shape[:-1]
    shift = xp.reshape(xp.arange(prod(lanes), dtype=edges.dtype, device=device(edges)), (*lanes, 1))
    line, asked = (xp.reshape(part + period * shift, (-1,)) for part in (edges, values))
    found = xp.reshape(xp.searchsorted(line, asked, side="right"), values.shape)
    return found - edges.shape[-1] * xp.astype(shift, found.dtype)


def sums_per_user(values: Array, assignment: Array, /, *, users: int) -> tuple[Array, Array]:
    """Number of subcarriers of each user, and sums of values over them, without a (users, subcarriers) matrix.

    Parameters
    ----------
    values : Array, shape (..., rows, subcarriers)
        Any number of rows to be summed.
    assignment : Array, shape (..., subcarriers), integer
        User of each subcarrier, or -1.
    users : int

    Returns
    -------
    counts : Array, shape (..., users), int64
    sums : Array, shape (..., rows, users)
    """
    xp = array_namespace(values)
    short = assignment if users > 32_000 else xp.astype(assignment, xp.int16)  # sorted by radix, five times faster
    order = xp.argsort(short, axis=-1, stable=True)
    label = xp.take_along_axis(assignment, order, axis=-1) + 1
    user = xp.arange(users + 1, dtype=label.dtype, device=device(label))
    edge = ranks(label, xp.broadcast_to(user, (*label.shape[:-1], users + 1)), users + 2)
    shape = (*values.shape[:-1], order.shape[-1])
    ordered = xp.take_along_axis(values, xp.broadcast_to(order[..., None, :], shape), axis=-1)
    running = xp.cumulative_sum(ordered, axis=-1, include_initial=True)
    at = xp.take_along_axis(running, xp.broadcast_to(edge[..., None, :], (*shape[:-1], users + 1)), axis=-1)
    return edge[..., 1:] - edge[..., :-1], at[..., 1:] - at[..., :-1]


def assigned_counts(assignment: Array, /, *, users: int) -> Array:
    """Number of subcarriers of each user, (..., users) int64, from the user of each, (..., subcarriers)."""
    xp = array_namespace(assignment)
    nothing = xp.zeros((*assignment.shape[:-1], 0, assignment.shape[-1]), device=device(assignment))
    return sums_per_user(nothing, assignment, users=users)[0]
