"""Evaluation of allocators on paired scenes: the same seeds, hence the same channels, for every one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from time import process_time
from typing import Any

import numpy as np

from jcas_env import JCASEnv, JCASVectorEnv, Status
from jcas_env.scenarios.scenario import Scenario
from jcas_env.types import status_counts

from .agent import Allocator, Decision, as_allocator

LANES = 64
"""Episodes that run side by side; a good size for the caches."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Episodes of one allocator; axis 0 is the episode, whose seed is the first seed plus its index."""

    utility: np.ndarray
    """(episodes,): true utility, mean over slots."""
    metrics: dict[str, np.ndarray]
    """(episodes,) each: what the scenario's ``info`` reports, mean over users and slots, in its own unit; NaN entries
    (a user without a position, say) are left out. Where users have a ``rate``, ``p5_rate`` is its 5th percentile and
    ``jain`` Jain's index over users, mean over slots."""
    objective: np.ndarray
    """(episodes,): the allocator's own stated objective, mean over slots; NaN for a policy."""
    violation: float
    """Largest relative violation of a constraint in any slot."""
    status: dict[str, int]
    """Number of decisions by status."""
    user_rates: np.ndarray = field(repr=False)
    """(slots, episodes, users): data rates [bit/s]; no users where the scenario reports no ``rate``."""
    slot_utility: np.ndarray = field(repr=False)
    """(slots, episodes): true utility, slot by slot."""

    @property
    def episodes(self) -> int:
        """Number of episodes."""
        return len(self.utility)


def jain_index(rates: np.ndarray) -> np.ndarray:
    r"""Jain's fairness index :math:`(\sum R)^2 / (n \sum R^2)` over the last axis; 1 where all are zero."""
    square = rates.shape[-1] * np.sum(rates**2, axis=-1)
    return np.where(square > 0, np.sum(rates, axis=-1) ** 2 / np.where(square > 0, square, 1.0), 1.0)


def lane_means(info: dict[str, np.ndarray], lanes: int) -> dict[str, np.ndarray]:
    """Means (lanes,) of every entry (lanes, ...) over what it has beyond lanes, and the spread of rates over users.

    Names with an underscore in front are masks of a vector environment's ``info`` and are left out.
    """
    own = {name: value for name, value in info.items() if not name.startswith("_")}
    means = {name: np.asarray(value, dtype=float).reshape(lanes, -1) for name, value in own.items()}
    metrics = {name: finite_mean(value) for name, value in means.items()}
    if "rate" in own and own["rate"].ndim > 1:
        metrics["p5_rate"] = np.percentile(own["rate"], 5, axis=-1)
        metrics["jain"] = jain_index(own["rate"])
    return metrics


def finite_mean(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Mean along an axis without the NaN entries; NaN where there are no others."""
    known = ~np.isnan(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def rollout(
    scenario: Scenario, allocator: Allocator, *, episodes: int, seed: int, delay: int = 0
) -> Iterator[dict[str, np.ndarray]]:
    """Play whole episodes side by side, lane i seeded with ``seed + i``; yields the records of each slot.

    With a ``delay`` of d slots the allocator thinks about one decision at a time: what it begins in slot t acts from
    slot t + d on, when it begins the next one. Until the first arrives, the scenario's fallback for slot 0 is played.
    """
    env = JCASVectorEnv(scenario, num_envs=episodes, autoreset_mode="Disabled")
    observation, _ = env.reset(seed=seed)
    unknown = np.full(episodes, np.nan)
    coming = Decision(scenario.fallback(env.problem), unknown, np.full(episodes, int(Status.FEASIBLE)))
    for slot in range(scenario.horizon):
        if delay == 0:
            decision = allocator.decide(env, observation)
        elif slot % delay == 0:
            decision, coming = coming, allocator.decide(env, observation)
        observation, utility, _, _, info = env.step_allocation(decision.allocation)
        yield {
            **lane_means(info, episodes),
            "utility": utility,
            "objective": decision.objective,
            "violation": info["violation"],
            "status": decision.status,
            "user_rates": info.get("rate", np.zeros((episodes, 0))),
        }


def evaluate(
    scenario: Scenario,
    allocator: Any,
    *,
    episodes: int,
    seed: int,
    delay: int = 0,
    on_slot: Callable[[int], None] | None = None,
) -> Evaluation:
    """Evaluate an allocator on the scenes of the seeds ``seed .. seed + episodes - 1``.

    Two allocators that are evaluated with the same seeds meet the same channels, so their episodes are paired.

    Parameters
    ----------
    scenario : Scenario
    allocator : solver, policy, Allocator or model of Stable-Baselines3
        A model acts deterministically, on the observations of the form that it was trained with.
    episodes, seed : int
    delay : int, optional
        Slots by which decisions come late, see :func:`rollout`.
    on_slot : function, optional
        Called after each slot with the number of episodes that have moved on by one.

    Returns
    -------
    Evaluation
    """
    return summary(records_of(scenario, allocator, episodes=episodes, seed=seed, delay=delay, on_slot=on_slot))


def records_of(
    scenario: Scenario,
    allocator: Any,
    *,
    episodes: int,
    seed: int,
    delay: int = 0,
    on_slot: Callable[[int], None] | None = None,
) -> dict[str, np.ndarray]:
    """Records of the episodes of :func:`evaluate`, (slots, episodes, ...) each.

    Episodes are played ``LANES`` at a time. Records of consecutive pieces of so many seeds, joined along the second
    axis, are those of all of them bit for bit; other pieces to what a solver's rounding makes of its neighbours.
    """
    allocator = as_allocator(allocator)
    chunks = []
    for start in range(0, episodes, LANES):
        lanes = min(LANES, episodes - start)
        slots = []
        for record in rollout(scenario, allocator, episodes=lanes, seed=seed + start, delay=delay):
            slots.append(record)
            if on_slot is not None:
                on_slot(lanes)
        chunks.append({name: np.stack([slot[name] for slot in slots]) for name in slots[0]})
    return join_records(chunks)


def join_records(parts: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Records of consecutive seeds in one."""
    return {name: np.concatenate([part[name] for part in parts], axis=1) for name in parts[0]}


def summary(records: dict[str, np.ndarray]) -> Evaluation:
    """Evaluation of the records of :func:`records_of`."""
    records = dict(records)
    violation, status, user_rates = (records.pop(name) for name in ("violation", "status", "user_rates"))
    means = {name: finite_mean(value, axis=0) for name, value in records.items()}
    return Evaluation(
        utility=means.pop("utility"),
        objective=means.pop("objective"),
        metrics=means,
        violation=float(violation.max()),
        status=status_counts(status),
        user_rates=user_rates,
        slot_utility=records["utility"],
    )


def decision_time(scenario: Scenario, allocator: Any, *, seed: int, decisions: int = 21) -> float:
    """Median CPU time of a single decision, one scene at a time [s]; the first one, which warms up, is left out.

    CPU time is that of this process alone: a machine that others keep busy makes no decision late.
    """
    allocator = as_allocator(allocator)
    env = JCASEnv(scenario)
    observation, _ = env.reset(seed=seed)
    times = []
    for count in range(decisions + 1):
        env.problem  # noqa: B018 (made before the clock starts: posing the problem is not deciding)
        begin = process_time()
        decision = allocator.decide(env, observation)
        times.append(process_time() - begin)
        observation, _, _, truncated, _ = env.step_allocation(decision.allocation)
        if truncated:
            observation, _ = env.reset(seed=seed + count + 1)
    return float(np.median(times[1:]))
