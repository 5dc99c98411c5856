"""Curves between actions and shares: their ends, steep and flat ones, and numbers beyond single precision."""

from __future__ import annotations

import numpy as np
import pytest

from jcas_env import make_scenario
from jcas_env.scenarios.decoding import logistic, unit_interval, unit_logit
from jcas_env.scenarios.massive_mimo.problem import reciprocal
from jcas_env.scenarios.multicell.observation import last_share

SCALES = (0.01, 1.0, 5.0, 40.0)


def printed(z, c):
    """(s(z) - s(-c)) / (s(c) - s(-c)) as it is written."""
    s = [1.0 / (1.0 + np.exp(-x)) for x in (z, -c, c)]
    return (s[0] - s[1]) / (s[2] - s[1])


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_curve_is_the_printed_one_and_reaches_its_ends(scale, dtype):
    z = np.linspace(-scale, scale, 41).astype(dtype)
    z[[0, -1]] = -scale, scale
    share = unit_interval(z, scale)
    assert share.dtype == dtype
    rounding = 2 * np.finfo(dtype).eps
    np.testing.assert_allclose(share[[0, 20, 40]], [0.0, 0.5, 1.0], rtol=0, atol=rounding)
    # The printed form loses digits where the curve is flat; it is taken in double precision.
    np.testing.assert_allclose(share, printed(z.astype(float), scale), rtol=0, atol=rounding + 1e-15 / min(scale, 1))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_inverse_leads_back_and_ends_in_the_box(scale, dtype):
    share = np.linspace(0.0, 1.0, 21).astype(dtype)
    logit = unit_logit(share, scale)
    rounding = 4 * np.finfo(dtype).eps
    np.testing.assert_allclose(logit[[0, -1]], [-scale, scale], rtol=rounding, atol=rounding)
    np.testing.assert_allclose(unit_interval(logit, scale), share, rtol=0, atol=rounding / min(scale, 1))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_logistic_function_has_no_logit_that_overflows(dtype):
    z = np.asarray([-1e4, -100.0, -1.0, 0.0, 1.0, 100.0, 1e4], dtype=dtype)
    expected = [0.0, 0.0, 0.2689414213699951, 0.5, 0.7310585786300049, 1.0, 1.0]
    np.testing.assert_allclose(logistic(z), expected, rtol=4 * np.finfo(dtype).eps, atol=np.finfo(dtype).eps)


def test_a_rate_floor_out_of_reach_splits_the_power_in_proportion_to_what_users_need():
    """A floor of 1000 bit/s/Hz asks for an SINR of 10^301: nobody reaches it, the rule of shares stays the same."""
    share = np.asarray(0.3)
    powers = []
    for floor in (60.0, 1000.0):
        scenario = make_scenario("massive-mimo", action="share", rate_floor=floor)
        powers.append(scenario.decode(np.asarray([share]), scenario.problem(scenario.sample(3))).power)
    np.testing.assert_allclose(powers[1], powers[0], rtol=1e-9)


def test_shares_stay_in_the_budget_where_gains_are_far_apart():
    scenario = make_scenario("massive-mimo", action="share", rate_floor=1.0, path_loss_exponent=10.0)
    for seed in range(40):
        problem = scenario.problem(scenario.sample(seed))
        for action in (-1.0, -0.3, 0.0, 0.4, 1.0):
            assert problem.violation(scenario.decode(np.asarray([action]), problem)) <= 1e-9


def test_the_reciprocal_of_what_is_next_to_nothing_is_infinite():
    np.testing.assert_array_equal(reciprocal(np.asarray([0.0, 1e-40, 0.5], dtype="float32")), [np.inf, np.inf, 2.0])
    np.testing.assert_array_equal(reciprocal(np.asarray([0.0, 1e-310, 1e-40])), [np.inf, np.inf, 1e40])


def test_a_cell_without_users_has_spent_no_share():
    scenario = make_scenario("multicell", assignment="svd", users_per_cell=1, estimator="perfect")
    state = scenario.sample(0)
    empty = np.bincount(state.cell, minlength=3) == 0
    assert empty.any()
    share = last_share(scenario.problem(state))
    np.testing.assert_allclose(share, np.where(empty, 0.0, 0.5))
    assert np.isfinite(scenario.observation(state)["cells"]).all()
