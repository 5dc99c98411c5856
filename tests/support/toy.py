"""A scenario of somebody else's: users share the power of one station on channels that fade anew in every slot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from jcas_env.scenarios.configuration import Configuration
from jcas_env.scenarios.scenario import ArraySpec


@dataclass(frozen=True)
class ToyConfig(Configuration):
    horizon: int = 5
    users: int = 3


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

    def rate(self, allocation):
        return np.log1p(self.gain * allocation.power)

    def utility(self, allocation):
        return self.rate(allocation).sum(axis=-1)

    def violation(self, allocation):
        return np.maximum(allocation.power.sum(axis=-1) - 1.0, 0.0)


class Toy:
    name = "toy"

    def __init__(self, config=None):
        self.config = config or ToyConfig()
        self.horizon, self.action_size = self.config.horizon, self.config.users
        self.observation_spec = ArraySpec((self.config.users,), 0.0, 100.0)

    def draw_initial(self, rng):
        return rng.exponential(size=self.config.users)

    def draw(self, rng, state):
        return self.draw_initial(rng)

    def initial(self, draws):
        return ToyState(draws, np.zeros(draws.shape[:-1], dtype=int))

    def transition(self, state, allocation, innovation):
        return ToyState(innovation, state.slot + 1)

    def observation(self, state):
        return state.gain

    def problem(self, state):
        return ToyProblem(state.gain)

    truth = problem

    def outcome(self, state, allocation):
        problem = self.truth(state)
        return ToyOutcome(problem.rate(allocation), problem.utility(allocation), problem.violation(allocation))

    def reward(self, state, allocation):
        return self.truth(state).utility(allocation)

    def info(self, outcome):
        return outcome._asdict()

    def decode(self, action, problem):
        share = np.exp(action)
        return ToyAllocation(share / share.sum(axis=-1, keepdims=True))

    def encode_allocation(self, allocation, problem):
        return np.clip(np.log(allocation.power), -1.0, 1.0)

    def fallback(self, problem):
        return ToyAllocation(np.full(problem.gain.shape, 1.0 / problem.gain.shape[-1]))

    def check_allocation(self, allocation, problem):
        return allocation
