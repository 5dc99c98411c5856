r"""Fisher information of one line of sight seen through beams and tones (lu2022 eq. 4-8).

An anchor sends known symbols with unit-norm beams f on angular baseband frequencies omega; a user at distance d sees

.. math:: m = \sqrt{\mathrm{snr}}\; h\, e^{-j\omega\tau}\, (a_t(\theta)^H f)\, a_r(\phi) \qquad (h = 1)

in noise CN(0, I) per antenna, with a delay tau, an angle of departure theta from the anchor's array axis, an angle of
arrival phi from the user's, and an unknown complex gain h. A *tone* is one beam on one subcarrier; a subcarrier that
alternates between two beams is two tones of half its weight. The observation is the whole receive vector: a scalar
combiner output knows nothing about phi (spec mesh 1.2, 5.5).
"""

from __future__ import annotations

from typing import NamedTuple

from ...types import Array, array_namespace

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
    r"""Information of a set of subcarriers that carry two unit-norm beams alternating in time.

    .. math:: f_\pm = \sqrt{1-\eta}\, a \pm \sqrt\eta\, \dot a/\lVert\dot a\rVert, \qquad
              |a^H f|^2 = 1 - \eta, \quad |\dot a^H f|^2 = \eta \lVert\dot a\rVert^2, \quad
              \sum_\pm (a^H f)^* \dot a^H f = 0

    One beam alone is singular: if :math:`\dot g/g` is the same for all tones, h absorbs theta (spec mesh 1.4). The
    pair leaves

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
