"""Limited-memory quasi-Newton ascent of many functions at once, for where there is no automatic differentiation."""

from __future__ import annotations

from collections.abc import Callable

from array_api_compat import array_namespace, device

from jcas_env.types import Array

MEMORY = 10
"""Pairs of steps and gradient changes that are remembered."""
DIFFERENCE = 1e-5
"""Half width of the central differences; the error is about its square and eps over it."""
HALVINGS = 20
"""Most halvings of a step."""
GRADIENT_TOLERANCE = 1e-7
"""Gradients below this, relative to the value, end the ascent."""


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
        good = curvature > 1e-12 * xp.vecdot(y, y)[..., None]
        rho = xp.where(good, 1.0 / xp.where(good, curvature, 1.0), 0.0)
        a = rho * xp.vecdot(s, q)[..., None]
        q = q - a * y
        kept.append((s, y, rho, a))
    norm = xp.linalg.vector_norm(gradient, axis=-1, keepdims=True)
    scale = 1.0 / xp.clip(norm, min=1e-300)  # the first step has unit length
    if pairs:
        s, y, rho, _ = kept[0]
        scale = xp.where(rho > 0, xp.vecdot(s, y)[..., None] / xp.clip(xp.vecdot(y, y), min=1e-300)[..., None], scale)
    q = scale * q
    for s, y, rho, a in reversed(kept):
        q = q + s * (a - rho * xp.vecdot(y, q)[..., None])
    return q


def maximise(value: Callable[[Array], Array], point: Array, *, steps: int) -> Array:
    r"""Ascend every element of a batch by L-BFGS with backtracking (Armijo, 1e-4), at most ``steps`` steps.

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
        step = _direction(gradient, pairs)
        slope = xp.vecdot(gradient, step)
        uphill = slope > 0
        step = xp.where(uphill[..., None], step, gradient)
        slope = xp.where(uphill, slope, xp.vecdot(gradient, gradient))
        length = xp.ones_like(best)
        for _ in range(HALVINGS):
            trial = value((point + length[..., None] * step)[None, ...])[0, ...]
            enough = trial >= best + 1e-4 * length * slope
            if xp.all(enough):
                break
            length = xp.where(enough, length, 0.5 * length)
        length = xp.where(enough, length, 0.0)
        if not xp.any(length > 0):
            break
        moved = point + length[..., None] * step
        new = central_gradient(value, moved)
        # Gradients of the negative function, so that curvature is positive where f is concave.
        pairs = [*pairs[1 - MEMORY :], (moved - point, gradient - new)]
        point, gradient, best = moved, new, xp.where(enough, trial, best)
    return point
