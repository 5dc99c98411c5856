"""How much an allocator leaves on the table: against the best allocation found, and against a certified bound."""

from __future__ import annotations

from collections.abc import Callable
from math import exp
from typing import Any, NamedTuple

import numpy as np

from jcas_env import JCASVectorEnv
from jcas_env.scenarios.scenario import Scenario

from .allocators import ROSTERS

TOGETHER = 4
"""Scenes that are searched in one call."""


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
    name: str, scenario: Scenario, *, seed: int, scenes: int, on_scene: Callable[[int], None]
) -> Yardstick | None:
    """Search and bound the true slot 0 of the episodes ``seed .. seed + scenes - 1``; None without a yardstick.

    ``on_scene`` is called with the number of scenes that have been finished.
    """
    make = ROSTERS[name].for_task(scenario.config).yardstick
    if make is None or scenes == 0:
        return None
    solver, parts = make(), []
    for begin in range(0, scenes, TOGETHER):
        some = min(TOGETHER, scenes - begin)
        env = JCASVectorEnv(scenario, num_envs=some)
        env.reset(seed=seed + begin)
        truth = env.truth
        solution = solver.solve(truth)
        parts.append((np.asarray(truth.utility(solution.allocation)), np.asarray(solution.bound)))
        on_scene(some)
    return Yardstick(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def shortfall(utility: np.ndarray, reference: np.ndarray, *, logarithmic: bool) -> float | None:
    """Share of a reference that is missed, on the mean over scenes [-]; None where the reference knows no end.

    None, too, where its mean is not positive, of which there is no share.
    1 - mean u / mean reference; for a utility that is a mean of logarithms 1 - exp(mean u - mean reference), the
    share of the geometric mean.
    """
    if not np.isfinite(reference).all():
        return None
    mean, top = float(utility.mean()), float(reference.mean())
    if top <= 0 and not logarithmic:
        return None
    return 1.0 - (exp(mean - top) if logarithmic else mean / top)


def columns(
    yardstick: Yardstick | None, first: dict[str, np.ndarray], *, logarithmic: bool
) -> dict[str, dict[str, Any]]:
    """Regret of each allocator to the best found, and the distance from the optimum that is certain.

    ``first``: by allocator, (episodes,), utilities of the first slots. What an allocator in the table has found counts
    as found.
    """
    if yardstick is None:
        return {name: {} for name in first}
    scenes = yardstick.scenes
    best = np.maximum.reduce([yardstick.best, *(utility[:scenes] for utility in first.values())])
    return {
        name: {
            "regret_to_best_found": shortfall(utility[:scenes], best, logarithmic=logarithmic),
            "within_of_bound": shortfall(utility[:scenes], yardstick.bound, logarithmic=logarithmic),
        }
        for name, utility in first.items()
    }
