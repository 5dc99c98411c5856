"""Uniform linear arrays: steering vector and its derivative."""

from __future__ import annotations

from math import pi

from ..compiled.dispatch import compiled
from ..types import Array, array_namespace, at_hand, constant, device


def element_positions(like: Array, antennas: int) -> Array:
    """Element positions ``m - (M-1)/2`` of a centred ULA, (antennas,), in spacings [-] (spec estimation 1.1)."""
    xp = array_namespace(like)
    if not at_hand(like):
        return constant(tuple(element - (antennas - 1) / 2 for element in range(antennas)), like)
    return xp.arange(antennas, dtype=like.dtype, device=device(like)) - (antennas - 1) / 2


FEW = 7
"""Entries up to which NumPy sums one after the other, as :func:`sum_of_few` does."""


def sum_of_few(value: Array, /) -> Array:
    """``sum(value, axis=-1)`` (..., n) -> (...,), of any unit [-]; term by term where n is small.

    A third of the time of a reduction, which has a start for each of the many short rows. The same bits, for NumPy sums
    so few terms in this order: its pairwise summation begins at 8 (a loop over a static size, DESIGN 7.7).
    """
    xp = array_namespace(value)
    if not 0 < value.shape[-1] <= FEW:
        return xp.sum(value, axis=-1)
    total = value[..., 0]
    for entry in range(1, value.shape[-1]):
        total = total + value[..., entry]
    return total


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
    if not at_hand(u):
        return _phasors(u, antennas)
    ramp = turned((-0.5 * pi * (antennas - 1)) * u) / antennas**0.5
    step = turned(pi * u)
    # A geometric sequence by doubling: two exponentials an angle instead of M, at log2(M) roundings.
    while ramp.shape[-1] < antennas:
        more = min(ramp.shape[-1], antennas - ramp.shape[-1])
        ramp = xp.concat([ramp, ramp[..., :more] * step], axis=-1)
        step = step * step
    return ramp


def _phasors(u: Array, antennas: int) -> Array:
    """Steering vectors of direction cosines (..., 1) by an exponential an element: least operations for a device."""
    return array_namespace(u).exp((1j * pi) * (element_positions(u, antennas) * u)) / antennas**0.5


@compiled("links")
def steering_update(u: Array, last: Array, /) -> Array:
    """Steering vectors of paths of which the first alone has turned since ``last``, (..., paths, antennas) complex [-].

    ``u`` (..., paths) are the direction cosines now [-]; returns the shape of ``last``: what would be computed anew for
    the other paths is the same to the last bit (spec multicell 2.2).
    """
    sight = steering_vector(u[..., :1], antennas=last.shape[-1])
    return array_namespace(u, last).concat([sight, last[..., 1:, :]], axis=-2)


def turned(phase: Array) -> Array:
    r""":math:`e^{j\varphi}` of phases (...,) [rad] -> (...,) complex [-] (spec multicell 2.2).

    By sine and cosine, of which libraries compute several at a time.
    """
    xp = array_namespace(phase)
    return xp.cos(phase) + 1j * xp.sin(phase)


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
        Orthogonal to ``steering_vector(u)`` [-] (spec estimation 1.10).
    """
    return 1j * pi * element_positions(u, antennas) * steering_vector(u, antennas=antennas)


def steering_correlation(delta: Array, /, *, antennas: int, derivatives: int = 0) -> list[Array]:
    r"""Inner product of two steering vectors and its derivatives in the difference of their direction cosines.

    .. math:: D(\Delta) = a(u)^H a(u + \Delta) = \frac{1}{M} \sum_m \cos\big(\pi (m - \tfrac{M-1}{2}) \Delta\big)
              = \frac{\sin(M x)}{M \sin x}, \qquad x = \frac{\pi \Delta}{2}

    Because the phase reference is the centroid, D is real, and with it every inner product of steering vectors and
    their derivatives: :math:`a_i^H \dot a_j = D'`, :math:`\dot a_i^H a_j = -D'`, :math:`\dot a_i^H \dot a_j = -D''`.

    Parameters
    ----------
    delta : Array, shape (...,), real floating
        Difference Delta of the direction cosines, second minus first [-].
    antennas : int
        Number of elements M [-].
    derivatives : int
        How many derivatives to return, 0 to 2.

    Returns
    -------
    list of Array, shape (...,)
        D, then D', then D'' [-]. Delta = 2 is the same direction up to the sign (-1)^(M-1) (spec estimation 3.4, 3.5).
    """
    if not at_hand(delta):
        return _summed(delta, antennas, derivatives)
    return _few(delta, antennas, derivatives) if antennas <= 4 else _many(delta, antennas, derivatives)


def _summed(delta: Array, antennas: int, derivatives: int) -> list[Array]:
    """The sum of cosines, all elements at once: least operations for a device, and nothing cancels near zero."""
    xp = array_namespace(delta)
    waves = tuple(pi * (element - (antennas - 1) / 2) for element in range(antennas))
    phase = constant(waves, delta) * delta[..., None]
    even = xp.cos(phase)
    values = [xp.mean(even, axis=-1)]
    if derivatives >= 1:
        values.append(xp.sin(phase) @ constant(tuple(wave / -antennas for wave in waves), delta))
    if derivatives >= 2:
        values.append(even @ constant(tuple(wave**2 / -antennas for wave in waves), delta))
    return values


def _few(delta: Array, antennas: int, derivatives: int) -> list[Array]:
    """The sum of cosines, element pair by element pair."""
    xp = array_namespace(delta)
    values = [xp.full_like(delta, (antennas % 2) / antennas), *(xp.zeros_like(delta) for _ in range(derivatives))]
    for place in range(1 + antennas % 2, antennas, 2):
        k = 0.5 * pi * place
        cosine = (2.0 / antennas) * xp.cos(k * delta)
        values[0] = values[0] + cosine
        if derivatives >= 1:
            values[1] = values[1] - (2.0 * k / antennas) * xp.sin(k * delta)
        if derivatives >= 2:
            values[2] = values[2] - k**2 * cosine
    return values


def _many(delta: Array, antennas: int, derivatives: int) -> list[Array]:
    r"""The closed form; from :math:`D \sin x = \sin(M x)/M` the derivatives in x follow one after the other.

    :math:`D' \sin x = \cos(M x) - D \cos x` and :math:`D'' = (1 - M^2) D - 2 D' \cot x` cancel near x = 0, where their
    series take over (relative error below 1e-11).
    """
    xp = array_namespace(delta)
    turns = xp.round(0.5 * delta)
    x = (0.5 * pi) * delta - pi * turns
    x = xp.where(x == 0.0, 1e-30, x)
    sine = xp.sin(x)
    values = [xp.sin(antennas * x) / (antennas * sine)]
    if derivatives >= 1:
        cosine, y, m2 = xp.cos(x), x * x, antennas**2
        near = y < (0.05 / antennas) ** 2
        a, b = (m2 - 1) / 6, (3 * m2**2 - 10 * m2 + 7) / 360
        c = (3 * m2**3 - 21 * m2**2 + 49 * m2 - 31) / 15120
        slope = (xp.cos(antennas * x) - values[0] * cosine) / sine
        values.append(xp.where(near, -x * (2 * a - y * (4 * b - y * (6 * c))), slope))
    if derivatives >= 2:
        bend = (1 - m2) * values[0] - 2.0 * values[1] * cosine / sine
        values.append(xp.where(near, -2 * a + y * (12 * b - y * (30 * c)), bend))
    if antennas % 2 == 0:
        sign = xp.cos(pi * turns)
        values = [sign * value for value in values]
    return [value * (0.5 * pi) ** order if order else value for order, value in enumerate(values)]
