"""Every solver on a thousand random problems, the corners of the feasible set among them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from jcas_baselines import (
    ADMM,
    GBD,
    SCA,
    BestGrouping,
    BestVertex,
    EqualAllocation,
    Exact,
    GradientSearch,
    Joint,
    UpperBound,
)
from support.backends import convert, to_numpy
from support.problems import CORNERS, mixed_problem, random_problem
from support.scenes import static

from jcas_env import Status

SOLVERS = {
    "equal": EqualAllocation(),
    "eba-pa": EqualAllocation(power="proposed"),
    "exact": Exact(),
    "exact-phys": Exact(noise="per_hertz"),
    "admm": ADMM(),
    "gbd": GBD(),
    "sca": SCA(),
    "sca-network": SCA(scope="network"),
    "grouping": BestGrouping(ADMM(), (0.3, 1.01)),
}
YARDSTICKS = {
    "vertex": BestVertex(),
    "search": GradientSearch(5),
    "search-numpy": GradientSearch(2, backend="numpy"),
    "joint": Joint(steps=3, random_starts=1, starts=(EqualAllocation(), Exact())),
    "bound": UpperBound("root", search=EqualAllocation()),
}
COUNT = 84
"""Problems of each of six corners, two rewards and a fixed share besides: 1,008 in all."""


def correlated(rng, problem):
    """Channel correlations for solvers that regroup."""
    rho = rng.random(problem.gain.shape)
    return (rho + np.swapaxes(rho, -1, -2)) / 2


@pytest.mark.parametrize("corner", CORNERS)
@pytest.mark.parametrize("name", list(SOLVERS))
def test_answers_a_thousand_random_problems(name, corner):
    """No exception, no NaN, feasible to 1e-9, a status each."""
    for seed, (reward, share) in enumerate((("rate", np.nan), ("fair", 0.5))):
        rng = np.random.default_rng(1000 * CORNERS.index(corner) + seed)
        problem = random_problem(rng, COUNT, corner, share=share, reward=reward, service_weight=np.array([1.0, 1.5]))
        problem = replace(problem, correlation=correlated(rng, problem))
        solution = SOLVERS[name].solve(problem)
        assert solution.status.shape == (COUNT,)
        assert (solution.status <= Status.ITERATION_LIMIT).all()
        assert np.isfinite(solution.objective).all()
        assert not np.isnan(solution.bound).any()
        assert problem.violation(solution.allocation).max() <= 1e-9
        assert np.isfinite(problem.utility(solution.allocation)).all()
        proven = solution.status == Status.OPTIMAL
        assert (solution.bound - solution.objective)[proven].min(initial=0.0) >= -1e-9 * abs(solution.objective).max()


@pytest.mark.parametrize("name", [name for name in SOLVERS if name != "grouping"])
def test_mixed_batches_give_mixed_statuses(name):
    problem = mixed_problem(np.random.default_rng(5), 60)
    lost = problem.least_share.max(axis=-1) > 0.5 + 1e-9
    assert 0 < lost.sum() < 60
    solution = SOLVERS[name].solve(problem)
    np.testing.assert_array_equal(solution.status == Status.INFEASIBLE, lost)
    assert np.isnan(solution.allocation.power[lost]).all()
    assert np.isnan(solution.objective[lost]).all()
    assert problem.violation(solution.allocation)[~lost].max() <= 1e-9


@pytest.mark.parametrize("name", [name for name in SOLVERS if name != "grouping"])
@pytest.mark.parametrize("reward", ["rate", "fair"])
def test_a_cell_without_users_and_budgets_without_floors(name, reward, rng):
    for fields in ({"cell_count": 3}, {"power_floor": 0.0, "band_floor": 0.0}):
        problem = random_problem(rng, 4, crowd=4, reward=reward, **fields)
        solution = SOLVERS[name].solve(problem)
        weakest = Status.ITERATION_LIMIT if name.startswith("sca") else Status.FEASIBLE  # SCA may use up its rounds
        assert (solution.status <= weakest).all()
        assert np.isfinite(solution.objective).all()
        assert problem.violation(solution.allocation).max() <= 1e-9


@pytest.mark.parametrize("name", [*SOLVERS, *YARDSTICKS])
def test_single_precision_in_gives_single_precision_out(name):
    """Interior points and searches run in double precision inside; the answer is that of double precision, rounded."""
    solver = (SOLVERS | YARDSTICKS)[name]
    count = 1 if name == "search-numpy" else 3
    problem = static(count, dtype="float32", positioning_share=None).problem
    solution = solver.solve(problem)
    assert solution.allocation.power.dtype == solution.objective.dtype == solution.bound.dtype == np.float32
    assert (solution.status < Status.ITERATION_LIMIT).all()
    assert problem.violation(solution.allocation).max() <= 1e-6
    double = solver.solve(static(count, positioning_share=None).problem)
    np.testing.assert_allclose(solution.objective, double.objective, rtol=2e-3)


@pytest.mark.parametrize("name", [*SOLVERS, *YARDSTICKS, "gbd-separate"])
def test_torch_in_gives_torch_out(name, rng):
    solver = (SOLVERS | YARDSTICKS | {"gbd-separate": GBD(split="separate")})[name]
    problem = random_problem(rng, 1 if name == "search-numpy" else 2, crowd=3)
    problem = replace(problem, correlation=correlated(rng, problem))
    there, here = solver.solve(convert(problem, "torch")), solver.solve(problem)
    for value in (there.allocation.power, there.objective, there.bound):
        assert value.dtype is torch.float64
    np.testing.assert_allclose(to_numpy(there.objective), here.objective, rtol=1e-6)
    np.testing.assert_array_equal(to_numpy(there.status), here.status)


@pytest.mark.parametrize("solver", [ADMM(backend="cvxpy"), GBD(backend="cvxpy"), SCA(backend="cvxpy")], ids=str)
def test_cvxpy_asks_for_numpy(solver, rng):
    with pytest.raises(TypeError, match="`backend` cvxpy works on NumPy arrays, got Tensor"):
        solver.solve(convert(random_problem(rng, 1, crowd=2), "torch"))


@pytest.mark.parametrize("name", [*SOLVERS, "bound"])
@pytest.mark.parametrize("reward", ["rate", "fair"])
def test_time_that_pilots_take_is_not_promised(name, reward, rng):
    """Objective and bound scale with the useful time (rate) or fall by its logarithm, as the utility does."""
    solver = (SOLVERS | YARDSTICKS)[name]
    problem = random_problem(rng, 2, crowd=4, reward=reward, service_weight=np.array([1.0, 1.5]))
    problem = replace(problem, correlation=correlated(rng, problem))
    useful = np.array([0.4, 0.8])
    whole, part = solver.solve(problem), solver.solve(replace(problem, useful_time=useful))
    for before, after in ((whole.objective, part.objective), (whole.bound, part.bound)):
        expected = before * useful if reward == "rate" else before + 2.5 * np.log(useful)
        # Searches stop at a gain relative to the utility, which logarithms shift.
        np.testing.assert_allclose(after, expected, rtol=1e-3 if name == "bound" or reward == "fair" else 1e-5)
    if name == "sca-network":
        np.testing.assert_allclose(part.objective, replace(problem, useful_time=useful).utility(part.allocation))


def test_a_cell_that_can_earn_nothing_is_solved(rng):
    """Nobody can be heard: every allocation is optimal and the bound is zero, exactly."""
    problem = random_problem(rng, 2, crowd=3)
    for dead in (replace(problem, gain=0 * problem.gain), replace(problem, weight=0 * problem.weight)):
        for solver in (GBD(), Exact(noise="per_hertz")):
            solution = solver.solve(dead)
            np.testing.assert_array_equal(solution.status, Status.OPTIMAL)
            np.testing.assert_array_equal(solution.bound, 0.0)
