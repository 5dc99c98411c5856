"""The one place of this scenario that touches a random generator."""

from __future__ import annotations

import numpy as np

from ...physics.estimation import asks_for
from .config import MultiCellConfig
from .state import ChannelNoise, Initial, Innovation


def complex_normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Independent CN(0, 1) samples."""
    parts = rng.standard_normal((*shape, 2))
    return (parts[..., 0] + 1j * parts[..., 1]) / np.sqrt(2.0)


def _path_cosines(config: MultiCellConfig, rng: np.random.Generator) -> np.ndarray:
    """Direction cosines of all paths of all links, angles uniform in [0, pi) or gathered in clusters."""
    links = (config.cells, config.users)
    if config.clusters is None:
        return np.cos(rng.uniform(0.0, np.pi, (*links, config.paths)))
    clusters, paths, spread_deg = config.clusters
    centres = rng.uniform(0.0, np.pi, (*links, clusters, 1))
    offsets = np.radians(spread_deg) * rng.standard_normal((*links, clusters, paths))
    return np.cos(centres + offsets).reshape(*links, clusters * paths)


def _channel_noise(config: MultiCellConfig, rng: np.random.Generator) -> ChannelNoise:
    shape = (config.cells, config.users, config.ue_antennas, config.bs_antennas)
    unused = np.zeros(0, dtype=complex)
    return ChannelNoise(
        pilots=complex_normal(rng, *shape) if asks_for(config.estimator, "received") else unused,
        error=complex_normal(rng, *shape) if config.csi_nmse else unused,
    )


def _fading_paths(config: MultiCellConfig) -> int:
    """Paths that fade: the scattered ones, or all of them without a Rician factor."""
    return config.total_paths if config.rician_db is None else config.total_paths - 1


def draw_innovation(config: MultiCellConfig, rng: np.random.Generator) -> Innovation:
    """Randomness of one slot of one lane (spec multicell 8)."""
    links = (config.cells, config.users)
    return Innovation(
        velocity=rng.standard_normal((config.users, 2)),
        los_phase=rng.standard_normal(links),
        scatter=complex_normal(rng, *links, _fading_paths(config)),
        blockage=rng.random(links) if config.blockage else np.zeros(0),
        noise=_channel_noise(config, rng),
    )


def draw_initial(config: MultiCellConfig, rng: np.random.Generator) -> Initial:
    """Randomness of a reset of one lane (spec multicell 2.1, 2.2)."""
    links = (config.cells, config.users)
    return Initial(
        drop=rng.random((config.users, 2)),
        velocity=rng.standard_normal((config.users, 2)),
        user_axis=rng.uniform(0.0, 2.0 * np.pi, config.users),
        aod_cos=_path_cosines(config, rng),
        aoa_cos=_path_cosines(config, rng),
        los_phase=rng.uniform(0.0, 2.0 * np.pi, links),
        scatter=complex_normal(rng, *links, _fading_paths(config)),
        noise=_channel_noise(config, rng),
        first=draw_innovation(config, rng),
    )
