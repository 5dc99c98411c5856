"""How much an allocator leaves on the table: against the best allocation found, and against a certified bound."""

from __future__ import annotations

from collections.abc import Callable, Set
from functools import partial
from math import exp
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from jcas_env import JCASVectorEnv
from jcas_env.scenarios.scenario import Scenario

from ..jobs.crew import Crew, Tell, portions
from ..scenarios.registry import roster_of

TOGETHER = 4
"""Scenes that are searched and bounded in one call."""


class Yardstick(NamedTuple):
    """What can be earned in the first slots of some episodes by someone who knows the true channel, (scenes,) each."""

    best: np.ndarray
    """Utility of the best allocation found."""
    bound: np.ndarray
    """Certified upper bound on the utility of any allocation; inf where none is known."""

    @property
    def scenes(self) -> int:
        """Number of scenes."""
        return len(self.best)

    def report(self) -> dict[str, Any]:
        """What ``--json`` writes of it."""
        return {"scenes": self.scenes, "best_found": self.best, "bound": self.bound}


def measure(
    name: str,
    scenario: Scenario,
    *,
    seed: int,
    scenes: int,
    on_scene: Callable[[int], None],
    crew: Crew | None = None,
) -> Yardstick | None:
    """Search and bound the true slot 0 of the episodes ``seed .. seed + scenes - 1``; None without a yardstick.

    ``on_scene`` is called with the number of scenes that have been finished. A crew shares the scenes.
    """
    make = roster_of(name).for_task(scenario.config).yardstick
    if make is None or scenes == 0:
        return None
    pieces = portions(scenes, TOGETHER)
    tasks = [
        partial(searched, solver=make(), scenario=scenario, seed=seed + some[0], scenes=len(some)) for some in pieces
    ]
    if crew is None:
        parts = [task(on_scene) for task in tasks]
    else:
        answers = dict(crew.work(tasks, lambda _, count: on_scene(count)))
        parts = [answers[index].get() for index in range(len(tasks))]
    return Yardstick(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def searched(tell: Tell, *, solver: Any, scenario: Scenario, seed: int, scenes: int) -> tuple[np.ndarray, np.ndarray]:
    """Utility of the best found in some scenes, and the bound on it."""
    env = JCASVectorEnv(scenario, num_envs=scenes)
    env.reset(seed=seed)
    truth = env.truth
    solution = solver.solve(truth)
    tell(scenes)
    return np.asarray(truth.utility(solution.allocation)), np.asarray(solution.bound)


def shortfall(utility: np.ndarray, reference: np.ndarray, *, logarithmic: bool) -> float | None:
    """Share of a reference that is missed, on the mean over scenes [-].

    1 - mean u / mean reference; for a utility that is a mean of logarithms 1 - exp(mean u - mean reference), the
    share of the geometric mean. ``utility``, ``reference``: (scenes,). None where the reference is not finite, because
    no bound is known, or where its mean is not positive, of which there is no share.
    """
    if not np.isfinite(reference).all():
        return None
    mean, top = float(utility.mean()), float(reference.mean())
    if top <= 0 and not logarithmic:
        return None
    return 1.0 - (exp(mean - top) if logarithmic else mean / top)


def columns(
    yardstick: Yardstick | None, first: dict[str, np.ndarray], *, logarithmic: bool, regrouping: Set[str] = frozenset()
) -> dict[str, dict[str, Any]]:
    """Regret of each allocator to the best found, and the distance from the optimum that is certain.

    ``first``: by allocator, (episodes,), utilities of the first slots. What an allocator in the table has found counts
    as found. ``regrouping``: allocators that choose the groups, which the search and the bound keep as the
    environment made them; for these both are None, and what they found does not count.
    """
    if yardstick is None:
        return {name: {} for name in first}
    scenes, keys = yardstick.scenes, ("regret_to_best_found", "within_of_bound")
    kept = {name: utility[:scenes] for name, utility in first.items() if name not in regrouping}
    # Who plays well may find more than the search: the best found is the best of all.
    best = np.maximum.reduce([yardstick.best, *kept.values()])
    measured = {
        name: [shortfall(utility, reference, logarithmic=logarithmic) for reference in (best, yardstick.bound)]
        for name, utility in kept.items()
    }
    return {name: dict(zip(keys, measured.get(name, (None, None)), strict=True)) for name in first}


class Forecast:
    """Says what the yardstick does, and after its first scenes how long the others will take."""

    def __init__(self, scenes: int, say: Callable[[str], None]) -> None:
        self.scenes, self.done, self.say = scenes, 0, say
        self.begin = perf_counter()
        say(f"yardstick: searching and bounding the first slot of {scenes} scenes (--regret 0 leaves it out)")

    def advance(self, scenes: int) -> None:
        """Count finished scenes; estimate once, from the first of them."""
        first, self.done = self.done == 0, self.done + scenes
        if first and self.done < self.scenes:
            spent = perf_counter() - self.begin
            rest = spent * (self.scenes / self.done - 1)
            self.say(f"yardstick: {self.done} of {self.scenes} scenes took {spent:.0f} s, about {rest:.0f} s to go")
