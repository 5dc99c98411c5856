"""Mesh and massive MIMO solvers on random legal and extreme problems: each ends in a status that its answer deserves.

Some hundred of each in every run, ``--problems`` of each behind the marker ``slow``. Warnings are errors as ever.
"""

from __future__ import annotations

import numpy as np
import pytest
from jcas_baselines import GBD, SCA, ConstantShare, EqualAllocation, Exact, ExactPerFrame, LeastSensing, Myopic
from support.extreme import assert_answered, demanding_mimo, extreme_mesh, extreme_mimo

from jcas_env import MassiveMIMOProblem, MeshProblem, Status

BATCH = 10
"""Problems of one shape."""
SLOW = pytest.mark.slow

MESH = {"exact": Exact(), "equal": EqualAllocation()}
MIMO = {
    "exact": Exact(),
    "sca": SCA(),
    "sca from half": SCA(start="half"),
    "sca from low": SCA(start="low"),
    "equal power": EqualAllocation(),
    "equal stream": EqualAllocation(reading="equal-stream"),
    "equal and full": EqualAllocation(reading="equal-full"),
    "half": EqualAllocation(reading="equal-half"),
    "exact per frame": ExactPerFrame(),
    "least sensing": LeastSensing(beam_error="sigma"),
    "myopic": Myopic(beam_error="sigma"),
    "constant share": ConstantShare(),
}

precisions = pytest.mark.parametrize("dtype", ["float64", "float32"])


@pytest.fixture(params=["few", pytest.param("many", marks=SLOW)])
def count(request, problems):
    """How many problems to solve."""
    return 300 if request.param == "few" else problems


def answer_all(solver, make, count, dtype, seed):
    """Solve ``count`` problems in batches; returns how often each status was given."""
    seen = {status: 0 for status in Status}
    for batch in range(count // BATCH):
        problem = make(np.random.default_rng((seed, batch)), BATCH, dtype)
        solution = solver.solve(problem)
        assert_answered(problem, solution, dtype)
        for status in Status:
            seen[status] += int((np.asarray(solution.status) == status).sum())
    return seen


@precisions
@pytest.mark.parametrize("name", MESH)
def test_mesh(name, count, dtype):
    seen = answer_all(MESH[name], extreme_mesh, count, dtype, seed=11)
    assert sum(seen.values()) == count
    assert seen[Status.INFEASIBLE] < 0.6 * count


@precisions
def test_decomposition_of_counts(count, dtype):
    def make(rng, batch, dtype):
        return extreme_mesh(rng, batch, dtype, subcarriers=601)

    seen = answer_all(GBD(), make, count, dtype, seed=12)
    assert seen[Status.OPTIMAL] + seen[Status.INFEASIBLE] > 0.9 * count


@precisions
@pytest.mark.parametrize(("count", "cuts"), [(20, 5), pytest.param(100, 40, marks=SLOW)])
def test_decomposition_by_cone_programs(count, cuts, dtype):
    """Bands of 60 subcarriers and fewer: a local search over single subcarriers takes seconds for a large one."""

    def make(rng, batch, dtype):
        users = int(rng.integers(1, 7))
        total = int(rng.choice([2 * users, 2 * users + 1, 60]))
        return extreme_mesh(rng, batch, dtype, users=users, subcarriers=max(total, 2))

    seen = answer_all(GBD(max_cuts=cuts), make, count, dtype, seed=14)
    assert sum(seen.values()) == count
    assert seen[Status.INFEASIBLE] < 0.7 * count


@precisions
@pytest.mark.parametrize("name", MIMO)
def test_massive_mimo(name, count, dtype):
    seen = answer_all(MIMO[name], extreme_mimo, count, dtype, seed=13)
    assert sum(seen.values()) == count
    assert seen[Status.INFEASIBLE] < 0.8 * count


@precisions
@pytest.mark.parametrize("name", ["exact", "equal power", "exact per frame", "least sensing", "myopic"])
def test_massive_mimo_with_floors_and_beams_that_miss(name, count, dtype):
    seen = answer_all(MIMO[name], demanding_mimo, count, dtype, seed=15)
    assert sum(seen.values()) == count


def test_what_single_precision_cannot_hold_is_infinite():
    """A floor of 150 bit/s/Hz takes 2^150 times the noise: beyond float32, and told as such."""
    ones = np.ones(2, dtype="float32")
    problem = MassiveMIMOProblem(
        large_scale_gain=ones, estimate_variance=1e-9 * ones, noise_power=ones[0], echo_noise=1.0, power_budget=1.0,
        crb_limit=np.inf, tx_antennas=8, rx_antennas=8, rate_floor=150.0,
    )  # fmt: skip
    solution = Exact().solve(problem)
    assert solution.status == Status.INFEASIBLE
    assert solution.details["stream_power_needed"] == np.inf


def test_ratios_of_twenty_two_decades_divide_nothing_by_zero():
    """Rates of 1e-4 and 7e6 bit/s side by side: the largest common rate is the weak user's, of the whole band."""
    ones = np.ones(2)
    problem = MeshProblem(
        distance=ones, aod=ones, aoa=ones, snr=np.array([1e-9, 1e13]), subcarriers=6, rate_floor=0.0, share_min=1e-9
    )
    solution = GBD().solve(problem)
    assert_answered(problem, solution)
    assert solution.status != Status.INFEASIBLE
    assert float(problem.count_model.rate_floor_max) == pytest.approx(6 * 150e3 * 0.75e-9 / np.log(2.0), rel=1e-9)


@precisions
def test_bounds_and_utility_of_large_ratios_stay_finite(dtype):
    """Squared frequencies times a ratio of 1e15 and 1,500 symbols exceed what single precision holds."""
    ones = np.ones(2, dtype=dtype)
    problem = MeshProblem(distance=ones, aod=ones, aoa=ones, snr=1e15 * ones, subcarriers=6000, rate_floor=0.0)
    found = Exact().solve(problem)
    outcome = problem.outcome(found.allocation)
    for part in (outcome.utility, outcome.peb, outcome.oeb, outcome.rate):
        assert np.isfinite(part).all()
    # PEB falls as the square root of the ratio.
    weak = MeshProblem(distance=ones, aod=ones, aoa=ones, snr=1e3 * ones, subcarriers=6000, rate_floor=0.0)
    np.testing.assert_allclose(weak.outcome(found.allocation).peb / outcome.peb, 1e6, rtol=1e-4)
