"""Water-filling with weights and floors, exact and batched."""

from __future__ import annotations

from math import inf, log
from typing import NamedTuple

from ..types import Array, array_namespace, device


class _Ramps(NamedTuple):
    r"""How the powers rise above their floors with the water level :math:`\nu`.

    User u leaves its floor at :math:`\tau_u = (f_u + 1/c_u)/w_u`; weights are relative to the largest, and levels in
    its inverse. Powers above the floors are differences of levels: tiny coefficients make levels far above 1, whose own
    rounding would be more than the whole budget.
    """

    top: Array
    """(..., 1): the largest weight."""
    able: Array
    """(..., users) bool: who can rise."""
    weight: Array
    """(..., users): weights relative to the largest; 0 for who cannot rise."""
    breakpoint: Array
    """(..., users): level at which a user leaves its floor; 0 for who cannot."""
    tau: Array
    """(..., users): breakpoints in ascending order; infinite beyond those who can rise."""
    slope: Array
    """(..., users): growth of the total beyond each of them."""
    above: Array
    """(..., users): total above the floors at each of them."""


def _ramps(weight: Array, coefficient: Array, floor: Array) -> _Ramps:
    xp = array_namespace(weight, coefficient, floor)
    top = xp.max(weight, axis=-1, keepdims=True)
    weight = weight / xp.where(top > 0, top, 1.0)
    able, inverse = _able(weight, coefficient, floor)
    weight = xp.where(able, weight, 0.0)
    breakpoint = xp.where(able, (floor + inverse) / xp.where(able, weight, 1.0), inf)
    order = xp.argsort(breakpoint, axis=-1)
    sorted_weight, tau = (xp.take_along_axis(value, order, axis=-1) for value in (weight, breakpoint))
    slope = xp.cumulative_sum(sorted_weight, axis=-1)
    known = xp.isfinite(tau)
    level = xp.where(known, tau, 0.0)
    rise = slope[..., :-1] * xp.where(known[..., 1:], level[..., 1:] - level[..., :-1], 0.0)
    above = xp.concat([xp.zeros_like(level[..., :1]), xp.cumulative_sum(rise, axis=-1)], axis=-1)
    return _Ramps(top, able, weight, xp.where(able, breakpoint, 0.0), tau, slope, above)


def _able(weight: Array, coefficient: Array, floor: Array) -> tuple[Array, Array]:
    """Users whose breakpoint is a number at weights of at most 1, and 1/c; both (..., users), 0 for the others."""
    xp = array_namespace(weight, coefficient)
    heard = coefficient > 2.0 * xp.finfo(coefficient.dtype).smallest_normal
    inverse = xp.where(heard, 1.0 / xp.where(heard, coefficient, 1.0), 0.0)
    scale = xp.finfo(weight.dtype).max / (8.0 * weight.shape[-1])
    able = heard & (weight > 0) & (floor + inverse < weight * scale)
    return able, xp.where(able, inverse, 0.0)


class _Segment(NamedTuple):
    """Last breakpoint that the level passes, (..., 1) each; the first where it passes none."""

    tau: Array
    slope: Array
    above: Array
    passed: Array
    """Whether the level passes any."""


def _last_segment(ramps: _Ramps, excess: Array) -> _Segment:
    """Segment of the last breakpoint at which the excess (..., users) is not positive."""
    xp = array_namespace(excess)
    known = xp.isfinite(ramps.tau)
    count = xp.sum(xp.astype((excess <= 0) & known, xp.int64), axis=-1, keepdims=True)
    index = xp.clip(count - 1, min=0)
    tau, slope, above = (
        xp.take_along_axis(part, index, axis=-1) for part in (xp.where(known, ramps.tau, 0.0), ramps.slope, ramps.above)
    )
    return _Segment(tau, slope, above, count > 0)


def _poured(ramps: _Ramps, segment: _Segment, extra: Array) -> Array:
    """Power above the floors where the level is ``extra`` (..., 1) above the segment's breakpoint, (..., users)."""
    xp = array_namespace(extra)
    lead = xp.where(ramps.able, segment.tau - ramps.breakpoint, -inf)
    rises = segment.passed & (lead >= 0)
    return xp.where(rises, ramps.weight * (xp.where(rises, lead, 0.0) + extra), 0.0)


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
    everybody = xp.astype((weight > 0) | (coefficient > 0) | (floor > 0), weight.dtype)
    room = xp.clip(1.0 - xp.sum(floor, axis=-1, keepdims=True), min=0.0)
    ramps = _ramps(weight, coefficient, floor)
    segment = _last_segment(ramps, ramps.above - room)
    poured = _poured(ramps, segment, (room - segment.above) / xp.where(segment.passed, segment.slope, 1.0))
    # What nobody can use is everybody's; rounding is everybody's who rises. The floors are never touched.
    total = xp.sum(poured, axis=-1, keepdims=True)
    parts = xp.where(total > 0, poured, everybody)
    return floor + parts * (room / xp.where(total > 0, total, xp.clip(xp.sum(parts, axis=-1, keepdims=True), min=1.0)))


def penalised_waterfill(
    weight: Array, coefficient: Array, floor: Array | float, *, multiplier: Array, penalty: float
) -> Array:
    r"""Power step of an augmented Lagrangian: the simplex constraint is priced, not kept.

    .. math:: \min_{p \ge f}\; -\sum_u w_u \log_2(1 + c_u p_u) + \lambda r + \tfrac{\mu}{2} r^2,
              \qquad r = \mathbf{1}^T p - 1

    whose solution is :math:`p_u = \max(f_u, w_u/(t \ln 2) - 1/c_u)` with :math:`t = \lambda + \mu r`. With the water
    level :math:`\nu = 1/(t \ln 2)` the total is piecewise linear as in :func:`waterfill`. What it exceeds its value at
    the segment's breakpoint :math:`\tau` by, y, with the segment's slope S and :math:`A = r(\tau) + \lambda/\mu`, is

    .. math:: (A + y)\Big(\tau + \frac{y}{S}\Big) = \frac{1}{\mu \ln 2} \qquad\Longleftrightarrow\qquad
              y^2 + (S \tau + A)\, y - \Big(\frac{S}{\mu \ln 2} - S \tau A\Big) = 0

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
    ramps = _ramps(weight, coefficient, floor)
    worth = ramps.top / (log(2.0) * penalty)
    base = xp.sum(floor, axis=-1, keepdims=True) - 1.0 + multiplier[..., None] / penalty
    limits = xp.finfo(weight.dtype)
    tau = xp.clip(xp.where(xp.isfinite(ramps.tau), ramps.tau, 1.0), min=limits.smallest_normal)
    tau = xp.maximum(tau, 4.0 * (worth / limits.max))  # at an infinite coefficient the price has no end
    segment = _last_segment(ramps, base + ramps.above - worth / tau)
    here = base + segment.above
    steepness = segment.slope * segment.tau
    unit = xp.clip(steepness, min=1.0)  # what the equation is divided by, so that its squares are numbers
    a, b = 1.0 / unit, steepness / unit + here / unit
    c = xp.clip(segment.slope * worth / unit - steepness / unit * here, min=0.0)
    root = xp.sqrt(b**2 + 4.0 * a * c)
    # The positive root of a y^2 + b y - c, without cancellation.
    rise = xp.where(b > 0, 2.0 * c / xp.where(b > 0, root + b, 1.0), (root - b) / (2.0 * a))
    return floor + _poured(ramps, segment, rise / xp.where(segment.passed, segment.slope, 1.0))


def _like(value: Array | float, like: Array) -> Array:
    xp = array_namespace(like)
    return xp.asarray(value, dtype=like.dtype, device=device(like)) if isinstance(value, float | int) else value
