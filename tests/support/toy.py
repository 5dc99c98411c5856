"""A scenario of somebody else's: users share the power of one station on channels that fade anew in every slot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jcas_baselines import EqualAllocation, Solution

from jcas_env import Status
from jcas_env.render.scene import scene
from jcas_env.scenarios.configuration import Configuration
from jcas_env.scenarios.scenario import ArraySpec, ScenarioBase


@dataclass(frozen=True)
class ToyConfig(Configuration):
    horizon: int = 5
    users: int = 3
    dtype: str = "float64"


class ToyState(NamedTuple):
    gain: np.ndarray  # (..., users)
    slot: np.ndarray  # (...,)


class ToyAllocation(NamedTuple):
    power: np.ndarray  # (..., users), at most one in total


class ToyOutcome(NamedTuple):
    rate: np.ndarray
    utility: np.ndarray
    violation: np.ndarray


@dataclass(frozen=True)
class ToyProblem:
    gain: np.ndarray

    @property
    def batch(self):
        return self.gain.shape[:-1]

    def utility(self, allocation):
        return np.log1p(self.gain * allocation.power).sum(axis=-1)

    def violation(self, allocation):
        return np.maximum(allocation.power.sum(axis=-1) - 1.0, 0.0)

    def outcome(self, allocation):
        rate = np.log1p(self.gain * allocation.power)
        return ToyOutcome(rate, self.utility(allocation), self.violation(allocation))

    def check_allocation(self, allocation):
        return allocation


class Toy(ScenarioBase):
    name = "toy"
    truth_is_known = True

    def __init__(self, config=None):
        self.config = config or ToyConfig()
        self.action_size = self.config.users
        self.observation_spec = ArraySpec((self.config.users,), 0.0, 100.0)

    def _draw_initial(self, rng):
        return rng.exponential(size=self.config.users)

    def _draw(self, rng, state):
        return self._draw_initial(rng)

    def initial(self, draws):
        return ToyState(draws, np.zeros(draws.shape[:-1], dtype=int))

    def transition(self, state, allocation, innovation, truth=None):
        return ToyState(innovation, state.slot + 1)

    def problem(self, state):
        return ToyProblem(state.gain)

    truth = problem

    def _observe(self, state, problem):
        return problem.gain.astype(np.float32)

    def decode(self, action, problem):
        share = np.exp(action)
        return ToyAllocation(share / share.sum(axis=-1, keepdims=True))

    def encode_allocation(self, allocation, problem):
        return np.clip(np.log(allocation.power), -1.0, 1.0)

    def fallback(self, problem):
        return ToyAllocation(np.full(problem.gain.shape, 1.0 / problem.gain.shape[-1]))


@EqualAllocation.register(ToyProblem)
def _(problem, method):
    allocation = ToyAllocation(np.full(problem.gain.shape, 1.0 / problem.gain.shape[-1]))
    code = np.full(problem.batch, int(Status.FEASIBLE))
    return Solution(allocation, problem.utility(allocation), np.full(problem.batch, np.inf), code, 0 * code)


@scene.register
def _(scenario: Toy, figure, state, allocation=None):
    figure.subplots().bar(range(scenario.config.users), state.gain)
