r"""What the echo of a target tells about its angle: Fisher information of a MIMO radar (nguyen2024 Theorem 2).

Angles here are measured from broadside, as in the paper: ``sin(theta)`` is the direction cosine that
:mod:`.arrays` takes. Powers are per transmit antenna. Information is per unit of the scaled echo noise
:math:`\bar\sigma^2 = \sigma_r^2/(2|\alpha|^2 L)`, so that :math:`\mathrm{CRB} = \bar\sigma^2 / I`.
"""

from __future__ import annotations

from math import pi
from typing import NamedTuple

from ...types import Array, array_namespace
from ..arrays import element_positions, steering_derivative, steering_vector, sum_of_few
from .angle import array_sensitivity


def unit_modulus_steering(angle: Array, /, *, antennas: int) -> tuple[Array, Array]:
    r"""Steering vector of nguyen2024 eq. 10 and its derivative with respect to the angle.

    .. math:: a_m(\theta) = e^{j \pi (m - (n-1)/2) \sin\theta}

    ``angle`` (...,) from broadside [rad] -> two arrays (..., antennas), complex; entries of the first have
    modulus one, the two are orthogonal.
    """
    xp = array_namespace(angle)
    u, root = xp.sin(angle), antennas**0.5
    slope = xp.cos(angle)[..., None] * steering_derivative(u, antennas=antennas)
    return root * steering_vector(u, antennas=antennas), root * slope


class EchoGains(NamedTuple):
    r"""Coefficients of the information that streams (P) and sensing beam (T) bring about a target.

    .. math:: I(P, T) = D_r G + N_r D_t P + N_r N_t \kappa \frac{P T}{G}, \qquad G = N_t P + \varrho T

    with :math:`D_x = \lVert \dot a_x \rVert^2 = \pi^2 \cos^2\theta\, N_x (N_x^2 - 1)/12` and, for a beam
    :math:`v = a_t(\theta_\mathrm{beam})`, :math:`\varrho = |a_t^H v|^2` and :math:`\kappa = |\dot a_t^H v|^2` at
    the target.
    """

    receive: Array
    """(...,): D_r [1/rad^2]."""
    transmit: Array
    """(...,): N_r D_t [1/rad^2]."""
    pattern: Array
    """(...,): rho, gain of the sensing beam at the target, N_t^2 if aligned [-]."""
    slope: Array
    """(...,): N_r N_t kappa, zero if aligned [1/rad^2]."""
    antennas: int
    """N_t."""


def echo_gains(target_angle: Array, beam_angle: Array, /, *, tx_antennas: int, rx_antennas: int) -> EchoGains:
    r"""Information coefficients of a target that the sensing beam may miss.

    For an aligned beam :math:`I = aP + bT` with :math:`a = N_t D_r + N_r D_t`, :math:`b = N_t^2 D_r`
    (nguyen2024 Theorem 2); else the form of spec mimo 1.2, which is the information of any transmit
    covariance (nguyen2024 eq. 36) at :math:`R = P I + T v v^H`.

    Parameters
    ----------
    target_angle, beam_angle : Array, shape (...,)
        From broadside [rad].
    tx_antennas, rx_antennas : int

    Returns
    -------
    EchoGains
    """
    xp = array_namespace(target_angle, beam_angle)
    cosine = xp.cos(target_angle)
    broadness = cosine * cosine
    response, slope = _beam_response(xp.sin(beam_angle) - xp.sin(target_angle), tx_antennas)
    lean = cosine * slope
    return EchoGains(
        rx_antennas * array_sensitivity(broadness, antennas=rx_antennas),
        rx_antennas * tx_antennas * array_sensitivity(broadness, antennas=tx_antennas),
        response * response,
        rx_antennas * tx_antennas * (lean * lean),
        tx_antennas,
    )


def _beam_response(difference: Array, antennas: int) -> tuple[Array, Array]:
    r"""Response :math:`a^H v` of a beam and its slope :math:`|\dot a^H v|` in the direction cosine, both (...,).

    Elements in pairs :math:`\pm k` about the centroid, which makes the sums over :func:`unit_modulus_steering` real
    (``difference`` (...,) is u of the beam less u of the target):

    .. math:: a^H v = [N\ \mathrm{odd}] + 2 \sum_{k>0} \cos(\pi k \Delta), \qquad
              |\dot a^H v| = 2 \pi \Big|\sum_{k>0} k \sin(\pi k \Delta)\Big|
    """
    xp = array_namespace(difference)
    turn = pi * element_positions(difference, antennas)[antennas - antennas // 2 :]
    phase = difference[..., None] * turn
    return antennas % 2 + 2.0 * sum_of_few(xp.cos(phase)), 2.0 * sum_of_few(turn * xp.sin(phase))


def aligned_information(angle: Array, /, *, tx_antennas: int, rx_antennas: int) -> Array:
    r"""Most information that a unit of radiated power brings where the beam points at the target, max(a, b).

    With a and b of :func:`echo_gains`; ``angle`` (...,) from broadside [rad] -> (...,) [1/rad^2]
    (nguyen2024 Theorem 2, spec mimo 1.2).
    """
    xp = array_namespace(angle)
    cosine = xp.cos(angle)
    receive, transmit = (array_sensitivity(cosine * cosine, antennas=n) for n in (rx_antennas, tx_antennas))
    streams = tx_antennas * rx_antennas * transmit + tx_antennas * rx_antennas * receive
    return xp.maximum(streams, tx_antennas**2 * rx_antennas * receive)


def echo_information(power: Array, sensing_power: Array, gains: EchoGains, /) -> Array:
    r"""Information about the target's angle, :math:`I(P, T)` of :class:`EchoGains`.

    Parameters
    ----------
    power, sensing_power : Array, shape (...,)
        P, total power of the streams, and T, of the sensing beam, per transmit antenna [W].
    gains : EchoGains

    Returns
    -------
    Array, shape (...,)
        [W/rad^2]; zero where nothing reaches the target (G = 0). Homogeneous of degree one in the powers and
        concave (nguyen2024 Theorem 2, spec mimo 1.2).
    """
    xp = array_namespace(power, sensing_power)
    lit = gains.antennas * power + gains.pattern * sensing_power
    heard = lit > 0
    cross = gains.slope * power * sensing_power / xp.where(heard, lit, 1.0)
    return gains.receive * lit + gains.transmit * power + xp.where(heard, cross, 0.0)


def most_informative_share(gains: EchoGains, /) -> Array:
    r"""Share t of the sensing beam in the radiated power that maximises the information.

    On :math:`P = 1 - t, T = t` the information is :math:`I(0) + \ell t + k\, t(1-t)/(N_t + g t)` with
    :math:`g = \varrho - N_t`, :math:`\ell = D_r g - N_r D_t` and :math:`k = N_r N_t \kappa`: concave, with its
    stationary point where :math:`g t^2 + 2 N_t t = N_t (\ell N_t + k) / (k - \ell g)`.

    Returns
    -------
    Array, shape (...,)
        In [0, 1] [-]. Aligned: 1 where b > a, else 0 (spec mimo 1.2, 3).
    """
    xp = array_namespace(gains.pattern)
    n, k = gains.antennas, gains.slope
    g = gains.pattern - n
    tilt = gains.receive * g - gains.transmit
    rise = tilt * n + k  # of the information at t = 0, times N_t
    bend = k - tilt * g
    level = n * rise / xp.where(bend > 0, bend, xp.ones_like(bend))
    root = n * n + g * level
    turn = level / (n + xp.sqrt(xp.clip(root, min=0.0)))
    interior = (bend > 0) & (root >= 0)
    share = xp.where(interior, xp.clip(turn, max=1.0), xp.ones_like(turn))
    return xp.where(rise > 0, share, xp.zeros_like(share))


def least_sensing_share(gains: EchoGains, demand: Array, /) -> Array:
    r"""Smallest share of the sensing beam at which a unit of radiated power brings the demanded information.

    No search is needed, for :math:`G(t) (I(t) - d) = 0` is a quadratic :math:`q t^2 + l t + c = 0` with

    .. math:: c = N_t (D_r N_t + N_r D_t - d), \quad l = 2 D_r N_t g + N_r D_t (g - N_t) + k - d g, \quad
              q = D_r g^2 - N_r D_t g - k

    and g and k as in :func:`most_informative_share`. Aligned it is :math:`t = (d - a)/(b - a)` (spec mimo 3).

    Parameters
    ----------
    gains : EchoGains
    demand : Array, shape (...,)
        d, information per unit of total power [1/rad^2], not negative; may be infinite.

    Returns
    -------
    Array, shape (...,)
        In [0, 1]; the most informative share where the demand is out of reach.
    """
    xp = array_namespace(gains.pattern, demand)
    n, k, receive, transmit = gains.antennas, gains.slope, gains.receive, gains.transmit
    g = gains.pattern - n
    peak = most_informative_share(gains)
    # Far out of reach the squares below would overflow in single precision, and say nothing.
    finite = demand <= 2.0 * echo_information(1.0 - peak, peak, gains)
    d = xp.where(finite, demand, xp.zeros_like(demand))
    constant = n * (receive * n + transmit - d)
    linear = 2.0 * receive * n * g + transmit * (g - n) + k - d * g
    square = receive * (g * g) - transmit * g - k
    discriminant = linear * linear - 4.0 * square * constant
    below = linear + xp.sqrt(xp.clip(discriminant, min=0.0))  # the root -2c / (l + ...) does not cancel as q -> 0
    reached = finite & (discriminant >= 0) & (below > 0)
    root = -2.0 * constant / xp.where(reached, below, xp.ones_like(below))
    share = xp.where(reached, xp.minimum(root, peak), peak)
    return xp.where(finite & (constant >= 0), xp.zeros_like(share), share)
