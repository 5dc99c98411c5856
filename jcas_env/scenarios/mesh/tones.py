"""What the users' subcarriers carry: sums over the whole band, and over what each user got of it (spec mesh 1, 2).

In a flat channel a subcarrier counts as one; in a frequency-selective one it has the weight of its ratio snr_n.
"""

from __future__ import annotations

from math import pi
from typing import NamedTuple

from array_api_compat import array_namespace

from ...physics.information.line_of_sight import zero_if_rounding
from ...types import Array
from .subcarriers import Moments, sums_per_user

ROUNDINGS = 1e3
"""A spread below so many units in the last place of its sum of squares is what rounding leaves of zero."""


class Tones(NamedTuple):
    """What the users' subcarriers carry, sums over what each of them got."""

    count: Array
    """(..., users): number, or in a frequency-selective channel the sum of the ratios snr_n [-]."""
    spread: Array
    """(..., users): sum of the squared centred angular frequencies, with the same weights [rad^2/s^2]."""
    rate: Array
    """(..., users): data rate at share 0, R_u [bit/s]."""


def tones_of_band(omega: Array, snr: Array, rate: Array, /, *, selective: bool) -> Tones:
    """Sums over the whole band, as if every user had every subcarrier.

    Parameters
    ----------
    omega : Array, shape (subcarriers,)
        Centred angular frequencies [rad/s].
    snr, rate : Array, shape (..., users), or (..., users, subcarriers) where ``selective``
        Ratio [-] and data rate [bit/s] of a subcarrier.
    selective : bool
        Whether the channel differs between subcarriers.
    """
    xp = array_namespace(snr)
    if not selective:
        ones, number = xp.ones_like(snr), omega.shape[-1]
        return Tones(number * ones, xp.sum(omega**2) * ones, number * rate)
    count = xp.sum(snr, axis=-1)
    centred = omega - (xp.sum(snr * omega, axis=-1) / count)[..., None]
    return Tones(count, xp.sum(snr * centred**2, axis=-1), xp.sum(rate, axis=-1))


def tones_of_users(omega: Array, snr: Array, rate: Array, assignment: Array, /) -> Tones:
    """Sums over the subcarriers that each user got, in a frequency-selective channel.

    Arguments as in :func:`tones_of_band`; ``assignment`` (..., subcarriers) integer is the user of each subcarrier, or
    -1. All sums of a user without a subcarrier are zero.
    """
    xp = array_namespace(snr)
    omega = xp.broadcast_to(omega, assignment.shape)
    weight, earned = (_own(part, assignment) for part in (snr, rate))
    rows = xp.stack([weight * omega, weight * omega**2, weight, earned], axis=-2)
    counts, sums = sums_per_user(rows, assignment, users=snr.shape[-2])
    first, second, count, rate = (sums[..., row, :] for row in range(4))
    # Differences of running sums leave a trace where nothing was added: a user without subcarriers gets true zeros.
    count = xp.where(counts > 0, count, 0.0 * count)
    spread = second - first**2 / xp.where(counts > 0, count, 0.0 * count + 1.0)
    rounding = ROUNDINGS * float(xp.finfo(omega.dtype).eps)
    return Tones(count, zero_if_rounding(spread, rounding * second), xp.where(counts > 0, rate, 0.0 * rate))


def tones_of_places(moments: Moments, spacing: float, rate: Array, /) -> Tones:
    r"""The same in a flat channel, where places alone matter: :math:`\omega = \pi \Delta f\,(2n-(N-1))`.

    From exact sums of whole numbers, in double precision until the mean is taken out.

    Parameters
    ----------
    moments : Moments
        Of what each user got.
    spacing : float
        Of the subcarriers [Hz].
    rate : Array, shape (..., users)
        Data rate of a subcarrier [bit/s].
    """
    xp = array_namespace(rate)
    count, first, second = (xp.astype(part, xp.float64) for part in moments)
    spread = second - first * (first / xp.maximum(count, xp.ones_like(count)))
    spread = zero_if_rounding(spread, ROUNDINGS * float(xp.finfo(xp.float64).eps) * second)
    count = xp.astype(count, rate.dtype)
    return Tones(count, xp.astype((pi * spacing) ** 2 * spread, rate.dtype), count * rate)


def _own(values: Array, assignment: Array) -> Array:
    """What its user has on each subcarrier: (..., users, subcarriers) -> (..., subcarriers)."""
    xp = array_namespace(values)
    own = xp.clip(assignment, min=0)[..., None, :]
    spread = xp.broadcast_to(values, (*own.shape[:-2], *values.shape[-2:]))
    return xp.take_along_axis(spread, own, axis=-2)[..., 0, :]
