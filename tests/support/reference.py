"""Slow and obvious: the equations of the specification as explicit loops over users.

Below them, in the array API, the general forms of which the environment uses special cases alone: bounds of any beams
and tones by inversion, the terms of a received signal.
"""

from __future__ import annotations

from math import cos, log2, pi

import numpy as np
from array_api_compat import array_namespace, device

from jcas_env.physics.information.angle import angle_information
from jcas_env.physics.information.line_of_sight import SINGULAR, AngularInformation, zero_if_rounding
from jcas_env.physics.information.position import ErrorBounds, reason_of
from jcas_env.physics.mrt import MrtTerms
from jcas_env.types import Array
from jcas_env.units import SPEED_OF_LIGHT


def channel(gains, aoa_cos, aod_cos, rx, tx):
    """luo2023 eq. 4 with the phase reference at the centroid."""
    h = np.zeros((rx, tx), dtype=complex)
    for g, w, v in zip(gains, aoa_cos, aod_cos, strict=True):
        for n in range(rx):
            for m in range(tx):
                phase = pi * ((n - (rx - 1) / 2) * w - (m - (tx - 1) / 2) * v)
                h[n, m] += g * np.exp(1j * phase) / np.sqrt(rx * tx)
    return h


def gain_matrix(channels, combiners, beams, cell):
    """G[j, m] = |(H_{c(m), j}^H w_j)^H f_m|^2."""
    users = len(cell)
    gain = np.zeros((users, users))
    for j in range(users):
        for m in range(users):
            h = channels[cell[m], j].conj().T @ combiners[j]
            gain[j, m] = abs(np.vdot(h, beams[m])) ** 2
    return gain


def groups(correlation, cell, alpha):
    """First fit in index order."""
    label = [-1] * len(cell)
    for u in range(len(cell)):
        k = 0
        while any(label[v] == k and cell[v] == cell[u] and correlation[u, v] >= alpha for v in range(u)):
            k += 1
        label[u] = k
    return np.array(label)


def rates(power, bandwidth, gain, cell, group, kappa, n0, b_max, noise="per_hertz"):
    """Spec multicell 2.5, user by user."""
    users = len(cell)
    rate = np.zeros((2, users))
    for s in range(2):
        for j in range(users):
            inside = sum(
                power[s, k] * gain[j, k] for k in range(users) if k != j and cell[k] == cell[j] and group[k] == group[j]
            )
            outside = sum((power[0, m] + power[1, m]) * gain[j, m] / b_max for m in range(users) if cell[m] != cell[j])
            band = bandwidth[s, j]
            level = inside + band * outside + (band if noise == "per_hertz" else b_max) * n0
            x = power[s, j] * gain[j, j] / level
            rate[s, j] = band * log2(1 + x) if s == 0 else band / 2 * log2(1 + kappa[j] * x)
    return rate[0], rate[1]


def kappa(theta, antennas, variance):
    """Spec multicell 2.6, classical."""
    return 2 * variance * pi**2 * (1 - cos(theta) ** 2) * (antennas**2 - 1) / 12


def relaxed_coefficients(problem, share, noise):
    """Spec multicell 4.1, user by user, (2, users)."""
    users = problem.users
    c = np.zeros((2, users))
    for s, part in enumerate((1 - share, share)):
        p_s, b_s = part * problem.power_budget, part * problem.band_budget
        for j in range(users):
            mates = [k for k in range(users) if problem.cell[k] == problem.cell[j]]
            n_i = len(mates)
            g_i = len({int(problem.group[k]) for k in mates})
            inside = (
                p_s / n_i * sum(problem.gain[j, k] for k in mates if k != j and problem.group[k] == problem.group[j])
            )
            k_i = len(set(problem.cell.tolist())) - 1 if problem.intercell == "printed" else 1
            leak = k_i * problem.leakage[j] * problem.power_budget
            value = (problem.sensing_gain[j] if s else 1.0) * problem.gain[j, j] * p_s
            if noise == "constant":
                c[s, j] = value / (leak + problem.noise_density * problem.band_budget + inside)
            else:
                density = problem.noise_density + leak / problem.band_budget + inside * g_i / b_s
                c[s, j] = value / (b_s * density)
    return c


def received_mean(place, omega, beams, antennas, snr):
    """Spec mesh 1.2 in (p_x, p_y, alpha, Re h, Im h), for tones (tones,) and beams (tones, antennas): all elements."""
    x, y, alpha, real, imaginary = place
    d, theta = np.hypot(x, y), np.arctan2(y, x)
    phi = pi + theta - alpha
    kappa = np.array([(antennas - 1) / 2 - k for k in range(antennas)])
    sent, heard = (np.exp(-1j * pi * kappa * np.cos(angle)) / np.sqrt(antennas) for angle in (theta, phi))
    gain = np.array([np.vdot(sent, beam) for beam in beams])
    phase = np.exp(-1j * np.asarray(omega) * d / 299792458.0)
    return np.sqrt(snr) * (real + 1j * imaginary) * (phase * gain)[:, None] * heard


def angle_crb(aod_cos: Array, snr: Array, /, *, antennas: int) -> Array:
    r"""Single-snapshot bound of the angle's variance, :math:`1/(2 M v^2 \varrho)` [rad^2].

    ``snr`` is the signal to noise ratio per element [-], of the shape of ``aod_cos``; v^2 as in
    :func:`angle_information`.
    """
    return 1.0 / (2.0 * antennas * angle_information(aod_cos, antennas=antennas) * snr)


def eliminate_gain(information: Array, /) -> AngularInformation:
    r"""Schur complement of the complex gain: what is left about (tau, theta, phi) from J, (..., 5, 5).

    Re h and Im h carry the same information and are uncorrelated, :math:`J_{hh} = 2\,\mathrm{snr}\,\mathcal G I`, so
    :math:`\Phi_{ab} = J_{ab} - J_{ah} J_{hb} / (2\,\mathrm{snr}\,\mathcal G)` (spec mesh 1.3).
    """
    xp = array_namespace(information)
    energy = information[..., 3, 3]
    safe = xp.where(energy > 0, energy, xp.ones_like(energy))

    def left(a: int, b: int) -> Array:
        shared = information[..., a, 3] * information[..., b, 3] + information[..., a, 4] * information[..., b, 4]
        return information[..., a, b] - shared / safe

    delay, departure = (zero_if_rounding(left(k, k), SINGULAR * information[..., k, k]) for k in (0, 1))
    return AngularInformation(delay, departure, information[..., 2, 2], left(0, 1))


def tone_information(
    omega: Array, gain: Array, slope: Array, weight: Array, /, *, snr: Array, arrival_sensitivity: Array
) -> AngularInformation:
    r"""Closed form of :func:`eliminate_gain` for any beams and tones; arguments as :func:`channel_information`.

    With :math:`\mathcal G = \sum y|g|^2`, :math:`\bar\omega = \sum y\,\omega|g|^2/\mathcal G` and
    :math:`\bar s = \sum y\,g^*\dot g/\mathcal G`, all centred so that nothing cancels,

    .. math::
        \Phi_{\tau\tau} &= 2\,\mathrm{snr} \sum y (\omega-\bar\omega)^2 |g|^2, &
        \Phi_{\theta\theta} &= 2\,\mathrm{snr} \sum y\, |\dot g - \bar s g|^2, \\
        \Phi_{\phi\phi} &= 2\,\mathrm{snr}\, \lVert\dot a_r\rVert^2 \mathcal G, &
        \Phi_{\tau\theta} &= -2\,\mathrm{snr} \sum y (\omega-\bar\omega)\, \mathrm{Im}(g^*\dot g)

    (lu2022 eq. 8 with the missing Schur term, spec mesh 1.3, 5.12).
    """
    xp = array_namespace(omega, gain, slope, weight)
    power = weight * xp.abs(gain) ** 2
    energy = xp.sum(power, axis=-1)
    safe = xp.where(energy > 0, energy, xp.ones_like(energy))
    centred = omega - (xp.sum(power * omega, axis=-1) / safe)[..., None]
    product = xp.conj(gain) * slope
    mean_slope = xp.sum(xp.astype(weight, gain.dtype) * product, axis=-1) / xp.astype(safe, gain.dtype)
    residual = slope - mean_slope[..., None] * gain
    rounding = (100.0 * float(xp.finfo(omega.dtype).eps)) ** 2
    delay = zero_if_rounding(xp.sum(power * centred**2, axis=-1), rounding * xp.sum(power * omega**2, axis=-1))
    departure = xp.sum(weight * xp.abs(residual) ** 2, axis=-1)
    departure = zero_if_rounding(departure, rounding * xp.sum(weight * xp.abs(slope) ** 2, axis=-1))
    return AngularInformation(
        2.0 * snr * delay,
        2.0 * snr * departure,
        2.0 * snr * arrival_sensitivity * energy,
        -2.0 * snr * xp.sum(weight * centred * xp.imag(product), axis=-1),
    )


def position_jacobian(distance: Array, aod: Array, /) -> Array:
    r"""Derivatives of the channel parameters with respect to (p_x, p_y, alpha, Re h, Im h).

    With :math:`u = (\cos\theta, \sin\theta)` and :math:`u_\perp = (-\sin\theta, \cos\theta)`,

    .. math:: \frac{\partial\tau}{\partial p} = \frac{u}{c}, \quad
              \frac{\partial\theta}{\partial p} = \frac{\partial\phi}{\partial p} = \frac{u_\perp}{d}, \quad
              \frac{\partial\phi}{\partial\alpha} = -1

    Returns T, (..., 5, 5), :math:`T_{ij} = \partial\eta_j/\partial\mu_i`, so that
    :math:`J_\mu = T J T^T` (lu2022 eq. 4, spec mesh 1.3). ``distance`` [m] and ``aod`` [rad] (...,).
    """
    xp = array_namespace(distance, aod)
    zero, one = xp.zeros_like(distance), xp.ones_like(distance)
    cos, sin = xp.cos(aod), xp.sin(aod)
    rows = [
        [cos / SPEED_OF_LIGHT, -sin / distance, -sin / distance, zero, zero],
        [sin / SPEED_OF_LIGHT, cos / distance, cos / distance, zero, zero],
        [zero, zero, -one, zero, zero],
        [zero, zero, zero, one, zero],
        [zero, zero, zero, zero, one],
    ]
    return xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)


def unit_diagonal(information: Array, /) -> tuple[Array, Array]:
    """Scale a symmetric matrix (..., n, n) to unit diagonal; also the scale (..., n), zero where the diagonal is."""
    xp = array_namespace(information)
    diagonal = xp.linalg.diagonal(information)
    scale = xp.where(diagonal > 0, xp.sqrt(1.0 / xp.where(diagonal > 0, diagonal, 1.0)), 0.0)
    return information * scale[..., :, None] * scale[..., None, :], scale


def is_regular(information: Array, /) -> Array:
    """Whether the smallest eigenvalue of the unit-diagonal matrix exceeds ``SINGULAR``, (...,) bool.

    In single precision rounding alone makes eigenvalues of some 1e-6, which is then the limit.
    """
    xp = array_namespace(information)
    scaled, _ = unit_diagonal(information)
    limit = max(SINGULAR, 10.0 * float(xp.finfo(information.dtype).eps))
    return xp.min(xp.linalg.eigvalsh(scaled), axis=-1) > limit


def bounds_by_inversion(information: Array, distance: Array, aod: Array, /) -> ErrorBounds:
    r"""Bounds from the full 5x5 information by inverting :math:`J_\mu = T J T^T`, exact for any beams and tones.

    .. math:: \mathrm{PEB}^2 = \mathrm{tr}\,[J_\mu^{-1}]_{1:2,1:2}, \qquad \mathrm{OEB}^2 = [J_\mu^{-1}]_{33}

    Parameters
    ----------
    information : Array, shape (..., 5, 5)
        Of (tau, theta, phi, Re h, Im h), for the symbols that are observed.
    distance, aod : Array, shape (...,)
        d [m] and theta [rad].

    Returns
    -------
    ErrorBounds
        lu2022 eq. 6, 7 with the square root over everything (spec mesh 1.3, 5.8).
    """
    xp = array_namespace(information, distance)
    regular = is_regular(information) & (distance > 0)
    eye = xp.eye(5, dtype=information.dtype, device=device(information))
    safe = xp.where(regular[..., None, None], information, eye)
    jacobian = position_jacobian(xp.where(regular, distance, xp.ones_like(distance)), aod)
    scaled, scale = unit_diagonal(jacobian @ safe @ xp.matrix_transpose(jacobian))
    inverse = xp.linalg.solve(scaled, xp.broadcast_to(eye, scaled.shape))
    variance = xp.linalg.diagonal(inverse) * scale**2
    position = xp.sqrt(variance[..., 0] + variance[..., 1])
    reason = reason_of(eliminate_gain(information), distance, regular)
    orientation = xp.sqrt(variance[..., 2])
    return ErrorBounds(xp.where(regular, position, xp.inf), xp.where(regular, orientation, xp.inf), reason)


def sensing_split(
    distance: Array, mean_square_omega: Array, departure: Array, arrival: Array, /, *, uniformity: float
) -> Array:
    r"""Share eta of the power on the slope beam that minimises the equivalent error, positioning alone.

    .. math:: \frac{\eta}{1-\eta} = \sqrt{\frac{(d^2+\gamma)/\lVert\dot a_t\rVert^2}
              {c^2/\Omega_2 + \gamma/\lVert\dot a_r\rVert^2}}

    Parameters
    ----------
    distance, mean_square_omega : Array, shape (...,)
        d [m] and the mean squared centred angular frequency Omega_2 [rad^2/s^2].
    departure, arrival : Array, shape (...,)
        Squared norms of the derivatives of both arrays [1/rad^2].
    uniformity : float
        gamma [m^2/rad^2].

    Returns
    -------
    Array, shape (...,)
        eta in (0, 1) (spec mesh 1.4). The default stays 1/4, for the same beams carry data.
    """
    xp = array_namespace(distance, mean_square_omega)
    ratio = ((distance**2 + uniformity) / departure) / (SPEED_OF_LIGHT**2 / mean_square_omega + uniformity / arrival)
    root = xp.sqrt(ratio)
    return root / (1.0 + root)


def mrt_terms(power: Array, sensing: Array, gain: Array, estimate_variance: Array, /, *, antennas: int) -> MrtTerms:
    r"""Desired signal, beamforming uncertainty and inter-user interference with orthonormal pilots.

    .. math:: |DS_k|^2 = N_t^2 \xi_k p_k, \quad E|BU_k|^2 = N_t \beta_k (p_k + \eta_k), \quad
              E|UI_{kj}|^2 = N_t \beta_k (p_j + \eta_j)

    Parameters
    ----------
    power, sensing : Array, shape (..., users)
        Power of each stream p and of the sensing beam in it eta, per transmit antenna [W].
    gain, estimate_variance : Array, shape (..., users)
        beta and xi [-].
    antennas : int
        N_t.

    Returns
    -------
    MrtTerms
        nguyen2024 eq. 29-35, spec mimo 1.1.
    """
    xp = array_namespace(power, gain)
    index = xp.arange(gain.shape[-1], device=device(gain))
    spread = antennas * gain[..., :, None] * (power + sensing)[..., None, :]
    own = index[:, None] == index[None, :]
    return MrtTerms(
        antennas**2 * estimate_variance * power,
        antennas * gain * (power + sensing),
        xp.where(own, xp.zeros_like(spread), spread),
    )
