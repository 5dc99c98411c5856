"""Multi-cell solvers on problems that are legal and extreme: a status each, finite and feasible but for INFEASIBLE."""

from __future__ import annotations

import numpy as np
import pytest
from extreme import assert_answered, extreme_multicell
from jcas_baselines import (
    ADMM,
    BestGrouping,
    BestVertex,
    ConstantRule,
    EqualAllocation,
    Exact,
)

from jcas_env import RelaxedProblem, Status
from jcas_env.physics.water_filling import waterfill

SOLVERS = {
    "admm": ADMM(),
    "exact": Exact(),
    "exact-per-hertz": Exact(noise="per_hertz"),
    "equal": EqualAllocation(),
    "equal-per-group": EqualAllocation(per="group"),
    "proposed-power": EqualAllocation(power="proposed"),
    "constant-rule": ConstantRule(),
    "best-vertex": BestVertex(),
    "grouping-exact": BestGrouping(Exact(), (0.2, 1.01)),
    "grouping-exact-relaxed": BestGrouping(Exact(), (0.2, 0.5, 1.01), judge="relaxed"),
}
"""Solvers under test; another one needs a row."""

SIZE = 20


def attack(name: str, dtype: str, count: int) -> None:
    for seed in range(count // SIZE):
        problem = extreme_multicell(np.random.default_rng([11, seed]), SIZE, dtype)
        assert_answered(problem, SOLVERS[name].solve(problem), dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", SOLVERS)
def test_an_extreme_problem_is_answered(name, dtype):
    attack(name, dtype, 300)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", SOLVERS)
def test_ten_thousand_extreme_problems_are_answered(name, dtype):
    attack(name, dtype, 10_000)


def test_admm_keeps_band_floors_that_fill_the_band():
    # Three groups, floors of a third each: the bands are the floors, whatever the powers; group sizes 3, 2, 1.
    problem = RelaxedProblem(
        weight=np.full(6, 1 / 6),
        coefficient=np.array([3.0, 10.0, 30.0, 5.0, 50.0, 7.0]),
        group=np.array([0, 0, 0, 1, 1, 2]),
        power_floor=0.0,
        band_floor=1 / 3,
    )
    solution = ADMM().solve(problem)
    exact = Exact().solve(problem)
    np.testing.assert_allclose(solution.allocation.bandwidth, 1 / 3, rtol=1e-12)
    assert solution.objective <= exact.bound * (1 + 1e-9)
    np.testing.assert_allclose(solution.objective, exact.objective, rtol=1e-3)
    assert solution.status == Status.STATIONARY


def test_water_level_far_above_one_still_finds_the_best_user():
    # c of 1e-20: log(1 + c p) is linear, so the slack goes to the largest product w c; w c p = 2e-20, 3e-20.
    power = waterfill(np.array([1.0, 1.0, 0.5]), np.array([2e-20, 3e-20, 4e-20]), 0.1)
    np.testing.assert_allclose(power, [0.1, 0.8, 0.1], rtol=1e-12)
