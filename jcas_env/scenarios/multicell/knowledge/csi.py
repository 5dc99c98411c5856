"""Channel state information: what the network makes of estimated channels, combiners, beams, groups and gains."""

from __future__ import annotations

from array_api_compat import array_namespace

from ....physics.beamforming import (
    beams,
    channel_correlation,
    combiner,
    constant_modulus,
    effective_channel,
    effective_gain,
    leakage,
    serving_link,
)
from ....physics.estimation import Estimate
from ....physics.estimation.omp import omp
from ....physics.grouping import first_fit_groups
from ....physics.rates import sensing_gain
from ....types import Array
from ..config import MultiCellConfig
from ..state import Csi
from .estimate import LinkEstimate


def departure(config: MultiCellConfig, estimate: Estimate, cell: Array) -> Array:
    """Direction cosine of departure of each user's strongest path from its serving station, (..., users).

    Where no path is reported, the grid angle that explains the known channel best (spec multicell 2.6).
    """
    xp = array_namespace(estimate.gains, cell)
    # A path that was not found is weaker than any that was, even one of gain zero.
    strength = xp.where(estimate.active, xp.abs(estimate.gains), -xp.ones_like(estimate.aod_cos))
    best = xp.argmax(serving_link(strength, cell), axis=-1, keepdims=True)
    strongest = xp.take_along_axis(serving_link(estimate.aod_cos, cell), best, axis=-1)[..., 0]
    own = serving_link(estimate.channel, cell)
    reported = xp.any(serving_link(xp.astype(estimate.active, strength.dtype), cell) > 0, axis=-1)
    if bool(xp.all(reported)):
        return strongest
    # The search expects channels at unit large-scale gain; a channel of zeros stays as it is.
    scale = xp.sqrt(xp.mean(xp.abs(own) ** 2, axis=(-2, -1), keepdims=True))
    unit = own / xp.where(scale > 0, scale, xp.ones_like(scale))
    pick = omp(unit[..., None, :, :], None, xp.zeros_like(strongest), paths=1, grid=config.grid)
    return xp.where(reported, strongest, pick.aod_cos[..., 0])


def knowledge_of(config: MultiCellConfig, links: LinkEstimate, truth: Array, cell: Array, threshold: Array) -> Csi:
    """Combiners, beams, groups and gains that follow from an estimate.

    ``cell`` (..., users); ``threshold`` (..., users) is the grouping threshold of the user's cell
    (spec multicell 2.3, 2.4, 3). ``truth`` are the true channels of the same slot, for the errors that nobody knows.
    """
    xp = array_namespace(truth)
    channel = links.estimate.channel
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
    own, true = serving_link(channel, cell), serving_link(truth, cell)
    # An estimate with as much error as power tells nothing, and neither does one without power: error 1.
    known = xp.sum(xp.abs(own) ** 2, axis=(-2, -1))
    error = serving_link(links.error[..., None], cell)[..., 0]
    told = error < known
    return Csi(
        channel=effective,
        combiner=w,
        beam=beam,
        group=group,
        correlation=correlation,
        gain=effective_gain(effective, beam, cell),
        leakage=leakage(effective, cell),
        sensing_gain=sensing_gain(
            departure(config, links.estimate, cell),
            antennas=config.bs_antennas,
            prior_variance=config.prior_variance,
            kind=config.positioning_gain,
        ),
        error=xp.where(told, error / xp.where(told, known, 1.0), xp.ones_like(known)),
        nmse=xp.sum(xp.abs(own - true) ** 2, axis=(-2, -1)) / xp.sum(xp.abs(true) ** 2, axis=(-2, -1)),
    )
