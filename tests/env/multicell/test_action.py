"""Every action is feasible, and every allocation has an action."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from jcas_baselines import EqualAllocation, Exact
from support.scenes import static

from jcas_env import MultiCell, MultiCellConfig
from jcas_env.scenarios.decoding import simplex_share, simplex_shares

FREE = {"positioning_share": None}


@pytest.fixture(scope="module")
def scene():
    return static(1, **FREE)


def budgets(problem, allocation):
    """Relative sums of power and band over both services, (..., cells)."""
    power = problem.cell_sum(allocation.power.sum(axis=-2)) / problem.power_budget
    size = problem.group_size[..., None, :]
    band = problem.cell_sum((allocation.bandwidth / size).sum(axis=-2)) / problem.band_budget
    return power, band


def test_ten_thousand_actions_spend_the_budgets_and_keep_the_floors(scene, rng):
    """Spec multicell check 17: 10^4 random actions, corners included, budgets to 1e-9."""
    size = scene.scenario.action_size
    assert size == 147
    actions = rng.uniform(-1, 1, (10_000, size))
    actions[:3000] = np.sign(actions[:3000])
    problem = scene.problem
    allocation = scene.scenario.decode(actions, problem)
    for part in budgets(problem, allocation):
        np.testing.assert_allclose(part, 1.0, atol=1e-9)
    assert (allocation.power >= problem.power_floor * (1 - 1e-12)).all()
    assert (allocation.bandwidth >= problem.band_floor * (1 - 1e-12)).all()
    assert problem.violation(allocation).max() < 1e-9


@pytest.mark.parametrize("bound", [5.0, 40.0, 300.0])
def test_shares_of_bounded_logits_are_those_with_the_peak_subtracted(bound, rng):
    cell = rng.integers(0, 3, (4, 9))
    member = cell[..., :, None] == cell[..., None, :]
    logits = bound * rng.uniform(-1, 1, (4, 2, 9))
    whole = np.array([[[np.exp(z - z[m].max()) / np.exp(z[m] - z[m].max()).sum() for m in own] for z in rows]
                      for own, rows in zip(member, logits, strict=True)])  # fmt: skip
    expected = np.array([[np.diagonal(row) for row in rows] for rows in whole])
    np.testing.assert_allclose(simplex_shares(logits, member, bound=bound), expected, rtol=1e-12)
    softmax = np.exp(logits[:, 0]) / np.exp(logits[:, 0]).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(simplex_share(logits[:, 0]), softmax, rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    action=arrays(np.float64, 147, elements=st.floats(-1e6, 1e6)),
    share=st.one_of(st.none(), st.floats(0.12, 0.88)),
    alpha=st.floats(0.01, 1.5),
)
def test_any_finite_action_is_feasible_for_any_share_and_grouping(scene, action, share, alpha):
    problem = scene.problem.regroup(alpha)
    problem = replace(problem, positioning_share=float("nan") if share is None else share)
    allocation = scene.scenario.decode(action, problem)
    assert problem.violation(allocation).max() < 1e-9


def test_the_zero_action_without_floors_is_the_equal_allocation():
    """Spec multicell check 17 (1e-12)."""
    scene = static(4, floor=0.0)
    zero = scene.scenario.decode(np.zeros((4, 147)), scene.problem)
    equal = EqualAllocation().solve(scene.problem).allocation
    np.testing.assert_allclose(zero.power, equal.power, rtol=1e-12)
    np.testing.assert_allclose(zero.bandwidth, equal.bandwidth, rtol=1e-12)


def test_the_zero_action_with_floors_differs_by_the_stated_amount():
    scene = static(3)
    zero = scene.scenario.decode(np.zeros((3, 147)), scene.problem)
    problem = scene.problem
    tb = 0.02
    expected = 5e6 * (tb + (1 - problem.groups * tb) * problem.group_size / 12)
    np.testing.assert_allclose(zero.bandwidth, np.stack([expected, expected], axis=-2), rtol=1e-12)


def test_the_share_logit_raises_the_positioning_share(scene):
    action = np.zeros(147)
    action[144] = 1.0
    allocation = scene.scenario.decode(action, scene.problem)
    share = scene.problem.cell_sum(allocation.power[..., 1, :]) / 10.0
    sigmoid = 1 / (1 + np.exp(-5.0))
    np.testing.assert_allclose(share, [[0.12 + 0.76 * sigmoid, 0.5, 0.5]])


def test_a_fixed_share_ignores_the_share_logits():
    scene = static(1)
    a, b = np.zeros((2, 147))
    b[144:] = 1.0
    for x, y in zip(*(scene.scenario.decode(z, scene.problem) for z in (a, b)), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        (17, np.nan, r"action\[17\] = nan: user 4, power_O"),
        (146, np.inf, r"action\[146\] = inf: positioning share of cell 2"),
        (2, -np.inf, r"action\[2\] = -inf: user 0, band_C"),
    ],
)
def test_nan_and_inf_are_refused_by_name(scene, entry, value, message):
    action = np.zeros(147)
    action[entry] = value
    with pytest.raises(ValueError, match=message):
        scene.scenario.decode(action, scene.problem)


def test_wrong_shape_and_dtype_are_refused(scene):
    with pytest.raises(ValueError, match=r"147 entries.*shape \(146,\)"):
        scene.scenario.decode(np.zeros(146), scene.problem)
    for dtype in (complex, bool, object, "U3"):
        with pytest.raises(ValueError, match="real numbers"):
            scene.scenario.decode(np.zeros(147).astype(dtype), scene.problem)
    with pytest.raises(ValueError, match=r"shape \(\)"):
        scene.scenario.decode(None, scene.problem)


def test_values_outside_of_the_box_are_clipped_as_documented(scene):
    far = scene.scenario.decode(np.full(147, 7.0), scene.problem)
    edge = scene.scenario.decode(np.ones(147), scene.problem)
    np.testing.assert_array_equal(far.power, edge.power)


def test_floors_that_leave_no_share_are_named(scene):
    problem = replace(scene.problem, power_floor=0.6)
    with pytest.raises(ValueError, match=r"cell 0 need 0.72 of the budget"):
        scene.scenario.decode(np.zeros(147), problem)


class TestEncode:
    def test_round_trip_of_a_decoded_action_is_exact(self, scene, rng):
        actions = rng.uniform(-1, 1, (200, 147))
        first = scene.scenario.decode(actions, scene.problem)
        again = scene.scenario.decode(scene.scenario.encode_allocation(first, scene.problem), scene.problem)
        np.testing.assert_allclose(again.power, first.power, rtol=1e-9)
        np.testing.assert_allclose(again.bandwidth, first.bandwidth, rtol=1e-9)

    def test_a_vertex_comes_back_to_the_resolution_of_the_box(self):
        scene = static(5, users_per_cell=6)
        exact = Exact().solve(scene.problem).allocation
        action = scene.scenario.encode_allocation(exact, scene.problem)
        assert np.abs(action).max() <= 1.0
        near = scene.scenario.decode(action, scene.problem)
        np.testing.assert_allclose(near.power, exact.power, atol=10.0 * 5e-4)
        np.testing.assert_allclose(scene.truth.utility(near), scene.truth.utility(exact), rtol=2e-3)

    def test_another_grouping_is_refused(self, scene):
        allocation = EqualAllocation().solve(scene.problem.regroup(1.01)).allocation
        with pytest.raises(ValueError, match="grouping"):
            scene.scenario.encode_allocation(allocation, scene.problem)


def test_one_user_and_one_cell_still_decode():
    scenario = MultiCell(MultiCellConfig.preset("luo2023-static", cells=1, users_per_cell=1, positioning_share=None))
    state = scenario.sample(0)
    problem = scenario.problem(state)
    allocation = scenario.decode(np.ones(5), problem)
    assert problem.violation(allocation) < 1e-12
    assert np.isfinite(scenario.reward(state, allocation))
    assert problem.leakage[0] == 0.0
