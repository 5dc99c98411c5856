"""GBD: certified bounds around the monolithic convex optimum, cuts, statuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from jcas_baselines import GBD, Exact
from jcas_baselines.multicell.relaxed_solver import LEAST_SHARE
from jcas_baselines.multicell.share_cuts import MARGIN, ShareSubproblem, cells_of
from support.backends import BACKENDS, to_numpy
from support.convex import shared_optimum
from support.problems import CORNERS, mixed_problem, random_problem
from support.scenes import static

from jcas_env import RelaxedAllocation, RelaxedProblem, Status


def monolithic(problem, separate=False):
    """CVXPY optimum of every cell, (cells,), in the units of the utility, and the shares."""
    data = cells_of(problem)
    form = "rate" if problem.reward == "rate" else "log"
    values, shares = [], []
    for i in range(data.weight.shape[0]):
        services = [
            RelaxedProblem(
                data.weight[i, s], data.coefficient[i, s], data.group[i, s], data.power_floor[i], data.band_floor[i]
            )
            for s in range(2)
        ]
        need = [data.power_need[i], data.band_need[i]] if separate else [max(data.power_need[i], data.band_need[i])]
        low = [min(max(MARGIN * n, LEAST_SHARE), 0.5) for n in need]
        high = [1 - x for x in low]
        if not np.isnan(problem.positioning_share).all():
            low = high = [float(problem.positioning_share)] * len(need)
        scale = data.worth[i] * (data.factor[i] if form == "rate" else 1.0)
        value, share = shared_optimum(services, scale.tolist(), form, low, high)
        if form == "log":
            value += sum(data.worth[i] * data.weight[i].sum(axis=-1) * np.log(data.factor[i]))
        values.append(value)
        shares.append(share)
    return np.array(values), np.array(shares)


@pytest.mark.parametrize("reward", ["fair", "rate"])
@pytest.mark.parametrize("weights", [(1.0, 1.0), (1.0, 1.5)])
def test_bounds_enclose_the_monolithic_optimum_and_close(reward, weights):
    """Spec multicell 10.6: gap 1e-4 in at most 40 cuts, value equal to the monolithic solution to 1e-4."""
    problem = static(2, reward=reward, service_weight=weights, positioning_share=None, ue_antennas=18).problem
    solution = GBD().solve(problem)
    best = monolithic(problem)[0].reshape(2, 3).mean(axis=-1)
    assert (solution.objective <= best + 1e-7 * abs(best)).all()
    assert (solution.bound >= best - 1e-7 * abs(best)).all()
    np.testing.assert_allclose(solution.objective, best, rtol=1e-4)
    assert (solution.details["gap"] <= 1e-4 * abs(solution.bound)).all()
    assert solution.iterations.max() <= 40
    np.testing.assert_array_equal(solution.status, Status.OPTIMAL)
    assert problem.violation(solution.allocation).max() <= 1e-9


@pytest.mark.parametrize("corner", CORNERS)
def test_bounds_enclose_the_optimum_of_random_problems(corner, rng):
    for reward in ("fair", "rate"):
        problem = random_problem(rng, 3, corner, crowd=5, reward=reward, service_weight=np.array([1.0, 1.3]))
        if corner == "users with zero gain" and reward == "fair":
            # The conic form knows no floor of the rates: compare where everybody can be heard a little.
            problem = replace(problem, gain=np.maximum(problem.gain, 1e-13))
        solution = GBD().solve(problem)
        if corner == "tight floors":  # one feasible point, on which the conic solver has no interior
            np.testing.assert_allclose(solution.details["positioning_share"], 0.5)
            assert (solution.bound >= solution.objective).all()
            continue
        best = monolithic(problem)[0].reshape(3, 2).mean(axis=-1)
        assert (solution.objective <= best + 1e-6 * abs(best)).all()
        assert (solution.bound >= best - 1e-6 * abs(best)).all()
        np.testing.assert_array_equal(solution.status, Status.OPTIMAL)


def test_the_fair_share_lies_in_the_middle():
    """Spec multicell 10.6: beta* about 0.45-0.55 (M20 N18, weights (1, 1))."""
    problem = static(4, reward="fair", positioning_share=None, ue_antennas=18).problem
    share = GBD().solve(problem).details["positioning_share"]
    assert share.min() >= 0.45
    assert share.max() <= 0.55


def test_the_linear_utility_runs_to_an_end_whose_own_cut_proves_it():
    """Spec multicell 4.9: bang-bang at weights (1, 1): the communication end, two cuts."""
    problem = static(4, positioning_share=None, service_weight=(1.0, 1.0)).problem
    solution = GBD().solve(problem)
    np.testing.assert_allclose(solution.details["positioning_share"], 1.02 * 0.12, rtol=1e-12)
    np.testing.assert_array_equal(solution.iterations, 2)
    np.testing.assert_array_equal(solution.status, Status.OPTIMAL)


def test_a_fixed_share_is_solved_at_that_share(rng):
    problem = static(2).problem
    solution, exact = GBD().solve(problem), Exact(noise="per_hertz").solve(problem)
    np.testing.assert_allclose(solution.objective, exact.objective, rtol=1e-5)
    np.testing.assert_array_equal(solution.details["positioning_share"], 0.5)
    fair = replace(problem, reward="fair")
    solution = GBD().solve(fair)
    np.testing.assert_allclose(solution.objective, monolithic(fair)[0].reshape(2, 3).mean(axis=-1), rtol=1e-6)
    np.testing.assert_array_equal(solution.status, Status.OPTIMAL)


@pytest.mark.parametrize("reward", ["fair", "rate"])
def test_the_objective_is_the_utility_of_the_relaxed_rates(reward):
    problem = static(2, reward=reward, positioning_share=None, service_weight=(1.0, 1.5)).problem
    solution = GBD().solve(problem)
    share = solution.details["positioning_share"]
    relaxed = problem.relaxed(positioning_share=share, noise="per_hertz")
    services = np.stack([1 - share, share], axis=-1)[..., None]

    def seated(value, budget):
        rows = np.stack([problem.membership.gather(value[..., s, :]) for s in range(2)], axis=-2)
        return rows / (services * budget)

    normalised = RelaxedAllocation(
        seated(solution.allocation.power, problem.power_budget),
        seated(solution.allocation.bandwidth, problem.band_budget),
    )
    rates = problem.relaxed_rates(relaxed.efficiency(normalised, "per_hertz"), share)
    np.testing.assert_allclose(problem.score(*rates).mean(axis=-1), solution.objective, rtol=1e-9)


@pytest.mark.parametrize("reward", ["fair", "rate"])
def test_separate_shares_are_a_relaxation_and_say_so(reward):
    problem = static(1, reward=reward, positioning_share=None, service_weight=(1.0, 1.5)).problem
    shared, separate = GBD().solve(problem), GBD(split="separate").solve(problem)
    best = monolithic(problem, separate=True)[0].mean()
    assert separate.objective[0] <= best + 1e-6
    assert separate.bound[0] >= best - 1e-6
    assert separate.bound[0] >= shared.objective[0]
    assert separate.details["relaxation"].all()
    assert not shared.details["relaxation"].any()
    np.testing.assert_array_equal(separate.status, Status.OPTIMAL)
    budget = separate.allocation.power.sum(axis=(-2, -1))
    np.testing.assert_allclose(budget, 3 * problem.power_budget, rtol=1e-9)


def test_the_cvxpy_backend_agrees():
    problem = static(1, reward="fair", positioning_share=None, cells=1, users_per_cell=5, floor=0.02).problem
    closed, cone = GBD().solve(problem), GBD(backend="cvxpy").solve(problem)
    np.testing.assert_allclose(closed.objective, cone.objective, rtol=1e-4)
    assert (cone.bound >= closed.objective - 1e-6).all()
    np.testing.assert_array_equal(cone.status, Status.OPTIMAL)


def test_infeasible_shares_get_a_status_and_leave_their_neighbours_alone(rng):
    problem = random_problem(rng, 3, crowd=4)
    floor = np.array([[0.1], [1.6], [0.1]])  # 4 x 1.6 W does not fit into half of 10 W
    solution = GBD().solve(replace(problem, power_floor=floor))
    np.testing.assert_array_equal(solution.status, [Status.OPTIMAL, Status.INFEASIBLE, Status.OPTIMAL])
    assert np.isnan(solution.allocation.power[1]).all()
    assert np.isnan(solution.bound[1])
    assert solution.details["least_share"][1].max() > 0.5
    alone = GBD().solve(replace(problem, power_floor=0.1))
    np.testing.assert_array_equal(solution.allocation.power[0], alone.allocation.power[0])
    outside = GBD().solve(replace(problem, positioning_share=0.02))  # floors need 0.04
    np.testing.assert_array_equal(outside.status, Status.INFEASIBLE)


@pytest.mark.parametrize("reward", ["fair", "rate"])
def test_every_corner_in_one_batch(reward, rng):
    problem = mixed_problem(rng, 60, reward=reward)
    solution = GBD().solve(problem)
    lost = problem.least_share.max(axis=-1) > 0.5 + 1e-9
    assert lost.any()
    np.testing.assert_array_equal(solution.status == Status.INFEASIBLE, lost)
    assert problem.violation(solution.allocation)[~lost].max() <= 1e-9
    assert (solution.bound >= solution.objective)[~lost].all()


def test_runs_on_torch(rng):
    problem = random_problem(rng, 2, crowd=4, reward="fair")
    arrays = {name: BACKENDS["torch"](value) for name, value in vars(problem).items() if isinstance(value, np.ndarray)}
    there = GBD().solve(replace(problem, **arrays))
    np.testing.assert_allclose(to_numpy(there.objective), GBD().solve(problem).objective, rtol=1e-9)


@pytest.mark.parametrize(
    ("entry", "match"),
    [
        ({"split": "both"}, "`split` must be shared or separate, got 'both'"),
        ({"tolerance": 0.0}, r"`tolerance` must be a number in \[1e-7, 1\), got 0.0"),
        ({"max_cuts": 0}, "`max_cuts` must be an integer of at least 1, got 0"),
        ({"backend": "gurobi"}, "`backend` must be closed_form or cvxpy, got 'gurobi'"),
    ],
)
def test_bad_settings_are_named(entry, match):
    with pytest.raises(ValueError, match=match):
        GBD(**entry)


def test_other_problem_types_are_refused_by_name():
    with pytest.raises(TypeError, match="GBD solves MultiCellProblem and MeshProblem, got str"):
        GBD().solve("a problem")


@pytest.mark.parametrize("form", ["rate", "log"])
@pytest.mark.parametrize("split", [1, 2])
def test_a_cut_is_nowhere_below_the_value(form, split, rng):
    """Weak duality: the cut of any share bounds the value at every other, whatever the accuracy of the subproblem."""
    problem = random_problem(rng, 2, crowd=5, reward="rate" if form == "rate" else "fair")
    loose, exact = (ShareSubproblem(cells_of(problem), form, gap) for gap in (0.1, 1e-7))
    index = np.arange(4)
    for _ in range(10):
        here, there = rng.uniform(0.1, 0.9, (2, 4, split))
        cut, _ = loose(here, index)
        value = exact(there, index)[0].value
        height = cut.level + (cut.slope * (there - here)).sum(axis=-1)
        assert (height >= value - 1e-9 * abs(value)).all()
