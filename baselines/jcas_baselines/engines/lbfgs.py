"""Limited-memory quasi-Newton ascent of many functions at once, for where there is no automatic differentiation."""

from __future__ import annotations

from collections.abc import Callable

from array_api_compat import array_namespace, device

from jcas_env.types import Array

MEMORY = 10
"""Pairs of steps and gradient changes that are remembered."""
DIFFERENCE = 1e-5
"""Half width of the central differences; the error is about its square and eps over it."""
STEP_HALVINGS = 20
"""Most halvings of a step."""
GRADIENT_TOLERANCE = 1e-7
"""Gradients below this, relative to the value, end the ascent."""
SUFFICIENT = 1e-4
"""Part of the rise that the slope promises which a step must bring (Armijo)."""
CURVED = 1e-12
"""Least curvature of a remembered pair, relative to the squared gradient change."""


def central_gradient(value: Callable[[Array], Array], point: Array) -> Array:
    r"""Gradient by central differences, :math:`(f(x + h e_i) - f(x - h e_i)) / 2h`, in two batched calls.

    ``point`` (..., n); ``value`` maps (m, ..., n) to (m, ...). Returns (..., n); zero where a value is not finite.
    """
    xp = array_namespace(point)
    n = point.shape[-1]
    shift = DIFFERENCE * xp.eye(n, dtype=point.dtype, device=device(point))
    shift = xp.reshape(shift, (n, *(1,) * (point.ndim - 1), n))
    difference = value(point[None, ...] + shift) - value(point[None, ...] - shift)
    gradient = xp.moveaxis(difference, 0, -1) / (2.0 * DIFFERENCE)
    return xp.where(xp.isfinite(gradient), gradient, 0.0)


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


def maximise(value: Callable[[Array], Array], point: Array, *, steps: int) -> Array:
    r"""Ascend every element of a batch by L-BFGS with backtracking, at most ``steps`` steps (Nocedal 1980).

    Parameters
    ----------
    value : function
        Smooth; maps (m, ..., n) to (m, ...), for any m.
    point : Array, shape (..., n)
        Starts.

    Returns
    -------
    Array, shape (..., n)
        Never below the start in value. An element that finds no ascent, or has a vanishing gradient, stays.
    """
    xp = array_namespace(point)
    best = value(point[None, ...])[0, ...]
    gradient = central_gradient(value, point)
    pairs: list[tuple[Array, Array]] = []
    for _ in range(steps):
        if xp.all(xp.max(xp.abs(gradient), axis=-1) <= GRADIENT_TOLERANCE * xp.abs(best)):
            break
        step = _uphill(gradient, _direction(gradient, pairs))
        length, reached = _backtracked(value, point, best, step, xp.vecdot(gradient, step))
        if not xp.any(length > 0):
            break
        moved = point + length[..., None] * step
        new = central_gradient(value, moved)
        # Gradients of the negative function, so that curvature is positive where f is concave.
        pairs = [*pairs[1 - MEMORY :], (moved - point, gradient - new)]
        point, gradient, best = moved, new, reached
    return point


def _uphill(gradient: Array, step: Array) -> Array:
    """The step, or the gradient where remembered curvature has turned it downhill."""
    xp = array_namespace(gradient)
    return xp.where((xp.vecdot(gradient, step) > 0)[..., None], step, gradient)


def _backtracked(
    value: Callable[[Array], Array], point: Array, best: Array, step: Array, slope: Array
) -> tuple[Array, Array]:
    """Length of the step at which the rise is enough, 0 where none is, and the value there, (...,) each."""
    xp = array_namespace(point)
    length = xp.ones_like(best)
    for _ in range(STEP_HALVINGS):
        trial = value((point + length[..., None] * step)[None, ...])[0, ...]
        enough = trial >= best + SUFFICIENT * length * slope
        if xp.all(enough):
            break
        length = xp.where(enough, length, 0.5 * length)
    return xp.where(enough, length, 0.0), xp.where(enough, trial, best)
