"""Whether floors fit is one question with one answer: the same elements are infeasible for every allocator."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from jcas_baselines import (
    ADMM,
    GBD,
    SCA,
    BestVertex,
    ConstantRule,
    EqualAllocation,
    Exact,
    GradientSearch,
    Joint,
    UpperBound,
)
from support.extreme import extreme_multicell, suited

from jcas_env import MultiCellProblem, RelaxedProblem, Status
from jcas_env.scenarios.multicell.action import action_size, decode

SOLVERS = {
    "equal": EqualAllocation(),
    "equal-per-group": EqualAllocation(per="group"),
    "proposed-power": EqualAllocation(power="proposed"),
    "admm": ADMM(),
    "exact": Exact(),
    "exact-per-hertz": Exact(noise="per_hertz"),
    "gbd": GBD(max_cuts=3),
    "gbd-separate": GBD(split="separate", max_cuts=3),
    "sca": SCA(max_rounds=1),
    "sca-network": SCA(scope="network", max_rounds=1),
    "search": GradientSearch(steps=1),
    "joint": Joint(steps=1, random_starts=1, starts=(EqualAllocation(), SCA(max_rounds=1))),
    "constant-rule": ConstantRule(),
    "best-vertex": BestVertex(),
    "upper-bound": UpperBound("root", search=EqualAllocation()),
}

ROUNDING = {"float64": 1e-9, "float32": 32 * 2.0**-23}
"""Excess of floors over their limit that counts as rounding."""
NEARLY = (0.0, 1e-16, 1e-12, 0.9e-9, 1.1e-9, 1e-8, 1e-7, 3e-6, 4e-6, 1e-5, 1e-3)
"""Excesses that are tried, with both signs."""


def at_the_limit(rng: np.random.Generator, count: int, dtype: str) -> tuple[MultiCellProblem, np.ndarray]:
    """Slots whose floors fill the budgets up to a small excess, and that excess, (count,)."""
    shape = extreme_multicell(rng, 1)
    cells, users = shape.cells, shape.users
    crowd = users // (int(shape.cell.max()) + 1)
    share = float(rng.choice([np.nan, 0.5, 0.2, 0.7]))
    excess = rng.choice(NEARLY, count) * rng.choice([-1.0, 1.0], count)
    room = (0.5 if np.isnan(share) else min(share, 1.0 - share)) * (1.0 + excess)
    budget, band = 10.0 ** rng.uniform(-3, 3, (count, 1)), 10.0 ** rng.uniform(3, 9, (count, 1))
    fill = rng.integers(3, size=(count, 1))  # power, band or both
    group = np.tile(np.arange(crowd), users // crowd) // int(rng.integers(1, crowd + 1))
    groups = group.max() + 1
    floors = {
        "power_floor": budget * np.where(fill != 1, room[:, None], 0.01 * room[:, None]) / crowd,
        "band_floor": band * np.where(fill != 0, room[:, None], 0.01 * room[:, None]) / groups,
    }
    problem = extreme_multicell(
        rng,
        count,
        dtype,
        gain=10.0 ** rng.uniform(-12, -8, (count, users, users)),
        leakage=np.zeros((count, users)),
        sensing_gain=np.ones((count, users)),
        cell=np.broadcast_to(shape.cell[0], (count, users)),
        group=np.broadcast_to(group, (count, users)),
        last_power=np.zeros((count, 2, users)),
        weight=np.full((count, users), 1.0 / crowd),
        power_budget=budget,
        band_budget=band,
        noise_density=np.full((count, 1), 1e-18),
        positioning_share=share,
        queue=np.zeros((count, users)),
        correlation=None,
        cell_count=cells,
        **{name: np.repeat(floor, cells, axis=-1) for name, floor in floors.items()},
    )
    return problem, excess


def infeasible(solver, problem) -> np.ndarray:
    return np.asarray(suited(solver, problem).solve(problem).status) == Status.INFEASIBLE


def check(name: str, dtype: str, batches: int, count: int = 40) -> None:
    for seed in range(batches):
        problem, excess = at_the_limit(np.random.default_rng([5, seed]), count, dtype)
        lost = infeasible(SOLVERS[name], problem)
        np.testing.assert_array_equal(lost, ~problem.floors_fit.all(axis=-1))
        # Single precision rounds the numbers themselves by some 1e-7: what is that near the limit may go either way.
        limit, doubt = ROUNDING[dtype], 1e-6 if dtype == "float32" else 1e-13
        sure = np.abs(excess - limit) > doubt
        np.testing.assert_array_equal(lost[sure], excess[sure] > limit)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", SOLVERS)
def test_floors_near_the_limit_are_judged_alike(name, dtype):
    check(name, dtype, 4)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", SOLVERS)
def test_many_floors_near_the_limit_are_judged_alike(name, dtype, problems):
    check(name, dtype, problems // 40)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_actions_are_decoded_where_solvers_find_the_floors_to_fit(dtype):
    refused = 0
    for seed in range(200):
        problem, _ = at_the_limit(np.random.default_rng([6, seed]), 1, dtype)
        action = np.zeros(action_size(problem.users, problem.cells))
        if infeasible(EqualAllocation(), problem).any():
            refused += 1
            with pytest.raises(ValueError, match="the floors of cell 0 need"):
                decode(action, problem, logit_scale=5.0)
        else:
            violation = problem.violation(decode(action, problem, logit_scale=5.0))
            assert violation.max() <= ROUNDING[dtype]
    assert 10 < refused < 150


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("solver", [EqualAllocation(), ADMM(), Exact(), Exact(noise="per_hertz"), ConstantRule()])
def test_relaxed_problems_are_judged_by_the_same_tolerance(solver, dtype):
    excess = np.array([*NEARLY, *(-value for value in NEARLY)])
    count = len(excess)
    relaxed = RelaxedProblem(
        weight=np.full((count, 3), 1 / 3, dtype=dtype),
        coefficient=np.full((count, 3), 10.0, dtype=dtype),
        group=np.broadcast_to(np.array([0, 0, 1]), (count, 3)),
        power_floor=((1 + excess) / 3).astype(dtype),
        band_floor=((1 + excess) / 2).astype(dtype),
    )
    solution = solver.solve(relaxed)
    lost = np.asarray(solution.status) == Status.INFEASIBLE
    sure = np.abs(excess - ROUNDING[dtype]) > (1e-6 if dtype == "float32" else 1e-13)
    np.testing.assert_array_equal(lost[sure], excess[sure] > ROUNDING[dtype])
    assert np.isfinite(solution.objective[~lost]).all()


@pytest.mark.parametrize("name", SOLVERS)
def test_single_precision_refuses_what_double_precision_refuses(name):
    for seed in range(5):
        answers = {}
        for dtype in ROUNDING:
            problem, excess = at_the_limit(np.random.default_rng([7, seed]), 40, dtype)
            answers[dtype] = infeasible(SOLVERS[name], problem)
        sure = ~((excess > 0) & (excess < 5e-6))
        np.testing.assert_array_equal(answers["float32"][sure], answers["float64"][sure])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_whole_subcarriers_are_judged_alike(dtype):
    # Seven subcarriers, so three for either service at half share, and one for each of up to six groups.
    verdicts = set()
    for seed in range(8):
        problem, _ = at_the_limit(np.random.default_rng([8, seed]), 3, dtype)
        free = np.full(problem.share.shape, 0.0, dtype)
        problem = replace(problem, power_floor=free, band_floor=free, band_budget=free + 7e6, subcarrier_spacing=1e6)
        lost = ~problem.floors_fit.all(axis=-1)
        verdicts |= set(lost.tolist())
        for name, solver in SOLVERS.items():
            np.testing.assert_array_equal(infeasible(solver, problem), lost, err_msg=name)
    assert verdicts == {False, True}


def test_floors_that_fill_the_budget_in_single_precision_are_no_news():
    problem = extreme_multicell(np.random.default_rng(13), 10, "float32")
    for name, solver in SOLVERS.items():
        assert not infeasible(solver, problem)[[3, 7]].any(), name
