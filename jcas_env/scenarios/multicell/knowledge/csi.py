"""Channel state information: what the network makes of estimated channels, combiners, beams, groups and gains."""

from __future__ import annotations

from ....batching import gather, indices, rows, scatter
from ....physics.beamforming import (
    beams,
    combiner,
    constant_modulus,
    effective_channel,
    normalise,
    passed,
    serving_link,
)
from ....physics.channel import PathChannel
from ....physics.combining.paths import gev_combiner_of_paths
from ....physics.combining.small_matrices import SIZE
from ....physics.estimation import Estimate
from ....physics.estimation.omp import omp
from ....physics.grouping import matched_groups
from ....physics.rates import sensing_gain
from ....types import Array, array_namespace
from ..config import MultiCellConfig
from ..state import Air, Csi
from .estimate import LinkEstimate


def departure(config: MultiCellConfig, estimate: Estimate, cell: Array) -> Array:
    """Direction cosine of departure of each user's strongest path from its serving station, (..., users).

    Where no path is reported, the grid angle that explains the known channel best (spec multicell 2.6).
    """
    xp = array_namespace(estimate.gains, cell)
    # A path that was not found is weaker than any that was, even one of gain zero.
    power = xp.real(estimate.gains) ** 2 + xp.imag(estimate.gains) ** 2
    strength = xp.where(estimate.active, power, -xp.ones_like(power))
    best = xp.argmax(serving_link(strength, cell, config.crowd), axis=-1, keepdims=True)
    strongest = xp.take_along_axis(serving_link(estimate.aod_cos, cell, config.crowd), best, axis=-1)[..., 0]
    reported = xp.any(serving_link(xp.astype(estimate.active, strength.dtype), cell, config.crowd) > 0, axis=-1)
    if config.estimator == "perfect" or bool(xp.all(reported)):
        return strongest
    own = serving_link(estimate.channel, cell, config.crowd)
    silent = ~xp.reshape(reported, (-1,))
    own = gather(rows(own, reported.shape), indices(silent))
    # The search expects channels at unit large-scale gain; a channel of zeros stays as it is.
    scale = xp.sqrt(xp.mean(xp.abs(own) ** 2, axis=(-2, -1), keepdims=True))
    unit = own / xp.where(scale > 0, scale, xp.ones_like(scale))
    pick = omp(unit[:, None, :, :], None, xp.zeros_like(scale[:, 0, 0]), paths=1, grid=config.grid)
    return xp.reshape(scatter(xp.reshape(strongest, (-1,)), silent, pick.aod_cos[:, 0]), strongest.shape)


def knowledge_of(config: MultiCellConfig, links: LinkEstimate, air: Air, cell: Array, threshold: Array) -> Csi:
    """Combiners, beams, groups and gains that follow from an estimate.

    ``cell`` (..., users); ``threshold`` (..., users) is the grouping threshold of the user's cell
    (spec multicell 2.3, 2.4, 3). ``air`` is the truth of the same slot: what is known where paths are, and for the
    errors that nobody knows.
    """
    w, effective = _heard(config, links, air, cell)
    correlation, group, beam = matched_groups(effective, cell, threshold, crowd=config.crowd)
    if config.precoder != "mrt":
        beam = beams(effective, cell, group, precoder=config.precoder, crowd=config.crowd)
    beam = constant_modulus(beam) if config.analog else beam
    gain, let_through = passed(effective, beam, cell, crowd=config.crowd)
    error, nmse = _errors(config, links, air, cell)
    return Csi(
        channel=effective,
        combiner=w,
        beam=beam,
        group=group,
        correlation=correlation,
        gain=gain,
        leakage=let_through,
        sensing_gain=sensing_gain(
            departure(config, links.estimate, cell),
            antennas=config.bs_antennas,
            prior_variance=config.prior_variance,
            kind=config.positioning_gain,
        ),
        error=error,
        nmse=nmse,
    )


def _heard(config: MultiCellConfig, links: LinkEstimate, air: Air, cell: Array) -> tuple[Array, Array]:
    """Combiners (..., users, ue_antennas), and the known channels behind them, (..., cells, users, bs_antennas)."""
    power, noise_power = config.power_budget, config.noise_density * config.band_budget
    if config.knows_paths and config.crowd and config.combiner_kind == "gev" and config.ue_antennas <= SIZE:
        w = gev_combiner_of_paths(air.paths, crowd=config.crowd, power=power, noise_power=noise_power)
        xp = array_namespace(w)
        dead = xp.all(serving_link(air.gains, cell, config.crowd) == 0, axis=-1)
        w = normalise(xp.where(dead[..., None], 0.0, w))
    else:
        channel = air.channel if config.knows_paths else links.estimate.channel
        w = combiner(channel, cell, kind=config.combiner_kind, power=power, noise_power=noise_power)
    w = constant_modulus(w) if config.analog else w
    return w, behind(config, air, w) if config.knows_paths else effective_channel(links.estimate.channel, w)


def behind(config: MultiCellConfig, air: Air, w: Array) -> Array:
    """True channels behind combiners (..., users, ue_antennas): (..., cells, users, bs_antennas) complex [-].

    Of the paths; of the matrices where these are nulled, since what a null leaves is rounding, theirs.
    """
    return air.paths.behind(w) if config.combiner_kind == "gev" else effective_channel(air.channel, w)


def _errors(config: MultiCellConfig, links: LinkEstimate, air: Air, cell: Array) -> tuple[Array, Array]:
    """Errors of the serving channels, relative to their power, (..., users) [-]: as the network expects, and the true.

    An estimate with as much error as power tells nothing, and neither does one without power: error 1.
    """
    xp = array_namespace(air.gains)
    if config.knows_paths:
        dead = xp.all(serving_link(air.gains, cell, config.crowd) == 0, axis=-1)
        return xp.astype(dead, air.position.dtype), xp.zeros_like(air.position[..., 0])
    own = serving_link(links.estimate.channel, cell, config.crowd)
    known = _energy(own)
    error = serving_link(links.error[..., None], cell, config.crowd)[..., 0]
    told = error < known
    expected = xp.where(told, error / xp.where(told, known, 1.0), xp.ones_like(known))
    true = PathChannel(*(serving_link(part, cell, config.crowd) for part in air.paths)).matrix
    return expected, _true_error(own, true)


def _energy(matrix: Array) -> Array:
    """Sum of squares of matrices, (..., rx, tx) complex -> (...,)."""
    xp = array_namespace(matrix)
    return xp.sum(xp.real(matrix) ** 2 + xp.imag(matrix) ** 2, axis=(-2, -1))


def _true_error(known: Array, true: Array) -> Array:
    """Error of known channels (..., rx, tx), relative to the power of the true ones, (...,) [-]."""
    return _energy(known - true) / _energy(true)
