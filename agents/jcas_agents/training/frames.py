"""Training of the small policies: the mesh frame by frame, the tracking task through whole episodes."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jcas_env import MeshProblem
from jcas_env.checks import require
from jcas_env.scenarios.decoding import unit_interval
from jcas_env.scenarios.massive_mimo import MassiveMIMO, MassiveMIMOConfig
from jcas_env.scenarios.massive_mimo.action import split
from jcas_env.scenarios.mesh import Mesh, MeshConfig
from jcas_env.tree import stack, tree_map

from ..checkpoint import write_atomically
from ..data.scenes import SPLITS
from ..policies.equivariant import LOGIT_SCALE
from ..policies.sets import MeshPolicy, SetNetwork, SetShape, TrackingPolicy
from .multicell import BadGradientError, GradientTrainer, TrainingRecipe


@dataclass(frozen=True, kw_only=True)
class MeshRecipe(TrainingRecipe):
    """How the mesh's policy is trained; recorded in its card."""

    steps: int = 4000
    """Updates."""


@dataclass(frozen=True, kw_only=True)
class TrackingRecipe(TrainingRecipe):
    """How the tracking task's policy is trained; recorded in its card."""

    steps: int = 240
    """Updates, one batch of whole episodes each."""
    batch: int = 96
    """Episodes of an update."""
    warm_up: int = 10
    """Steps in which the rate grows linearly, at most a tenth of all."""


class FrameTrainer(GradientTrainer, ABC):
    """A trainer whose batches are entries of one bank; subclasses say what an entry earns."""

    policy: Any

    def __init__(
        self, kind: type[SetNetwork], size: int, recipe: TrainingRecipe, shape: SetShape | None = None
    ) -> None:
        require(size > 0, "there is nothing to train on")
        self.recipe, self.size, self.step = recipe, size, 0
        with torch.random.fork_rng():
            torch.manual_seed(recipe.seed)
            self.policy = kind(shape)
        self.optimiser = torch.optim.AdamW(self.policy.parameters(), lr=recipe.rate)

    def batch(self, step: int) -> tuple[int, np.ndarray]:
        """Bank, of which there is one, and entries of a step: a function of seed and step alone."""
        rng = np.random.default_rng([self.recipe.seed, step])
        return 0, rng.integers(self.size, size=self.recipe.batch)

    @abstractmethod
    def earned(self, index: np.ndarray) -> Tensor:
        """Training reward of some entries, (entries,)."""

    def update(self) -> float:
        """One step; returns the mean training reward. Raises :class:`BadGradientError`."""
        gain = self.earned(self.batch(self.step)[1]).mean()
        if not torch.isfinite(gain):
            raise BadGradientError(f"step {self.step}: objective {float(gain.detach())}")
        self.descend(-gain)
        return float(gain.detach())

    def save_bad_batch(self, folder: Path) -> Path:
        """Write step and entries of the current batch as JSON, and the state beside it."""
        self.save(folder / "bad-step.safetensors")
        path = folder / "bad-batch.json"
        content = {"step": self.step, "entries": self.batch(self.step)[1].tolist()}
        write_atomically(path, json.dumps(content).encode())
        return path


# ---------------------------------------------------------------- mesh


def draw_frames(config: MeshConfig, count: int, *, progress: Callable[[int], None] | None = None) -> MeshProblem:
    """First frames of the episodes of the split ``train``, a batch in double precision tensors."""
    scenario, first = Mesh(config), SPLITS["train"]
    draws = []
    for lane in range(count):
        draws.append(scenario.draw_initial(np.random.default_rng(first + lane)))
        if progress is not None:
            progress(1)
    return _problem_on_torch(scenario.problem(scenario.initial(stack(draws))))


def _problem_on_torch(problem: Any) -> Any:
    """The same problem in tensors."""
    arrays = {item.name: getattr(problem, item.name) for item in fields(problem)}
    return replace(
        problem, **{k: torch.from_numpy(np.array(v)) for k, v in arrays.items() if isinstance(v, np.ndarray)}
    )


class MeshTrainer(FrameTrainer):
    r"""Trains on frames whose subcarriers may be divided: fractions of a comb instead of whole ones.

    .. math:: n_u = n_\min + (N - U n_\min)\, \mathrm{softmax}(z)_u

    The rest is the problem's own score on its count model, penalty included.
    """

    def __init__(self, frames: MeshProblem, recipe: MeshRecipe, shape: SetShape | None = None) -> None:
        super().__init__(MeshPolicy, int(frames.distance.shape[0]), recipe, shape)
        self.frames = frames

    def earned(self, index: np.ndarray) -> Tensor:
        """Relaxed utility of some frames."""
        problem = _some(self.frames, torch.from_numpy(index))
        z = LOGIT_SCALE * self.policy.action(problem).to(problem.distance.dtype)
        slack = problem.subcarriers - problem.users * problem.least_subcarriers
        counts = problem.least_subcarriers + slack * torch.softmax(z[..., :-1], dim=-1)
        width = 1.0 - 2.0 * problem.share_min
        share = problem.share_min + width * unit_interval(z[..., -1], LOGIT_SCALE)
        model = problem.count_model
        return problem.score((model.information * counts).amin(-1), model.rate * counts, share)


def _some(problem: Any, index: Tensor) -> Any:
    """Elements of a batch; fields that are numbers stay."""
    values = {item.name: getattr(problem, item.name) for item in fields(problem)}
    lanes = {name: value for name, value in values.items() if isinstance(value, Tensor) and value.ndim}
    return replace(problem, **{name: value[index] for name, value in lanes.items()})


# ---------------------------------------------------------------- tracking


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
    return Draws(_on_torch(stack([row[0] for row in rows])), [_on_torch(frame) for frame in frames])


def _on_torch(tree: Any) -> Any:
    return tree_map(lambda leaf: torch.from_numpy(np.array(leaf)), tree)


TRACKERS = ("kalman", "one-sigma")
"""Trackers of the training episodes, in turn: the environment's own, and the one of the clairvoyant bound."""


class TrackingTrainer(FrameTrainer):
    """Trains through whole episodes: the gradient runs through the tracker's variance and the beam's error."""

    def __init__(
        self, config: MassiveMIMOConfig, draws: Draws, recipe: TrackingRecipe, shape: SetShape | None = None
    ) -> None:
        super().__init__(TrackingPolicy, len(draws), recipe, shape)
        self.draws = draws
        self.scenarios = [MassiveMIMO(config.with_fields({"tracker": tracker})) for tracker in TRACKERS]

    def earned(self, index: np.ndarray) -> Tensor:
        """Mean reward per frame of some episodes."""
        scenario, chosen = self.scenarios[self.step % len(self.scenarios)], torch.from_numpy(index)
        state = scenario.initial(tree_map(lambda leaf: leaf[chosen], self.draws.initial))
        total = torch.zeros(len(index), dtype=state.angle.dtype)
        for innovation in self.draws.innovations:
            problem = scenario.problem(state)
            allocation = split(problem, self.policy.share(problem))
            total = total + scenario.reward(state, allocation)
            state = scenario.transition(state, allocation, tree_map(lambda leaf: leaf[chosen], innovation))
        return total / len(self.draws.innovations)
