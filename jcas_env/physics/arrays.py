"""Uniform linear arrays: steering vector and its derivative."""

from __future__ import annotations

from math import pi

from array_api_compat import array_namespace, device

from ..types import Array


def element_positions(like: Array, antennas: int) -> Array:
    """Element positions ``m - (M-1)/2`` of a centred ULA, in units of the spacing, ``(antennas,)``."""
    xp = array_namespace(like)
    return xp.arange(antennas, dtype=like.dtype, device=device(like)) - (antennas - 1) / 2


def steering_vector(u: Array, /, *, antennas: int) -> Array:
    r"""Far-field response of a half-wavelength uniform linear array.

    .. math:: a_m(u) = \frac{1}{\sqrt{M}} \exp\!\big(j \pi (m - \tfrac{M-1}{2}) u\big),
              \quad m = 0, \dots, M-1

    Parameters
    ----------
    u : Array, shape (...,), real floating
        Direction cosine ``cos(theta)``, theta measured from the array axis [-].
    antennas : int
        Number of elements M, any parity [-].

    Returns
    -------
    Array, shape (..., antennas), complex
        Unit norm; entries of modulus ``antennas**-0.5``.

    Notes
    -----
    The phase reference is the centroid, so ``a`` is orthogonal to its derivative; against luo2023 (5)
    this is one phase per path, absorbed in the path gain. Broadside is ``u = 0``; the period in ``u``
    is 2. Elements nearer to the far point lead in phase. Channels are ``a_rx a_tx^H``, so the matched
    beam is ``a`` itself. An angle from the axis cannot tell front from back.

    References
    ----------
    luo2023 eq. 5 with the centroid as reference (DESIGN 5, spec multicell 2.2).
    """
    xp = array_namespace(u)
    u = u[..., None]
    ramp = xp.exp((-0.5j * pi * (antennas - 1)) * u) / antennas**0.5
    step = xp.exp(1j * pi * u)
    # A geometric sequence by doubling: two exponentials an angle instead of M, at log2(M) roundings.
    while ramp.shape[-1] < antennas:
        ramp = xp.concat([ramp, ramp * step], axis=-1)
        step = step * step
    return ramp[..., :antennas]


def steering_derivative(u: Array, /, *, antennas: int) -> Array:
    r"""Derivative of :func:`steering_vector` with respect to the direction cosine.

    .. math:: \frac{\partial a_m}{\partial u} = j \pi (m - \tfrac{M-1}{2})\, a_m(u),
              \qquad \lVert \dot a \rVert^2 = \frac{\pi^2 (M^2-1)}{12}

    Parameters
    ----------
    u : Array, shape (...,), real floating
        Direction cosine [-].
    antennas : int
        Number of elements M [-].

    Returns
    -------
    Array, shape (..., antennas), complex
        Orthogonal to ``steering_vector(u)`` [-].
    """
    return 1j * pi * element_positions(u, antennas) * steering_vector(u, antennas=antennas)
