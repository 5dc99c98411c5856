"""Adam: ascent of many functions at once, with steps of a size of their own in every entry."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, sqrt

from array_api_compat import array_namespace

from jcas_env.types import Array

MEAN_DECAY = 0.9
"""Memory of the mean gradient, beta_1."""
SQUARE_DECAY = 0.999
"""Memory of the mean squared gradient, beta_2."""
SMALLEST = 1e-8
"""Added to the root of the mean square, epsilon."""


def adam_ascent(
    slope: Callable[[Array], tuple[Array, Array]], point: Array, *, steps: int, rate: float, final_rate: float
) -> Array:
    r"""Ascend every element of a batch by Adam, and return the best iterate of each (Kingma and Ba 2015).

    .. math:: m \leftarrow \beta_1 m + (1 - \beta_1) g, \quad v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \quad
              x \leftarrow x + \eta_t \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    Parameters
    ----------
    slope : function
        Maps points (..., n) to values (...,) and gradients (..., n). An entry that is no number does not move.
    point : Array, shape (..., n)
        Starts; they count as iterates.
    steps : int
    rate, final_rate : float
        :math:`\eta` of the first step; it goes linearly towards that after the last.

    Returns
    -------
    Array, shape (..., n)
    """
    xp = array_namespace(point)
    mean = square = xp.zeros_like(point)
    best, (value, gradient) = point, slope(point)
    top = xp.where(xp.isnan(value), -inf, value)
    for step in range(steps):
        gradient = xp.where(xp.isfinite(gradient), gradient, 0.0)
        mean = MEAN_DECAY * mean + (1.0 - MEAN_DECAY) * gradient
        square = SQUARE_DECAY * square + (1.0 - SQUARE_DECAY) * gradient * gradient
        size = (rate + (final_rate - rate) * step / steps) / (1.0 - MEAN_DECAY ** (step + 1))
        spread = xp.sqrt(square) / sqrt(1.0 - SQUARE_DECAY ** (step + 1)) + SMALLEST
        point = point + size * mean / spread
        value, gradient = slope(point)
        better = value > top
        top, best = xp.where(better, value, top), xp.where(better[..., None], point, best)
    return best
