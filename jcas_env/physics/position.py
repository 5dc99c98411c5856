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

from array_api_compat import array_namespace

from ..types import Array
from .geometry import in_hexagon

MARGIN = 2.0
"""How far outside the cells a candidate may lie [m] (spec multicell 2.7)."""

LEAST_RANGE = 1e-3
"""Distances from a station are floored here before they divide [m]."""

_EARLY, _LATE, _KEPT = 4, 8, 3
"""Steps on all candidates, then on the few best ones, and how many those are: 12 steps for the winner."""


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
        [1/m]
    """
    xp = array_namespace(point, stations, axes)
    offset = point[..., None, :] - stations
    distance = xp.clip(xp.hypot(offset[..., 0], offset[..., 1]), min=LEAST_RANGE)
    ray = offset / distance[..., None]
    along = xp.stack([xp.cos(axes), xp.sin(axes)], axis=-1)
    cosine = xp.sum(ray * along, axis=-1)
    sine = ray[..., 1] * along[..., 0] - ray[..., 0] * along[..., 1]
    across = xp.stack([-ray[..., 1], ray[..., 0]], axis=-1)
    return cosine, (-sine / distance)[..., None] * across


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
    xx, xy, yy = _information(gradient, 1.0 / variance)
    determinant = xx * yy - xy**2
    regular = determinant > 1e-14 * (xx + yy) ** 2
    bound = xp.sqrt(xp.where(regular, (xx + yy) / xp.where(regular, determinant, 1.0), 0.0))
    return xp.where(regular, bound, xp.inf)


def _information(gradient: Array, weight: Array) -> tuple[Array, Array, Array]:
    """Entries xx, xy, yy of the weighted sum of outer products of gradients, (...,) each."""
    xp = array_namespace(gradient, weight)
    x, y = gradient[..., 0], gradient[..., 1]
    return xp.sum(weight * x * x, axis=-1), xp.sum(weight * x * y, axis=-1), xp.sum(weight * y * y, axis=-1)


def ray_intersections(cosine: Array, stations: Array, axes: Array, /) -> tuple[Array, Array]:
    """Points where rays of two stations meet, for every pair of stations and both signs of each angle.

    ``cosine`` (..., cells) [-]; ``stations`` (cells, 2) [m]; ``axes`` (cells,) [rad]. Returns points (..., candidates,
    2) [m] with 4 candidates a pair, and which of them lie ahead on both rays, (..., candidates) bool.
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


def _refine(
    point: Array, cosine: Array, weight: Array, stations: Array, axes: Array, *, steps: int
) -> tuple[Array, Array]:
    """Damped Gauss-Newton on the weighted squared misfit of the cosines: points and their misfit."""
    xp = array_namespace(point, cosine)
    predicted, gradient = bearing(point, stations, axes)
    cost = xp.sum(weight * (cosine - predicted) ** 2, axis=-1)
    damping = xp.full_like(cost, 1e-3)
    for _ in range(steps):
        xx, xy, yy = _information(gradient, weight)
        pull = xp.sum((weight * (cosine - predicted))[..., None] * gradient, axis=-2)
        # The second term keeps a step finite where all stations look along their arrays.
        lift = damping * (xx + yy) / 2.0 + 1e-12 * xp.sum(weight, axis=-1)
        xx, yy = xx + lift, yy + lift
        determinant = xx * yy - xy**2
        step_x = (yy * pull[..., 0] - xy * pull[..., 1]) / determinant
        step_y = (xx * pull[..., 1] - xy * pull[..., 0]) / determinant
        trial = point + xp.stack([step_x, step_y], axis=-1)
        trial_cosine, trial_gradient = bearing(trial, stations, axes)
        trial_cost = xp.sum(weight * (cosine - trial_cosine) ** 2, axis=-1)
        better = trial_cost <= cost
        point = xp.where(better[..., None], trial, point)
        predicted = xp.where(better[..., None], trial_cosine, predicted)
        gradient = xp.where(better[..., None, None], trial_gradient, gradient)
        cost = xp.where(better, trial_cost, cost)
        damping = xp.where(better, 0.2 * damping, 8.0 * damping + 1e-3)
    return point, cost


def locate(
    cosine: Array, variance: Array, reported: Array, stations: Array, axes: Array, /, *, radius: float, limit: float
) -> Position:
    r"""Weighted least-squares intersection of bearings.

    All pairwise intersections of rays inside the union of the cells (and 2 m around it) are starting points; each is
    refined by damped Gauss-Newton steps on :math:`\sum_i (\hat v_i - v_i(p))^2/\sigma_i^2`, the poor ones fewer, and
    the best one is kept.

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
    cosine = xp.where(heard[..., None], cosine, 0.5)
    weight = xp.where(heard[..., None], 1.0 / xp.where(heard[..., None], variance, 1.0), 1.0)[..., None, :]

    point, ahead = ray_intersections(cosine, stations, axes)
    cells = in_hexagon(point[..., None, :] - stations, radius=radius + 2.0 / sqrt(3.0) * MARGIN)
    usable = ahead & xp.any(cells, axis=-1)
    start = xp.where(usable[..., None], point, xp.mean(stations, axis=0))
    data = (cosine[..., None, :], weight, stations, axes)
    point, cost = _refine(start, *data, steps=_EARLY)
    best = xp.argsort(xp.where(usable, cost, xp.inf), axis=-1)[..., :_KEPT]
    point = xp.stack([xp.take_along_axis(point[..., axis], best, axis=-1) for axis in (0, 1)], axis=-1)
    usable = xp.take_along_axis(usable, best, axis=-1)
    point, cost = _refine(point, *data, steps=_LATE)
    cost = xp.where(usable, cost, xp.inf)
    winner = xp.argmin(cost, axis=-1, keepdims=True)
    point = xp.stack([xp.take_along_axis(point[..., axis], winner, axis=-1)[..., 0] for axis in (0, 1)], axis=-1)

    located = heard & (xp.min(cost, axis=-1) <= limit)
    bound = position_error_bound(bearing(point, stations, axes)[1], xp.where(heard[..., None], variance, 1.0))
    return Position(xp.where(located[..., None], point, nan), xp.where(located, bound, nan), located)
