"""Grouping threshold of every cell, chosen together with the allocation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import inf
from typing import Any, Literal

from array_api_compat import array_namespace

from jcas_env.checks import require
from jcas_env.scenarios.multicell import MultiCellAllocation, MultiCellProblem
from jcas_env.types import Array, Status, as_array, is_array

from .multicell.relaxed_solver import choose_candidate
from .solver import Method, Solution, Solver, require_choice, require_number

THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 1.01)
"""Correlations from which users of a cell are put into different groups (spec multicell 10.2)."""


@dataclass(frozen=True)
class BestGrouping(Method):
    r"""A solver that also chooses the grouping threshold of every cell (spec multicell 10.2).

    The problem is regrouped at all thresholds and solved in one batch; every cell keeps the threshold at which it
    scores best, so that T thresholds cost T solutions whatever the number of cells. ``judge="relaxed"`` compares the
    solver's own objective of a cell, ``judge="utility"`` the cell's share of ``problem.utility`` with the other cells
    at the same threshold: what the solver knows, never the truth. A threshold at which the floors of some cell do not
    fit is left out for all of them. Objective and bound are the means of the chosen cells and of the cells' largest
    bounds, the status the weakest among the chosen thresholds. For solvers whose model separates the cells, i.e. all
    but ``SCA(scope="network")``. ``details["grouping_threshold"]`` (..., cells) says what was chosen.
    """

    solver: Solver
    """Method that allocates at given groups."""
    thresholds: Sequence[float] = THRESHOLDS
    """Candidates, positive; above 1 a cell is one group."""
    judge: Literal["relaxed", "utility"] = "utility"
    """What a cell is judged by."""

    def __post_init__(self) -> None:
        require(callable(getattr(self.solver, "solve", None)), f"`solver` must be a solver, got {self.solver!r}")
        for index, threshold in enumerate(self.thresholds):
            require_number(f"thresholds[{index}]", threshold, "above 0", lambda value: 0 < value < inf)
        require(len(self.thresholds) > 0, "`thresholds` must hold at least one number, got none")
        require_choice("judge", self.judge, "relaxed", "utility")


@BestGrouping.register(MultiCellProblem)
def _(problem: MultiCellProblem, method: BestGrouping) -> Solution:
    xp = array_namespace(problem.gain)
    candidates = regrouped(problem, method.thresholds)
    solution = method.solver.solve(candidates)
    if "cell_objective" not in solution.details:
        raise TypeError(f"BestGrouping needs a solver that treats cells separately, got {method.solver!r}")
    objective = solution.details["cell_objective"]
    lost = (solution.status == int(Status.INFEASIBLE))[..., None, None]
    score = objective
    if method.judge == "utility":
        quiet = solution.allocation._replace(  # an answer that is not there earns nothing
            power=xp.where(lost, 0.0, solution.allocation.power),
            bandwidth=xp.where(lost, 0.0, solution.allocation.bandwidth),
        )
        score = candidates.score(*candidates.rates(quiet))
    best = xp.argmax(xp.where(lost[..., 0] | xp.isnan(score), -inf, score), axis=0)[None, ...]  # (1, ..., cells)
    user = problem.of_cell(best[0, ...])[None, ...]
    services = xp.stack([user, user], axis=-2)
    power, bandwidth, group = solution.allocation
    allocation = MultiCellAllocation(
        choose_candidate(power, services), choose_candidate(bandwidth, services), choose_candidate(group, user)
    )
    threshold = as_array(list(method.thresholds), problem.gain)[best[0, ...]]
    return Solution(
        allocation,
        xp.mean(choose_candidate(objective, best), axis=-1),
        xp.mean(_largest_bound(solution, objective), axis=-1),
        xp.max(choose_candidate(solution.status[..., None] + 0 * best, best), axis=-1),
        xp.max(choose_candidate(solution.iterations[..., None] + 0 * best, best), axis=-1),
        {
            name: choose_candidate(value, best)
            for name, value in solution.details.items()
            if value.shape == objective.shape and name != "cell_bound"
        }
        | {"grouping_threshold": threshold},
    )


def _largest_bound(solution: Solution, objective: Array) -> Array:
    """Bound of every cell that holds at each threshold, (..., cells); NaN where no threshold is feasible."""
    xp = array_namespace(objective)
    bound = solution.details.get("cell_bound", xp.full_like(objective, inf))
    lost = xp.isnan(bound) | (solution.status == int(Status.INFEASIBLE))[..., None]
    known = xp.max(xp.where(lost, -inf, bound), axis=0)
    return xp.where(known == -inf, xp.nan, known)


def regrouped(problem: MultiCellProblem, thresholds: Sequence[float]) -> MultiCellProblem:
    """The same slot at several thresholds, as a leading batch axis.

    Raises ``ValueError`` for a problem without correlations.
    """
    xp = array_namespace(problem.gain)
    batch, count = problem.batch, len(thresholds)

    def repeat(value: Any) -> Any:
        if not is_array(value) or tuple(value.shape[: len(batch)]) != batch or value.ndim == len(batch):
            return value
        return xp.broadcast_to(value, (count, *value.shape))

    per_cell = {"power_budget", "band_budget", "power_floor", "band_floor", "noise_density", "positioning_share"}
    kept = per_cell | {"service_weight"}
    values = {item.name: repeat(getattr(problem, item.name)) for item in fields(problem) if item.name not in kept}
    wide = problem.changed(**(values | {"cell_count": problem.cells}))
    steps = xp.reshape(as_array(list(thresholds), problem.gain), (count, *(1,) * (len(batch) + 1)))
    return wide.regroup(steps)
