"""Successive convex approximation and the searches on legal but extreme problems."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from jcas_baselines.equal import EqualAllocation
from jcas_baselines.exact import Exact
from jcas_baselines.grouping import BestGrouping
from jcas_baselines.sca import SCA
from jcas_baselines.search import GradientSearch, Joint
from support.extreme import assert_answered, extreme_multicell

from jcas_env import JCASVectorEnv, MultiCellProblem, Status
from jcas_env.scenarios.multicell.action import action_size, decode, encode_allocation

SOLVERS = {
    "sca": SCA(),
    "sca-network": SCA(scope="network"),
    "search": GradientSearch(steps=3),
    "search-numpy": GradientSearch(steps=2, backend="numpy"),
    "joint": Joint(steps=2, random_starts=1, starts=(EqualAllocation(), Exact(), SCA(), SCA(scope="network"))),
    "grouping": BestGrouping(SCA()),
}


def answer(name: str, batches: int, count: int, dtype: str) -> None:
    for seed in range(batches):
        problem = extreme_multicell(np.random.default_rng(seed), count, dtype)
        assert_answered(problem, SOLVERS[name].solve(problem), dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", SOLVERS)
def test_every_extreme_problem_gets_a_status_and_a_finite_feasible_allocation(name, dtype):
    answer(name, 10, 30, dtype)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", SOLVERS)
def test_many_extreme_problems(name, dtype, problems):
    answer(name, problems // 20, 20, dtype)


@pytest.mark.slow
def test_many_extreme_problems_with_every_start_of_the_reference(problems):
    for seed in range(problems // 20):
        problem = extreme_multicell(np.random.default_rng(seed), 20)
        assert_answered(problem, Joint(steps=3, random_starts=1).solve(problem))


@pytest.mark.parametrize("seed", [9, 141])
def test_a_share_stays_a_share_where_slacks_are_next_to_nothing(seed):
    """Fixed shares at the ends of what the floors leave: a step of 1e126 was once within the budgets it made itself.

    Trial points that far out had a negative number under the logarithm (seed 141).
    """
    problem = extreme_multicell(np.random.default_rng(seed), 20)
    search = Joint(steps=1, random_starts=0, starts=(SCA(), SCA(scope="network")))
    assert_answered(problem, search.solve(problem))


def scene_with_weights_of_zero(share: float = 0.7) -> MultiCellProblem:
    """64 slots of which 70 % of the weights are zero."""
    env = JCASVectorEnv("multicell", num_envs=64, estimator="crb", users_per_cell=4, reward="fair", floor=0.0)
    env.reset(seed=0)
    problem = env.unwrapped.problem
    kept = np.random.default_rng(0).random(problem.weight.shape) > share
    return replace(problem, weight=problem.weight * kept)


@pytest.mark.parametrize("scope", ["cell", "network"])
def test_users_of_no_weight_leave_an_allocation(scope):
    problem = scene_with_weights_of_zero()
    solution = SCA(scope=scope).solve(problem)
    assert_answered(problem, solution)
    earned = problem.utility(solution.allocation)
    equal = problem.utility(EqualAllocation().solve(problem).allocation)
    # Improved with the others as they were, or all together, which never falls.
    assert (earned > equal + 1e-3).mean() > 0.9
    if scope == "network":
        assert (earned >= equal - 1e-9).all()


@pytest.mark.parametrize("scope", ["cell", "network"])
def test_what_one_user_earns_in_noise_is_the_small_number_it_is(scope):
    """SNR of 1e-8 and less: logarithms of the sum and of the noise alone agree in every digit but eight."""
    problem = MultiCellProblem(
        gain=[[3.9e-8]],
        leakage=[1.0],
        sensing_gain=[1.4e-6],
        cell=[0],
        group=[0],
        last_power=[[0.5], [0.5]],
        weight=[1.0],
        service_weight=[1.0, 1.0],
        power_budget=1.0,
        band_budget=1e7,
        power_floor=0.0,
        band_floor=0.0,
        noise_density=2.3e-3,
        positioning_share=np.nan,
        queue=[0.0],
        reward="fair",
    )
    solution = SCA(scope=scope).solve(problem)
    assert_answered(problem, solution)
    # No split lifts a rate above 1 bit/s: both logarithms stand at ln(1e-6).
    np.testing.assert_allclose(solution.objective, 2.0 * np.log(1e-6), rtol=1e-12)


def test_one_slot_at_low_snr_is_solved_as_at_any_other():
    """Rates at small SNR are linear in it: scaling gains by 1e-8 scales the best utility, and moves no share."""
    rng = np.random.default_rng(3)
    users = 3
    gain = 1e-3 * np.diag(rng.uniform(0.5, 2.0, users))
    common = {
        "leakage": np.zeros(users),
        "sensing_gain": np.ones(users),
        "cell": [0] * users,
        "group": list(range(users)),
        "last_power": np.zeros((2, users)),
        "weight": np.full(users, 1 / 3),
        "service_weight": [1.0, 1.0],
        "power_budget": 1.0,
        "band_budget": 1e7,
        "power_floor": 0.0,
        "band_floor": 0.0,
        "noise_density": 1e-7,
        "positioning_share": 0.5,
        "queue": np.zeros(users),
    }
    near = MultiCellProblem(gain=1e-4 * gain, **common)
    far = MultiCellProblem(gain=1e-12 * gain, **common)
    ratio = SCA().solve(far).objective / SCA().solve(near).objective
    np.testing.assert_allclose(ratio, 1e-8, rtol=1e-4)


def test_one_singular_slot_leaves_the_others_as_they_are():
    """Answers of ordinary slots do not depend on an extreme one in the same batch."""
    problem = scene_with_weights_of_zero(share=0.0)
    gain = problem.gain.copy()
    gain[0] = 0.0
    gain[1] *= 1e40
    alone, beside = SCA().solve(problem), SCA().solve(replace(problem, gain=gain))
    assert_answered(problem, alone)
    np.testing.assert_allclose(beside.allocation.power[2:], alone.allocation.power[2:], rtol=1e-9)
    assert np.isfinite(beside.allocation.power).all()


def test_rates_stay_finite_where_single_precision_does_not_hold_the_sinr():
    """1e41 is no number of single precision; the largest is 128 bit/s/Hz, and the sensing gain adds nothing to it."""
    problem = replace(
        empty_cell(),
        **{
            name: np.asarray(value, dtype=np.float32)
            for name, value in {
                "gain": 1e10 * np.eye(2), "leakage": np.ones(2), "sensing_gain": np.full(2, 10.0),
                "last_power": np.zeros((2, 2)), "weight": np.full(2, 0.5), "service_weight": [1.0, 1.0],
                "queue": np.zeros(2), "noise_density": np.full((2,), 1e-38),
            }.items()
        },
    )  # fmt: skip
    allocation = decode(np.zeros(action_size(2, 2)), problem, logit_scale=5.0)
    rate, positioning = problem.rates(allocation)
    np.testing.assert_allclose(rate, 128 * 2.5e6, rtol=1e-5)
    np.testing.assert_allclose(positioning, 64 * 2.5e6, rtol=1e-5)


def empty_cell(**changes) -> MultiCellProblem:
    """Two cells, of which the second serves nobody; free share."""
    values = {
        "gain": 1e-10 * np.eye(2),
        "leakage": np.ones(2),
        "sensing_gain": np.full(2, 10.0),
        "cell": [0, 0],
        "group": [0, 1],
        "last_power": np.full((2, 2), 0.25),
        "weight": np.full(2, 0.5),
        "service_weight": [1.0, 1.5],
        "power_budget": 1.0,
        "band_budget": 1e7,
        "power_floor": 0.0,
        "band_floor": 0.0,
        "noise_density": 1e-18,
        "positioning_share": np.nan,
        "queue": np.zeros(2),
        "cell_count": 2,
    }
    return MultiCellProblem(**(values | changes))


def test_the_share_of_a_cell_without_users_is_encoded_as_the_middle():
    problem = empty_cell()
    action = np.array([0.2, -0.3, 0.1, 0.0, -0.2, 0.3, -0.1, 0.0, 0.4, 0.0])
    again = encode_allocation(decode(action, problem, logit_scale=5.0), problem, logit_scale=5.0)
    np.testing.assert_allclose(again, action, atol=1e-12)


def test_the_share_that_floors_dictate_is_encoded_as_the_middle():
    problem = empty_cell(power_floor=np.array([0.25, 0.0]))
    allocation = decode(np.zeros(action_size(2, 2)), problem, logit_scale=5.0)
    np.testing.assert_allclose(encode_allocation(allocation, problem, logit_scale=5.0), 0.0, atol=1e-12)


@pytest.mark.parametrize("floor", [0.0, 0.25, 0.25 * (1 + 1e-10)])
@pytest.mark.parametrize("solver", [GradientSearch(steps=3), Joint(steps=3, random_starts=1)])
def test_searches_answer_where_a_cell_is_empty_or_floors_take_everything(solver, floor):
    problem = empty_cell(power_floor=np.array([floor, 0.0]))
    solution = solver.solve(problem)
    assert int(solution.status) == Status.FEASIBLE
    assert_answered(replace(problem, gain=problem.gain[None, ...]), _batched(solution))


def _batched(solution):
    """A batch of one."""
    parts = {name: np.asarray(getattr(solution, name))[None, ...] for name in ("objective", "bound", "status")}
    allocation = type(solution.allocation)(*(part[None, ...] for part in solution.allocation))
    return replace(solution, allocation=allocation, **parts)


def test_the_error_about_an_action_that_is_differentiated_names_the_entry():
    problem = empty_cell()
    tensors = {
        name: torch.as_tensor(np.asarray(getattr(problem, name)))
        for name in ("gain", "leakage", "sensing_gain", "cell", "group", "last_power", "weight", "service_weight")
    }
    problem = replace(problem, **tensors, queue=torch.zeros(2, dtype=torch.float64))
    action = torch.zeros(10, dtype=torch.float64)
    action[3] = float("nan")
    with pytest.raises(ValueError, match=r"action\[3\] = nan: user 0, band_O"):
        decode(action.requires_grad_(True), problem, logit_scale=5.0)
