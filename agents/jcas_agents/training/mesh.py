"""Training of the mesh's policy, frame by frame, through a relaxation of its subcarriers (spec learning 4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jcas_env import MeshProblem
from jcas_env.scenarios.decoding import unit_interval
from jcas_env.scenarios.mesh import Mesh, MeshConfig
from jcas_env.tree import stack

from ..data.scenes import SPLITS
from ..data.tensors import to_torch
from ..policies.mesh import MeshPolicy
from ..policies.policy import LOGIT_SCALE
from ..policies.sets import SetShape
from .frames import FrameTrainer
from .trainer import TrainingRecipe, new_policy


@dataclass(frozen=True, kw_only=True)
class MeshRecipe(TrainingRecipe):
    """How the mesh's policy is trained; recorded in its card."""

    steps: int = 4000
    """Updates."""


def draw_frames(config: MeshConfig, count: int, *, progress: Callable[[int], None] | None = None) -> MeshProblem:
    """First frames of the episodes of the split ``train``, a batch in double precision tensors."""
    scenario, first = Mesh(config), SPLITS["train"]
    draws = []
    for lane in range(count):
        draws.append(scenario.draw_initial(np.random.default_rng(first + lane)))
        if progress is not None:
            progress(1)
    return to_torch(scenario.problem(scenario.initial(stack(draws))))


class MeshTrainer(FrameTrainer):
    r"""Trains on frames whose subcarriers may be divided: fractions of a comb instead of whole ones.

    .. math:: n_u = n_\min + (N - U n_\min)\, \mathrm{softmax}(z)_u

    The rest is the problem's own score on its count model, penalty included: whole counts would have no gradient.
    """

    policy: MeshPolicy

    def __init__(self, frames: MeshProblem, recipe: MeshRecipe, shape: SetShape | None = None) -> None:
        super().__init__(new_policy(MeshPolicy, shape, recipe.seed), int(frames.distance.shape[0]), recipe)
        self.frames = frames

    def earned(self, index: np.ndarray) -> Tensor:
        """Relaxed utility of some frames."""
        problem = _some(self.frames, torch.from_numpy(index))
        z = LOGIT_SCALE * self.policy.action_for(problem).to(problem.distance.dtype)
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
    return problem.changed(**{name: value[index] for name, value in lanes.items()})
