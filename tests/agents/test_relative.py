"""Rewards relative to the equal allocation, and ratios of utilities: of what may be zero or negative there is none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from jcas_agents.data.relative import relative_reward
from jcas_agents.data.scene_env import SceneVectorEnv
from jcas_agents.sb3.adapter import SB3VectorAdapter
from jcas_experiments.compare.regret import shortfall
from jcas_experiments.statistics import paired_ratio

from jcas_env import JCASVectorEnv, MassiveMIMOConfig, MeshConfig, MultiCellConfig

FAINT = {"power_budget": 1e-6, "estimator": "perfect", "csi_delay": 0, "users_per_cell": 3}
"""A network in which logarithms of rates are negative."""

TASKS = {
    "multicell-rate": ("multicell", {"estimator": "crb", "users_per_cell": 4}),
    "multicell-fair": ("multicell", {"estimator": "crb", "users_per_cell": 4, "reward": "fair"}),
    "multicell-fair-faint": ("multicell", FAINT | {"reward": "fair"}),
    "multicell-rate-faint": ("multicell", FAINT),
    "mesh-sum": ("mesh", {}),
    "mesh-log": ("mesh", {"objective": "log"}),
    "mesh-floors": ("mesh", {"rate_floor": 400e6}),
    "massive-mimo-tracking": ("massive-mimo", {}),
    "massive-mimo-frame": ("massive-mimo", {"reward": "frame"}),
    "massive-mimo-constrained": ("massive-mimo", {"reward": "constrained"}),
}
"""Every scenario with every reward that may be relative, and settings in which the equal allocation earns nothing."""


def played(name, slots=4, lanes=64):
    """Relative rewards, rewards, and those of the zero action, (slots * lanes,), under random actions."""
    scenario, fields = TASKS[name]
    env = SB3VectorAdapter(JCASVectorEnv(scenario, num_envs=lanes, autoreset_mode="SameStep", **fields))
    env.seed(0)
    env.reset()
    rng, rows = np.random.default_rng(0), []
    for _ in range(slots):
        action = rng.uniform(-1, 1, (lanes, *env.action_space.shape)) * rng.choice([0.01, 0.1, 1.0], (lanes, 1))
        equal = env._baseline()
        _, relative, _, infos = env.step(action)
        rows.append(np.stack([relative, [info["reward"] for info in infos], equal]))
    return env.env.scenario.config, np.concatenate(rows, axis=-1)


@pytest.mark.parametrize("name", list(TASKS))
def test_what_beats_the_equal_allocation_scores_above_zero_and_nothing_else_does(name):
    _, (relative, earned, equal) = played(name)
    assert np.isfinite(relative).all()
    beats = earned > equal
    assert 0 < beats.sum() < len(beats)
    assert relative[beats].min() > 0.0 >= relative[~beats].max()
    if name in ("multicell-fair-faint", "mesh-floors", "massive-mimo-tracking", "massive-mimo-frame"):
        assert (equal < 0).any()  # where a ratio would turn the order round


@pytest.mark.parametrize("name", list(TASKS))
def test_rates_are_compared_by_ratio_and_all_others_by_difference(name):
    config, (relative, earned, equal) = played(name)
    assert config.ratio_scale == (name in ("multicell-rate", "multicell-rate-faint", "massive-mimo-constrained"))
    expected = 5.0 * (earned / equal - 1.0) if config.ratio_scale else 5.0 * (earned - equal)
    np.testing.assert_allclose(relative, expected, rtol=1e-5, atol=1e-6)


def test_a_bank_of_frozen_scenes_keeps_the_order_too():
    config = MultiCellConfig.preset("luo2023-static", reward="fair", power_budget=1e-6, users_per_cell=3)
    env = SB3VectorAdapter(SceneVectorEnv(config, scenes=32, num_envs=32))
    env.seed(0)
    env.reset()
    equal = env._baseline()
    _, relative, _, infos = env.step(np.random.default_rng(0).uniform(-1, 1, (32, *env.action_space.shape)))
    beats = np.array([info["reward"] for info in infos]) > equal
    assert (equal < 0).any()
    np.testing.assert_array_equal(relative > 0, beats)


def test_known_values_and_the_ends():
    """Ratio 6/4, difference of logarithms, a silent network, and gradients."""
    assert relative_reward(np.array(6.0), np.array(4.0), ratio=True) == pytest.approx(2.5)
    assert relative_reward(np.array(-1.0), np.array(-4.0), ratio=False) == pytest.approx(15.0)
    np.testing.assert_allclose(relative_reward(np.array([0.0, 1e-6]), np.zeros(2), ratio=True), [0.0, 5.0])
    utility = torch.tensor([6.0, 8.0], requires_grad=True)
    relative_reward(utility, torch.tensor([4.0, 2.0]), ratio=True).sum().backward()
    np.testing.assert_allclose(utility.grad, [1.25, 2.5])


def test_configurations_say_whether_their_rewards_have_a_ratio():
    assert MultiCellConfig().ratio_scale
    assert not MultiCellConfig(reward="fair").ratio_scale
    assert not MultiCellConfig(reward="delay").ratio_scale
    assert not MeshConfig().ratio_scale
    assert not MassiveMIMOConfig().ratio_scale


class TestRatiosOfMeans:
    def test_to_a_negative_mean_there_is_none_but_of_costs(self):
        rng = np.random.default_rng(0)
        base = rng.normal(-1.0, 0.1, 50)
        assert paired_ratio(base + 3.0, base) == (None, None)
        ratio, (low, high) = paired_ratio(0.5 * base, base)  # costs: half as much
        assert ratio == low == high == pytest.approx(0.5)
        logarithmic, _ = paired_ratio(base + 3.0, base, logarithmic=True)
        assert logarithmic == pytest.approx(np.exp(3.0))

    def test_a_mean_that_may_as_well_be_zero_has_a_ratio_but_no_interval(self):
        rng = np.random.default_rng(1)
        base = rng.normal(0.05, 1.0, 50)
        base += 0.05 - base.mean()
        ratio, interval = paired_ratio(base + 1.0, base)
        assert ratio == pytest.approx(21.0)
        assert interval is None

    def test_nothing_is_missing_to_a_reference_that_earns_nothing(self):
        """A share of what is zero or negative means nothing."""
        for top in (0.0, -2.0):
            assert shortfall(np.array([-3.0]), np.array([top]), logarithmic=False) is None
        assert shortfall(np.array([-3.0]), np.array([-2.0]), logarithmic=True) == pytest.approx(1 - np.exp(-1))
        assert shortfall(np.array([1.5]), np.array([2.0]), logarithmic=False) == pytest.approx(0.25)
