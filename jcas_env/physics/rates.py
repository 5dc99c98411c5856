"""From powers, bands and gains to data rate and positioning rate."""

from __future__ import annotations

from math import log, pi
from typing import Literal

from ..compiled.dispatch import compiled
from ..types import Array, array_namespace, device
from .information.angle import MIN_SINE_SQUARED, angle_information
from .membership import same_group, same_label

Noise = Literal["per_hertz", "constant"]
PositioningGain = Literal["classical", "paper"]


def intercell_density(power: Array, gain: Array, cell: Array, /, *, band_budget: Array | float) -> Array:
    r"""Power density that a user receives from the other cells.

    .. math:: \sum_{m\,\text{in other cells}} \frac{(P_m^C + P_m^O)\, G_{jm}}{B_{\max}}

    The stations hop pseudo-randomly over their whole band, so their total power is spread over it and no
    frequency plan is needed. Arguments as in :func:`interference`; returns (..., users) [W/Hz]
    (spec multicell 2.5, 5.10).
    """
    xp = array_namespace(power, gain, cell)
    return _from_other_cells(xp.sum(power, axis=-2) / band_budget, gain, cell)


def _from_other_cells(density: Array, gain: Array, cell: Array) -> Array:
    """Densities (..., users) of the beams of other cells, summed with their gains: (..., users)."""
    xp = array_namespace(density, gain, cell)
    foreign = xp.where(same_label(cell), xp.zeros_like(gain), gain)
    return (foreign @ density[..., None])[..., 0]


def in_group_interference(power: Array, gain: Array, cell: Array, group: Array, /) -> Array:
    r"""Power received from the beams of the own group, :math:`\sum_{k \in g,\, k \ne j} P_k^s G_{jk}`.

    Arguments as in :func:`interference`; returns (..., 2, users) [W] (spec multicell 2.5, 5.9, 5.14).
    """
    xp = array_namespace(power, gain, cell)
    index = xp.arange(gain.shape[-1], device=device(gain))
    mates = same_group(cell, group) & (index[:, None] != index[None, :])
    return power @ xp.matrix_transpose(xp.where(mates, gain, xp.zeros_like(gain)))


@compiled("slots")
def received_powers(power: Array, density: Array, gain: Array, cell: Array, group: Array, /) -> tuple[Array, Array]:
    """Powers received from the beams of the own group, (..., 2, users) [W], and densities from other cells.

    The first is :func:`in_group_interference`; the others sum ``density`` (..., users), the power of a beam over the
    band of its own cell, with the gains: (..., users) [W/Hz] (spec multicell 2.5).
    """
    return in_group_interference(power, gain, cell, group), _from_other_cells(density, gain, cell)


@compiled("slots")
def unit_powers(gain: Array, cell: Array, group: Array, /) -> tuple[Array, Array, Array, Array]:
    """Powers that are received where each beam of a service has unit power: four arrays (..., users).

    By a user from its own group without itself, and from one service of other cells; of a user's beam by the users of
    other cells, and by its own group, itself included; in the unit of the gains [-] (spec multicell 2.5).
    """
    xp = array_namespace(gain, cell, group)
    one = xp.ones((*gain.shape[:-2], 1, gain.shape[-1]), dtype=gain.dtype, device=device(gain))
    same, zero = same_label(cell), xp.zeros_like(gain)
    return (
        in_group_interference(one, gain, cell, group)[..., 0, :],
        intercell_density(one, gain, cell, band_budget=1.0),
        xp.sum(xp.where(same, zero, gain), axis=-2),
        xp.sum(xp.where(same_group(cell, group), gain, zero), axis=-2),
    )


def interference(
    power: Array,
    bandwidth: Array,
    gain: Array,
    cell: Array,
    group: Array,
    /,
    *,
    noise_density: Array | float,
    band_budget: Array | float,
    noise: Noise = "per_hertz",
) -> Array:
    r"""Interference plus noise in the band of every user and service.

    .. math:: I_j^s = \sum_{k \in g, k \ne j} P_k^s G_{jk}
              + B_g^s \Big( N_0 + \sum_{m\,\text{in other cells}} \frac{(P_m^C + P_m^O) G_{jm}}{B_{\max}} \Big)

    Parameters
    ----------
    power, bandwidth : Array, shape (..., 2, users)
        Power [W] and band of the user's group [Hz], communication first.
    gain : Array, shape (..., users, users)
        Power gains, receiver first [-].
    cell, group : Array, shape (..., users), integer
        Serving cell and group label.
    noise_density, band_budget : float or Array, shape (..., users)
        Noise power density at the receiver, noise figure included [W/Hz]; band of the user's cell [Hz].
    noise : {"per_hertz", "constant"}
        ``constant`` charges the noise of the whole band, ``B_max N0``, as luo2023 eq. 14 does.

    Returns
    -------
    Array, shape (..., 2, users)
        Power [W] (spec multicell 2.5).
    """
    xp = array_namespace(power, gain, cell)
    mates, others = received_powers(power, xp.sum(power, axis=-2) / band_budget, gain, cell, group)
    others = others[..., None, :]
    if noise == "constant":
        constant = noise_density * band_budget
        if not isinstance(constant, float | int):
            constant = constant[..., None, :]
        return mates + bandwidth * others + constant
    if noise != "per_hertz":
        raise ValueError(f"`noise` must be per_hertz or constant, got {noise!r}")
    density = noise_density if isinstance(noise_density, float | int) else noise_density[..., None, :]
    return mates + bandwidth * (others + density)


def sinr(power: Array, gain: Array, interference: Array, /) -> Array:
    """Signal to interference plus noise ratio, ``x_j = P_j G_jj / I_j``.

    ``power`` and ``interference`` (..., 2, users) [W], ``gain`` (..., users, users) [-] ->
    (..., 2, users) [-]. Zero where the denominator is zero, which a band of zero width brings about; the largest
    number of the precision where the ratio is above it, which in single precision is 385 dB (spec multicell 2.5).
    """
    xp = array_namespace(power, gain, interference)
    signal = power * xp.linalg.diagonal(gain)[..., None, :]
    return xp.where(interference > 0, saturated_ratio(signal, interference), xp.zeros_like(signal))


def saturated_ratio(part: Array, whole: Array, /) -> Array:
    """``part / whole``, both (...,) of one unit and not negative; the precision's largest number where it is above [-].

    0 / 0 is 0. No warning, and nothing infinite or NaN, whatever the numbers are; a negative whole counts as 0
    (spec multicell 2.5).
    """
    xp = array_namespace(part, whole)
    most = xp.finfo(part.dtype).max
    beyond = part > most * xp.minimum(xp.maximum(whole, 0.0), 1.0)
    plain = ~beyond & (whole > 0)
    ratio = xp.where(plain, part, xp.zeros_like(part)) / xp.where(plain, whole, xp.ones_like(whole))
    return xp.where(beyond, xp.full_like(ratio, most), ratio)


def spectral_efficiency(snr: Array, /) -> Array:
    r""":math:`\log_2(1 + x)` (...,) of any shape [bit/s/Hz], accurate for small x (spec multicell 2.5)."""
    xp = array_namespace(snr)
    return xp.log1p(snr) / log(2.0)


def data_rate(bandwidth: Array, snr: Array, /) -> Array:
    r"""Data rate :math:`R^C = B \log_2(1 + x)` [bit/s]; shapes (...,) (luo2023 eq. 15, spec multicell 2.5)."""
    return bandwidth * spectral_efficiency(snr)


def positioning_rate(bandwidth: Array, snr: Array, sensing_gain: Array, /) -> Array:
    r"""Positioning estimation rate :math:`R^O = \tfrac{B}{2} \log_2(1 + \kappa x)` [bit/s].

    The information that a band of B independent observations per second brings about an angle whose prior
    variance is in :math:`\kappa` (:func:`sensing_gain`). Shapes (...,) (luo2023 eq. 19, spec multicell 2.5).
    A product beyond the precision counts as its largest number.
    """
    xp = array_namespace(snr, sensing_gain)
    limits = xp.finfo(snr.dtype)
    most = limits.max * (1.0 - limits.eps) / xp.maximum(sensing_gain, 1.0)  # whose product rounds to no infinity
    return 0.5 * bandwidth * spectral_efficiency(sensing_gain * xp.minimum(snr, most))


def sensing_gain(
    aod_cos: Array, /, *, antennas: int, prior_variance: Array | float, kind: PositioningGain = "classical"
) -> Array:
    r"""Positioning factor: prior variance of the angle over its Cramér-Rao bound at unit SINR.

    .. math:: \kappa = \frac{\sigma_\mathrm{para}^2}{\sigma_\mathrm{est}^2}\Big|_{x=1}
              = 2\,\sigma_\mathrm{para}^2\, v^2 \qquad
              \kappa_\mathrm{paper} = 2 M^3 \sigma_\mathrm{para}^2 \pi^2 \sin^2\theta\, \frac{M-1}{12}

    The SINR already contains the array gain (SINR = M times the ratio per element), which
    luo2023 eq. 17 counts twice: ``paper`` is optimistic by M^2/(M+1).

    Parameters
    ----------
    aod_cos : Array, shape (...,)
        Direction cosine of the line of sight from the base station's axis [-].
    antennas : int
        M at the base station [-].
    prior_variance : float or Array, shape (...,)
        Variance of the angle before the slot [rad^2].
    kind : {"classical", "paper"}

    Returns
    -------
    Array, shape (...,)
        kappa [-] (spec multicell 2.6, 5.11).
    """
    if kind == "classical":
        return 2.0 * prior_variance * angle_information(aod_cos, antennas=antennas)
    if kind != "paper":
        raise ValueError(f"`kind` must be classical or paper, got {kind!r}")
    xp = array_namespace(aod_cos)
    sine_squared = xp.clip(1.0 - aod_cos**2, min=MIN_SINE_SQUARED)
    return 2.0 * antennas**3 * prior_variance * pi**2 * sine_squared * (antennas - 1) / 12.0
