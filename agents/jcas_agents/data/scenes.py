"""Frozen scenes: what a policy is trained and judged on, drawn once, named and hashed.

A scene is a pair of problems, what is known and what is true. Its randomness follows from a split and an index, so
that training, validation and test scenes never share a seed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from jcas_env.checks import require
from jcas_env.scenarios.multicell import MultiCell, MultiCellConfig, MultiCellProblem
from jcas_env.tree import tree_map

from .tensors import to_torch

SPLITS = {"train": 10_000_000, "validation": 20_000_000, "test": 30_000_000}
"""First seed of each split: scene i of a split is drawn with this seed + i."""
SPLIT_SIZE = 10_000_000
"""Seeds of a split."""
DRAWN_TOGETHER = 64
"""Scenes whose physics is computed at once."""


@dataclass(frozen=True, eq=False)
class Scenes:
    """Problems of many scenes on a common leading axis."""

    known: MultiCellProblem
    """What the allocator sees."""
    truth: MultiCellProblem
    """What the air does."""

    def __len__(self) -> int:
        return int(self.known.gain.shape[0])

    def take(self, index: Any) -> Scenes:
        """Some of the scenes, by an index array or a slice."""
        return Scenes(_each(self.known, lambda a: a[index]), _each(self.truth, lambda a: a[index]))

    def torch(self, dtype: torch.dtype = torch.float64) -> Scenes:
        """The same scenes as tensors."""
        return Scenes(to_torch(self.known, dtype), to_torch(self.truth, dtype))


_SCENE_FIELDS = (
    "gain", "leakage", "sensing_gain", "cell", "group", "last_power", "weight", "queue", "csi_error",
    "arrival_rate", "arrivals", "waited",
)  # fmt: skip
"""Fields with an axis of scenes, where they are not None."""
_NUMBERS = ("power_budget", "power_floor", "band_budget", "band_floor", "positioning_share")
"""Fields that may be one number for all scenes."""
DROPPED: dict[str, Any] = {"correlation": None, "beam_channel": None, "air_channel": None}
"""What only a regrouping needs, and what a bank leaves out."""


def _each(problem: MultiCellProblem, function: Any) -> MultiCellProblem:
    """Apply a function to the fields of a problem that have a scene axis."""
    changes = {name: function(getattr(problem, name)) for name in _SCENE_FIELDS if getattr(problem, name) is not None}
    for name in _NUMBERS:
        value = getattr(problem, name)
        if np.ndim(value) == 2:
            changes[name] = function(value)
    return problem.changed(**changes)


def draw_scenes(config: MultiCellConfig, count: int, *, split: str, first: int = 0) -> Scenes:
    """Draw scenes ``first .. first + count - 1`` of a split: the first slot of an episode of each seed.

    Raises ``ValueError`` for an unknown split, or more scenes than a split holds.
    """
    require(split in SPLITS, f"`split` must be one of {list(SPLITS)}, got {split!r}")
    require(0 <= first <= first + count <= SPLIT_SIZE, f"a split holds {SPLIT_SIZE} scenes, got {first} + {count}")
    scenario, seed = MultiCell(config), SPLITS[split] + first
    parts = []
    for start in range(0, count, DRAWN_TOGETHER):
        lanes = range(seed + start, seed + min(start + DRAWN_TOGETHER, count))
        state = scenario.sample(lanes)
        parts.append(Scenes(scenario.problem(state).changed(**DROPPED), scenario.truth(state).changed(**DROPPED)))
    return join(parts)


def join(parts: Sequence[Scenes]) -> Scenes:
    """Concatenate scenes of one layout along the leading axis; numbers become one per scene."""

    def joined(side: str) -> MultiCellProblem:
        """One side of all the scenes, ``known`` or ``truth``."""
        problems = [getattr(part, side) for part in parts]
        changes = {}
        for name in _SCENE_FIELDS:
            if getattr(problems[0], name) is not None:
                changes[name] = np.concatenate([getattr(problem, name) for problem in problems])
        for name in _NUMBERS:
            values = [np.broadcast_to(getattr(p, name), (p.gain.shape[0], 1)) for p in problems]
            changes[name] = np.concatenate(values)
        return problems[0].changed(**changes)

    return Scenes(joined("known"), joined("truth"))


def digest(config: MultiCellConfig, count: int, *, split: str) -> str:
    """SHA-256 of the randomness of the first ``count`` scenes of a split: exact, whatever the rounding of a library."""
    scenario, sha = MultiCell(config), hashlib.sha256()
    for lane in range(count):
        drawn = scenario.draw_initial(np.random.default_rng(SPLITS[split] + lane))
        tree_map(lambda leaf: sha.update(np.ascontiguousarray(leaf).tobytes()), drawn)
    return sha.hexdigest()


def level(scenes: Scenes) -> float:
    """Mean of log10 of all gains and positioning factors, known and true: what the physics made of the randomness.

    1e-20, far below the noise, stands in for gains that zero forcing has made zero or mere rounding.
    """
    parts = [getattr(side, name) for side in (scenes.known, scenes.truth) for name in ("gain", "sensing_gain")]
    return float(np.mean([np.mean(np.log10(part + 1e-20)) for part in parts]))
