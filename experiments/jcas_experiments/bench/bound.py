"""Time and gap of the certified bound and of the best-found search, per scene of 36 users (CPU seconds)."""

from __future__ import annotations

from collections.abc import Iterator
from time import process_time
from typing import Any

from jcas_baselines import ADMM, GradientSearch, Joint, UpperBound

from jcas_env import MultiCellProblem
from jcas_env.scenarios.multicell import MultiCell, MultiCellConfig

from .row import Row, duration

CASES: dict[str, tuple[dict[str, Any], float, float]] = {
    "N18": ({"ue_antennas": 18}, 0.6, 0.6),
    "N4": ({"ue_antennas": 4}, 2.7, 0.4),
    "N18 ZF": ({"ue_antennas": 18, "precoder": "zf"}, 0.1, 0.01),
}
"""Settings, the mean gap that is expected [percent] (spec bound 1) and the time of a scene in a batch of ten [s]."""


def true_slots(scenes: int, seed: int, **fields: Any) -> MultiCellProblem:
    """The truth of random slots of the tables of spec multicell 10, a batch of ``scenes``."""
    scenario = MultiCell(MultiCellConfig.preset("luo2023-static", **fields))
    return scenario.truth(scenario.sample(range(seed, seed + scenes)))


def _timed(solver: Any, problem: MultiCellProblem) -> tuple[Any, float]:
    """Solution of a batch, and CPU seconds per element."""
    begin = process_time()
    solution = solver.solve(problem)
    return solution, (process_time() - begin) / len(solution.objective)


def bound_rows(scenes: int, seed: int = 0) -> Iterator[Row]:
    """Searches over ADMM in utility and in time; the bound's mean gap to the best found, and its time.

    In a row of gaps, ``value`` is the gap [percent], ``peer_value`` the expected one, and ``ratio`` how many times
    smaller ours is; in a row of times likewise [ms]; in a row of utilities ``ratio`` is ours over the peer's.
    """
    for name, (fields, gap, seconds) in CASES.items():
        problem = true_slots(scenes, seed, **fields)
        # What is imported or compiled late is, before the clock starts.
        UpperBound("root", search=Joint(steps=2)).solve(true_slots(1, seed, **fields))
        best, spent = _timed(Joint(), problem)
        admm = problem.utility(ADMM().solve(problem).allocation).mean()
        for label, solution, time in (
            ("Joint", best, spent),
            *((f"GradientSearch({steps})", *_timed(GradientSearch(steps), problem)) for steps in (20, 50)),
        ):
            found = float(solution.objective.mean())
            yield Row(f"{label}, {name}, utility", found, "ADMM", float(admm), "Mbit/s", found / float(admm), 1.0)
            yield duration(f"{label}, {name}, time", time, "Joint", spent, 1.0, "ms/scene")
        for effort in ("root", "fast", "default"):
            # The search for the allocation that comes with a bound has been timed above.
            bound, time = _timed(UpperBound(effort, search=_Known(best)), problem)
            mine = 100.0 * float((bound.bound / best.objective - 1.0).mean())
            what = f"UpperBound {effort}, {name}"
            yield Row(f"{what}, gap", mine, "expected of the default", gap, "%", gap / max(mine, 1e-9), 1.0)
            yield duration(f"{what}, time", time, "expected", seconds, 1.0, "ms/scene")


class _Known:
    """A solver that has already solved the problem."""

    def __init__(self, solution: Any) -> None:
        self.solution = solution

    def solve(self, problem: Any) -> Any:  # noqa: ARG002 (Solver protocol)
        """The solution as it is."""
        return self.solution
