"""Episodes of an allocator, played by the actions that stand for its allocations, one environment at a time.

A row is a slot. What is recorded is what the environment paid for the *action*, so that whoever plays seed and actions
again earns the same; beside it stands what the allocation itself would have earned in that slot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from time import perf_counter
from typing import Any

import gymnasium as gym
import numpy as np
from jcas_agents.agent import as_allocator

from jcas_env.checks import require
from jcas_env.scenarios.scenario import Scenario

from ..allocators import Roster, identity
from ..files import plain

Columns = dict[str, np.ndarray]
"""Columns by name; a part of an observation or an allocation has its name after a slash."""

MEANING = {
    "observation": "what the environment shows in the slot, its own form",
    "final_observation": "what it shows after the last slot of each episode",
    "action": "action in [-1, 1] that stands for the allocation (encode_allocation)",
    "primal": "the allocation itself, in physical units",
    "reward": "what the environment paid for the action",
    "utility": "what the allocation itself would have earned; less `reward`, what encoding it loses",
    "objective": "value of the allocator's own stated model; NaN for a policy",
    "bound": "certified upper bound on the utility of any allocation in the slot; NaN where none was asked for",
    "status": "code of the allocator's status",
    "time": "wall time of the decision [s]",
    "seed": "seed of the episode",
    "slot": "slot of the episode",
    "terminated": "whether the episode has ended by itself: never",
    "truncated": "whether the slot is the last of its episode",
}
"""What columns hold."""


@dataclass(frozen=True)
class Recording:
    """What is recorded: whose decisions, on which networks."""

    name: str
    """Name of the scenario."""
    scenario: Scenario
    who: str
    """Name of the allocator."""
    allocator: Any
    roster: Roster
    """Allocators of the task."""
    seed: int
    """Episode i is drawn with seed + i."""
    bound: bool = False
    """Whether every slot is bounded, too."""

    def __post_init__(self) -> None:
        require(self.environment_id in gym.registry, f"{self.name} is no registered environment: {self.environment_id}")
        require(
            hasattr(self.scenario, "encode_allocation"),
            f"{self.name} has no actions that stand for allocations: its scenario needs `encode_allocation`",
        )
        again = type(self.scenario.config)().with_fields(self.fields)
        require(again == self.scenario.config, f"the configuration cannot be written down: {self.fields}")
        known = not self.bound or self.roster.yardstick is not None
        require(known, f"`--bound`: no bound is known for this task of {self.name}")

    @property
    def environment_id(self) -> str:
        """Name under which the environment is registered."""
        return f"jcas/{type(self.scenario).__name__}-v0"

    @property
    def fields(self) -> dict[str, Any]:
        """Fields of the configuration that are not as by default, in what JSON knows."""
        config = self.scenario.config
        default = asdict(type(config)())
        return {name: plain(value) for name, value in asdict(config).items() if value != default[name]}

    @property
    def made_by(self) -> dict[str, Any]:
        """What all episodes have in common."""
        return {
            "scenario": self.name,
            "config": plain(asdict(self.scenario.config)),
            "allocator": identity(self.allocator),
            "seed": self.seed,
            "bound": self.bound,
        }

    def environment(self) -> gym.Env:
        """The registered environment; without the checker, which reads all of ``info`` once an environment."""
        limit = self.scenario.horizon
        return gym.make(self.environment_id, max_episode_steps=limit, disable_env_checker=True, **self.fields)

    @cached_property
    def yardstick(self) -> Any:
        """Solver that bounds a slot; None where nobody asked."""
        return None if not self.bound or self.roster.yardstick is None else self.roster.yardstick()


def record_episode(recording: Recording, episode: int, *, slots: int | None = None) -> Columns:
    """Play one episode, or its first slots; columns of (slots, ...), observations of one more."""
    env, allocator = recording.environment(), as_allocator(recording.allocator)
    core: Any = env.unwrapped
    observation, _ = env.reset(seed=recording.seed + episode)
    rows: list[dict[str, Any]] = []
    seen = [observation]
    for _ in range(recording.scenario.horizon if slots is None else slots):
        problem, truth = core.problem, core.truth
        begin = perf_counter()
        decision = allocator.decide(core, observation)
        seconds = perf_counter() - begin
        encoded = recording.scenario.encode_allocation(decision.allocation, problem)  # type: ignore[attr-defined]
        action = np.asarray(encoded, dtype=np.float32)
        bound = np.nan if recording.yardstick is None else float(recording.yardstick.solve(truth).bound)
        utility = float(truth.utility(decision.allocation))
        observation, reward, terminated, truncated, _ = env.step(action)
        seen.append(observation)
        rows.append({
            "action": action, "reward": float(reward), "utility": utility, "objective": float(decision.objective),
            "bound": bound, "status": int(decision.status), "time": seconds, "terminated": terminated,
            "truncated": truncated, **_parts("primal", decision.allocation._asdict()),
        })  # fmt: skip
    env.close()
    return {**_stacked([_parts("observation", view) for view in seen]), **_stacked(rows)}


def _parts(name: str, value: Any) -> dict[str, Any]:
    """A column, or one for each part of a mapping; parts that an allocation leaves out are not there."""
    if not isinstance(value, Mapping):
        return {name: value}
    return {f"{name}/{part}": inner for part, inner in value.items() if inner is not None}


def _stacked(rows: list[dict[str, Any]]) -> Columns:
    return {name: np.stack([np.asarray(row[name]) for row in rows]) for name in rows[0]}


def joined(recording: Recording, episodes: list[Columns]) -> Columns:
    """Columns of all slots of all episodes, one row a slot, and ``final_observation``, one row an episode."""
    table: Columns = {}
    for name in episodes[0]:
        parts = [episode[name] for episode in episodes]
        kind, _, part = name.partition("/")
        if kind == "observation":
            table["/".join(["final_observation", *filter(None, [part])])] = np.stack([whole[-1] for whole in parts])
            parts = [whole[:-1] for whole in parts]
        table[name] = np.concatenate(parts)
    slots = recording.scenario.horizon
    table["seed"] = np.repeat(recording.seed + np.arange(len(episodes)), slots)
    table["slot"] = np.tile(np.arange(slots), len(episodes))
    return table


def try_first_slot(recording: Recording) -> None:
    """Decide once, before the work: what cannot be recorded is refused with what the allocator says of it."""
    record_episode(recording, 0, slots=1)


def play_all(
    recording: Recording, episodes: int, *, done: Callable[[int], bool], keep: Callable[[int, Columns], None]
) -> None:
    """Record the episodes that are not ``done``, and ``keep`` each."""
    for episode in range(episodes):
        if not done(episode):
            keep(episode, record_episode(recording, episode))
