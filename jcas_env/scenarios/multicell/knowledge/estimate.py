"""From pilots to an estimate of every link in every slot, with what is remembered from slot to slot.

Angles and positions are measured every ``angle_coherence`` slots. In between, the estimators that keep angles measure
gains alone; the others estimate anew from one frame, and positions stay as they were (spec estimation 8.3 to 8.8).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ....batching import gather, indices, reassemble
from ....physics.estimation import ESTIMATORS, Estimate, Start
from ....physics.estimation.known_angles import gains_on_known_angles
from ....tree import tree_map
from ....types import Array, array_namespace
from ..config import MultiCellConfig
from ..state import Air, ChannelNoise, Memory, Sight
from .sounding import amplitude, frame_gains, pilot_noise_power, sound_antennas, sound_beams

T = TypeVar("T")


class LinkEstimate(NamedTuple):
    """Estimate of a slot's links, and what is remembered of it."""

    estimate: Estimate
    """In the true scale and without a snapshots axis: ``channel`` (..., cells, users, ue_antennas, bs_antennas), empty
    where paths are known and say it all; ``gains`` (..., cells, users, paths)."""
    error: Array
    """(..., cells, users): expected energy of the channel's error, as far as the network knows [-]."""
    memory: Memory


def estimate_links(config: MultiCellConfig, air: Air, noise: ChannelNoise, memory: Memory | None) -> LinkEstimate:
    """Estimate all links of a slot; ``memory`` is None in the first slot of an episode.

    Lanes whose angles are due and lanes whose angles are not are worked on apart.
    """
    if memory is None:
        return _measure(config, air, noise, None)
    xp = array_namespace(memory.age)
    due = memory.age + 1 >= config.angle_coherence
    if bool(xp.all(due)):
        return _measure(config, air, noise, memory)
    if not bool(xp.any(due)):
        return _hold(config, air, noise, memory)
    flat = xp.reshape(due, (-1,))
    measured, held = indices(flat), indices(~flat)

    def some(tree: T, lanes: Array) -> T:
        """Lanes of all leaves, whatever batch axes they have; explicit sizes, for a part that is not used is empty."""
        rows = tree_map(lambda leaf: _reshaped(leaf, (flat.shape[0], *leaf.shape[due.ndim :])), tree)
        return gather(rows, lanes)

    pieces = [
        _measure(config, some(air, measured), some(noise, measured), some(memory, measured)),
        _hold(config, some(air, held), some(noise, held), some(memory, held)),
    ]
    links = reassemble(pieces, [measured, held])
    return tree_map(lambda leaf: _reshaped(leaf, (*due.shape, *leaf.shape[1:])), links)


def _reshaped(leaf: Array, shape: tuple[int, ...]) -> Array:
    return array_namespace(leaf).reshape(leaf, shape)  # clocks may be in another library than the rest


def _measure(config: MultiCellConfig, air: Air, noise: ChannelNoise, memory: Memory | None) -> LinkEstimate:
    """Estimate angles and gains."""
    noise_power = pilot_noise_power(config, air.path_loss_db)
    estimate = _estimate(config, air, noise, memory)
    angles = (estimate.aod_cos, estimate.aoa_cos, estimate.active)
    age = np.zeros(noise_power.shape[:-2], dtype=np.int64) if memory is None else 0 * memory.age
    memory = Memory(*angles, Sight(*angles, estimate.gains, noise_power, air.position), age)
    return _in_true_scale(config, air, noise, estimate, memory, gains_only=False)


def _hold(config: MultiCellConfig, air: Air, noise: ChannelNoise, memory: Memory) -> LinkEstimate:
    """Estimate gains on the angles that are known, or everything from this slot alone; positions stay."""
    memory = memory._replace(age=memory.age + 1)
    known = ESTIMATORS[config.estimator].keeps_angles
    if known:
        heard = sound_beams(config, air, noise)
        estimate = gains_on_known_angles(
            heard.received, heard.beams, heard.noise_power, memory.aod_cos, memory.aoa_cos, memory.active
        )
    else:
        estimate = _estimate(config, air, noise, None)
        memory = memory._replace(aod_cos=estimate.aod_cos, aoa_cos=estimate.aoa_cos, active=estimate.active)
    return _in_true_scale(config, air, noise, estimate, memory, gains_only=known)


def _estimate(config: MultiCellConfig, air: Air, noise: ChannelNoise, memory: Memory | None) -> Estimate:
    """Run the configured estimator on what it asks for, all links scaled to unit large-scale gain."""
    estimator = ESTIMATORS[config.estimator]
    scale = amplitude(air.path_loss_db)[..., None, None]
    offers: dict[str, Callable[[], Any]] = {
        "received": lambda: sound_antennas(config, air, noise).received,
        "beams": lambda: None,
        "noise_power": lambda: pilot_noise_power(config, air.path_loss_db),
        "paths": lambda: config.total_paths,
        "grid": lambda: config.grid,
        "start": lambda: None if memory is None else Start(memory.aod_cos, memory.aoa_cos, memory.active),
        "last": lambda: True,
        # The truth alone asks for matrices. They are not scaled down and up again, nor made where paths say it all.
        "channel": lambda: air.departure[..., None, :0, :] if config.knows_paths else air.channel[..., None, :, :],
        "gains": lambda: frame_gains(config, air, noise) if estimator.surrogate else air.gains[..., None, :] / scale,
        "aod_cos": lambda: air.aod_cos,
        "aoa_cos": lambda: air.aoa_cos,
        "normals": lambda: noise.surrogate,
        "tx_antennas": lambda: config.bs_antennas,
        "rx_antennas": lambda: config.ue_antennas,
    }
    return estimator(**{need: offers[need]() for need in estimator.needs})


def _in_true_scale(
    config: MultiCellConfig, air: Air, noise: ChannelNoise, estimate: Estimate, memory: Memory, *, gains_only: bool
) -> LinkEstimate:
    r"""The last snapshot, in its true scale, with the i.i.d. error of the test knob ``csi_nmse`` on top.

    :math:`\hat H + \sqrt{\mathrm{nmse}\, \overline{|H|^2}}\, \mathcal{CN}(0, 1)` per link (spec multicell 0), H the
    truth. The expected error is that of :func:`_expected_error`, plus :math:`\mathrm{nmse}\, \lVert \hat H \rVert^2`.
    """
    xp = array_namespace(air.gains)
    if config.knows_paths:
        truth = estimate._replace(channel=estimate.channel[..., -1, :, :], gains=air.gains)
        return LinkEstimate(truth, xp.zeros_like(air.path_loss_db), memory)
    scale, noise_power = amplitude(air.path_loss_db), pilot_noise_power(config, air.path_loss_db)
    known = estimate.channel[..., -1, :, :]
    if config.estimator != "perfect":
        known = known * scale[..., None, None]
    expected = _expected_error(config, estimate, noise_power, gains_only=gains_only) * scale**2
    if config.csi_nmse:
        expected = expected + config.csi_nmse * xp.sum(xp.abs(known) ** 2, axis=(-2, -1))
        power = xp.mean(xp.abs(air.channel) ** 2, axis=(-2, -1), keepdims=True)
        known = known + xp.sqrt(config.csi_nmse * power) * noise.error
    estimate = estimate._replace(
        channel=known,
        gains=estimate.gains[..., -1, :] * scale[..., None],
        variance=estimate.variance * scale[..., None] ** 2,
    )
    return LinkEstimate(estimate, expected, memory)


def _expected_error(config: MultiCellConfig, estimate: Estimate, noise_power: Array, *, gains_only: bool) -> Array:
    r"""Energy of the error that the noise alone leaves on a channel, by the number of things that were estimated.

    :math:`\sigma^2 (L + n_a/(2T))` with L found paths and n_a angles; :math:`\sigma^2 L M/P` where gains alone are
    measured; :math:`\sigma^2 M N` without a statement about paths (spec estimation 1.9, 8.5).
    Returns (..., cells, users), like ``noise_power`` at unit large-scale gain [-].
    """
    xp = array_namespace(noise_power)
    if config.estimator == "perfect":
        return xp.zeros_like(noise_power)
    entries = float(config.bs_antennas * config.ue_antennas)
    found = xp.sum(xp.astype(estimate.active, noise_power.dtype), axis=-1)
    per_path = 1.0 + (0.5 if config.ue_antennas == 1 else 1.0) / estimate.gains.shape[-2]
    if gains_only:
        per_path = config.bs_antennas / min(config.pilots, config.bs_antennas)
    return noise_power * xp.where(found > 0, found * per_path, entries)
