"""Information in full, as its definition has it: what the closed forms of the library are compared with."""

from __future__ import annotations

from math import pi, sqrt

from array_api_compat import array_namespace

from jcas_env.physics.arrays import steering_derivative, steering_vector
from jcas_env.types import Array


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


def covariance_information(covariance: Array, transmit: tuple[Array, Array], receive: tuple[Array, Array], /) -> Array:
    r"""Fisher information of the angle at any transmit covariance and for any pair of arrays.

    .. math:: I = T_2 - \frac{|T_3|^2}{T_1}, \qquad T_1 = \mathrm{tr}(A^H A R),\;
              T_2 = \mathrm{tr}(\dot A^H \dot A R),\; T_3 = \mathrm{tr}(\dot A^H A R)

    with :math:`A = a_r a_t^H` and :math:`\dot A = \dot a_r a_t^H + a_r \dot a_t^H`.

    Parameters
    ----------
    covariance : Array, shape (..., tx_antennas, tx_antennas), complex
        R [W]; the target must be illuminated, T_1 > 0.
    transmit, receive : pair of Array, shape (..., antennas), complex
        Steering vector and its derivative, e.g. of :func:`unit_modulus_steering`.

    Returns
    -------
    Array, shape (...,)
        I [W/rad^2]; independent of the arrays' phase references (nguyen2024 eq. 36, spec mimo 1.2).
    """
    xp = array_namespace(covariance)
    (a_t, d_t), (a_r, d_r) = transmit, receive
    two_way = a_r[..., :, None] * xp.conj(a_t)[..., None, :]
    slope = d_r[..., :, None] * xp.conj(a_t)[..., None, :] + a_r[..., :, None] * xp.conj(d_t)[..., None, :]

    def trace(left: Array, right: Array) -> Array:
        return xp.sum(xp.conj(left) * (right @ covariance), axis=(-2, -1))

    cross = xp.abs(trace(slope, two_way))
    return xp.real(trace(slope, slope)) - cross**2 / xp.real(trace(two_way, two_way))
