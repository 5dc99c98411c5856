"""The certified bound on random problems that are legal and extreme: a status each, and nothing feasible above it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from jcas_baselines import EqualAllocation, Exact, UpperBound
from jcas_baselines.multicell.ascent import without_floors
from support.bounds import random_allocations
from support.extreme import FEASIBLE, assert_answered, extreme_multicell

from jcas_env import Status

SIZES = {"root": (20, 10), "fast": (10, 4)}
"""Shapes and problems of each in every run; a long run has ``--problems`` and, of the slower one, a tenth of them."""
LONG = {"root": (1.0, 20), "fast": (0.1, 10)}
CASES = [pytest.param(effort, *size, id=effort) for effort, size in SIZES.items()] + [
    pytest.param(effort, *size, id=f"{effort}-long", marks=pytest.mark.slow) for effort, size in LONG.items()
]


def assert_above(problem, bound, allocation, dtype):
    """No feasible allocation of the batch earns more than the bound."""
    feasible = np.asarray(problem.violation(allocation)) <= FEASIBLE[dtype]
    utility = np.asarray(problem.utility(allocation))
    slack = 10 * FEASIBLE[dtype] * np.abs(utility)
    over = feasible & ~np.isnan(bound) & (utility > bound + slack)
    assert not over.any(), np.argwhere(over)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("effort", "shapes", "count"), CASES)
def test_a_status_each_and_nothing_feasible_is_above(effort, shapes, count, dtype, problems):
    solver = UpperBound(effort, search=EqualAllocation())
    shapes = int(shapes * problems / count) if isinstance(shapes, float) else shapes
    for seed in range(shapes):
        rng = np.random.default_rng(seed)
        problem = extreme_multicell(rng, count, dtype)
        solution = solver.solve(problem)
        assert_answered(problem, solution, dtype)
        for allocation in (solution.allocation, EqualAllocation(per="group").solve(problem).allocation):
            assert_above(problem, solution.bound, allocation, dtype)
        if dtype == "float64":
            assert_above(problem, solution.bound, Exact().solve(problem).allocation, dtype)
            lost = solution.status == Status.INFEASIBLE  # nothing can be decoded there
            tried = random_allocations(rng, without_floors(problem, lost), 20, spend=(1.0, 0.5, 0.0))
            assert_above(problem, np.where(lost, np.nan, solution.bound), tried, dtype)


def test_a_search_without_an_answer_leaves_the_status_infeasible_and_the_bound_in_place():
    """Floors that fill the budget up to float32's rounding are too large for the search alone."""
    problem = extreme_multicell(np.random.default_rng(13), 10, "float32")
    search = EqualAllocation()
    solution = UpperBound("root", search=search).solve(problem)
    lost = search.solve(problem).status == Status.INFEASIBLE
    np.testing.assert_array_equal(solution.status == Status.INFEASIBLE, lost)
    np.testing.assert_array_equal(np.isnan(solution.objective), lost)
    assert not np.isnan(solution.bound[~lost]).any()


class _Careless:
    """A search that answers whatever the floors are."""

    def solve(self, problem):
        return EqualAllocation().solve(replace(problem, power_floor=0.0, band_floor=0.0))


def test_what_is_infeasible_is_blank_whatever_the_search_says():
    problem = extreme_multicell(np.random.default_rng(2), 5, positioning_share=0.5)
    floors = np.array([0.0, 0.6, 0.0, 0.6, 0.0])[:, None] * problem.power_budget
    problem = replace(problem, power_floor=floors, band_floor=0.0, reward="rate")
    solution = UpperBound("root", search=_Careless()).solve(problem)
    lost = np.array([False, True, False, True, False])
    np.testing.assert_array_equal(solution.status == Status.INFEASIBLE, lost)
    for value in (solution.objective, solution.bound, solution.details["gap"]):
        assert np.isnan(value[lost]).all()
    for value in (solution.allocation.power, solution.allocation.bandwidth):
        np.testing.assert_array_equal(np.isnan(value).any(axis=(-2, -1)), lost)
