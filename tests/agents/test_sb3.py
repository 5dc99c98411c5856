"""Stable-Baselines3: adapter, frozen bank of scenes, and the equivariant network as a policy (spec learning 7.5)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from jcas_agents.data.scene_env import SceneVectorEnv
from jcas_agents.data.scenes import SPLITS
from jcas_agents.sb3.adapter import RECIPES, SB3VectorAdapter
from jcas_agents.sb3.policy import trained_policy

from jcas_env import JCASVectorEnv
from jcas_env.scenarios.multicell import MultiCell, MultiCellConfig


def config(**fields):
    return MultiCellConfig.preset("luo2023-static", **fields)


@pytest.mark.parametrize("mode", ["SameStep", "Disabled"])
def test_sb3_gets_rewards_relative_to_the_equal_allocation_and_last_observations(mode):
    scenario = MultiCell(config(users_per_cell=2, observation="flat", horizon=2))
    env = SB3VectorAdapter(JCASVectorEnv(scenario, num_envs=3, autoreset_mode=mode))
    assert env.seed(5) == [5, 6, 7]
    env.reset()
    assert env.env.np_random_seed == (5, 6, 7)
    zero = np.zeros((3, scenario.action_size), dtype=np.float32)
    for slot in range(2):
        observation, reward, done, infos = env.step(zero)
        np.testing.assert_allclose(reward, 0.0, atol=1e-6)
        assert done.all() == (slot == 1)
    assert all(info["TimeLimit.truncated"] and info["reward"] > 0 for info in infos)
    assert not np.array_equal(infos[0]["terminal_observation"], observation[0])
    env.close()


def test_ppo_learns_through_the_adapter_without_touching_the_reward_of_the_environment():
    kind, policy, recipe = RECIPES["ppo", "mlp"]
    scenario = MultiCell(config(users_per_cell=2, observation="flat"))
    env = SB3VectorAdapter(JCASVectorEnv(scenario, num_envs=32, autoreset_mode="SameStep"))
    model = kind(policy, env, **(recipe | {"batch_size": 128}), seed=0, device="cpu")
    before = [value.clone() for value in model.policy.parameters()]
    model.learn(512)
    assert any(not torch.equal(a, b) for a, b in zip(before, model.policy.parameters(), strict=True))


@pytest.fixture(scope="module")
def frozen():
    return SceneVectorEnv(config(users_per_cell=2, observation="flat", csi_delay=1), scenes=6, num_envs=4)


def test_a_frozen_bank_plays_the_environment_s_own_scenes(frozen):
    """Reward and observation of a scene are those of a JCASVectorEnv that resets with the scene's seed."""
    observation, _ = frozen.reset(seed=3)
    lanes = frozen._index.copy()
    env = JCASVectorEnv(frozen.scenario, num_envs=4, autoreset_mode="Disabled")
    expected, _ = env.reset(seed=[SPLITS["train"] + int(lane) for lane in lanes])
    np.testing.assert_allclose(observation, expected, atol=1e-6)
    action = np.random.default_rng(0).uniform(-1.0, 1.0, (4, frozen.scenario.action_size)).astype(np.float32)
    _, reward, terminated, truncated, info = frozen.step(action)
    np.testing.assert_allclose(reward, env.step(action)[1], rtol=1e-9)
    assert terminated.all()
    assert not truncated.any()
    np.testing.assert_array_equal(np.stack(list(info["final_obs"])), observation)


def test_a_seed_fixes_the_order_of_the_scenes(frozen):
    orders = []
    for seed in (3, 3, 4):
        frozen.reset(seed=seed)
        frozen.step(np.zeros((4, frozen.scenario.action_size), dtype=np.float32))
        orders.append(frozen._index.tolist())
    assert orders[0] == orders[1] != orders[2]


def test_a_bank_of_scenes_gives_sb3_rewards_over_the_equal_allocation(frozen):
    env = SB3VectorAdapter(frozen)
    env.reset()
    _, reward, done, infos = env.step(np.zeros((4, frozen.scenario.action_size), dtype=np.float32))
    np.testing.assert_allclose(reward, 0.0, atol=1e-6)
    assert done.all()
    assert not any(info["TimeLimit.truncated"] for info in infos)


def test_a_bank_refuses_queues_and_no_scenes():
    with pytest.raises(ValueError, match="queues need episodes"):
        SceneVectorEnv(MultiCellConfig.preset("delay"), scenes=2)
    with pytest.raises(ValueError, match="`scenes` must be at least 1, got 0"):
        SceneVectorEnv(config(), scenes=0)


def small_bank(**changes):
    return SceneVectorEnv(config(users_per_cell=3, **changes), scenes=16, num_envs=8)


def sb3_model(algo, env):
    kind, policy, recipe = RECIPES[algo, "equivariant"]
    changes = {"batch_size": 32} if algo == "ppo" else {"learning_starts": 32}
    return kind(policy, env, **(recipe | changes), seed=0, device="cpu")


def renamed(observation, order, cells):
    """The same scene with the users, whole cells among them, in another order."""
    pairs = {name: observation[name][..., order, :][..., order] for name in ("gains", "group", "cell")}
    return pairs | {"users": observation["users"][..., order, :], "cells": observation["cells"][..., cells, :]}


@pytest.mark.parametrize("algo", ["ppo", "sac"])
def test_stable_baselines3_trains_the_equivariant_network_which_stays_equivariant(algo):
    """Renaming cells and the users in them renames the action; the network alone says the same."""
    env = small_bank()
    model = sb3_model(algo, SB3VectorAdapter(env))
    before = [value.clone() for value in trained_policy(model).parameters()]
    model.learn(128)
    assert any(not torch.equal(a, b) for a, b in zip(before, trained_policy(model).parameters(), strict=True))
    users, cells = env.views["users"].shape[-2], env.views["cells"].shape[-2]
    rng = np.random.default_rng(0)
    rename = np.roll(np.arange(cells), 1)
    order = np.concatenate([3 * cell + rng.permutation(3) for cell in rename])
    action, _ = model.predict(env.views, deterministic=True)
    other, _ = model.predict(renamed(env.views, order, rename), deterministic=True)
    logits, share = action[:, : 4 * users].reshape(-1, users, 4), action[:, 4 * users :]
    expected = np.concatenate([logits[:, order].reshape(-1, 4 * users), share[:, rename]], axis=-1)
    assert np.abs(action).max() > 1e-4
    np.testing.assert_allclose(other, expected, atol=1e-6)
    np.testing.assert_allclose(trained_policy(model).act(env.views), action, atol=1e-5)


def test_sac_s_critics_do_not_depend_on_the_names_of_the_users():
    env = small_bank()
    critic = sb3_model("sac", SB3VectorAdapter(env)).critic
    order = np.concatenate([3 * cell + np.array([2, 0, 1]) for cell in range(3)])
    action = np.random.default_rng(1).uniform(-1.0, 1.0, (16, env.scenario.action_size)).astype(np.float32)
    moved = np.concatenate([action[:, :36].reshape(-1, 9, 4)[:, order].reshape(-1, 36), action[:, 36:]], axis=-1)
    views = [env.views, renamed(env.views, order, np.arange(3))]
    here, there = (
        critic({name: torch.from_numpy(np.asarray(part)) for name, part in view.items()}, torch.from_numpy(chosen))
        for view, chosen in zip(views, (action, moved), strict=True)
    )
    for one, two in zip(here, there, strict=True):
        torch.testing.assert_close(one, two)
        assert one.std() > 1e-4


def test_an_sb3_model_is_saved_and_loaded_with_its_network(tmp_path):
    env = small_bank()
    model = sb3_model("ppo", SB3VectorAdapter(env))
    model.learn(64)
    model.save(tmp_path / "model.zip")
    again = type(model).load(tmp_path / "model.zip", device="cpu")
    here, there = (one.predict(env.views, deterministic=True)[0] for one in (model, again))
    np.testing.assert_array_equal(here, there)
