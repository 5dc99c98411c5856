"""Massive MIMO with maximum-ratio transmission: large-scale gain, pilot estimates, closed-form SINR."""

from __future__ import annotations

from math import log
from typing import NamedTuple

from array_api_compat import array_namespace, device

from ..types import Array


def large_scale_gain(distance: Array, shadowing_db: Array, /, *, reference: float, exponent: float) -> Array:
    r"""Log-distance path gain with log-normal shadowing.

    .. math:: \beta_k = 10^{x_k/10} \left(\frac{r_k}{r_h}\right)^{-\nu}

    Parameters
    ----------
    distance : Array, shape (..., users)
        r [m], positive.
    shadowing_db : Array, shape (..., users)
        x [dB]; zero is the median.
    reference : float
        Distance r_h at which the median gain is one [m].
    exponent : float
        Path loss exponent nu [-].

    Returns
    -------
    Array, shape (..., users)
        beta [-] (nguyen2024 Sec. V, spec mimo 1.1).
    """
    xp = array_namespace(distance, shadowing_db)
    return xp.exp((log(10.0) / 10.0) * shadowing_db - exponent * xp.log(distance / reference))


def pilot_response(gain: Array, noise_power: Array, /, *, pilot_energy: float, overlap: Array | None = None) -> Array:
    r"""Coefficient of the MMSE estimator, :math:`\hat h_k = c_k\, Y_p \psi_k^*`.

    .. math:: c_k = \frac{\sqrt{E}\, \beta_k}{E \sum_j \beta_j g_{jk} + \sigma^2}, \qquad E = \tau_p p_p

    Arguments as in :func:`estimate_variance`; returns (..., users) [W^-1/2] (nguyen2024 eq. 6, spec mimo 6.7).
    """
    heard = gain if overlap is None else (gain[..., None, :] @ overlap)[..., 0, :]
    return pilot_energy**0.5 * gain / (pilot_energy * heard + noise_power[..., None])


def estimate_variance(
    gain: Array, noise_power: Array, /, *, pilot_energy: float, overlap: Array | None = None
) -> Array:
    r"""Variance of an entry of the MMSE channel estimate, :math:`\hat h_k \sim CN(0, \xi_k I)`.

    .. math:: \xi_k = \frac{E \beta_k^2}{E \sum_j \beta_j g_{jk} + \sigma^2}, \qquad
              g_{jk} = |\psi_j^H \psi_k|^2

    Parameters
    ----------
    gain : Array, shape (..., users)
        Large-scale gain beta [-].
    noise_power : Array, shape (...,)
        sigma^2 at the base station's receiver [W].
    pilot_energy : float
        E, pilot length times pilot power [W].
    overlap : Array, shape (..., users, users), optional
        g, with ones on the diagonal [-]; None: orthonormal pilots.

    Returns
    -------
    Array, shape (..., users)
        xi, below beta [-] (nguyen2024 eq. 7, spec mimo 1.1).
    """
    response = pilot_response(gain, noise_power, pilot_energy=pilot_energy, overlap=overlap)
    return pilot_energy**0.5 * gain * response


class MrtTerms(NamedTuple):
    """Powers of the parts of the received signal (nguyen2024 eq. 13), each in W."""

    signal: Array
    """(..., users): |DS_k|^2."""
    uncertainty: Array
    """(..., users): E|BU_k|^2, beamforming uncertainty."""
    interference: Array
    """(..., users, users): E|UI_kj|^2, stream j at user k; zero on the diagonal."""


def pilot_contamination(
    power: Array, gain: Array, estimate_variance: Array, overlap: Array, /, *, antennas: int
) -> Array:
    r"""Coherent interference of users whose pilots are not orthogonal, which nguyen2024's Theorem 1 omits.

    .. math:: N_t^2 \sum_{j \ne k} p_j \xi_j \left(\frac{\beta_k}{\beta_j}\right)^2 g_{jk}

    Arguments as in :func:`mrt_sinr`; ``overlap`` is g, (..., users, users). Returns (..., users) [W]
    (spec mimo 1.1).
    """
    xp = array_namespace(power, gain)
    index = xp.arange(gain.shape[-1], device=device(gain))
    foreign = xp.where(index[:, None] == index[None, :], xp.zeros_like(overlap), overlap)
    leaked = (power * estimate_variance / gain**2)[..., None, :] @ foreign
    return antennas**2 * gain**2 * leaked[..., 0, :]


def mrt_sinr(
    power: Array,
    sensing_power: Array,
    gain: Array,
    estimate_variance: Array,
    noise_power: Array,
    /,
    *,
    antennas: int,
    overlap: Array | None = None,
    total: Array | None = None,
) -> Array:
    r"""Signal to interference plus noise ratio of maximum-ratio transmission on MMSE estimates.

    .. math:: \mathrm{SINR}_k = \frac{N_t^2 \xi_k p_k}{N_t \beta_k (P + T) + \sigma^2}, \qquad P = \sum_j p_j

    The sensing beam is nothing but interference here, and only its total matters. With ``overlap`` the
    denominator gains :func:`pilot_contamination`.

    Parameters
    ----------
    power : Array, shape (..., users)
        p, power of the streams per transmit antenna [W].
    sensing_power : Array, shape (...,)
        T, power of the sensing beam per transmit antenna [W].
    gain, estimate_variance : Array, shape (..., users)
        beta and xi [-].
    noise_power : Array, shape (...,)
        sigma^2 at the users [W].
    antennas : int
        N_t.
    overlap : Array, shape (..., users, users), optional
        Squared inner products of the pilots [-]; None: orthonormal.
    total : Array, shape (...,), optional
        P + T, where it is at hand [W].

    Returns
    -------
    Array, shape (..., users)
        [-] (nguyen2024 Theorem 1, spec mimo 1.1, 6.12).
    """
    xp = array_namespace(power, gain)
    total = xp.sum(power, axis=-1) + sensing_power if total is None else total
    disturbance = antennas * gain * total[..., None] + noise_power[..., None]
    if overlap is not None:
        disturbance = disturbance + pilot_contamination(power, gain, estimate_variance, overlap, antennas=antennas)
    return antennas**2 * estimate_variance * power / disturbance
