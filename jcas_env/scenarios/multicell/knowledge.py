"""From the true channel of a slot to what the network knows and does with it."""

from __future__ import annotations

from array_api_compat import array_namespace

from ...physics.beamforming import (
    beams,
    channel_correlation,
    combiner,
    constant_modulus,
    effective_channel,
    effective_gain,
    leakage,
    serving_link,
)
from ...physics.estimation import ESTIMATORS, Estimate, asks_for
from ...physics.grouping import first_fit_groups
from ...physics.rates import sensing_gain
from ...types import Array
from .config import MultiCellConfig
from .state import Air, ChannelNoise, Csi


def sounding(config: MultiCellConfig, air: Air, pilot_noise: Array) -> tuple[Array, Array, Array]:
    r"""Pilots of one slot: every base station sounds every user with one pilot per antenna.

    .. math:: Z = H\, 10^{PL/20} + \sigma\, \mathcal{CN}(0, 1), \qquad
              \sigma^2 = \frac{N_0 B_{\max}}{P_{\max}}\, 10^{PL/10}

    Links are divided by their large-scale amplitude, so that E|H_nm|^2 = 1 (spec estimation 1.5, 8.2).

    Returns
    -------
    received : Array, shape of ``air.channel``, complex
        Data Z [-].
    noise_power : Array, shape (..., cells, users)
        sigma^2 of a measurement [-].
    amplitude : Array, shape (..., cells, users)
        Large-scale amplitude that was divided out, 10^(-PL/20) [-].
    """
    xp = array_namespace(air.channel)
    amplitude = 10.0 ** (-air.path_loss_db / 20.0)
    noise_power = config.noise_density * config.band_budget / config.power_budget / amplitude**2
    noise = xp.sqrt(noise_power)[..., None, None] * pilot_noise
    return air.channel / amplitude[..., None, None] + noise, noise_power, amplitude


def estimate(config: MultiCellConfig, air: Air, noise: ChannelNoise) -> Estimate:
    r"""Estimate of every link in a slot by the configured estimator, which is given what it asks for.

    On top comes the i.i.d. error of the test knob ``csi_nmse``,
    :math:`\hat H + \sqrt{\mathrm{nmse}\, \overline{|H|^2}}\, \mathcal{CN}(0, 1)` per link (spec multicell 0).
    """
    xp = array_namespace(air.channel)
    asks = {name for name in _ARGUMENTS if asks_for(config.estimator, name)}
    # One snapshot: the snapshots axis of the estimators has length one.
    offer = {"channel": air.channel[..., None, :, :], "gains": air.gains[..., None, :]}
    offer |= {"aod_cos": air.aod_cos, "aoa_cos": air.aoa_cos, "beams": None, "paths": config.total_paths}
    amplitude = None
    if "received" in asks:
        received, offer["noise_power"], amplitude = sounding(config, air, noise.pilots)
        offer["received"] = received[..., None, :, :]
    known = ESTIMATORS[config.estimator](**{name: offer[name] for name in asks})
    known = known._replace(channel=known.channel[..., 0, :, :], gains=known.gains[..., 0, :])
    if amplitude is not None:
        known = known._replace(
            channel=known.channel * amplitude[..., None, None],
            gains=known.gains * amplitude[..., None],
            variance=known.variance * amplitude[..., None] ** 2,
        )
    if not config.csi_nmse:
        return known
    scale = xp.sqrt(config.csi_nmse * xp.mean(xp.abs(air.channel) ** 2, axis=(-2, -1), keepdims=True))
    return known._replace(channel=known.channel + scale * noise.error)


_ARGUMENTS = ("channel", "gains", "aod_cos", "aoa_cos", "received", "beams", "noise_power", "paths")


def strongest_departure(estimate: Estimate, cell: Array) -> Array:
    """Direction cosine of departure of each user's strongest path from its serving station, (..., users)."""
    xp = array_namespace(estimate.gains, cell)
    strength = xp.where(estimate.active, xp.abs(estimate.gains), -xp.ones_like(estimate.aod_cos))
    best = xp.argmax(serving_link(strength, cell), axis=-1, keepdims=True)
    return xp.take_along_axis(serving_link(estimate.aod_cos, cell), best, axis=-1)[..., 0]


def act_on(config: MultiCellConfig, estimate: Estimate, cell: Array, threshold: Array) -> Csi:
    """Combiners, beams, groups and gains that follow from an estimate.

    ``cell`` (..., users); ``threshold`` (..., users) is the grouping threshold of the user's cell
    (spec multicell 2.3, 2.4, 3).
    """
    channel = estimate.channel
    w = combiner(
        channel,
        cell,
        kind=config.combiner_kind,
        power=config.power_budget,
        noise_power=config.noise_density * config.band_budget,
    )
    w = constant_modulus(w) if config.analog else w
    effective = effective_channel(channel, w)
    correlation = channel_correlation(effective, cell)
    group = first_fit_groups(correlation, cell, threshold)
    beam = beams(effective, cell, group, precoder=config.precoder)
    beam = constant_modulus(beam) if config.analog else beam
    return Csi(
        channel=effective,
        combiner=w,
        beam=beam,
        group=group,
        correlation=correlation,
        gain=effective_gain(effective, beam, cell),
        leakage=leakage(effective, cell),
        sensing_gain=sensing_gain(
            strongest_departure(estimate, cell),
            antennas=config.bs_antennas,
            prior_variance=config.prior_variance,
            kind=config.positioning_gain,
        ),
    )
