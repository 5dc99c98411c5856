"""Policy of the mesh: subcarriers and positioning share of a frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jcas_env import MeshAllocation, MeshProblem
from jcas_env.scenarios.mesh.action import decode
from jcas_env.scenarios.mesh.observation import FEATURES, FRAME_FEATURES, structured

from .policy import LOGIT_SCALE
from .sets import SetNetwork


class MeshPolicy(SetNetwork):
    """Logits of the users' bands and of the positioning share; the zero output is the scenario's zero action."""

    scenario = "mesh"
    problem_type = MeshProblem
    user_features = FEATURES
    frame_features = FRAME_FEATURES

    def action_for(self, problem: MeshProblem) -> Tensor:
        """Action for a known problem in torch arrays, with its gradient, (..., users + 1)."""
        seen = structured(problem)
        return _action(*self(seen["users"], seen["frame"]))

    def act(self, observation: Mapping[str, Any]) -> np.ndarray:
        """Action (..., users + 1) for ``users`` (..., users, 6) and ``frame`` (..., 2) as the environment has them."""
        return _action(*self.read(observation)).numpy()

    def decide(self, problem: MeshProblem) -> MeshAllocation:
        """Whole subcarriers for a known problem in NumPy arrays."""
        return decode(self.act(structured(problem)), problem, logit_scale=LOGIT_SCALE)


def _action(users: Tensor, frame: Tensor) -> Tensor:
    """Outputs of the network, (..., users) and (...,) logits, as an action."""
    return torch.tanh(torch.cat([users, frame[..., None]], dim=-1) / LOGIT_SCALE)
