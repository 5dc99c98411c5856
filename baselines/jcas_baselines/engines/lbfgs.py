"""Limited-memory quasi-Newton ascent of many functions at once."""

from __future__ import annotations

from collections.abc import Callable

from array_api_compat import array_namespace

from jcas_env.types import Array

MEMORY = 10
"""Pairs of steps and gradient changes that are remembered."""
STEP_HALVINGS = 20
"""Most halvings of a step."""
GRADIENT_TOLERANCE = 1e-7
"""Gradients below this, relative to the value, end the ascent."""
SUFFICIENT = 1e-4
"""Part of the rise that the slope promises which a step must bring (Armijo)."""
CURVED = 1e-12
"""Least curvature of a remembered pair, relative to the squared gradient change."""


def _direction(gradient: Array, pairs: list[tuple[Array, Array]]) -> Array:
    """Two-loop recursion: the inverse Hessian of the remembered pairs (s, y) times the gradient, (..., n)."""
    xp = array_namespace(gradient)
    q, kept = gradient, []
    for s, y in reversed(pairs):
        curvature = xp.vecdot(s, y)[..., None]
        # A pair along which the function is convex or flat would turn the direction round: it is left out.
        good = curvature > CURVED * xp.vecdot(y, y)[..., None]
        rho = xp.where(good, 1.0 / xp.where(good, curvature, 1.0), 0.0)
        a = rho * xp.vecdot(s, q)[..., None]
        q = q - a * y
        kept.append((s, y, rho, a))
    q = _first_scale(gradient, kept) * q
    for s, y, rho, a in reversed(kept):
        q = q + s * (a - rho * xp.vecdot(y, q)[..., None])
    return q


def _first_scale(gradient: Array, kept: list[tuple[Array, Array, Array, Array]]) -> Array:
    """Inverse curvature along the newest pair; a step of unit length where there is none, (..., 1)."""
    xp = array_namespace(gradient)
    scale = 1.0 / xp.clip(xp.linalg.vector_norm(gradient, axis=-1, keepdims=True), min=1e-300)
    if kept:
        s, y, rho, _ = kept[0]
        inverse = xp.vecdot(s, y)[..., None] / xp.clip(xp.vecdot(y, y), min=1e-300)[..., None]
        scale = xp.where(rho > 0, inverse, scale)
    return scale


def maximise(slope: Callable[[Array], tuple[Array, Array]], point: Array, *, steps: int) -> Array:
    r"""Ascend every element of a batch by L-BFGS with backtracking, at most ``steps`` steps (Nocedal 1980).

    Parameters
    ----------
    slope : function
        Maps points (..., n) to values (...,) of a smooth function and gradients (..., n). An entry of a gradient that
        is no number counts as 0.
    point : Array, shape (..., n)
        Starts.

    Returns
    -------
    Array, shape (..., n)
        Never below the start in value. An element that finds no ascent, or has a vanishing gradient, stays.
    """
    xp = array_namespace(point)
    best, gradient = _finite(*slope(point))
    pairs: list[tuple[Array, Array]] = []
    for _ in range(steps):
        if xp.all(xp.max(xp.abs(gradient), axis=-1) <= GRADIENT_TOLERANCE * xp.abs(best)):
            break
        step = _uphill(gradient, _direction(gradient, pairs))
        length, reached, new = _backtracked(slope, point, best, gradient, step)
        if not xp.any(length > 0):
            break
        moved = point + length[..., None] * step
        # Gradients of the negative function, so that curvature is positive where f is concave.
        pairs = [*pairs[1 - MEMORY :], (moved - point, gradient - new)]
        point, gradient, best = moved, new, reached
    return point


def _finite(value: Array, gradient: Array) -> tuple[Array, Array]:
    xp = array_namespace(gradient)
    return value, xp.where(xp.isfinite(gradient), gradient, 0.0)


def _uphill(gradient: Array, step: Array) -> Array:
    """The step, or the gradient where remembered curvature has turned it downhill."""
    xp = array_namespace(gradient)
    return xp.where((xp.vecdot(gradient, step) > 0)[..., None], step, gradient)


def _backtracked(
    slope: Callable[[Array], tuple[Array, Array]], point: Array, best: Array, gradient: Array, step: Array
) -> tuple[Array, Array, Array]:
    """Length (...,) of the step at which the rise is enough, 0 where none is, and value and gradient there."""
    xp = array_namespace(point)
    length, rise = xp.ones_like(best), xp.vecdot(gradient, step)
    for _ in range(STEP_HALVINGS):
        trial, new = _finite(*slope(point + length[..., None] * step))
        enough = trial >= best + SUFFICIENT * length * rise
        if xp.all(enough):
            break
        length = xp.where(enough, length, 0.5 * length)
    return xp.where(enough, length, 0.0), xp.where(enough, trial, best), xp.where(enough[..., None], new, gradient)
