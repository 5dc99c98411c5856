r"""Fisher information of one line of sight seen through beams and tones (lu2022 eq. 4-8).

An anchor sends known symbols with unit-norm beams f on angular baseband frequencies omega; a user at distance d sees

.. math:: m = \sqrt{\mathrm{snr}}\; h\, e^{-j\omega\tau}\, (a_t(\theta)^H f)\, a_r(\phi) \qquad (h = 1)

in noise CN(0, I) per antenna, with a delay tau, an angle of departure theta from the anchor's array axis, an angle of
arrival phi from the user's, and an unknown complex gain h. A *tone* is one beam on one subcarrier; a subcarrier that
alternates between two beams is two tones of half its weight. The observation is the whole receive vector: a scalar
combiner output knows nothing about phi (spec mesh 1.2, 5.5).
"""

from __future__ import annotations

from math import pi, sqrt
from typing import NamedTuple

from ...types import Array, array_namespace
from ..arrays import steering_derivative, steering_vector

SINGULAR = 1e-10
"""Smallest eigenvalue of a unit-diagonal information matrix that counts as regular (spec mesh 7.3)."""


class AngularInformation(NamedTuple):
    """Information about (tau, theta, phi) once the complex gain is eliminated; each (...,)."""

    delay: Array
    """Phi_tau_tau [1/s^2]."""
    departure: Array
    """Phi_theta_theta [1/rad^2]."""
    arrival: Array
    """Phi_phi_phi [1/rad^2]; decoupled from the others."""
    coupling: Array
    """Phi_tau_theta [1/(s rad)]; zero for beam pairs that alternate in time."""


def beam_pair(aod: Array, /, *, antennas: int, split: float) -> Array:
    r"""Two unit-norm beams between which the angle of departure can be told from the complex gain.

    .. math:: f_\pm = \sqrt{1-\eta}\, a \pm \sqrt\eta\, \dot a/\lVert\dot a\rVert, \qquad
              |a^H f|^2 = 1 - \eta, \quad |\dot a^H f|^2 = \eta \lVert\dot a\rVert^2, \quad
              \sum_\pm (a^H f)^* \dot a^H f = 0

    One beam alone is singular: if :math:`\dot g/g` is the same for all tones, h absorbs theta (spec mesh 1.4).

    Parameters
    ----------
    aod : Array, shape (...,)
        Direction theta of the user from the array axis [rad].
    antennas : int
        Elements of the anchor's array.
    split : float
        eta in [0, 1], the share of the power that looks at the slope.

    Returns
    -------
    Array, shape (..., 2, antennas), complex
        f_+ and f_-.
    """
    xp = array_namespace(aod)
    matched = steering_vector(xp.cos(aod), antennas=antennas)
    # d/dtheta and d/du differ by the real factor -sin(theta); its sign swaps f_+ and f_- and is kept.
    slope = -steering_derivative(xp.cos(aod), antennas=antennas)
    slope = slope / (pi * sqrt((antennas**2 - 1) / 12.0) if antennas > 1 else 1.0)
    return xp.stack([sqrt(1 - split) * matched + sign * sqrt(split) * slope for sign in (1.0, -1.0)], axis=-2)


def beam_gains(beams: Array, aod: Array, /) -> tuple[Array, Array]:
    r"""Response of beams and its slope: :math:`g = a(\theta)^H f`, :math:`\dot g = \dot a(\theta)^H f`.

    ``beams`` (..., tones, antennas) complex, ``aod`` (...,) [rad]; two arrays (..., tones). The derivative
    :math:`\dot a` is with respect to theta in radians (spec mesh 1.2).
    """
    xp = array_namespace(beams, aod)
    antennas = beams.shape[-1]
    direction = xp.cos(aod)
    matched = steering_vector(direction, antennas=antennas)[..., None, :]
    slope = -xp.sin(aod)[..., None] * steering_derivative(direction, antennas=antennas)
    return xp.vecdot(matched, beams), xp.vecdot(slope[..., None, :], beams)


def channel_information(
    omega: Array, gain: Array, slope: Array, weight: Array, /, *, snr: Array, arrival_sensitivity: Array
) -> Array:
    r"""Fisher information of the channel parameters (tau, theta, phi, Re h, Im h), complex gain included.

    .. math:: J = 2\,\mathrm{snr} \sum_n y_n \mathrm{Re}(D_n^H D_n), \qquad
              D_n = [-j\omega_n g_n a_r,\; \dot g_n a_r,\; g_n \dot a_r,\; g_n a_r,\; j g_n a_r]

    :math:`a_r` has unit norm and is orthogonal to :math:`\dot a_r`, so only :math:`\lVert\dot a_r\rVert^2` enters.

    Parameters
    ----------
    omega : Array, shape (..., tones)
        Angular baseband frequency [rad/s].
    gain, slope : Array, shape (..., tones), complex
        g and its derivative, as :func:`beam_gains` gives them [-], [1/rad].
    weight : Array, shape (..., tones)
        Symbols sent on the tone, y [-].
    snr : Array, shape (...,)
        Signal to noise ratio of a symbol, matched receive array, beam gain one [-].
    arrival_sensitivity : Array, shape (...,)
        :math:`\lVert\dot a_r(\phi)\rVert^2` [1/rad^2].

    Returns
    -------
    Array, shape (..., 5, 5)
        Real, symmetric (lu2022 eq. 4 corrected, spec mesh 1.3).
    """
    xp = array_namespace(omega, gain, slope, weight)
    omega = xp.astype(omega, gain.dtype)
    columns = xp.stack([-1j * omega * gain, slope + 0.0 * gain, gain, 1j * gain], axis=-1)
    weighted = xp.astype(weight, gain.dtype)[..., None] * columns
    inner = xp.real(xp.conj(xp.matrix_transpose(columns)) @ weighted)  # (tau, theta, Re h, Im h)
    energy = xp.sum(weight * xp.abs(gain) ** 2, axis=-1) * arrival_sensitivity
    zero = xp.zeros_like(inner[..., 0])
    rows = [inner[..., k, :] for k in range(4)]
    rows = [xp.concat([row[..., :2], zero[..., :1], row[..., 2:]], axis=-1) for row in rows]
    arrival = xp.concat([zero[..., :2], energy[..., None], zero[..., :2]], axis=-1)
    information = xp.stack([rows[0], rows[1], arrival, rows[2], rows[3]], axis=-2)
    return 2.0 * snr[..., None, None] * information


def zero_if_rounding(value: Array, noise: Array) -> Array:
    """``value`` where it exceeds ``noise``, what rounding leaves of a zero, else zero (spec mesh 7.3).

    Both (...,) and of one unit, e.g. [1/rad^2].
    """
    xp = array_namespace(value)
    return xp.where(value > noise, value, xp.zeros_like(value))


def pair_information(
    count: Array,
    spread: Array,
    /,
    *,
    snr: Array,
    departure_sensitivity: Array,
    arrival_sensitivity: Array,
    split: float,
) -> AngularInformation:
    r"""Information of a set of subcarriers that carry a :func:`beam_pair` alternating in time.

    .. math:: \Phi_{\tau\tau} = 2\,\mathrm{snr}(1-\eta) \sum_n y_n(\omega_n-\bar\omega)^2, \quad
              \Phi_{\theta\theta} = 2\,\mathrm{snr}\,\eta\lVert\dot a_t\rVert^2 n, \quad
              \Phi_{\phi\phi} = 2\,\mathrm{snr}(1-\eta)\lVert\dot a_r\rVert^2 n

    per symbol, without coupling.

    Parameters
    ----------
    count : Array, shape (...,)
        Number n of subcarriers, :math:`\sum y` [-]; where the ratio differs between subcarriers, the sum of its
        values relative to ``snr``.
    spread : Array, shape (...,)
        :math:`\sum y(\omega-\bar\omega)^2` with the same weights [rad^2/s^2].
    snr, departure_sensitivity, arrival_sensitivity : Array, shape (...,)
        snr [-], :math:`\lVert\dot a_t\rVert^2`, :math:`\lVert\dot a_r\rVert^2` [1/rad^2].
    split : float
        eta [-] (spec mesh 1.4).
    """
    xp = array_namespace(count, spread)
    return AngularInformation(
        2.0 * snr * (1.0 - split) * spread,
        2.0 * snr * split * departure_sensitivity * count,
        2.0 * snr * (1.0 - split) * arrival_sensitivity * count,
        xp.zeros_like(spread),
    )
