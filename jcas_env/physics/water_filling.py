"""Water-filling with weights and floors, exact and batched."""

from __future__ import annotations

from math import inf, log
from typing import NamedTuple

from array_api_compat import array_namespace, device

from ..types import Array


class _Ramps(NamedTuple):
    r"""Total power as a function of the water level :math:`\nu`, on its breakpoints in ascending order.

    User u leaves its floor at :math:`\tau_u = (f_u + 1/c_u)/w_u`. On the k-th segment the total is
    ``slope_k nu - offset_k``.
    """

    breakpoint: Array
    slope: Array
    offset: Array


def _ramps(weight: Array, inverse: Array, floor: Array) -> _Ramps:
    xp = array_namespace(weight, inverse, floor)
    able = (weight > 0) & xp.isfinite(inverse)
    inverse = xp.where(able, inverse, 0.0)
    breakpoint = xp.where(able, (floor + inverse) / xp.where(able, weight, 1.0), inf)
    order = xp.argsort(breakpoint, axis=-1)

    def cumulative(value: Array) -> Array:
        return xp.cumulative_sum(xp.take_along_axis(xp.where(able, value, 0.0), order, axis=-1), axis=-1)

    resting = xp.sum(floor, axis=-1, keepdims=True) - cumulative(floor)
    return _Ramps(xp.take_along_axis(breakpoint, order, axis=-1), cumulative(weight), cumulative(inverse) - resting)


def _last_segment(excess: Array, breakpoint: Array) -> tuple[Array, Array]:
    """Index of the last breakpoint at which the excess is not positive, and whether there is one."""
    xp = array_namespace(excess, breakpoint)
    passed = xp.sum(xp.astype((excess <= 0) & xp.isfinite(breakpoint), xp.int64), axis=-1, keepdims=True)
    return xp.clip(passed - 1, min=0), passed > 0


def _pour(weight: Array, inverse: Array, floor: Array, level: Array) -> Array:
    """Power at a water level, ``max(floor, w nu - 1/c)``."""
    xp = array_namespace(weight, inverse, floor)
    able = xp.isfinite(inverse)
    return xp.where(able, xp.maximum(floor, weight * level - xp.where(able, inverse, 0.0)), floor)


def waterfill(weight: Array, coefficient: Array, floor: Array | float) -> Array:
    r"""Maximise a weighted sum of logarithms on the simplex with floors.

    .. math:: \max_p \sum_u w_u \ln(1 + c_u p_u) \quad\text{s.t.}\quad \sum_u p_u = 1,\; p_u \ge f_u
              \qquad\Longrightarrow\qquad p_u = \max(f_u,\; w_u \nu - 1/c_u)

    The total of the right-hand side is piecewise linear in the water level :math:`\nu`; sorting its
    breakpoints :math:`(f_u + 1/c_u)/w_u` finds the segment and with it :math:`\nu` exactly, without iteration.

    Parameters
    ----------
    weight, coefficient : Array, shape (..., users)
        w and c, not negative [-]. A user whose weight or coefficient is 0 stays on its floor; an infinite
        coefficient fills in proportion to the weights.
    floor : float or Array, shape (..., users)
        f, with a sum of at most 1 [-]. Padding: weight, coefficient and floor 0.

    Returns
    -------
    Array, shape (..., users)
        Sums to 1 to rounding. Where no user can rise above its floor, all rise by the same amount;
        where the floors alone exceed 1, the floors.

    References
    ----------
    spec multicell 4.2.
    """
    xp = array_namespace(weight, coefficient)
    weight, coefficient, floor = xp.broadcast_arrays(weight, coefficient, _like(floor, weight))
    everybody = xp.astype(weight + coefficient + floor > 0, weight.dtype)
    dearest = xp.max(weight, axis=-1, keepdims=True)
    weight = weight / xp.where(dearest > 0, dearest, 1.0)  # only their ratios matter
    able, inverse = _able(weight, coefficient, floor)
    weight = xp.where(able, weight, 0.0)
    breakpoint = xp.where(able, (floor + inverse) / xp.where(able, weight, 1.0), inf)
    order = xp.argsort(breakpoint, axis=-1)
    sorted_weight, tau = (xp.take_along_axis(value, order, axis=-1) for value in (weight, breakpoint))
    known = xp.isfinite(tau)
    tau = xp.where(known, tau, 0.0)
    slope = xp.cumulative_sum(sorted_weight, axis=-1)
    # Power above the floors when the level is at a breakpoint, from differences of neighbours: tiny coefficients make
    # levels far above 1, whose own rounding would be more than the whole budget.
    rise = slope[..., :-1] * xp.where(known[..., 1:], tau[..., 1:] - tau[..., :-1], 0.0)
    above = xp.concat([xp.zeros_like(tau[..., :1]), xp.cumulative_sum(rise, axis=-1)], axis=-1)
    room = xp.clip(1.0 - xp.sum(floor, axis=-1, keepdims=True), min=0.0)
    segment, found = _last_segment(above - room, xp.where(known, tau, inf))
    start, steepness, used = (xp.take_along_axis(value, segment, axis=-1) for value in (tau, slope, above))
    extra = (room - used) / xp.where(found, steepness, 1.0)
    lead = xp.where(able, start - xp.where(able, breakpoint, 0.0), -inf)
    poured = xp.where(found & (lead >= 0), weight * (xp.where(lead >= 0, lead, 0.0) + extra), 0.0)
    # What nobody can use is everybody's; rounding is everybody's who rises. The floors are never touched.
    total = xp.sum(poured, axis=-1, keepdims=True)
    parts = xp.where(total > 0, poured, everybody)
    return floor + parts * (room / xp.where(total > 0, total, xp.clip(xp.sum(parts, axis=-1, keepdims=True), min=1.0)))


def _able(weight: Array, coefficient: Array, floor: Array) -> tuple[Array, Array]:
    """Users whose breakpoint is a number at weights of at most 1, and 1/c; both (..., users), 0 for the others."""
    xp = array_namespace(weight, coefficient)
    heard = coefficient > 2.0 * xp.finfo(coefficient.dtype).smallest_normal
    inverse = xp.where(heard, 1.0 / xp.where(heard, coefficient, 1.0), 0.0)
    scale = xp.finfo(weight.dtype).max / (8.0 * weight.shape[-1])
    able = heard & (weight > 0) & (floor + inverse < weight * scale)
    return able, xp.where(able, inverse, 0.0)


def penalised_waterfill(
    weight: Array, coefficient: Array, floor: Array | float, *, multiplier: Array, penalty: float
) -> Array:
    r"""Power step of an augmented Lagrangian: the simplex constraint is priced, not kept.

    .. math:: \min_{p \ge f}\; -\sum_u w_u \log_2(1 + c_u p_u) + \lambda r + \tfrac{\mu}{2} r^2,
              \qquad r = \mathbf{1}^T p - 1

    whose solution is :math:`p_u = \max(f_u, w_u/(t \ln 2) - 1/c_u)` with :math:`t = \lambda + \mu r`. With
    the water level :math:`\nu = 1/(t \ln 2)` the total is piecewise linear as in :func:`waterfill`; on the
    right segment :math:`S\nu - O - 1 = (1/(\nu\ln 2) - \lambda)/\mu` is a quadratic in :math:`\nu`.

    Parameters
    ----------
    weight, coefficient, floor
        As in :func:`waterfill`.
    multiplier : Array, shape (...,)
        lambda [-].
    penalty : float
        mu, positive [-].

    Returns
    -------
    Array, shape (..., users)
        Power; its sum differs from 1 by the primal residual r (luo2023 eq. 38, spec multicell 4.4).
    """
    xp = array_namespace(weight, coefficient)
    weight, coefficient, floor = xp.broadcast_arrays(weight, coefficient, _like(floor, weight))
    inverse = xp.where(coefficient > 0, 1.0 / xp.where(coefficient > 0, coefficient, 1.0), inf)
    ramps = _ramps(weight, inverse, floor)
    multiplier = multiplier[..., None]
    finite = xp.isfinite(ramps.breakpoint)
    tau = xp.where(finite, ramps.breakpoint, 1.0)
    price = (1.0 / (log(2.0) * tau) - multiplier) / penalty
    segment, found = _last_segment(ramps.slope * tau - ramps.offset - 1.0 - price, ramps.breakpoint)
    slope = xp.take_along_axis(ramps.slope, segment, axis=-1)
    offset = xp.take_along_axis(ramps.offset, segment, axis=-1)
    a = penalty * log(2.0) * xp.where(found, slope, 1.0)
    b = log(2.0) * (multiplier - penalty * (1.0 + offset))
    root = xp.sqrt(b**2 + 4.0 * a)
    # The positive root of a nu^2 + b nu - 1, without cancellation.
    level = xp.where(b > 0, 2.0 / xp.where(b > 0, root + b, 1.0), (root - b) / (2.0 * a))
    return xp.where(found, _pour(weight, inverse, floor, level), floor)


def _like(value: Array | float, like: Array) -> Array:
    xp = array_namespace(like)
    return xp.asarray(value, dtype=like.dtype, device=device(like)) if isinstance(value, float | int) else value
