"""A trained policy as an allocator, beside the solvers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from jcas_env import JCASEnv, JCASVectorEnv, Status
from jcas_env.scenarios.multicell import MultiCellProblem
from jcas_env.scenarios.multicell.action import decode
from jcas_env.scenarios.multicell.observation import structured

from .agent import Decision
from .checkpoint import load_policy
from .networks import LOGIT_SCALE, EquivariantPolicy


@dataclass(frozen=True, eq=False)
class LearnedAllocator:
    """Decides with an :class:`EquivariantPolicy` on the known problem; any number of users and cells."""

    policy: EquivariantPolicy

    @classmethod
    def load(cls, path: Path | str = "multicell-rate") -> LearnedAllocator:
        """From a file, or from the name of a shipped policy; see :func:`.checkpoint.load_policy`."""
        return cls(load_policy(path))

    def allocate(self, problem: MultiCellProblem) -> Any:
        """Allocation for a known problem in NumPy arrays, batched.

        Raises ``TypeError`` for another problem type.
        """
        if not isinstance(problem, MultiCellProblem):
            raise TypeError(f"this policy decides for MultiCellProblem, got {type(problem).__name__}")
        seen = {name: torch.from_numpy(np.asarray(value)) for name, value in structured(problem).items()}
        seen = {name: value.to(torch.float32) for name, value in seen.items()}
        members = torch.from_numpy(np.arange(problem.cells)[:, None] == problem.cell[..., None, :])
        with torch.inference_mode():
            action = self.policy(seen, members.to(torch.float32)).numpy()
        return decode(action, problem, logit_scale=LOGIT_SCALE)

    def decide(self, env: JCASEnv | JCASVectorEnv, observation: Any) -> Decision:  # noqa: ARG002 (Allocator protocol)
        """Allocation for the slot that the environment is in."""
        problem = env.problem
        batch = problem.batch
        return Decision(self.allocate(problem), np.full(batch, np.nan), np.full(batch, int(Status.FEASIBLE)))
