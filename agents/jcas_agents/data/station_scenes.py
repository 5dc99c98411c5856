"""Scenes as base stations see them: each its own cell, and what the others reported one slot earlier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from jcas_env.checks import require
from jcas_env.scenarios.multicell import MultiCell, MultiCellConfig
from jcas_env.scenarios.multicell.local import local_views
from jcas_env.scenarios.multicell.observation import structured
from jcas_env.tree import stack

from .scenes import DRAWN_TOGETHER, DROPPED, SPLITS, Scenes, join


@dataclass(frozen=True, eq=False)
class StationScenes(Scenes):
    """Scenes, and what every station sees of them."""

    views: dict[str, Any]
    """See :func:`jcas_env.scenarios.multicell.local.local_views`; (scenes, cells, ...) each."""

    def take(self, index: Any) -> StationScenes:
        """Some of the scenes, by an index array or a slice."""
        some = super().take(index)
        return StationScenes(some.known, some.truth, {name: part[index] for name, part in self.views.items()})

    def torch(self, dtype: torch.dtype = torch.float64) -> StationScenes:
        """The same scenes as tensors; views stay in single precision."""
        some = super().torch(dtype)
        return StationScenes(some.known, some.truth, {n: torch.from_numpy(v) for n, v in self.views.items()})


def draw_station_scenes(
    config: MultiCellConfig,
    count: int,
    slots: int,
    *,
    split: str,
    first: int = 0,
) -> StationScenes:
    """The first ``slots`` slots of the episodes ``first .. first + count - 1`` of a split, each a scene.

    They are played at equal allocation with a random positioning share, which the next slot reports. In the first slot
    nobody has reported.
    """
    require(split in SPLITS, f"`split` must be one of {list(SPLITS)}, got {split!r}")
    seed = SPLITS[split] + first
    starts = range(0, count, DRAWN_TOGETHER)
    lanes = [range(seed + start, seed + min(start + DRAWN_TOGETHER, count)) for start in starts]
    parts = [part for some in lanes for part in _played(MultiCell(config), some, slots)]
    return joined(parts)


def _played(scenario: MultiCell, seeds: range, slots: int) -> list[StationScenes]:
    """Slot after slot of some episodes."""
    generators = [np.random.default_rng(seed) for seed in seeds]
    state, before = scenario.sample(generators), None
    parts = []
    for slot in range(slots):
        problem = scenario.problem(state)
        now = structured(problem)
        told = {name: np.zeros_like(part) for name, part in now.items()} if before is None else before
        known, truth = (side.changed(**DROPPED) for side in (problem, scenario.truth(state)))
        parts.append(StationScenes(known, truth, local_views(now, told)))
        if slot + 1 < slots:
            action = np.zeros((len(seeds), scenario.action_size))
            action[:, -problem.cells :] = [rng.uniform(-1.0, 1.0, problem.cells) for rng in generators]
            innovation = stack([scenario.draw(rng, state) for rng in generators])
            state, before = scenario.transition(state, scenario.decode(action, problem), innovation), now
    return parts


def joined(parts: Sequence[StationScenes]) -> StationScenes:
    """Concatenate scenes of one layout along the leading axis."""
    scenes = join(parts)
    views = {name: np.concatenate([part.views[name] for part in parts]) for name in parts[0].views}
    return StationScenes(scenes.known, scenes.truth, views)
