"""The adapters over all scenarios: checkers, seeds, truncation, snapshots, and the vector environment."""

from __future__ import annotations

import pickle
import re
import warnings
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import flatten
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from jcas_baselines import ADMM, GBD, EqualAllocation, Myopic

import jcas_env
from jcas_env.render import slot_figure
from jcas_env.render.palette import LOOKS


@dataclass(frozen=True)
class Case:
    """A small environment of one scenario, episodes of four slots."""

    id: str
    scenario: str
    fields: dict[str, Any]
    size: int
    """Length of an action."""
    solver: Any
    horizon: int
    """Slots of an episode by default."""
    entry: str
    """What the fourth entry of an action decides."""
    observed: int
    """Numbers in an observation."""
    views: tuple[str, ...] = ("dict", "flat")
    """Forms of the observation; none where there is one alone."""

    def make(self, **fields):
        """Single environment."""
        return gym.make(self.id, **(self.fields | fields))

    def make_vec(self, lanes, **fields):
        """Native vector environment."""
        return gym.make_vec(self.id, num_envs=lanes, **(self.fields | fields))

    def actions(self, *lead, value=0.0):
        """Constant actions."""
        return np.full((*lead, self.size), value, dtype=np.float32)


CASES = [
    Case(
        "jcas/MultiCell-v0", "multicell", {"users_per_cell": 3, "bs_antennas": 8, "ue_antennas": 2, "horizon": 4},
        39, ADMM(), 100, "user 0, band_O", 3 * 9 * 9 + 9 * 15 + 3 * 3,
    ),
    Case(
        "jcas/Mesh-v0", "mesh", {"users": 5, "bandwidth": 30e6, "rate_floor": 15e6, "horizon": 4},
        6, GBD(), 100, "band of user 3", 5 * 6 + 2,
    ),
    Case(
        "jcas/MassiveMIMO-v0", "massive-mimo", {"users": 3, "tx_antennas": 8, "rx_antennas": 8, "horizon": 4},
        5, Myopic(), 50, "sensing share", 2 * 3 + 5, views=(),
    ),
]  # fmt: skip
VIEWS = [(case, {"observation": view} if view else {}) for case in CASES for view in case.views or (None,)]
MULTICELL = CASES[0]

for_all = pytest.mark.parametrize("case", CASES, ids=lambda case: case.scenario)
for_all_views = pytest.mark.parametrize(
    ("case", "view"), VIEWS, ids=["-".join((case.scenario, *view.values())) for case, view in VIEWS]
)


def vector_of(env, observation):
    """An observation as one vector."""
    return flatten(getattr(env, "single_observation_space", env.observation_space), observation)


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


@for_all_views
class TestViews:
    def test_gymnasiums_checker_passes_without_warnings(self, case, view):
        check_env(case.make(render_mode="rgb_array", **view).unwrapped)

    def test_sb3_policies_learn_a_step(self, case, view):
        ppo = pytest.importorskip("stable_baselines3").PPO
        env = case.make(**view)
        policy = "MultiInputPolicy" if isinstance(env.observation_space, gym.spaces.Dict) else "MlpPolicy"
        ppo(policy, env, n_steps=8, batch_size=8, n_epochs=1, device="cpu").learn(8)

    def test_sb3s_checker_warns_of_nothing_but_two_dimensional_boxes(self, case, view):
        checker = pytest.importorskip("stable_baselines3.common.env_checker")
        env = case.make(**view)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            checker.check_env(env)
        assert bool(caught) == isinstance(env.observation_space, gym.spaces.Dict)
        assert all("unconventional shape" in str(w.message) for w in caught)

    @pytest.mark.parametrize("mode", list(AutoresetMode))
    def test_equals_gymnasiums_sync_vector_env_step_by_step(self, case, view, mode, rng):
        assert_follows_sync_vector_env(case.id, mode, case.fields | view, rng)


@for_all
class TestRegistered:
    def test_flatten_observation_accepts_the_dict(self, case):
        env = gym.wrappers.FlattenObservation(case.make())
        observation, _ = env.reset(seed=0)
        assert observation in env.observation_space
        assert observation.shape == (case.observed,)

    def test_both_environments_stand_under_one_id(self, case):
        assert isinstance(gym.make("jcas_env:" + case.id).unwrapped, jcas_env.JCASEnv)
        envs = gym.make_vec(case.id, num_envs=2)
        assert isinstance(envs, jcas_env.JCASVectorEnv)
        assert envs.scenario.name == case.scenario
        assert envs.scenario.horizon == case.horizon
        assert envs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
        assert envs.autoreset_mode is AutoresetMode.NEXT_STEP

    def test_a_whole_config_and_keywords_on_top(self, case):
        config = case.make(horizon=7).unwrapped.scenario.config
        env = gym.make(case.id, config=config, horizon=3).unwrapped
        assert env.scenario.config == type(config)(**(case.fields | {"horizon": 3}))
        other = next(c for c in CASES if c is not case).make().unwrapped.scenario.config
        with pytest.raises(TypeError, match=f"`config` must be a {type(config).__name__}, got {type(other).__name__}"):
            gym.make(case.id, config=other)


@for_all
class TestSingle:
    def test_seeds(self, case):
        env = case.make()
        first, again, other = (vector_of(env, env.reset(seed=seed)[0]) for seed in (7, 7, 8))
        np.testing.assert_array_equal(first, again)
        assert np.abs(first - other).max() > 0.05
        assert np.abs(vector_of(env, env.reset()[0]) - other).max() > 0.05

    def test_equal_seeds_give_equal_episodes(self, case, rng):
        actions = rng.uniform(-1, 1, (4, case.size))
        runs = []
        for seed in (3, 3, 4):
            env = case.make().unwrapped
            env.reset(seed=seed)
            runs.append([env.step(action)[1] for action in actions])
        assert runs[0] == runs[1]
        assert not np.isclose(runs[0], runs[2]).any()

    def test_an_episode_is_truncated_after_the_horizon_and_then_refuses(self, case):
        env = case.make().unwrapped
        with pytest.raises(gym.error.ResetNeeded, match="reset"):
            env.step(case.actions())
        env.reset(seed=0)
        ends = [env.step(case.actions())[2:4] for _ in range(4)]
        assert ends == [(False, False)] * 3 + [(False, True)]
        with pytest.raises(gym.error.ResetNeeded, match="after 4 slots"):
            env.step(case.actions())
        env.reset()
        env.step(case.actions())

    def test_state_before_reset_says_what_to_do(self, case):
        with pytest.raises(RuntimeError, match="call `reset` first"):
            _ = case.make().unwrapped.problem

    def test_reward_is_the_utility_on_the_truth(self, case):
        env = case.make().unwrapped
        env.reset(seed=1)
        allocation, truth = case.solver.solve(env.problem).allocation, env.truth
        _, reward, _, _, info = env.step_allocation(allocation)
        assert reward == pytest.approx(float(truth.utility(allocation)), rel=1e-12)
        assert info["utility"] == reward
        assert info["violation"] < 1e-12
        assert info["rate"].shape == (truth.users,)
        assert all(isinstance(value, np.ndarray | np.generic) for value in info.values())

    def test_actions_and_allocations_are_two_doors_to_the_same_room(self, case):
        a, b = case.make().unwrapped, case.make().unwrapped
        a.reset(seed=2), b.reset(seed=2)
        action = np.linspace(-1, 1, case.size).astype(np.float32)
        assert_same(a.step(action)[4], b.step_allocation(b.scenario.decode(action, b.problem))[4])

    def test_malformed_actions_are_named(self, case):
        env = case.make().unwrapped
        env.reset(seed=0)
        with pytest.raises(ValueError, match=rf"action\[3\] = nan: {case.entry}"):
            env.step(np.where(np.arange(case.size) == 3, np.nan, 0.0))
        with pytest.raises(ValueError, match=rf"{case.size} entries.*shape \({case.size - 1},\)"):
            env.step(np.zeros(case.size - 1))
        with pytest.raises(ValueError, match="real numbers"):
            env.step(np.zeros(case.size, dtype=complex))

    def test_a_snapshot_continues_bit_for_bit_and_survives_pickling(self, case):
        env = case.make(horizon=10).unwrapped
        env.reset(seed=4)
        env.step(case.actions())
        snapshot = pickle.loads(pickle.dumps(env.get_state()))
        first = [env.step(case.actions(value=0.2)) for _ in range(3)]
        for _ in range(2):  # a snapshot can be used again
            other = case.make(horizon=10).unwrapped
            other.set_state(snapshot)
            for a in first:
                b = other.step(case.actions(value=0.2))
                np.testing.assert_array_equal(vector_of(env, a[0]), vector_of(env, b[0]))
                assert a[1:4] == b[1:4]

    def test_render_draws_before_and_after_the_first_slot(self, case):
        env = case.make(render_mode="rgb_array")
        env.reset(seed=0)
        blank = env.render()
        env.step(case.actions())
        played = env.render()
        assert blank.dtype == np.uint8
        assert blank.shape == played.shape
        assert blank.shape[2] == 3
        assert (blank != played).mean() > 0.01
        assert case.make().unwrapped.render() is None


@for_all
class TestVector:
    def test_lane_i_follows_the_single_environment_of_seed_s_plus_i(self, case, rng):
        assert_lanes_follow_single_environments(case.id, case.fields, rng)

    def test_make_vecs_horizon_is_kept(self, case):
        envs = case.make_vec(2, max_episode_steps=2)
        envs.reset(seed=0)
        ends = [envs.step(case.actions(2))[3].all() for _ in range(2)]
        assert ends == [False, True]

    @pytest.mark.parametrize("mode", list(AutoresetMode))
    def test_solvers_act_on_all_lanes_in_every_mode(self, case, mode):
        envs = case.make_vec(3, autoreset_mode=mode)
        envs.reset(seed=0)
        assert envs.problem.batch == (3,)
        for _ in range(6):
            allocation = case.solver.solve(envs.problem).allocation
            expected = envs.truth.utility(allocation)
            ended = envs.get_state().finished
            _, reward, _, truncated, info = envs.step_allocation(allocation)
            np.testing.assert_allclose(reward, np.where(ended, 0.0, expected))
            if mode is AutoresetMode.DISABLED and truncated.any():
                envs.reset(options={"reset_mask": truncated})
            assert "rate" not in info or info["rate"].shape == (3, envs.problem.users)

    def test_snapshot_continues_in_every_lane(self, case):
        envs = case.make_vec(2)
        envs.reset(seed=0)
        envs.step(case.actions(2))
        snapshot = pickle.loads(pickle.dumps(envs.get_state()))
        first = [envs.step(case.actions(2))[1] for _ in range(6)]
        other = case.make_vec(2)
        other.set_state(snapshot)
        np.testing.assert_array_equal(first, [other.step(case.actions(2))[1] for _ in range(6)])

    def test_misuse_is_named(self, case):
        envs = case.make_vec(2, autoreset_mode="Disabled")
        with pytest.raises(gym.error.ResetNeeded, match="reset"):
            envs.step(case.actions(2))
        with pytest.raises(ValueError, match="first `reset`"):
            envs.reset(options={"reset_mask": np.array([True, False])})
        envs.reset(seed=0)
        with pytest.raises(ValueError, match=r"reset_mask.*\(2,\)"):
            envs.reset(options={"reset_mask": np.array([False, False])})
        with pytest.raises(ValueError, match="2 seeds"):
            envs.reset(seed=[1, 2, 3])
        bad = case.actions(2)
        bad[1, 3] = np.nan
        with pytest.raises(ValueError, match=rf"action\[1, 3\] = nan: {case.entry}"):
            envs.step(bad)
        for _ in range(4):
            envs.step(case.actions(2))
        with pytest.raises(gym.error.ResetNeeded, match=r"lanes \[0, 1\]"):
            envs.step(case.actions(2))

    def test_render_gives_a_picture_for_each_lane(self, case):
        envs = case.make_vec(2, render_mode="rgb_array")
        envs.reset(seed=0)
        envs.step(case.actions(2))
        frames = envs.render()
        assert len(frames) == 2
        assert (frames[0] != frames[1]).any()

    def test_torchrl_style_reset_reaches_only_the_masked_lanes(self, case):
        envs = case.make_vec(3, autoreset_mode="Disabled")

        def rows(observation):
            lanes = [observation[i] if not case.views else {k: v[i] for k, v in observation.items()} for i in range(3)]
            return np.stack([vector_of(envs, lane) for lane in lanes])

        before = rows(envs.reset(seed=0)[0])
        after = rows(envs.reset(options={"reset_mask": np.array([False, True, False])})[0])
        assert (np.abs(after - before).max(axis=-1) > 0).tolist() == [False, True, False]


def count_calls(scenario, monkeypatch, *names):
    """Calls of functions of a scenario by name, counted from now on."""
    calls = dict.fromkeys(names, 0)

    def counting(name, function):
        def call(*args):
            calls[name] += 1
            return function(*args)

        return call

    for name in names:
        monkeypatch.setattr(scenario, name, counting(name, getattr(scenario, name)))
    return calls


class TestProblemOfASlot:
    """Problem and truth of a slot are made once, whoever asks: policy, allocator, reward and transition."""

    @pytest.mark.parametrize("lanes", [None, 3])
    @pytest.mark.parametrize(
        ("case", "fields"),
        [*((case, {}) for case in CASES), (MULTICELL, {"reward": "delay", "kalman": True})],
        ids=[*(case.scenario for case in CASES), "queues"],
    )
    def test_is_made_once(self, case, fields, lanes, monkeypatch):
        env = case.make(**fields).unwrapped if lanes is None else case.make_vec(lanes, **fields)
        env.reset(seed=0)
        action = case.actions() if lanes is None else case.actions(lanes)
        calls = count_calls(env.scenario, monkeypatch, "problem", "truth_given")
        for slot in range(1, 4):
            case.solver.solve(env.problem)
            assert env.truth is env.truth
            env.step(action)
            assert calls == {"problem": slot, "truth_given": 0 if env.scenario.truth_is_known else slot}

    @for_all
    def test_belongs_to_its_state(self, case):
        env = case.make().unwrapped
        env.reset(seed=0)
        snapshot, problem, truth = env.get_state(), env.problem, env.truth
        env.step(case.actions())
        assert env.problem is not problem
        assert env.truth is not truth
        env.set_state(snapshot)
        action = case.actions(value=0.3)
        earned = env.truth.utility(env.scenario.decode(action, env.problem))
        assert earned == truth.utility(env.scenario.decode(action, problem))


class TestMultiCell:
    def test_info_has_the_rates_of_both_services(self):
        env = MULTICELL.make().unwrapped
        env.reset(seed=1)
        allocation = ADMM().solve(env.problem).allocation
        rate, positioning = env.truth.rates(allocation)
        info = env.step_allocation(allocation)[4]
        np.testing.assert_allclose(info["rate"], rate)
        np.testing.assert_allclose(info["positioning_rate"], positioning)

    def test_malformed_allocations_are_named(self):
        env = MULTICELL.make().unwrapped
        env.reset(seed=0)
        allocation = EqualAllocation().solve(env.problem).allocation
        power = allocation.power.copy()
        power[1, 4] = -1.0
        with pytest.raises(ValueError, match=r"allocation.power.*\[1, 4\] = -1.0"):
            env.step_allocation(allocation._replace(power=power))
        with pytest.raises(ValueError, match=r"allocation.bandwidth.*\(2, 9\), got \(9,\)"):
            env.step_allocation(allocation._replace(bandwidth=power[0]))

    def test_an_allocation_that_breaks_a_budget_is_reported(self):
        env = MULTICELL.make().unwrapped
        env.reset(seed=0)
        allocation = EqualAllocation().solve(env.problem).allocation
        _, _, _, _, info = env.step_allocation(allocation._replace(power=2 * allocation.power))
        assert info["violation"] == pytest.approx(1.0)

    def test_the_map_shows_where_users_were_found(self):
        """A cross beside every located user, as far off as the magnified error, and their number.

        Errors are those of the measurement, since when users have moved on; none is drawn longer than a cell's radius.
        """
        env = MULTICELL.make(estimator="omp").unwrapped
        env.reset(seed=0)
        env.step_allocation(EqualAllocation().solve(env.problem).allocation)
        positions = env.scenario.later(env.state)
        fix, measured = positions.fix, np.asarray(positions.sight.position)
        figure = slot_figure(env.scenario, env.state)
        (legend,) = figure.legends
        (words,) = (text.get_text() for text in legend.get_texts() if "found" in text.get_text())
        located, users, factor = re.match(r"found \((\d+) of (\d+)\), error x ([\d,]+)", words).groups()
        assert (int(located), int(users)) == (fix.located.sum(), fix.located.size)
        offset = float(factor.replace(",", "")) * (fix.position - measured)[fix.located]
        length = np.linalg.norm(offset, axis=-1, keepdims=True)
        ends = measured[fix.located] + offset * np.minimum(1.0, env.scenario.config.radius / length)
        drawn = figure.axes[0].get_lines()
        (crosses,) = (line for line in drawn if line.get_marker() == "x")
        np.testing.assert_allclose(crosses.get_xydata(), ends)
        red = [line for line in drawn if line.get_color() == crosses.get_color() and line is not crosses]
        pairs = np.stack([measured[fix.located], ends], axis=1)
        np.testing.assert_allclose([line.get_xydata() for line in red], pairs)

    def test_the_legend_leaves_room_for_the_map_however_many_groups(self):
        """Each of 256 users in a group of its own: the legend names those whose looks differ."""
        alone = {"grouping_threshold": 1e-6, "floor": 0.0, "estimator": "perfect", "bs_antennas": 4}
        env = MULTICELL.make(cells=1, users_per_cell=256, **alone).unwrapped
        env.reset(seed=0)
        figure = slot_figure(env.scenario, env.state)
        figure.canvas.draw()
        (legend,) = figure.legends
        assert len(np.unique(env.state.csi.group)) > LOOKS
        assert [text.get_text() for text in legend.get_texts()] == [f"group {number + 1}" for number in range(LOOKS)]
        assert figure.axes[0].get_position().height > 0.3


def test_unknown_render_modes_are_refused():
    with pytest.raises(ValueError, match="render_mode.*rgb_array.*human.*ascii"):
        jcas_env.JCASEnv(render_mode="ascii")
