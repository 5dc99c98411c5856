"""Channels of whole episodes, drawn once: they do not depend on what is allocated, queues are played anew on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from jcas_env.checks import require
from jcas_env.scenarios.multicell import MultiCell, MultiCellConfig
from jcas_env.tree import stack

from .scenes import DROPPED, SPLITS, Scenes, join


@dataclass(frozen=True, eq=False)
class Episodes:
    """Channels of many episodes of one size of network."""

    scenes: Scenes
    """Known and true problems without queues, (episodes * slots,): slot t of episode i at index i * slots + t."""
    slots: int
    """Slots of an episode."""
    equal_rate: Tensor
    """(episodes, users): data rates under equal allocation in the first slot [bit/s]."""
    config: MultiCellConfig
    """Where they come from, the first of several; what queues need of it is the same in all."""

    def __len__(self) -> int:
        return len(self.scenes) // self.slots


def draw_episodes(
    configs: Sequence[MultiCellConfig],
    count: int,
    slots: int,
    *,
    split: str = "train",
    progress: Callable[[int], None] | None = None,
) -> Episodes:
    """Play ``count`` episodes of each configuration with the zero action and keep their channels.

    As tensors of single precision. The configurations have the same numbers of users and cells; no two episodes share a
    seed. ``progress`` is called with the number of slots that are new. Queues and arrivals are left to the training.
    """
    require(split in SPLITS, f"`split` must be one of {list(SPLITS)}, got {split!r}")
    advance = (lambda _: None) if progress is None else progress
    parts = [
        _record(config, range(SPLITS[split] + k * count, SPLITS[split] + (k + 1) * count), slots, advance)
        for k, config in enumerate(configs)
    ]
    rate = torch.from_numpy(np.concatenate([rate for _, rate in parts])).to(torch.float32)
    return Episodes(join([scenes for scenes, _ in parts]).torch(torch.float32), slots, rate, configs[0])


def _record(
    config: MultiCellConfig, seeds: range, slots: int, advance: Callable[[int], None]
) -> tuple[Scenes, np.ndarray]:
    """Episodes of some seeds: scenes in the order of :attr:`Episodes.scenes`, and equal rates (seeds, users)."""
    scenario, count = MultiCell(config.with_fields({"reward": "rate", "queues": False})), len(seeds)
    generators = [np.random.default_rng(seed) for seed in seeds]
    state = scenario.sample(generators)
    rate, parts = scenario.equal_rate(state), []
    for _ in range(slots):
        problem = scenario.problem(state)
        parts.append(Scenes(problem.changed(**DROPPED), scenario.truth(state).changed(**DROPPED)))
        allocation = scenario.decode(np.zeros((count, scenario.action_size)), problem)
        innovation = stack([scenario.draw(rng, state) for rng in generators])
        state = scenario.transition(state, allocation, innovation)
        advance(count)
    # Joined slot by slot, (slots, count); wanted episode by episode.
    order = np.arange(slots * count).reshape(slots, count).T.reshape(-1)
    return join(parts).take(order), rate
