"""A trained policy as an allocator, beside the solvers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from jcas_env import JCASEnv, JCASVectorEnv, MassiveMIMOProblem, MeshProblem, MultiCellProblem
from jcas_env.scenarios.multicell.action import decode
from jcas_env.scenarios.multicell.observation import structured

from .agent import Decision, status_of_actions
from .checkpoint import load_policy
from .policies.equivariant import LOGIT_SCALE, Parameters, action
from .policies.multicell import EquivariantPolicy, membership
from .policies.sets import MeshPolicy, TrackingPolicy

PROBLEMS: dict[str, Any] = {"multicell": MultiCellProblem, "mesh": MeshProblem, "massive-mimo": MassiveMIMOProblem}
"""What a policy decides for, by scenario."""


@dataclass(frozen=True, eq=False)
class LearnedAllocator:
    """Decides with a trained policy on the known problem; any number of users and cells."""

    policy: EquivariantPolicy | MeshPolicy | TrackingPolicy

    @classmethod
    def load(cls, path: Path | str = "multicell-rate") -> LearnedAllocator:
        """From a file, or from the name of a shipped policy; see :func:`.checkpoint.load_policy`."""
        return cls(load_policy(path))

    @cached_property
    def _arrays(self) -> Parameters:
        assert isinstance(self.policy, EquivariantPolicy)
        return self.policy.arrays()

    def allocate(self, problem: Any) -> Any:
        """Allocation for a known problem in NumPy arrays, batched.

        Raises ``TypeError`` for another problem type.
        """
        wanted = PROBLEMS[self.policy.scenario]
        if not isinstance(problem, wanted):
            raise TypeError(f"this policy decides for {wanted.__name__}, got {type(problem).__name__}")
        if not isinstance(self.policy, EquivariantPolicy):
            return self.policy.decide(problem)
        chosen = action(self._arrays, structured(problem), membership(problem))
        return decode(chosen, problem, logit_scale=LOGIT_SCALE)

    def decide(self, env: JCASEnv | JCASVectorEnv, observation: Any) -> Decision:  # noqa: ARG002 (Allocator protocol)
        """Allocation for the slot that the environment is in."""
        problem = env.problem
        batch = problem.batch
        return Decision(self.allocate(problem), np.full(batch, np.nan), status_of_actions(problem, batch))
