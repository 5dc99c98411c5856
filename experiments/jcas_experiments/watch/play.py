"""Allocators on the same network, slot by slot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jcas_agents.agent import as_allocator

from jcas_env import JCASEnv
from jcas_env.scenarios.scenario import Scenario

from ..views import Column, View

UTILITY = "utility"
"""Name of the first curve."""


@dataclass
class Player:
    """One allocator in an environment of its own, and what it has earned so far in the episode."""

    name: str
    allocator: Any
    env: JCASEnv
    columns: list[Column]
    curves: dict[str, list[float]] = field(default_factory=dict)
    """By name: one number a slot."""
    observation: Any = None
    picture: np.ndarray | None = None
    """The last frame, (height, width, 3) uint8."""

    def begin(self, seed: int) -> None:
        """Enter the network of a seed."""
        self.observation, _ = self.env.reset(seed=seed)
        self.curves = {name: [] for name in (UTILITY, *(column.key for column in self.columns))}
        self._draw()

    def advance(self) -> bool:
        """Decide, transmit, draw; returns whether the episode has ended."""
        decision = as_allocator(self.allocator).decide(self.env, self.observation)
        self.observation, utility, _, ended, info = self.env.step_allocation(decision.allocation)
        self.curves[UTILITY].append(utility)
        for column in self.columns:
            self.curves[column.key].append(column.scale * float(np.mean(info[column.metric])))
        self._draw()
        return ended

    def _draw(self) -> None:
        self.picture = self.env.render()


def players_of(scenario: Scenario, view: View, allocators: Mapping[str, Any]) -> list[Player]:
    """A player for each allocator; curves are the view's columns that a slot has."""
    env = JCASEnv(scenario)
    _, info = env.reset(seed=0)
    columns = [column for column in view.columns if column.metric in info and column.over is None][:3]
    return [
        Player(name, allocator, JCASEnv(scenario, render_mode="rgb_array"), columns)
        for name, allocator in allocators.items()
    ]


def episode(players: list[Player], seed: int, slots: int) -> Iterator[int]:
    """Play so many slots of the network of a seed, at most an episode; yields the number of slots played: 0, 1, ..."""
    for player in players:
        player.begin(seed)
    yield 0
    for slot in range(1, slots + 1):
        ended = [player.advance() for player in players]
        yield slot
        if any(ended):
            return
