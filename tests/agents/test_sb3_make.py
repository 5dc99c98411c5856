"""Registered environments in Stable-Baselines3: what its wrappers, monitors, recorders and callbacks ask for."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from jcas_agents import evaluate
from jcas_agents.sb3 import SB3VectorAdapter, make_sb3_env
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy

from jcas_env import JCASEnv, JCASVectorEnv, make_scenario

SMALL = {
    "jcas/MultiCell-v0": {"users_per_cell": 2, "estimator": "crb", "observation": "flat", "horizon": 3},
    "jcas/Mesh-v0": {"users": 3, "observation": "flat", "horizon": 3},
    "jcas/MassiveMIMO-v0": {"horizon": 3},
}
QUICK = SMALL["jcas/MultiCell-v0"]
by_id = pytest.mark.parametrize("name", SMALL)
by_mode = pytest.mark.parametrize("mode", ["SameStep", "Disabled", "NextStep"])


def same(one, two):
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)


@by_id
@by_mode
def test_a_lane_is_the_single_environment_with_its_reward_and_every_entry_of_its_info(name, mode):
    """Over the ends of episodes, too, where the last observation and the last slot's info are in ``infos``."""
    env = make_sb3_env(name, num_envs=3, autoreset_mode=mode, **SMALL[name])
    assert env.seed(7) == [7, 8, 9]
    seen = env.reset()
    single = JCASEnv(env.get_attr("scenario")[0])
    alone, _ = single.reset(seed=8)
    rng = np.random.default_rng(0)
    for slot in range(7):
        np.testing.assert_array_equal(seen[1], alone)
        action = rng.uniform(-1, 1, (3, *env.action_space.shape)).astype(np.float32)
        seen, reward, done, infos = env.step(action)
        alone, earned, _, truncated, info = single.step(action[1])
        assert reward[1] == np.float32(earned)
        assert infos[1]["reward"] == earned
        same(dict(info), {key: value for key, value in infos[1].items() if key in info})
        assert done[1] == truncated == (slot % 3 == 2)
        extra = set(infos[1]) - set(info)
        assert extra == {"reward"} | (
            {"terminal_observation", "TimeLimit.truncated", "episode"} if truncated else set()
        )
        if truncated:
            np.testing.assert_array_equal(infos[1]["terminal_observation"], alone)
            assert infos[1]["TimeLimit.truncated"]
            assert infos[1]["episode"]["l"] == 3
            alone, _ = single.reset()


def test_the_reward_is_the_environment_s_own_unless_it_is_asked_to_be_relative():
    zero = np.zeros((4, 27), dtype=np.float32)
    rewards = {}
    for relative in (False, True):
        env = make_sb3_env(num_envs=4, relative=relative, **QUICK)
        env.seed(0)
        env.reset()
        rewards[relative] = env.step(zero)[1]
    assert (rewards[False] > 1.0).all()
    np.testing.assert_allclose(rewards[True], 0.0, atol=1e-6)


def test_episodes_are_monitored_with_entries_of_info_on_disk(tmp_path):
    env = make_sb3_env(num_envs=2, filename=str(tmp_path / "run"), info_keywords=("utility", "violation"), **QUICK)
    env.seed(0)
    env.reset()
    total = 0.0
    for _ in range(3):
        _, reward, _, infos = env.step(np.zeros((2, 27), dtype=np.float32))
        total = total + reward
    env.close()
    (path,) = tmp_path.glob("*monitor.csv")
    _, *lines = path.read_text().splitlines()  # the first one holds when the recording began
    rows = list(csv.DictReader(lines))
    np.testing.assert_allclose([float(row["r"]) for row in rows], total, rtol=1e-5)
    np.testing.assert_allclose([float(row["utility"]) for row in rows], [info["utility"] for info in infos], rtol=1e-6)
    assert max(float(row["violation"]) for row in rows) < 1e-9


def test_positions_are_found_when_a_lane_s_info_is_read_and_not_before(monkeypatch):
    env = make_sb3_env(num_envs=2, **QUICK)
    env.reset()
    located = []
    scenario = env.get_attr("scenario")[0]
    later = scenario.later
    monkeypatch.setattr(scenario, "later", lambda *a: Watched(later(*a), located))
    for _ in range(2):
        infos = env.step(np.zeros((2, 27), dtype=np.float32))[3]
    assert infos[0].get("episode") is None
    assert infos[0].get("utility") > 0
    assert not located
    assert infos[1]["position"].shape == (6, 2)
    assert len(located) == 1


class Watched:
    """Later entries that note when they are made."""

    def __init__(self, later, log):
        self.names, self.later, self.log = later.names, later, log

    def entries(self):
        self.log.append(1)
        return self.later.entries()


class TestOfSomeLanes:
    def test_images_are_given_of_the_lanes_that_are_asked_for(self):
        env = make_sb3_env(num_envs=3, render_mode="rgb_array", **QUICK)
        env.reset()
        images = env.get_images()
        assert len(images) == 3
        height, width, colours = images[0].shape
        assert env.render().shape == (2 * height, 2 * width, colours)
        (second,) = env.env_method("render", indices=[1])
        np.testing.assert_array_equal(second, images[1])
        assert not np.array_equal(images[0], images[1])
        assert make_sb3_env(num_envs=3, **QUICK).get_images() == [None] * 3

    def test_a_recorder_finds_mode_and_frame_rate(self):
        bare = make_sb3_env(num_envs=2, render_mode="rgb_array", **QUICK).unwrapped
        assert bare.render_mode == "rgb_array"
        assert bare.metadata["render_fps"] == 10

    def test_what_all_lanes_share_is_read_by_lane_and_changed_for_all_alone(self):
        env = make_sb3_env(num_envs=3, **QUICK)
        env.reset()
        (space,) = env.get_attr("action_space", indices=1)
        assert space == env.action_space
        assert env.env_method("get_wrapper_attr", "num_envs", indices=[0, 2]) == [3, 3]
        assert len(env.env_method("get_state")) == 3
        with pytest.raises(ValueError, match=r"`indices` must be None or all lanes.*`reset`, got \[0\]"):
            env.env_method("reset", indices=[0])
        with pytest.raises(ValueError, match=r"`indices` must be None or all lanes.*`mark`, got 2"):
            env.set_attr("mark", 1, indices=2)
        with pytest.raises(ValueError, match=r"`indices` must be lanes from 0 to 2, got \[3\]"):
            env.get_attr("num_envs", indices=[3])
        env.set_attr("mark", 1)
        assert env.get_attr("mark") == [1, 1, 1]


def test_a_model_is_evaluated_on_the_scenes_of_everybody_else():
    """The dict observation of the default, real training steps; the same numbers as the policy's own actions earn."""
    fields = {"users_per_cell": 2, "estimator": "crb", "horizon": 4}
    env = make_sb3_env(num_envs=4, **fields)
    model = PPO("MultiInputPolicy", env, n_steps=4, batch_size=16, n_epochs=1, seed=0, device="cpu").learn(32)
    scenario = make_scenario("multicell", **fields)
    result = evaluate(scenario, model, episodes=4, seed=11)
    assert result.violation < 1e-9
    assert np.isnan(result.objective).all()
    env.seed(11)
    returns, lengths = evaluate_policy(model, env, n_eval_episodes=4, return_episode_rewards=True)
    assert lengths == [4] * 4
    np.testing.assert_allclose(np.sort(returns) / 4, np.sort(result.utility), rtol=1e-5)


def test_a_recurrent_model_is_refused():
    class Recurrent:
        def predict(self, observation, *, deterministic):
            return np.zeros((1, 27)), (np.zeros(3),)

    with pytest.raises(ValueError, match="a recurrent model keeps a state"):
        evaluate(make_scenario("multicell", **QUICK), Recurrent(), episodes=1, seed=0)


def test_an_adapter_takes_every_autoreset_mode():
    env = SB3VectorAdapter(JCASVectorEnv("multicell", num_envs=2, **QUICK))
    assert env.mode.value == "NextStep"
