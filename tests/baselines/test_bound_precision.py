"""Bounds in single precision are rounded upwards: they bound what the same numbers earn in double precision."""

from __future__ import annotations

import numpy as np
import pytest
from jcas_baselines import GBD, EqualAllocation, Exact, UpperBound

from jcas_env import MultiCellAllocation, MultiCellProblem

COUNT = 200
POWER, BAND = 8.0, 2.0**23


def lone_user(dtype):
    """One user, whose floors fill the budgets: its one allocation is the optimum, exact in either precision."""
    gain = (10.0 ** np.random.default_rng(0).uniform(-9.0, -7.0, (COUNT, 1, 1))).astype(np.float32)
    nobody = np.zeros((COUNT, 1), dtype=np.int64)
    return MultiCellProblem(
        gain=gain.astype(dtype),
        leakage=np.zeros((COUNT, 1), dtype),
        sensing_gain=np.full((COUNT, 1), 4.0, dtype),
        cell=nobody,
        group=nobody,
        last_power=np.zeros((COUNT, 2, 1), dtype),
        weight=np.ones((COUNT, 1), dtype),
        service_weight=np.array([1.0, 1.5], dtype),
        power_budget=POWER,
        band_budget=BAND,
        power_floor=POWER / 2.0,
        band_floor=BAND / 2.0,
        noise_density=2.0**-65,
        positioning_share=0.5,
        queue=np.zeros((COUNT, 1), dtype),
    )


@pytest.mark.parametrize("method", [UpperBound("root", search=EqualAllocation()), Exact(noise="per_hertz"), GBD()])
def test_single_precision_never_rounds_a_bound_below_the_optimum(method):
    half = np.ones((COUNT, 2, 1)) / 2.0
    optimum = lone_user(np.float64).utility(MultiCellAllocation(POWER * half, BAND * half, np.zeros((COUNT, 1), int)))
    solution = method.solve(lone_user(np.float32))
    assert solution.bound.dtype == np.float32
    # The double-precision solvers are right to a few roundings, the certificate is above by a billionth.
    assert np.all(solution.bound.astype(np.float64) >= optimum * (1.0 - 1e-15))
    np.testing.assert_allclose(solution.bound, optimum, rtol=2e-7)


@pytest.mark.parametrize("noise", ["constant", "per_hertz"])
def test_no_bound_of_exact_is_below_its_objective(noise):
    solution = Exact(noise=noise).solve(lone_user(np.float64))
    assert np.all(solution.bound >= solution.objective)
