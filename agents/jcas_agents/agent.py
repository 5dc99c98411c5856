"""Allocators as agents: what decides for an environment, whether it solves problems or maps observations to actions.

A solver (``solve(problem) -> Solution``) and a policy (``act(observation) -> action``) become the same thing here:
something that decides an allocation for every lane of an environment. :mod:`.evaluation` treats them alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from inspect import signature
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from jcas_env import JCASEnv, JCASVectorEnv, Status
from jcas_env.checks import require
from jcas_env.tree import put, take


class Decision(NamedTuple):
    """What an allocator has decided for an environment."""

    allocation: Any
    """Allocation of the scenario's type."""
    objective: np.ndarray
    """(...,): value of the allocator's stated model; NaN for a policy."""
    status: np.ndarray
    """(...,) integer: :class:`jcas_env.Status`."""


@runtime_checkable
class SolverLike(Protocol):
    """A solver, by structure: this package does not import ``jcas_baselines``."""

    def solve(self, problem: Any) -> Any:
        """Return an object with ``allocation``, ``objective`` and ``status``."""
        ...


@runtime_checkable
class Agent(Protocol):
    """A policy: maps an observation to an action in [-1, 1]."""

    def act(self, observation: Any) -> Any:
        """Action for an observation, with the same leading axes."""
        ...


@runtime_checkable
class Model(Protocol):
    """A trained model of Stable-Baselines3 or alike, by structure."""

    def predict(self, observation: Any, *, deterministic: bool) -> tuple[Any, Any]:
        """Action for observations with or without a leading axis, and the state of a recurrent network or None."""
        ...


class Allocator(Protocol):
    """Decides for a single environment or for all lanes of a vector environment."""

    def decide(self, env: JCASEnv | JCASVectorEnv, observation: Any) -> Decision:
        """Allocation for the slot that the environment is in."""
        ...


@dataclass(frozen=True)
class SolverAgent:
    """Plays a solver's allocation; where a solver finds nothing feasible, the scenario's fallback."""

    solver: SolverLike

    def decide(self, env: JCASEnv | JCASVectorEnv, observation: Any) -> Decision:  # noqa: ARG002
        """Solve the known problem of the slot."""
        problem = env.problem
        solution = self.solver.solve(problem)
        allocation, lost = solution.allocation, np.asarray(solution.status) == Status.INFEASIBLE
        if lost.all():
            allocation = env.scenario.fallback(problem)
        elif lost.any():
            allocation = put(allocation, lost, take(env.scenario.fallback(problem), lost))
        return Decision(allocation, np.asarray(solution.objective), np.asarray(solution.status))


def status_of_actions(problem: Any, batch: tuple[int, ...]) -> np.ndarray:
    """Status of decoded actions, (...,): FEASIBLE by construction; INFEASIBLE where the scene lacks subcarriers.

    There no allocation is feasible, and the decoder plays the fallback whatever the action.
    """
    short = getattr(problem, "short_of_subcarriers", None)
    lost = np.zeros(batch, dtype=bool) if short is None else np.broadcast_to(np.asarray(short).any(axis=-1), batch)
    return np.where(lost, int(Status.INFEASIBLE), int(Status.FEASIBLE))


@dataclass(frozen=True)
class PolicyAgent:
    """Plays the action of a policy."""

    policy: Agent

    def decide(self, env: JCASEnv | JCASVectorEnv, observation: Any) -> Decision:
        """Decode the policy's action."""
        allocation = env.scenario.decode(self.policy.act(observation), env.problem)
        lanes = allocation[0].shape[:1] if isinstance(env, JCASVectorEnv) else ()
        return Decision(allocation, np.full(lanes, np.nan), status_of_actions(env.problem, lanes))


@dataclass(frozen=True)
class ModelPolicy:
    """The deterministic action of a model; ``ValueError`` for a recurrent one, whose state nobody would keep."""

    model: Model

    def act(self, observation: Any) -> Any:
        """Action for an observation, with the same leading axes."""
        action, state = self.model.predict(observation, deterministic=True)
        require(state is None, f"a recurrent model keeps a state and cannot be evaluated here, got {self.model!r}")
        return action


def as_allocator(candidate: Any) -> Allocator:
    """Wrap a solver, a policy or a model; raises ``TypeError`` for anything that does none of what they do."""
    if _decides_for_an_environment(candidate):
        return candidate
    if isinstance(candidate, SolverLike):
        return SolverAgent(candidate)
    if isinstance(candidate, Agent):
        return PolicyAgent(candidate)
    if isinstance(candidate, Model):
        return PolicyAgent(ModelPolicy(candidate))
    raise TypeError(
        "an allocator has `solve(problem)`, `act(observation)`, `decide(env, observation)` or, as models of "
        f"Stable-Baselines3, `predict(observation)`, got {candidate!r}"
    )


def _decides_for_an_environment(candidate: Any) -> bool:
    """Whether ``decide`` takes an environment and an observation; that of a policy takes a known problem alone."""
    decide = getattr(candidate, "decide", None)
    return decide is not None and len(signature(decide).parameters) > 1
