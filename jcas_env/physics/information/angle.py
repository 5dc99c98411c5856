"""Cramér-Rao bounds of directions."""

from __future__ import annotations

from math import pi

from ...types import Array, array_namespace

MIN_SINE_SQUARED = 1e-3
"""Floor of sin^2(theta): at endfire a linear array loses its angular resolution (spec multicell 2.6)."""


def array_sensitivity(sine_squared: Array, /, *, antennas: int) -> Array:
    r"""Squared norm of the derivative of a half-wavelength ULA's unit-norm response with respect to the angle.

    .. math:: \lVert\dot a\rVert^2 = \pi^2 \sin^2\theta\; \frac{M^2 - 1}{12}

    ``sine_squared`` (...,) with theta from the array axis [-]; result [1/rad^2], zero at endfire and for one
    element. M = 30 at broadside: 739.398 (spec mesh 1.2).
    """
    return pi**2 * (antennas**2 - 1) / 12.0 * sine_squared


def angle_information(aod_cos: Array, /, *, antennas: int) -> Array:
    r"""Angular sensitivity of a half-wavelength ULA whose complex amplitude is unknown.

    .. math:: v^2 = \pi^2 \sin^2\theta\; \frac{M^2 - 1}{12}

    A single snapshot with per-element signal to noise ratio :math:`\varrho` bounds the variance of the
    angle by :math:`\mathrm{CRB}(\theta) = 1/(2 M v^2 \varrho)`.

    Parameters
    ----------
    aod_cos : Array, shape (...,)
        Direction cosine of the line of sight, theta from the array axis [-].
    antennas : int
        Number of elements M [-].

    Returns
    -------
    Array, shape (...,)
        [1/rad^2], with sin^2 floored at 1e-3 (luo2023 eq. 17 repaired, spec multicell 2.6, 5.11).
    """
    xp = array_namespace(aod_cos)
    sine_squared = xp.clip(1.0 - aod_cos**2, min=MIN_SINE_SQUARED)
    return array_sensitivity(sine_squared, antennas=antennas)
