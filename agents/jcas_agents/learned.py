"""A trained policy as an allocator, beside the solvers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from jcas_env import JCASEnv, JCASVectorEnv
from jcas_env.scenarios.multicell.observation import structured

from .agent import Decision, status_of_actions
from .checkpoint import load_policy
from .policies.policy import Policy
from .policies.stations import StationPolicy


@dataclass(frozen=True, eq=False)
class LearnedAllocator:
    """Decides with a trained policy on the known problem; any number of users and cells."""

    policy: Policy

    @classmethod
    def load(cls, path: Path | str = "multicell-rate") -> LearnedAllocator:
        """From a file, or from the name of a shipped policy; see :func:`.checkpoint.load_policy`."""
        policy = load_policy(path)
        return StationsAllocator(policy) if isinstance(policy, StationPolicy) else cls(policy)

    def allocate(self, problem: Any) -> Any:
        """Allocation for a known problem in NumPy arrays, batched.

        Raises ``TypeError`` for another problem type.
        """
        self._require_kind(problem)
        return self.policy.decide(problem)

    def _require_kind(self, problem: Any) -> None:
        wanted = self.policy.problem_type
        if not isinstance(problem, wanted):
            raise TypeError(f"this policy decides for {wanted.__name__}, got {type(problem).__name__}")

    def decide(self, env: JCASEnv | JCASVectorEnv, observation: Any) -> Decision:  # noqa: ARG002 (Allocator protocol)
        """Allocation for the slot that the environment is in."""
        problem = env.problem
        batch = problem.batch
        return Decision(self.allocate(problem), np.full(batch, np.nan), status_of_actions(problem, batch))


class Heard(NamedTuple):
    """What stations have seen in an environment."""

    state: Any
    """Where the environment stands."""
    now: dict[str, np.ndarray]
    """Observation of the network there."""
    before: dict[str, np.ndarray]
    """That of the slot in which they decided before, zeros in lanes whose episode has begun since."""


@dataclass(frozen=True, eq=False)
class StationsAllocator(LearnedAllocator):
    """Base stations that decide each from its own view, as in ``JCASParallelEnv``: others' reports come a slot later.

    What has been reported is remembered for each environment; where decisions are not made in every slot, reports are
    those of the slot in which the last one was made.
    """

    heard: WeakKeyDictionary[Any, Heard] = field(default_factory=WeakKeyDictionary, repr=False)
    """By environment."""

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy, in this process or another one, remembers nothing: it meets environments of its own."""
        return type(self), (self.policy,)

    def decide(self, env: JCASEnv | JCASVectorEnv, observation: Any) -> Decision:  # noqa: ARG002 (Allocator protocol)
        """Allocation for the slot that the environment is in."""
        problem: Any = env.problem
        policy = self.policy
        self._require_kind(problem)
        assert isinstance(policy, StationPolicy)
        batch = problem.batch
        allocation = policy.decide(problem, self._listen(env, problem))
        return Decision(allocation, np.full(batch, np.nan), status_of_actions(problem, batch))

    def _listen(self, env: Any, problem: Any) -> dict[str, np.ndarray]:
        """What has been reported; whoever asks again in the same slot is told the same."""
        last = self.heard.get(env)
        if last is not None and last.state is env.state:
            return last.before
        now = structured(problem)
        before = {name: np.zeros_like(part) for name, part in now.items()}
        if last is not None and last.now["users"].shape == now["users"].shape:
            goes_on = np.asarray(last.state.slot < env.state.slot)
            before = {name: np.where(_like(goes_on, part), part, before[name]) for name, part in last.now.items()}
        self.heard[env] = Heard(env.state, now, before)
        return before


def _like(lanes: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Flags of lanes with as many axes as what they choose."""
    return lanes.reshape(lanes.shape + (1,) * (part.ndim - lanes.ndim))
