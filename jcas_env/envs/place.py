"""Where the lanes of a vector environment live: who draws for them, and what a caller gets of their arrays."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from gymnasium.utils import seeding

from ..checks import require
from ..scenarios.scenario import EpisodeState, Scenario
from ..tree import take
from ..types import Array
from .inputs import on_host, seed_number, seed_of


class Host:
    """Lanes in NumPy, each with its own generator: lane i seeded with s draws what ``default_rng(s + i)`` draws."""

    def __init__(self, scenario: Scenario, lanes: int) -> None:
        self.scenario = scenario
        self.lanes = lanes
        self._generators: list[np.random.Generator | None] = [None] * lanes

    # ---------------------------------------------------------------- randomness

    def seed(self, mask: np.ndarray, seed: int | list[int | None] | None) -> None:
        """Seed the generators of the lanes of a mask, which are about to be reset."""
        seeds: list[int | None] = [None] * self.lanes
        if isinstance(seed, list | tuple) or np.ndim(seed):  # type: ignore[arg-type]
            seeds = [seed_number(part) for part in seed]  # type: ignore[union-attr]
        elif seed is not None:
            first = seed_number(seed)
            seeds = [first + lane for lane in range(self.lanes)]  # type: ignore[operator]
        require(len(seeds) == self.lanes, f"`seed` must hold {self.lanes} seeds, got {len(seeds)}")
        for lane in np.flatnonzero(mask):
            if seeds[lane] is not None or self._generators[lane] is None:
                self._generators[lane], _ = seeding.np_random(seeds[lane])

    def first(self, mask: np.ndarray) -> EpisodeState:
        """First states of the lanes of a mask."""
        states: EpisodeState = self.scenario.sample([self._generator(lane) for lane in np.flatnonzero(mask)])
        return states

    def parts(self, mask: np.ndarray) -> list[np.ndarray]:
        """The lanes of a mask, as masks of as many as the scenario works on at once."""
        size = self.scenario.lanes_at_once
        if size is None or self.lanes <= size:
            return [mask]
        lanes = np.flatnonzero(mask)
        return [np.isin(np.arange(self.lanes), lanes[start : start + size]) for start in range(0, len(lanes), size)]

    def innovation(self, state: EpisodeState, mask: np.ndarray) -> Any:
        """Innovation of the lanes of a mask, after ``state`` of all lanes."""
        return self.scenario.draw_lanes([self._generator(lane) for lane in np.flatnonzero(mask).tolist()], state)

    def generators(self) -> tuple[Any, ...]:
        """What the random numbers to come follow from."""
        return tuple(self._generator(lane) for lane in range(self.lanes))

    def generator_kind(self) -> tuple[int, type]:
        """How many of them there are, and of what type."""
        return self.lanes, np.random.Generator

    def use_generators(self, generators: tuple[Any, ...]) -> None:
        """Go on from there."""
        self._generators = list(generators)

    def seeds(self) -> tuple[int, ...]:
        """Seed of every lane; -1 where it is unknown."""
        return tuple(-1 if generator is None else seed_of(generator) for generator in self._generators)

    def _generator(self, lane: int | np.integer) -> np.random.Generator:
        generator = self._generators[lane]
        if generator is None:
            generator, _ = seeding.np_random()
            self._generators[lane] = generator
        return generator

    # ---------------------------------------------------------------- arrays

    def working(self) -> AbstractContextManager[Any]:
        """Around whatever computes."""
        return nullcontext()

    def actions(self, actions: Any) -> Array:
        """A copy of a caller's actions."""
        return np.array(on_host(actions))

    def taken(self, value: Any) -> Any:
        """A part of a caller's allocation, without its gradient."""
        return on_host(value)

    def reward(self, utility: Array) -> Array:
        """Rewards for a caller."""
        return utility.astype(np.float64)

    def copy(self, value: Any) -> Array:
        """An array for a caller, who may write to it."""
        return np.array(value)

    def only(self, mask: np.ndarray, value: Array) -> Array:
        """The lanes of a mask, zeros elsewhere."""
        return self.merged(mask, value, np.zeros_like(value))

    def merged(self, mask: np.ndarray, value: Array, other: Array) -> Array:
        """The lanes of a mask from one array, and from another elsewhere."""
        return np.where(mask.reshape(-1, *(1,) * (value.ndim - 1)), value, other)

    def one(self, tree: Any, lane: int) -> Any:
        """One lane of a nest of arrays, in NumPy."""
        return take(tree, lane)
