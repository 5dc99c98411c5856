"""Every solver on a thousand random problems, the corners of the feasible set among them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import static
from jcas_baselines import ADMM, GBD, SCA, BestGrouping, EqualAllocation, Exact
from problems import CORNERS, mixed_problem, random_problem

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


@pytest.mark.parametrize("name", list(SOLVERS))
def test_single_precision_in_gives_single_precision_out(name):
    """Interior points run in double precision inside; the answer is that of double precision, rounded."""
    problem = static(3, dtype="float32", positioning_share=None).problem
    solution = SOLVERS[name].solve(problem)
    assert solution.allocation.power.dtype == solution.objective.dtype == np.float32
    assert (solution.status < Status.ITERATION_LIMIT).all()
    assert problem.violation(solution.allocation).max() <= 1e-6
    double = SOLVERS[name].solve(static(3, positioning_share=None).problem)
    np.testing.assert_allclose(solution.objective, double.objective, rtol=2e-3)
