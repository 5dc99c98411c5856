"""Multi-cell solvers on problems that are legal and extreme: a status each, finite and feasible but for INFEASIBLE."""

from __future__ import annotations

import numpy as np
import pytest
from jcas_baselines import (
    ADMM,
    GBD,
    SCA,
    BacklogProportional,
    BestGrouping,
    BestVertex,
    ConstantRule,
    DrainSearch,
    EqualAllocation,
    Exact,
    GradientSearch,
    MaxWeight,
)
from support.extreme import assert_answered, extreme_multicell, extreme_queues, suited

from jcas_env import MultiCellProblem, RelaxedProblem, Status

SOLVERS = {
    "admm": ADMM(),
    "exact": Exact(),
    "exact-per-hertz": Exact(noise="per_hertz"),
    "gbd": GBD(),
    "gbd-separate": GBD(split="separate"),
    "equal": EqualAllocation(),
    "equal-per-group": EqualAllocation(per="group"),
    "proposed-power": EqualAllocation(power="proposed"),
    "proposed-power-per-group": EqualAllocation(power="proposed", per="group"),
    "constant-rule": ConstantRule(),
    "best-vertex": BestVertex(),
    "grouping-exact": BestGrouping(Exact(), (0.2, 1.01)),
    "grouping-exact-relaxed": BestGrouping(Exact(), (0.2, 0.5, 1.01), judge="relaxed"),
    "grouping-admm": BestGrouping(ADMM(), (0.2, 1.01)),
    "grouping-gbd": BestGrouping(GBD(), (0.2, 1.01)),
}
"""Solvers under test; another one needs a row."""

QUEUE_SOLVERS = {
    "max-weight": MaxWeight(),
    "backlog-proportional": BacklogProportional(),
    "drain-search": DrainSearch(steps=3),
    "drain-search-numpy": DrainSearch(steps=2, backend="numpy"),
    "admm": ADMM(),
    "exact-per-hertz": Exact(noise="per_hertz"),
    "gbd": GBD(),
    "equal": EqualAllocation(),
    "sca": SCA(max_rounds=2),
    "search": GradientSearch(steps=2),
    "best-vertex": BestVertex(),
    "grouping-equal": BestGrouping(EqualAllocation(), (0.2, 1.01)),
}
"""Solvers under test on problems with queues: those of the delay task, and one of each other kind."""

SIZE = 20


def answer(solver, problem, dtype: str) -> None:
    solver = suited(solver, problem)
    solution = solver.solve(problem)
    assert_answered(problem, solution, dtype, one_share=getattr(solver, "split", None) != "separate")
    if not isinstance(solver, BestGrouping):
        # The same elements whatever the method.
        lost = np.asarray(solution.status) == Status.INFEASIBLE
        np.testing.assert_array_equal(lost, ~problem.floors_fit.all(axis=-1))


def attack(name: str, dtype: str, count: int) -> None:
    for seed in range(count // SIZE):
        answer(SOLVERS[name], extreme_multicell(np.random.default_rng([11, seed]), SIZE, dtype), dtype)


def attack_with_queues(name: str, dtype: str, count: int) -> None:
    for seed in range(count // SIZE):
        answer(QUEUE_SOLVERS[name], extreme_queues(np.random.default_rng([12, seed]), SIZE, dtype), dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", SOLVERS)
def test_an_extreme_problem_is_answered(name, dtype):
    attack(name, dtype, 100)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", SOLVERS)
def test_many_extreme_problems_are_answered(name, dtype, problems):
    attack(name, dtype, problems)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", QUEUE_SOLVERS)
def test_an_extreme_problem_with_queues_is_answered(name, dtype):
    attack_with_queues(name, dtype, 100)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", QUEUE_SOLVERS)
def test_many_extreme_problems_with_queues_are_answered(name, dtype, problems):
    attack_with_queues(name, dtype, problems)


def test_admm_keeps_band_floors_that_fill_the_band():
    """Three groups with floors of a third each: the bands are the floors, not (3, 2, 1)/6, which would earn .903.

    Equal weights: one water level, t = (1 + 3/31.86 + 3/11.5)/6 = .225838, and
    f = 3 (log2(31.86 t) + log2(11.5 t)) / 18 = .704.
    """
    problem = RelaxedProblem(
        weight=np.full(6, 1 / 6),
        coefficient=np.array([31.86, 31.86, 31.86, 11.5, 11.5, 11.5]),
        group=np.array([0, 0, 0, 1, 1, 2]),
        power_floor=0.0,
        band_floor=1 / 3,
    )
    solution, exact = ADMM().solve(problem), Exact().solve(problem)
    np.testing.assert_allclose(exact.bound, 0.704, atol=5e-4)
    np.testing.assert_allclose(solution.allocation.bandwidth, 1 / 3, rtol=1e-12)
    assert solution.objective <= exact.bound * (1 + 1e-9)
    np.testing.assert_allclose(solution.objective, exact.objective, rtol=1e-3)
    assert solution.status == Status.STATIONARY


@pytest.mark.parametrize("solver", [ADMM(), Exact(), Exact(noise="per_hertz"), GBD(), EqualAllocation()])
def test_band_floors_are_kept_where_a_service_gets_no_more_than_they_need(solver):
    # Two groups and 1 MHz of 10 for the service that earns less, at the end of the free share: the floors, 0.5 MHz
    # each, and not 2/3 and 1/3 MHz by the number of users, which violates them by 1.7e-2.
    users = 3
    problem = MultiCellProblem(
        gain=1e-8 * np.eye(users),
        leakage=np.zeros(users),
        sensing_gain=np.ones(users),
        cell=np.zeros(users, dtype=int),
        group=np.array([0, 0, 1]),
        last_power=np.zeros((2, users)),
        weight=np.full(users, 1 / users),
        service_weight=np.ones(2),
        power_budget=10.0,
        band_budget=10e6,
        power_floor=0.0,
        band_floor=0.5e6,
        noise_density=2e-20,
        positioning_share=np.nan,
        queue=np.zeros(users),
    )
    solution = solver.solve(problem)
    assert solution.status != Status.INFEASIBLE
    assert problem.violation(solution.allocation) <= 1e-9
    assert solution.allocation.bandwidth.min() >= 0.5e6 * (1 - 1e-9)
