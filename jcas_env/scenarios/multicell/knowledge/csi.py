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
    if config.estimator == "perfect" or bool(xp.all(reported)):
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
    own = serving_link(channel, cell)
    # An estimate with as much error as power tells nothing, and neither does one without power: error 1.
    known = _energy(own)
    error = serving_link(links.error[..., None], cell)[..., 0]
    return Csi(
        channel=effective,
        combiner=w,
        beam=beam,
        group=group,
        correlation=correlation,
        gain=effective_gain(effective, beam, cell, crowd=config.crowd),
        leakage=leakage(effective, cell),
        sensing_gain=sensing_gain(
            departure(config, links.estimate, cell),
            antennas=config.bs_antennas,
            prior_variance=config.prior_variance,
            kind=config.positioning_gain,
        ),
        error=xp.where(error < known, error / xp.where(known > 0, known, 1.0), xp.ones_like(known)),
        nmse=xp.zeros_like(known) if channel is truth else _true_error(own, serving_link(truth, cell)),
    )


def _energy(matrix: Array) -> Array:
    """Sum of squares of matrices, (..., rx, tx) complex -> (...,)."""
    xp = array_namespace(matrix)
    return xp.sum(xp.real(matrix) ** 2 + xp.imag(matrix) ** 2, axis=(-2, -1))


def _true_error(known: Array, true: Array) -> Array:
    """Error of known channels (..., rx, tx), relative to the power of the true ones, (...,) [-]."""
    return _energy(known - true) / _energy(true)
