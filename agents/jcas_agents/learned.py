"""A trained policy as an allocator, beside the solvers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jcas_env import JCASEnv, JCASVectorEnv

from .agent import Decision, status_of_actions
from .checkpoint import load_policy
from .policies.policy import Policy


@dataclass(frozen=True, eq=False)
class LearnedAllocator:
    """Decides with a trained policy on the known problem; any number of users and cells."""

    policy: Policy

    @classmethod
    def load(cls, path: Path | str = "multicell-rate") -> LearnedAllocator:
        """From a file, or from the name of a shipped policy; see :func:`.checkpoint.load_policy`."""
        return cls(load_policy(path))

    def allocate(self, problem: Any) -> Any:
        """Allocation for a known problem in NumPy arrays, batched.

        Raises ``TypeError`` for another problem type.
        """
        wanted = self.policy.problem_type
        if not isinstance(problem, wanted):
            raise TypeError(f"this policy decides for {wanted.__name__}, got {type(problem).__name__}")
        return self.policy.decide(problem)

    def decide(self, env: JCASEnv | JCASVectorEnv, observation: Any) -> Decision:  # noqa: ARG002 (Allocator protocol)
        """Allocation for the slot that the environment is in."""
        problem = env.problem
        batch = problem.batch
        return Decision(self.allocate(problem), np.full(batch, np.nan), status_of_actions(problem, batch))
