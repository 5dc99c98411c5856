"""A scenario of somebody else's: users share the power of one station on channels that fade anew in every slot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jcas_baselines import EqualAllocation, Solution

from jcas_env.render.scene import scene
from jcas_env.scenarios.configuration import Configuration
from jcas_env.scenarios.scenario import ArraySpec, Problem, RateOutcome, ScenarioBase


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


@dataclass(frozen=True)
class ToyProblem(Problem):
    gain: np.ndarray

    @property
    def batch(self):
        return self.gain.shape[:-1]

    def outcome(self, allocation):
        rate = np.log1p(self.gain * allocation.power)
        excess = allocation.power.sum(axis=-1) - 1.0
        return RateOutcome(rate, rate.sum(axis=-1), np.maximum(excess, 0.0))

    def check_allocation(self, allocation):
        return allocation


class Toy(ScenarioBase):
    name = "toy"

    def __init__(self, config=None):
        self.config = config or ToyConfig()
        self.action_size = self.config.users
        self.observation_spec = ArraySpec((self.config.users,), 0.0, 100.0)

    def _draw_initial(self, rng, state=None):
        return rng.exponential(size=self.config.users)

    _draw = _draw_initial

    def initial(self, draws):
        return ToyState(draws, np.zeros(draws.shape[:-1], dtype=int))

    def transition(self, state, allocation, innovation, truth=None):
        return ToyState(innovation, state.slot + 1)

    def problem(self, state):
        return ToyProblem(state.gain)

    def _observe(self, state, problem):
        return problem.gain.astype(np.float32)

    def decode(self, action, problem):
        share = np.exp(action)
        return ToyAllocation(share / share.sum(axis=-1, keepdims=True))

    @staticmethod
    def fallback(problem):
        return ToyAllocation(np.full_like(problem.gain, 1.0 / problem.gain.shape[-1]))


@EqualAllocation.register(ToyProblem)
def _(problem, method):
    allocation = Toy.fallback(problem)
    return Solution.unproven(allocation, problem.utility(allocation), {})


@scene.register
def _(scenario: Toy, figure, state, allocation=None):
    figure.subplots().bar(range(scenario.config.users), state.gain)
