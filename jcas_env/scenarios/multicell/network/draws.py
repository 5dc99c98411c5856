"""The one place of this scenario that touches a random generator."""

from __future__ import annotations

import numpy as np

from ....physics.estimation import ESTIMATORS
from ....physics.estimation.crb import crb_normals
from ..config import MultiCellConfig
from ..state import ChannelNoise, Initial, Innovation


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
    """Randomness of one estimate, in the order in which the configuration asks for it."""
    links = (config.cells, config.users)
    estimator = ESTIMATORS[config.estimator]
    frames = estimator.pilot_frames(config.snapshots)
    held = estimator.keeps_angles and config.angle_coherence > 1
    on_data = "received" in estimator.needs
    antennas = (config.ue_antennas, config.bs_antennas)
    received = (*links, frames if on_data else 1, *antennas)
    earlier = max(frames - 1, 0)
    normals = crb_normals(
        paths=config.total_paths, snapshots=frames, tx_antennas=config.bs_antennas, rx_antennas=config.ue_antennas
    )
    real, unused = np.zeros(0), np.zeros(0, dtype=complex)
    return ChannelNoise(
        pilots=complex_normal(rng, *received) if on_data or held else unused,
        frame_scatter=complex_normal(rng, *links, earlier, _fading_paths(config)) if frames else unused,
        frame_phase=rng.standard_normal((*links, earlier)) if frames else real,
        beam_order=rng.random((*links, config.bs_antennas)) if held else real,
        beam_phase=rng.random((*links, config.bs_antennas)) if held else real,
        surrogate=rng.standard_normal((*links, normals)) if estimator.surrogate else real,
        error=complex_normal(rng, *links, *antennas) if config.csi_nmse else unused,
    )


def _fading_paths(config: MultiCellConfig) -> int:
    """Paths that fade: the scattered ones, or all of them without a Rician factor."""
    return config.total_paths if config.rician_db is None else config.total_paths - 1


def spawn_generator(rng: np.random.Generator) -> np.random.Generator:
    """A generator of its own for what a configuration may or may not draw.

    One number of ``rng`` seeds it, so that a seed means the same users and channels whatever the estimator: losses by
    estimation and by allocation can be told apart.
    """
    return np.random.default_rng(rng.integers(2**63))


def draw_innovation(config: MultiCellConfig, rng: np.random.Generator) -> Innovation:
    """Randomness of one slot of one lane (spec multicell 8)."""
    links = (config.cells, config.users)
    own = spawn_generator(rng)
    return Innovation(
        velocity=rng.standard_normal((config.users, 2)),
        los_phase=rng.standard_normal(links),
        scatter=complex_normal(rng, *links, _fading_paths(config)),
        blockage=own.random(links) if config.blockage else np.zeros(0),
        noise=_channel_noise(config, own),
        arrivals=own.random(config.users) if config.has_queues else np.zeros(0),
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
        noise=_channel_noise(config, spawn_generator(rng)),
        first=draw_innovation(config, rng),
    )
