"""What other people's code expects of an environment, on the registered defaults of every id."""

from __future__ import annotations

import pickle
import warnings
from copy import deepcopy

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

import jcas_env
from jcas_env import JCASEnv, JCASVectorEnv, make_scenario
from jcas_env.envs.horizon import RegisteredHorizon

HORIZONS = {"jcas/MultiCell-v0": 100, "jcas/Mesh-v0": 100, "jcas/MassiveMIMO-v0": 50}
"""Slots of an episode by default, by id."""

PARTS = {
    "jcas/MultiCell-v0": {"cell": (36, 36), "cells": (3, 3), "gains": (36, 36), "group": (36, 36), "users": (36, 15)},
    "jcas/Mesh-v0": {"frame": (2,), "users": (30, 6)},
    "jcas/MassiveMIMO-v0": {"frame": (5,), "users": (4, 2)},
}
"""Dict observation by id, in the order of the docs."""

FLAGS = {
    "jcas/MultiCell-v0": {"located": (36,)},
    "jcas/Mesh-v0": {"feasible": ()},
    "jcas/MassiveMIMO-v0": {"feasible": ()},
}
"""Flags in ``info`` by id, with their shapes."""

for_all = pytest.mark.parametrize("name", HORIZONS)
for_all_modes = pytest.mark.parametrize("mode", list(AutoresetMode))


def zeros(env):
    """The zero action, of all lanes in a vector environment."""
    return np.zeros(env.action_space.shape, dtype=np.float32)


def slots(env, most):
    """Steps until the first episode of an environment, or of all lanes of it, ends."""
    env.reset(seed=0)
    for step in range(1, most + 1):
        if np.all(env.step(zeros(env))[3]):
            return step
    return None


def form(info):
    """Names of ``info`` with shapes and types."""
    return {key: (np.shape(value), np.asarray(value).dtype) for key, value in info.items()}


@for_all
class TestCheckers:
    def test_gymnasiums(self, name):
        check_env(gym.make(name, render_mode="rgb_array").unwrapped)

    def test_sb3s(self, name):
        checker = pytest.importorskip("stable_baselines3.common.env_checker")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            checker.check_env(gym.make(name).unwrapped)
        assert all("unconventional shape" in str(warning.message) for warning in caught)


@for_all
class TestKeywords:
    def test_an_unknown_one_is_pythons_error_with_the_nearest_known(self, name):
        for make in (lambda **keys: gym.make(name, **keys), lambda **keys: gym.make_vec(name, num_envs=2, **keys)):
            with pytest.raises(TypeError, match="unexpected keyword argument 'frameskip'"):
                make(frameskip=1)
            with pytest.raises(TypeError, match="unexpected keyword argument 'horizn': did you mean 'horizon'"):
                make(horizn=3)

    @pytest.mark.parametrize("adapter", [JCASEnv, JCASVectorEnv])
    def test_beside_a_scenario_that_is_built_they_make_one_like_it(self, name, adapter):
        built = gym.make(name, dtype="float32").unwrapped.scenario
        assert adapter(built).scenario is built
        other = adapter(built, horizon=7).scenario
        assert other.config == built.config.with_fields({"horizon": 7})
        assert built.horizon == HORIZONS[name]
        with pytest.raises(TypeError, match="unexpected keyword argument 'nonsense'"):
            adapter(built, nonsense=1)
        with pytest.raises(TypeError, match="`config` must be None beside a scenario that is already built"):
            adapter(built, config=built.config)

    def test_the_flat_observation_is_one_vector(self, name):
        env = gym.make(name, observation="flat")
        assert len(env.observation_space.shape) == 1
        assert env.reset(seed=0)[0] in env.observation_space

    def test_parts_of_the_dict_come_in_the_order_of_the_docs(self, name):
        env = gym.make(name, observation="dict")
        envs = gym.make_vec(name, num_envs=2, observation="dict")
        expected = list(PARTS[name].items())
        assert [(key, box.shape) for key, box in env.observation_space.items()] == expected
        assert [(key, part.shape) for key, part in env.reset(seed=0)[0].items()] == expected
        assert [(key, part.shape[1:]) for key, part in envs.reset(seed=0)[0].items()] == expected
        assert list(envs.observation_space) == list(envs.step(zeros(envs))[0]) == list(PARTS[name])


def test_a_scenario_is_a_name_or_a_scenario():
    with pytest.raises(TypeError, match="`scenario` must be a name or a scenario, got 3"):
        make_scenario(3)


def test_the_dict_of_massive_mimo_holds_the_numbers_of_its_vector():
    parts, vector = (JCASEnv("massive-mimo", observation=view).reset(seed=3)[0] for view in ("dict", "flat"))
    np.testing.assert_array_equal(np.concatenate([*parts["users"].T, parts["frame"]]), vector)


@for_all
class TestInfo:
    def test_reset_and_step_have_the_same_keys_shapes_and_types(self, name):
        env = gym.make(name)
        _, first = env.reset(seed=0)
        *_, later = env.step(zeros(env))
        assert len(first) > 4
        assert form(first) == form(later)
        assert {key: form(first)[key] for key in FLAGS[name]} == {
            key: (shape, np.dtype(bool)) for key, shape in FLAGS[name].items()
        }
        assert all(isinstance(first[key], np.ndarray) and isinstance(later[key], np.ndarray) for key in FLAGS[name])
        assert all(np.isfinite(value).all() for value in (*first.values(), *later.values()))

    def test_reset_says_what_the_fallback_earns_in_the_first_slot(self, name):
        """And only of that slot: read late, it is what it was."""
        env, other = gym.make(name).unwrapped, gym.make(name).unwrapped
        _, info = env.reset(seed=3)
        other.reset(seed=3)
        played = env.step_allocation(env.scenario.fallback(env.problem))[4]
        assert form(info) == form(played)
        for key, value in played.items():
            np.testing.assert_array_equal(info[key], value)
        assert info["utility"] == other.truth.utility(other.scenario.fallback(other.problem))

    @for_all_modes
    def test_lanes_that_are_reset_have_what_a_single_reset_says(self, name, mode):
        envs = gym.make_vec(name, num_envs=3, autoreset_mode=mode, horizon=2)
        single = gym.make(name, horizon=2)
        single.reset(seed=5)
        _, infos = envs.reset(seed=5)
        names = {key for key in infos if not key.startswith("_")}
        for _ in range(2):
            step = envs.step(zeros(envs))
            single.step(zeros(single))
        assert step[3].all()
        _, expected = single.reset()
        if mode is AutoresetMode.NEXT_STEP:
            step = envs.step(zeros(envs))
        infos = step[4] if mode is not AutoresetMode.DISABLED else envs.reset()[1]
        assert names == expected.keys()
        for key in names:
            np.testing.assert_allclose(infos[key][0], expected[key], rtol=1e-9, atol=1e-12)
            assert infos[f"_{key}"].all()

    def test_a_partial_reset_says_nothing_of_the_other_lanes(self, name):
        envs = gym.make_vec(name, num_envs=3, autoreset_mode="Disabled")
        envs.reset(seed=0)
        mask = np.array([False, True, False])
        _, infos = envs.reset(options={"reset_mask": mask})
        told = [
            any(np.any(value[lane]) for key, value in infos.items() if not key.startswith("_")) for lane in range(3)
        ]
        assert told == mask.tolist()
        assert all(value.tolist() == told for key, value in infos.items() if key.startswith("_"))

    def test_nothing_is_computed_that_nobody_reads(self, name, monkeypatch):
        env = gym.make(name).unwrapped
        env.reset(seed=0)
        calls = []
        outcome = env.scenario.outcome
        monkeypatch.setattr(env.scenario, "outcome", lambda *given: calls.append(1) or outcome(*given))
        _, info = env.reset()
        assert not calls
        _ = info["utility"]
        assert calls == [1]


@for_all
class TestHorizon:
    """An episode ends at the scenario's horizon, or at ``max_episode_steps`` where that is sooner."""

    def test_the_registration_says_it(self, name):
        registered = gym.spec(name).max_episode_steps
        assert registered == HORIZONS[name] == make_scenario(gym.spec(name).kwargs["scenario"]).horizon
        assert isinstance(deepcopy(registered), RegisteredHorizon)
        assert isinstance(pickle.loads(pickle.dumps(registered)), RegisteredHorizon)

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({"horizon": 3}, 3),
            ({"max_episode_steps": 3}, 3),
            ({"horizon": 4, "max_episode_steps": 3}, 3),
            ({"horizon": 3, "max_episode_steps": 4}, 3),
            ({"horizon": 3, "max_episode_steps": -1}, 3),
        ],
        ids=str,
    )
    def test_means_the_same_in_make_and_make_vec(self, name, fields, expected):
        small = {"users_per_cell": 2} if "MultiCell" in name else {"users": 2}
        vector_entry = gym.make_vec(name, num_envs=2, **fields, **small)
        sync = gym.make_vec(name, num_envs=2, vectorization_mode="sync", **fields, **small)
        for env in (gym.make(name, **fields, **small), vector_entry, sync):
            assert slots(env, 6) == expected

    def test_a_longer_one_than_registered_is_played_to_its_end(self, name):
        small = {"users_per_cell": 1, "estimator": "perfect"} if "MultiCell" in name else {"users": 2}
        longer = HORIZONS[name] + 1
        for make in (gym.make, gym.make_vec):
            assert slots(make(name, horizon=longer, **small), longer) == longer
        config = make_scenario(gym.spec(name).kwargs["scenario"], horizon=longer, **small).config
        assert gym.make_vec(name, config=config).scenario.horizon == longer

    def test_the_limit_leaves_the_scenario_as_it_is(self, name):
        envs = gym.make_vec(name, num_envs=2, max_episode_steps=3)
        assert envs.scenario.horizon == HORIZONS[name]
        assert JCASEnv(envs.scenario, max_episode_steps=3).scenario is envs.scenario

    @pytest.mark.parametrize("limit", [0, -2, 2.5, True, "3"])
    def test_impossible_limits_are_named(self, name, limit):
        with pytest.raises(ValueError, match="`max_episode_steps` must be an integer of at least 1, or -1 for none"):
            gym.make_vec(name, max_episode_steps=limit)


@for_all
@pytest.mark.parametrize("lanes", [None, 2])
class TestWhatCallersGive:
    def make(self, name, lanes):
        return gym.make(name).unwrapped if lanes is None else gym.make_vec(name, num_envs=lanes)

    def test_any_integer_is_a_seed(self, name, lanes):
        env = self.make(name, lanes)
        rewards = []
        for seed in (3, np.int64(3), np.uint8(3), np.array(3)):
            env.reset(seed=seed)
            rewards.append(env.step(zeros(env))[1])
            assert env.np_random_seed == (3 if lanes is None else (3, 4))
        assert all(np.array_equal(reward, rewards[0]) for reward in rewards)
        for bad in (-1, 2.5, "3"):
            with pytest.raises(ValueError, match="`seed` must be an integer of at least 0 or None, got"):
                env.reset(seed=bad)

    def test_options_are_a_dictionary(self, name, lanes):
        with pytest.raises(TypeError, match="`options` must be a dictionary or None, got 'x'"):
            self.make(name, lanes).reset(options="x")

    def test_what_is_no_allocation_is_named(self, name, lanes):
        env = self.make(name, lanes)
        env.reset(seed=0)
        good = env.scenario.fallback(env.problem)
        first, value = good._fields[0], good[0]
        for bad in (None, np.zeros(3), "equal", {"power": value}):
            with pytest.raises(TypeError, match=f"`allocation` must be a {type(good).__name__}, got"):
                env.step_allocation(bad)
        for bad in (value.astype(str), value.astype(object), value + 0j):
            with pytest.raises(ValueError, match=f"`allocation.{first}` must hold real numbers"):
                env.step_allocation(good._replace(**{first: bad}))
        env.step_allocation(good)

    def test_gradients_end_at_the_environment(self, name, lanes):
        env, other = self.make(name, lanes), self.make(name, lanes)
        env.reset(seed=0), other.reset(seed=0)
        action = torch.full(env.action_space.shape, 0.25, requires_grad=True)
        first = env.step(action)
        second = other.step(action.detach().numpy())
        np.testing.assert_array_equal(first[1], second[1])
        allocation = env.scenario.fallback(env.problem)
        tensors = type(allocation)(*(torch.tensor(part) if part is not None else None for part in allocation))
        carrying = {
            key: part.requires_grad_()
            for key, part in tensors._asdict().items()
            if part is not None and part.is_floating_point()
        }
        reward = env.step_allocation(tensors._replace(**carrying))[1]
        np.testing.assert_array_equal(reward, other.step_allocation(allocation)[1])
        pickle.dumps(env.get_state())


def test_fractions_of_groups_and_subcarriers_are_named():
    env = JCASEnv("multicell")
    env.reset(seed=0)
    good = env.scenario.fallback(env.problem)
    group = good.group + 0.5 * (np.arange(good.group.size) == 4)
    with pytest.raises(
        ValueError, match=r"`allocation.group` must be a whole number, got allocation.group\[4\] = \d.5"
    ):
        env.step_allocation(good._replace(group=group))
    env.step_allocation(good._replace(group=good.group.astype(float)))
    mesh = JCASEnv("mesh")
    mesh.reset(seed=0)
    good = mesh.scenario.check_allocation(mesh.scenario.fallback(mesh.problem), mesh.problem)
    with pytest.raises(
        ValueError, match=r"`allocation.assignment` must be a whole number, got allocation.assignment\[0\]"
    ):
        mesh.step_allocation(good._replace(assignment=good.assignment + 0.5))


@for_all
class TestFrames:
    def test_lanes_have_a_frame_each_and_a_length(self, name):
        envs = gym.make_vec(name, num_envs=2, render_mode="rgb_array")
        envs.reset(seed=0)
        frames = envs.render()
        assert len(envs) == len(frames) == 2
        assert frames[0].shape == frames[1].shape
        assert all(frame.dtype == np.uint8 for frame in frames)

    @for_all_modes
    def test_a_new_network_is_shown_without_the_last_episodes_allocation(self, name, mode):
        envs = gym.make_vec(name, num_envs=2, render_mode="rgb_array", autoreset_mode=mode, horizon=2)
        envs.reset(seed=0)
        if mode is AutoresetMode.DISABLED:
            envs.step(zeros(envs))
            envs.reset(options={"reset_mask": np.array([True, False])})
            fresh, played = envs.render()
        else:
            for _ in range(2 if mode is AutoresetMode.SAME_STEP else 3):
                envs.step(zeros(envs))
            fresh, played = envs.render()[0], None
        blank = JCASEnv(envs.scenario, render_mode="rgb_array")
        state = envs.get_state()
        lane = jcas_env.tree.take(state.state, 0)
        blank.set_state(jcas_env.EnvState(lane, state.generators[:1], np.asarray(False)))
        np.testing.assert_array_equal(fresh, blank.render())
        if played is not None:
            blank.set_state(
                jcas_env.EnvState(jcas_env.tree.take(state.state, 1), state.generators[1:], np.asarray(False))
            )
            assert (played != blank.render()).any()
