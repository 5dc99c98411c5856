"""The adapters: Gymnasium's and SB3's checkers, seeds, truncation, snapshots, and the vector environment."""

from __future__ import annotations

import pickle
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from jcas_baselines import ADMM, EqualAllocation

import jcas_env
from jcas_env.render import slot_figure

ID = "jcas/MultiCell-v0"
SMALL = {"users_per_cell": 3, "bs_antennas": 8, "ue_antennas": 2, "horizon": 4}


def make(**fields):
    return gym.make(ID, **(SMALL | fields))


def assert_same(a, b, path=""):
    """Equal nested observations and infos: structure, types, masks; numbers to 1e-9 (float32: to rounding)."""
    if isinstance(a, dict):
        assert a.keys() == b.keys(), path
        for key in a:
            assert_same(a[key], b[key], f"{path}/{key}")
        return
    a, b = np.asarray(a), np.asarray(b)
    assert (a.shape, a.dtype) == (b.shape, b.dtype), path
    if a.dtype == object:
        for x, y in zip(a.ravel(), b.ravel(), strict=True):
            assert (x is None) == (y is None), path
            if x is not None:
                assert_same(x, y, path)
    elif a.dtype == np.float32:
        np.testing.assert_allclose(a, b, atol=2e-6, err_msg=path)
    else:
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9, err_msg=path)


def assert_follows_sync_vector_env(name, mode, fields, rng):
    """Observations, rewards, ends, info keys, masks and final entries, over resets, and a partial reset."""
    native = gym.make_vec(name, num_envs=3, autoreset_mode=mode, **fields)
    peer = gym.make_vec(name, 3, vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode}, **fields)
    assert native.single_observation_space == peer.single_observation_space
    assert native.observation_space == peer.observation_space
    assert native.action_space == peer.action_space
    for a, b in zip(native.reset(seed=5), peer.reset(seed=5), strict=True):
        assert_same(a, b)
    done = np.zeros(3, dtype=bool)
    for slot in range(11):
        mask = done & (mode is AutoresetMode.DISABLED)
        if slot == 2:
            mask = np.array([True, False, False])
        if mask.any():
            pair = [envs.reset(options={"reset_mask": mask.copy()}) for envs in (native, peer)]
            assert_same(pair[0][0], pair[1][0], f"reset {slot}")
            assert_same(pair[0][1], pair[1][1], f"reset {slot}")
        action = rng.uniform(-1, 1, native.action_space.shape).astype(np.float32)
        ours, theirs = native.step(action), peer.step(action)
        for part, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            assert_same(a, b, f"slot {slot} part {part}")
        done = ours[3]


def assert_lanes_follow_single_environments(name, fields, rng):
    """DESIGN 2: lane i of a vector seeded s is the environment seeded s + i, to 1e-9, over episodes with resets."""
    native = gym.make_vec(name, num_envs=4, autoreset_mode="SameStep", **fields)
    native.reset(seed=11)
    singles = [gym.make(name, **fields) for _ in range(4)]
    for lane, env in enumerate(singles):
        env.reset(seed=11 + lane)
    for _ in range(9):
        action = rng.uniform(-1, 1, native.action_space.shape).astype(np.float32)
        _, rewards, _, truncated, _ = native.step(action)
        for lane, env in enumerate(singles):
            _, reward, _, end, _ = env.step(action[lane])
            assert rewards[lane] == pytest.approx(reward, rel=1e-9)
            assert truncated[lane] == end
            if end:
                env.reset()
    assert len(set(np.round(rewards, 9))) == 4


class TestCheckers:
    @pytest.mark.parametrize("observation", ["dict", "flat"])
    def test_gymnasiums_checker_passes_without_warnings(self, observation):
        env = make(observation=observation, render_mode="rgb_array")
        check_env(env.unwrapped)

    def test_sb3s_checker_passes_on_the_flat_view_without_warnings(self):
        checker = pytest.importorskip("stable_baselines3.common.env_checker")
        checker.check_env(make(observation="flat"))

    def test_sb3s_checker_warns_only_of_the_two_dimensional_boxes(self):
        checker = pytest.importorskip("stable_baselines3.common.env_checker")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            checker.check_env(make())
        assert caught
        assert all("unconventional shape" in str(w.message) for w in caught)

    def test_flatten_observation_accepts_the_dict(self):
        env = gym.wrappers.FlattenObservation(make())
        observation, _ = env.reset(seed=0)
        assert observation in env.observation_space
        assert observation.shape == (3 * 9 * 9 + 9 * 15 + 3 * 3,)

    def test_sb3_policies_learn_a_step_on_both_views(self):
        ppo = pytest.importorskip("stable_baselines3").PPO
        for observation, policy in (("dict", "MultiInputPolicy"), ("flat", "MlpPolicy")):
            model = ppo(policy, make(observation=observation), n_steps=8, batch_size=8, n_epochs=1, device="cpu")
            model.learn(8)

    def test_both_environments_stand_under_one_id(self):
        assert isinstance(gym.make("jcas_env:" + ID).unwrapped, jcas_env.JCASEnv)
        envs = gym.make_vec(ID, num_envs=2)
        assert isinstance(envs, jcas_env.JCASVectorEnv)
        assert envs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
        assert envs.autoreset_mode is AutoresetMode.NEXT_STEP

    def test_a_whole_config_and_keywords_on_top(self):
        config = jcas_env.MultiCellConfig(users_per_cell=5, horizon=7)
        env = gym.make(ID, config=config, horizon=3).unwrapped
        assert (env.scenario.config.users_per_cell, env.scenario.horizon) == (5, 3)


class TestSingle:
    def test_seeds(self):
        env = make()
        first, _ = env.reset(seed=7)
        again, _ = env.reset(seed=7)
        other, _ = env.reset(seed=8)
        assert_same(first, again)
        assert np.abs(first["gains"] - other["gains"]).max() > 0.1
        unseeded, _ = env.reset()
        assert np.abs(unseeded["gains"] - other["gains"]).max() > 0.1

    def test_an_episode_is_truncated_after_the_horizon_and_then_refuses(self):
        env = make().unwrapped
        with pytest.raises(gym.error.ResetNeeded, match="reset"):
            env.step(np.zeros(39))
        env.reset(seed=0)
        ends = [env.step(np.zeros(39))[2:4] for _ in range(4)]
        assert ends == [(False, False)] * 3 + [(False, True)]
        with pytest.raises(gym.error.ResetNeeded, match="after 4 slots"):
            env.step(np.zeros(39))
        env.reset()
        env.step(np.zeros(39))

    def test_state_before_reset_says_what_to_do(self):
        with pytest.raises(RuntimeError, match="call `reset` first"):
            _ = make().unwrapped.problem

    def test_reward_is_the_utility_on_the_truth_and_info_has_the_rates(self):
        env = make().unwrapped
        env.reset(seed=1)
        allocation = ADMM().solve(env.problem).allocation
        expected = env.truth.utility(allocation)
        rate, positioning = env.truth.rates(allocation)
        _, reward, _, _, info = env.step_allocation(allocation)
        assert reward == pytest.approx(float(expected))
        np.testing.assert_allclose(info["rate"], rate)
        np.testing.assert_allclose(info["positioning_rate"], positioning)
        assert info["utility"] == reward
        assert info["violation"] < 1e-12
        assert all(isinstance(value, np.ndarray | np.generic) for value in info.values())

    def test_actions_and_allocations_are_two_doors_to_the_same_room(self):
        a, b = make().unwrapped, make().unwrapped
        a.reset(seed=2), b.reset(seed=2)
        action = np.linspace(-1, 1, 39).astype(np.float32)
        assert_same(a.step(action)[4], b.step_allocation(b.scenario.decode(action, b.problem))[4])

    def test_malformed_actions_and_allocations_are_named(self):
        env = make().unwrapped
        env.reset(seed=0)
        with pytest.raises(ValueError, match=r"action\[5\] = nan: user 1, power_O"):
            env.step(np.where(np.arange(39) == 5, np.nan, 0.0))
        allocation = EqualAllocation().solve(env.problem).allocation
        power = allocation.power.copy()
        power[1, 4] = -1.0
        with pytest.raises(ValueError, match=r"allocation.power.*\[1, 4\] = -1.0"):
            env.step_allocation(allocation._replace(power=power))
        with pytest.raises(ValueError, match=r"allocation.bandwidth.*\(2, 9\), got \(9,\)"):
            env.step_allocation(allocation._replace(bandwidth=power[0]))

    def test_an_allocation_that_breaks_a_budget_is_reported(self):
        env = make().unwrapped
        env.reset(seed=0)
        allocation = EqualAllocation().solve(env.problem).allocation
        _, _, _, _, info = env.step_allocation(allocation._replace(power=2 * allocation.power))
        assert info["violation"] == pytest.approx(1.0)

    def test_a_snapshot_continues_bit_for_bit_and_survives_pickling(self):
        env = make(horizon=10).unwrapped
        env.reset(seed=4)
        env.step(np.zeros(39))
        snapshot = pickle.loads(pickle.dumps(env.get_state()))
        first = [env.step(np.full(39, 0.2)) for _ in range(3)]
        for _ in range(2):  # a snapshot can be used again
            other = make(horizon=10).unwrapped
            other.set_state(snapshot)
            for a in first:
                b = other.step(np.full(39, 0.2))
                for name in a[0]:
                    np.testing.assert_array_equal(a[0][name], b[0][name])
                assert a[1:4] == b[1:4]

    def test_render_draws_the_map_before_and_after_the_first_slot(self):
        env = make(render_mode="rgb_array")
        env.reset(seed=0)
        blank = env.render()
        env.step(np.zeros(39, dtype=np.float32))
        played = env.render()
        assert blank.dtype == np.uint8
        assert blank.shape == played.shape
        assert blank.shape[2] == 3
        assert (blank != played).mean() > 0.01
        with pytest.raises(ValueError, match="render_mode.*rgb_array.*human"):
            jcas_env.JCASEnv(render_mode="human")
        assert make().unwrapped.render() is None

    def test_the_map_shows_where_users_were_found(self):
        """A cross at every located user's estimated position, a line to it from the true one, and their number."""
        env = make(estimator="omp").unwrapped
        env.reset(seed=0)
        fix = env.state.memory.fix
        figure = slot_figure(env.scenario, env.state)
        (legend,) = figure.legends
        assert f"({fix.located.sum()} of {fix.located.size} users)" in legend.get_texts()[0].get_text()
        drawn = figure.axes[0].get_lines()
        (crosses,) = (line for line in drawn if line.get_marker() == "x")
        np.testing.assert_allclose(crosses.get_xydata(), fix.position[fix.located])
        red = [line for line in drawn if line.get_color() == crosses.get_color() and line is not crosses]
        pairs = np.stack([env.state.air.position, fix.position], axis=1)[fix.located]
        np.testing.assert_allclose([xy for line in red if len(xy := line.get_xydata())], pairs)


class TestVector:
    @pytest.mark.parametrize("mode", list(AutoresetMode))
    @pytest.mark.parametrize("observation", ["dict", "flat"])
    def test_equals_gymnasiums_sync_vector_env_step_by_step(self, mode, observation, rng):
        assert_follows_sync_vector_env(ID, mode, SMALL | {"observation": observation}, rng)

    def test_lane_i_follows_the_single_environment_of_seed_s_plus_i(self, rng):
        assert_lanes_follow_single_environments(ID, SMALL, rng)

    def test_make_vecs_horizon_is_kept(self):
        envs = gym.make_vec(ID, num_envs=2, max_episode_steps=2, **SMALL)
        envs.reset(seed=0)
        ends = [envs.step(np.zeros((2, 39)))[3].all() for _ in range(2)]
        assert ends == [False, True]

    def test_solvers_act_on_all_lanes_in_every_mode(self):
        for mode in AutoresetMode:
            envs = gym.make_vec(ID, num_envs=3, autoreset_mode=mode, **SMALL)
            envs.reset(seed=0)
            assert envs.problem.gain.shape == (3, 9, 9)
            for _ in range(6):
                allocation = ADMM().solve(envs.problem).allocation
                expected = envs.truth.utility(allocation)
                ended = envs.get_state().finished
                _, reward, _, truncated, info = envs.step_allocation(allocation)
                np.testing.assert_allclose(reward, np.where(ended, 0.0, expected))
                if mode is AutoresetMode.DISABLED and truncated.any():
                    envs.reset(options={"reset_mask": truncated})
                assert "rate" not in info or info["rate"].shape == (3, 9)

    def test_snapshot_continues_in_every_lane(self):
        envs = gym.make_vec(ID, num_envs=2, **SMALL)
        envs.reset(seed=0)
        envs.step(np.zeros((2, 39)))
        snapshot = pickle.loads(pickle.dumps(envs.get_state()))
        first = [envs.step(np.zeros((2, 39)))[1] for _ in range(6)]
        other = gym.make_vec(ID, num_envs=2, **SMALL)
        other.set_state(snapshot)
        np.testing.assert_array_equal(first, [other.step(np.zeros((2, 39)))[1] for _ in range(6)])

    def test_misuse_is_named(self):
        envs = gym.make_vec(ID, num_envs=2, autoreset_mode="Disabled", **SMALL)
        with pytest.raises(gym.error.ResetNeeded, match="reset"):
            envs.step(np.zeros((2, 39)))
        with pytest.raises(ValueError, match="first `reset`"):
            envs.reset(options={"reset_mask": np.array([True, False])})
        envs.reset(seed=0)
        with pytest.raises(ValueError, match=r"reset_mask.*\(2,\)"):
            envs.reset(options={"reset_mask": np.array([False, False])})
        with pytest.raises(ValueError, match="2 seeds"):
            envs.reset(seed=[1, 2, 3])
        with pytest.raises(ValueError, match=r"action\[1, 3\] = nan: user 0, band_O"):
            envs.step(np.where(np.arange(78).reshape(2, 39) == 42, np.nan, 0.0))
        for _ in range(4):
            envs.step(np.zeros((2, 39)))
        with pytest.raises(gym.error.ResetNeeded, match=r"lanes \[0, 1\]"):
            envs.step(np.zeros((2, 39)))

    def test_render_gives_a_picture_for_each_lane(self):
        envs = gym.make_vec(ID, num_envs=2, render_mode="rgb_array", **SMALL)
        envs.reset(seed=0)
        envs.step(np.zeros((2, 39)))
        frames = envs.render()
        assert len(frames) == 2
        assert (frames[0] != frames[1]).any()

    def test_torchrl_style_reset_reaches_only_the_masked_lanes(self):
        envs = gym.make_vec(ID, num_envs=3, autoreset_mode="Disabled", **SMALL)
        before, _ = envs.reset(seed=0)
        after, _ = envs.reset(options={"reset_mask": np.array([False, True, False])})
        changed = [np.abs(after["gains"][lane] - before["gains"][lane]).max() > 0 for lane in range(3)]
        assert changed == [False, True, False]
