"""Training of the tracking task's policy through whole episodes (spec learning 4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jcas_env.scenarios.massive_mimo import MassiveMIMO, MassiveMIMOConfig
from jcas_env.scenarios.massive_mimo.action import split
from jcas_env.tree import stack, take

from ..data.scenes import SPLITS
from ..data.tensors import to_torch
from ..policies.sets import SetShape
from ..policies.tracking import TrackingPolicy
from .frames import FrameTrainer
from .trainer import TrainingRecipe, finite, new_policy

TRACKERS = ("kalman", "one-sigma")
"""Trackers of the training episodes, in turn: the environment's own, and the one of the clairvoyant bound."""


@dataclass(frozen=True, kw_only=True)
class TrackingRecipe(TrainingRecipe):
    """How the tracking task's policy is trained; recorded in its card."""

    steps: int = 240
    """Updates, one batch of whole episodes each."""
    batch: int = 96
    """Episodes of an update."""
    warm_up: int = 10
    """Steps in which the rate grows linearly, at most a tenth of all."""


@dataclass(frozen=True, eq=False)
class Draws:
    """All randomness of many episodes of the tracking task, tensors with a leading (episodes,) axis."""

    initial: Any
    """Of the reset."""
    innovations: Sequence[Any]
    """Of each frame."""

    def __len__(self) -> int:
        return int(self.initial.angle.shape[0])


def draw_tracking(config: MassiveMIMOConfig, count: int, *, progress: Callable[[int], None] | None = None) -> Draws:
    """Randomness of the first episodes of the split ``train``."""
    scenario, rows = MassiveMIMO(config), []
    for lane in range(count):
        rng = np.random.default_rng(SPLITS["train"] + lane)
        initial = scenario.draw_initial(rng)
        state = scenario.initial(initial)
        rows.append((initial, [scenario.draw(rng, state) for _ in range(scenario.horizon)]))
        if progress is not None:
            progress(1)
    frames = [stack([row[1][frame] for row in rows]) for frame in range(scenario.horizon)]
    return Draws(to_torch(stack([row[0] for row in rows])), [to_torch(frame) for frame in frames])


class TrackingTrainer(FrameTrainer):
    """Trains through whole episodes: the gradient runs through the tracker's variance and the beam's error.

    What is sensed now is paid now and helps the frames that follow, which the reward of a single frame does not see.
    """

    policy: TrackingPolicy

    def __init__(
        self, config: MassiveMIMOConfig, draws: Draws, recipe: TrackingRecipe, shape: SetShape | None = None
    ) -> None:
        super().__init__(new_policy(TrackingPolicy, shape, recipe.seed), len(draws), recipe)
        self.draws = draws
        self.scenarios = [MassiveMIMO(config.with_fields({"tracker": tracker})) for tracker in TRACKERS]

    def earned(self, index: np.ndarray) -> Tensor:
        """Mean reward per frame of some episodes."""
        scenario, chosen = self.scenarios[self.step % len(self.scenarios)], torch.from_numpy(index)
        state = scenario.initial(take(self.draws.initial, chosen))
        total = torch.zeros(len(index), dtype=state.angle.dtype)
        for innovation in self.draws.innovations:
            problem = scenario.problem(state)
            allocation = split(problem, finite(self.policy.share_for(problem)))
            total = total + scenario.reward(state, allocation)
            state = scenario.transition(state, allocation, take(innovation, chosen))
        return total / len(self.draws.innovations)
