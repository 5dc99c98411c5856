"""The one place of this scenario that touches a random generator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import NamedTuple

import numpy as np

from ....physics.estimation import ESTIMATORS
from ....physics.estimation.crb import crb_normals
from ....randomness import AnySource, RandomSource, as_complex_normal, complex_normal, spawn, spawn_lanes
from ....tree import tree_map
from ....types import Array, array_namespace
from ..config import MultiCellConfig
from ..state import ChannelNoise, Initial, Innovation

REAL: Array = np.zeros(0)
COMPLEX: Array = np.zeros(0, dtype=complex)
"""What stands for randomness that nothing uses."""
NO_NOISE = ChannelNoise(COMPLEX, COMPLEX, REAL, COMPLEX, REAL, REAL, REAL, COMPLEX)
"""That of a slot in which nothing is estimated."""

HOLDING, AFTER = 1, 2
"""Second part of the seeds of the generators for gains alone, and for what is drawn after any estimate's noise."""


DRAWN_AT_ONCE = 2**23
"""Numbers of pilot noise that lanes draw before they are used: 64 MB in double precision."""


class Work(NamedTuple):
    """What is estimated in a slot, in some lane at least of those that draw together."""

    measures: bool
    """Angles and gains, as in the first slot of an episode, or all that is wanted from this slot alone."""
    holds: bool
    """Gains alone, on the angles that are known."""


def first_work(config: MultiCellConfig) -> Work:
    """What is estimated in the first slot of an episode; nothing where the truth is known."""
    return Work(measures=ESTIMATORS[config.estimator].pilot_frames(config.snapshots) > 0, holds=False)


def pilot_numbers(config: MultiCellConfig) -> int:
    """Real numbers that a lane's sounding handles in a slot in which angles are measured; none with the truth known."""
    frames = ESTIMATORS[config.estimator].pilot_frames(config.snapshots)
    return 2 * config.cells * config.users * frames * config.ue_antennas * config.bs_antennas


def work_after(config: MultiCellConfig, age: Array) -> Work:
    """What is estimated in the slot after a state, whose angles are ``age`` (...,) slots old."""
    first = first_work(config)
    if not ESTIMATORS[config.estimator].keeps_angles:
        return first
    xp = array_namespace(age)
    due = age + 1 >= config.angle_coherence
    return Work(measures=bool(xp.any(due)), holds=not bool(xp.all(due)))


def _path_cosines(config: MultiCellConfig, rng: RandomSource) -> Array:
    """Direction cosines of all paths of all links, angles uniform in [0, pi) or gathered in clusters."""
    links = (config.cells, config.users)
    if config.clusters is None:
        angles = rng.uniform(0.0, np.pi, (*links, config.paths))
        return array_namespace(angles).cos(angles)
    clusters, paths, spread_deg = config.clusters
    centres = rng.uniform(0.0, np.pi, (*links, clusters, 1))
    angles = centres + np.radians(spread_deg) * rng.standard_normal((*links, clusters, paths))
    xp = array_namespace(angles)
    return xp.reshape(xp.cos(angles), (*angles.shape[:-2], clusters * paths))


def _measuring_noise(config: MultiCellConfig, rng: AnySource) -> dict[str, Array]:
    """Randomness of an estimate of angles and gains, or from one slot alone, by fields of :class:`ChannelNoise`."""
    links = (config.cells, config.users)
    estimator = ESTIMATORS[config.estimator]
    frames = estimator.pilot_frames(config.snapshots)
    antennas = {"rx_antennas": config.ue_antennas, "tx_antennas": config.bs_antennas}
    draws = {}
    # A surrogate sees no pilots, but a seed has always drawn those of a frame, and beams, before its errors.
    unseen = estimator.surrogate and config.angle_coherence > 1
    if "received" in estimator.needs or unseen:
        draws["pilots"] = complex_normal(rng, *links, 1 if unseen else frames, *antennas.values())
    draws["frame_scatter"] = complex_normal(rng, *links, frames - 1, _fading_paths(config))
    draws["frame_phase"] = rng.standard_normal((*links, frames - 1))
    if estimator.surrogate:
        if unseen:
            del draws["pilots"]
            rng.random((2, *links, config.bs_antennas))
        count = crb_normals(paths=config.total_paths, snapshots=frames, **antennas)
        draws["surrogate"] = rng.standard_normal((*links, count))
    return draws


def _holding_noise(config: MultiCellConfig, rng: AnySource) -> dict[str, Array]:
    """Randomness of an estimate of gains on known angles, by the fields of :class:`ChannelNoise`."""
    links = (config.cells, config.users)
    pilots = min(config.pilots, config.bs_antennas)
    return {
        "beam_pilots": complex_normal(rng, *links, 1, config.ue_antennas, pilots),
        "beam_order": rng.random((*links, config.bs_antennas)),
        "beam_phase": rng.random((*links, config.bs_antennas)),
    }


def _fading_paths(config: MultiCellConfig) -> int:
    """Paths that fade: the scattered ones, or all of them without a Rician factor."""
    return config.total_paths if config.rician_db is None else config.total_paths - 1


def _own_draws(config: MultiCellConfig, own: Callable[..., AnySource], work: Work) -> tuple[Array, Array, ChannelNoise]:
    """Blockage, arrivals and noise of a slot: what not every configuration and slot uses.

    Where the work differs from slot to slot, what is held and what every slot draws after it have generators of their
    own: a lane draws the same numbers, whatever the lanes with which it draws need.
    """
    links = (config.cells, config.users)
    noise, blockage, arrivals = NO_NOISE, REAL, REAL
    if work.holds:
        noise = noise._replace(**_holding_noise(config, own(HOLDING)))
    if not (config.blockage or config.has_queues or config.csi_nmse or work.measures):
        return blockage, arrivals, noise
    rng = own()
    if config.blockage:
        blockage = rng.random(links)
    if work.measures:
        noise = noise._replace(**_measuring_noise(config, rng))
    if config.csi_nmse or config.has_queues:
        after = own(AFTER) if ESTIMATORS[config.estimator].keeps_angles else rng
        if config.csi_nmse:
            error = complex_normal(after, *links, config.ue_antennas, config.bs_antennas)
            noise = noise._replace(error=error)
        if config.has_queues:
            arrivals = after.random(config.users)
    return blockage, arrivals, noise


def draw_innovation(config: MultiCellConfig, rng: RandomSource, work: Work) -> Innovation:
    """Randomness of one slot of one lane, or of all lanes of a device (spec multicell 8)."""
    blockage, arrivals, noise = _own_draws(config, spawn(rng), work)
    return Innovation(
        velocity=rng.standard_normal((config.users, 2)),
        los_phase=rng.standard_normal((config.cells, config.users)),
        scatter=complex_normal(rng, config.cells, config.users, _fading_paths(config)),
        blockage=blockage,
        noise=noise,
        arrivals=arrivals,
    )


def draw_innovations(config: MultiCellConfig, generators: Sequence[np.random.Generator], work: Work) -> Innovation:
    """:func:`draw_innovation` of each generator, on a leading axis: one array of normals, in the order of one lane."""
    lanes, links = len(generators), (config.cells, config.users)
    shapes = ((config.users, 2), links, (*links, 2 * _fading_paths(config)))
    ends = np.cumsum([prod(shape) for shape in shapes])
    own = spawn_lanes(generators, dtype=config.dtype)  # one number of each generator, before all others
    normals = np.empty((lanes, ends[-1]))
    for row, rng in zip(normals, generators, strict=True):
        rng.standard_normal(out=row)
    velocity, phase, scatter = (
        np.reshape(part, (lanes, *shape))
        for part, shape in zip(np.split(normals, ends[:-1], axis=1), shapes, strict=True)
    )
    blockage, arrivals, noise = _own_draws(config, own, work)
    return Innovation(
        velocity=velocity,
        los_phase=phase,
        scatter=as_complex_normal(scatter),
        blockage=_of_lanes(blockage, lanes),
        noise=tree_map(lambda leaf: _of_lanes(leaf, lanes), noise),
        arrivals=_of_lanes(arrivals, lanes),
    )


def _of_lanes(drawn: np.ndarray, lanes: int) -> np.ndarray:
    """What lanes have drawn, or what stands for randomness that nothing uses with their axis."""
    return drawn if drawn.ndim > 1 else np.zeros((lanes, 0), dtype=drawn.dtype)


def draw_initial(config: MultiCellConfig, rng: RandomSource) -> Initial:
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
        noise=_own_draws(config, spawn(rng), first_work(config))[2],
        first=draw_innovation(config, rng, first_work(config)),
    )
