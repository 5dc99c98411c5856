r"""Where a user is, from the angles at which base stations see it: bearings of uniform linear arrays, no delay.

Station i at :math:`b_i` with array axis :math:`\alpha_i` measures the direction cosine
:math:`v_i(p) = \cos(\psi_i(p) - \alpha_i)` of the azimuth :math:`\psi_i` of :math:`p - b_i`, with variance
:math:`\sigma_i^2`. A linear array cannot tell front from back, so each cosine leaves two rays; the other stations
decide (luo2023 text after eq. 27, spec multicell 2.7).
"""

from __future__ import annotations

from itertools import combinations
from math import sqrt
from typing import NamedTuple

from ..types import Array, array_namespace
from .geometry import in_hexagon

MARGIN = 2.0
"""How far outside the cells a candidate may lie [m] (spec multicell 2.7)."""

LEAST_RANGE = 1e-3
"""Distances from a station are floored here before they divide [m]."""

NEWTON_STEPS = 12
"""Damped Gauss-Newton steps (spec multicell 2.7)."""

COSINE_ROUNDINGS = 8.0
"""Rounding units of a cosine by which residuals are known."""

KEPT = 6
"""Candidates that are refined, those of least misfit: the right one stands among them thrice, once for each pair."""


class Position(NamedTuple):
    """Estimated positions of a batch of users."""

    position: Array
    """(..., users, 2): position [m]; NaN where it is not located."""
    bound: Array
    """(..., users): position error bound at the estimate [m]; NaN where it is not located."""
    located: Array
    """(..., users) bool: a candidate inside the cells explains all bearings."""


def bearing(point: Array, stations: Array, axes: Array, /) -> tuple[Array, Array]:
    r"""Direction cosine under which each station sees a point, and its gradient.

    .. math:: v_i = \cos(\psi_i - \alpha_i), \qquad
              \nabla v_i = -\sin(\psi_i - \alpha_i)\, \frac{(-\sin\psi_i,\; \cos\psi_i)}{\lVert p - b_i \rVert}

    Parameters
    ----------
    point : Array, shape (..., 2)
        Points [m].
    stations : Array, shape (cells, 2)
        Base stations [m].
    axes : Array, shape (cells,)
        Azimuths of their array axes [rad].

    Returns
    -------
    cosine : Array, shape (..., cells)
        [-]
    gradient : Array, shape (..., cells, 2)
        [1/m] (spec multicell 2.7)
    """
    xp = array_namespace(point, stations, axes)
    cosine, east, north = _bearing(
        point[..., None, 0] - stations[:, 0], point[..., None, 1] - stations[:, 1], xp.cos(axes), xp.sin(axes)
    )
    return cosine, xp.stack([east, north], axis=-1)


def _bearing(east: Array, north: Array, axis_east: Array, axis_north: Array) -> tuple[Array, Array, Array]:
    """Cosine and the two components of its gradient, elementwise, from offsets and unit vectors of the axes."""
    xp = array_namespace(east, north)
    distance = xp.clip(xp.hypot(east, north), min=LEAST_RANGE)
    east, north = east / distance, north / distance
    slope = (east * axis_north - north * axis_east) / distance  # -sin(psi - alpha) / d
    return east * axis_east + north * axis_north, -slope * north, slope * east


def position_error_bound(gradient: Array, variance: Array, /) -> Array:
    r"""Cramér-Rao bound of the position error.

    .. math:: \mathrm{PEB} = \sqrt{\operatorname{tr}\Big[
              \big(\sum_i \nabla v_i \nabla v_i^T / \sigma_i^2\big)^{-1}\Big]}

    Parameters
    ----------
    gradient : Array, shape (..., cells, 2)
        Gradients of the direction cosines [1/m], see :func:`bearing`.
    variance : Array, shape (..., cells)
        Variances of the measured cosines, positive; infinite for a station that measures nothing [-].

    Returns
    -------
    Array, shape (...,)
        [m]; infinite where the information is singular (spec multicell 2.7).
    """
    xp = array_namespace(gradient, variance)
    weight, least = _relative_weights(variance)
    xx, xy, yy = _information(gradient[..., 0], gradient[..., 1], weight, axis=-1)
    determinant = xx * yy - xy**2
    regular = determinant > max(1e-14, 4.0 * float(xp.finfo(xx.dtype).eps)) * (xx + yy) ** 2
    bound = xp.sqrt(xp.where(regular, (xx + yy) / xp.where(regular, determinant, 1.0), 0.0))
    return xp.where(regular, xp.sqrt(least) * bound, xp.inf)


def _relative_weights(variance: Array) -> tuple[Array, Array]:
    r"""Weights :math:`\sigma_{\min}^2/\sigma_i^2` in [0, 1], (..., cells), and :math:`\sigma_{\min}^2`, (...,) [-].

    Squares of reciprocal variances overflow in single precision. Nothing is weighted where every variance is infinite.
    """
    xp = array_namespace(variance)
    least = xp.min(variance, axis=-1, keepdims=True)
    least = xp.where(xp.isfinite(least), least, 1.0)
    return least / variance, least[..., 0]


def _information(east: Array, north: Array, weight: Array, *, axis: int) -> tuple[Array, Array, Array]:
    """Entries xx, xy, yy of the sum over stations, on an axis, of weighted outer products of gradients."""
    xp = array_namespace(east, north, weight)
    scaled = weight * east
    return xp.sum(scaled * east, axis=axis), xp.sum(scaled * north, axis=axis), xp.sum(weight * north**2, axis=axis)


def ray_intersections(cosine: Array, stations: Array, axes: Array, /) -> tuple[Array, Array]:
    """Points where rays of two stations meet, for every pair of stations and both signs of each angle.

    ``cosine`` (..., cells) [-]; ``stations`` (cells, 2) [m]; ``axes`` (cells,) [rad]. Returns points (..., candidates,
    2) [m] with 4 candidates a pair, and which of them lie ahead on both rays, (..., candidates) bool
    (spec multicell 2.7).
    """
    xp = array_namespace(cosine, stations, axes)
    angle = xp.acos(xp.clip(cosine, min=-1.0, max=1.0))
    points, ahead = [], []
    for i, k in combinations(range(stations.shape[0]), 2):
        base = stations[k, :] - stations[i, :]
        for first in (1.0, -1.0):
            for second in (1.0, -1.0):
                psi, chi = axes[i] + first * angle[..., i], axes[k] + second * angle[..., k]
                cross = xp.sin(chi - psi)
                meets = xp.abs(cross) > 1e-9
                safe = xp.where(meets, cross, 1.0)
                s = (base[0] * xp.sin(chi) - base[1] * xp.cos(chi)) / safe
                t = (base[0] * xp.sin(psi) - base[1] * xp.cos(psi)) / safe
                points.append(stations[i, :] + s[..., None] * xp.stack([xp.cos(psi), xp.sin(psi)], axis=-1))
                ahead.append(meets & (s > 0) & (t > 0))
    return xp.stack(points, axis=-2), xp.stack(ahead, axis=-1)


class _Fit(NamedTuple):
    """Candidates (..., candidates) and what follows from them; stations lead: sums over them are fast there."""

    x: Array
    y: Array
    residual: Array
    """(cells, ..., candidates): measured minus predicted cosine."""
    east: Array
    north: Array
    """(cells, ..., candidates): gradient of the predicted cosine."""
    cost: Array
    """(..., candidates): weighted squared misfit."""


def _fit(x: Array, y: Array, cosine: Array, weight: Array, stations: Array, axes: Array) -> _Fit:
    xp = array_namespace(x, cosine)
    lead = (-1, *(1,) * x.ndim)
    along, across = xp.reshape(xp.cos(axes), lead), xp.reshape(xp.sin(axes), lead)
    offset_x, offset_y = x - xp.reshape(stations[:, 0], lead), y - xp.reshape(stations[:, 1], lead)
    predicted, east, north = _bearing(offset_x, offset_y, along, across)
    residual = cosine - predicted
    return _Fit(x, y, residual, east, north, xp.sum(weight * residual**2, axis=0))


def _refine(fit: _Fit, cosine: Array, weight: Array, stations: Array, axes: Array) -> _Fit:
    """Damped Gauss-Newton steps on the misfit; data (cells, ..., 1)."""
    xp = array_namespace(cosine)
    damping = xp.full_like(fit.cost, 1e-3)
    # Keeps a step finite where all stations look along their arrays.
    least = 1e-12 * xp.sum(weight, axis=0)
    flat = COSINE_ROUNDINGS * float(xp.finfo(fit.cost.dtype).eps)
    for _ in range(NEWTON_STEPS):
        xx, xy, yy = _information(fit.east, fit.north, weight, axis=0)
        pull = weight * fit.residual
        pull_x, pull_y = xp.sum(pull * fit.east, axis=0), xp.sum(pull * fit.north, axis=0)
        trace = xx + yy
        lift = damping * trace / 2.0 + least
        # Of (I + lift), positive though the difference rounds: where stations stand in line, in single precision.
        determinant = xp.clip(xx * yy - xy**2, min=0.0) + lift * (trace + lift)
        xx, yy = xx + lift, yy + lift
        x = fit.x + (yy * pull_x - xy * pull_y) / determinant
        y = fit.y + (xx * pull_y - xy * pull_x) / determinant
        trial = _fit(x, y, cosine, weight, stations, axes)
        # At its bottom the misfit is flat: there rounding must not decide which step is the last.
        better = trial.cost <= fit.cost + flat * xp.sum(weight * xp.abs(fit.residual), axis=0)
        fit = _Fit(*(xp.where(better, new, old) for new, old in zip(trial, fit, strict=True)))
        damping = xp.where(better, 0.2 * damping, 8.0 * damping + 1e-3)
    return fit


def _inside(point: Array, stations: Array, radius: float) -> Array:
    """Whether points lie in the union of the cells or within the margin around it."""
    xp = array_namespace(point)
    return xp.any(in_hexagon(point[..., None, :] - stations, radius=radius + 2.0 / sqrt(3.0) * MARGIN), axis=-1)


def _best_candidate(cosine: Array, weight: Array, stations: Array, axes: Array, radius: float) -> tuple[Array, Array]:
    """Point (..., 2) inside the cells that explains the bearings best, and its misfit (...,); infinite without any."""
    xp = array_namespace(cosine)
    data = (xp.moveaxis(cosine, -1, 0)[..., None], xp.moveaxis(weight, -1, 0)[..., None], stations, axes)
    point, ahead = ray_intersections(cosine, stations, axes)
    usable = ahead & _inside(point, stations, radius)
    start = xp.where(usable[..., None], point, xp.mean(stations, axis=0))
    fit = _fit(start[..., 0], start[..., 1], *data)
    best = xp.argsort(xp.where(usable, fit.cost, xp.inf), axis=-1)[..., :KEPT]
    usable = xp.take_along_axis(usable, best, axis=-1)
    x, y = (xp.take_along_axis(value, best, axis=-1) for value in (fit.x, fit.y))
    fit = _refine(_fit(x, y, *data), *data)
    # Bearings that nearly cross far away are explained there as well as in the cells.
    inside = _inside(xp.stack([fit.x, fit.y], axis=-1), stations, radius)
    cost = xp.where(usable & inside, fit.cost, xp.inf)
    winner = xp.argmin(cost, axis=-1, keepdims=True)
    x, y = (xp.take_along_axis(value, winner, axis=-1)[..., 0] for value in (fit.x, fit.y))
    return xp.stack([x, y], axis=-1), xp.min(cost, axis=-1)


def locate(
    cosine: Array, variance: Array, reported: Array, stations: Array, axes: Array, /, *, radius: float, limit: float
) -> Position:
    r"""Weighted least-squares intersection of bearings.

    Pairwise intersections of rays inside the union of the cells (and 2 m around it) are starting points; the best ones
    are refined by damped Gauss-Newton steps on :math:`\sum_i (\hat v_i - v_i(p))^2/\sigma_i^2`, and the best of
    those is kept.

    Parameters
    ----------
    cosine : Array, shape (..., users, cells)
        Measured direction cosines of departure of the lines of sight [-].
    variance : Array, shape (..., users, cells)
        Their variances, positive [-].
    reported : Array, shape (..., users, cells), bool
        Whether a station has found a path to the user.
    stations : Array, shape (cells, 2)
        Base stations [m].
    axes : Array, shape (cells,)
        Azimuths of their array axes [rad].
    radius : float
        Circumradius of the hexagonal cells [m].
    limit : float
        Largest misfit of a located user: the 2e-4 tail of chi-squared with cells - 2 degrees of freedom [-].

    Returns
    -------
    Position
        Not located: fewer than three stations, a station without a path, no candidate inside the cells, or a misfit
        above ``limit`` (a blocked line of sight, say).

    References
    ----------
    spec multicell 2.7.
    """
    xp = array_namespace(cosine, variance)
    nan = xp.asarray(float("nan"), dtype=cosine.dtype)
    if stations.shape[0] < 3:
        nothing = xp.zeros(cosine.shape[:-1], dtype=xp.bool)
        return Position(xp.stack([nan + 0.0 * cosine[..., 0]] * 2, axis=-1), nan + 0.0 * cosine[..., 0], nothing)
    heard = xp.all(reported & xp.isfinite(cosine) & (variance > 0), axis=-1)
    # Of one antenna, say, a bearing is reported that is known to nobody.
    heard = heard & (xp.sum(xp.astype(xp.isfinite(variance), xp.int64), axis=-1) >= 3)
    cosine, variance = xp.where(heard[..., None], cosine, 0.5), xp.where(heard[..., None], variance, 1.0)
    weight, least = _relative_weights(variance)
    point, misfit = _best_candidate(cosine, weight, stations, axes, radius)
    located = heard & (misfit <= limit * least)
    bound = position_error_bound(bearing(point, stations, axes)[1], variance)
    return Position(xp.where(located[..., None], point, nan), xp.where(located, bound, nan), located)
