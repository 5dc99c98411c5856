"""Allocators for a scenario of which nothing else is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jcas_agents.agent import Decision
from jcas_baselines import ADMM, GBD, SCA, EqualAllocation, Exact
from jcas_baselines.solver import Method

from jcas_env import JCASEnv, JCASVectorEnv, Status, make_scenario

from ..allocators import Roster

SOLVERS: dict[str, tuple[type[Method], str]] = {
    "equal": (EqualAllocation, "equal allocation"),
    "exact": (Exact, "global optimum of the solver's model"),
    "admm": (ADMM, "alternating direction method of multipliers"),
    "gbd": (GBD, "generalised Benders decomposition"),
    "sca": (SCA, "successive convex approximation"),
}
"""Solvers that problem types may register for."""


@dataclass(frozen=True)
class Fallback:
    """Plays what the scenario plays where nothing is feasible: every scenario has it."""

    def decide(self, env: JCASEnv | JCASVectorEnv, observation: Any) -> Decision:  # noqa: ARG002 (Allocator protocol)
        """Fallback for the slot that the environment is in."""
        lanes = (env.num_envs,) if isinstance(env, JCASVectorEnv) else ()
        allocation = env.scenario.fallback(env.problem)
        return Decision(allocation, np.full(lanes, np.nan), np.full(lanes, int(Status.FEASIBLE)))


def general_roster(scenario: str) -> Roster:
    """The fallback and the solvers that know the problem type of a registered scenario.

    Utilities are related to the equal allocation, or to the fallback where the type has none.
    """
    built = make_scenario(scenario)
    problem = built.problem(built.sample(0))
    known = {name: entry for name, entry in SOLVERS.items() if entry[0].knows(type(problem))}
    allocators: dict[str, Any] = {"fallback": (Fallback, "what the scenario plays where nothing is feasible"), **known}
    return Roster(allocators, default=tuple(allocators), reference="equal" if "equal" in known else "fallback")
