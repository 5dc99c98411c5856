"""What comes in by the adapters' doors is refused where it cannot be meant; what goes out cannot be used to cheat."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from jcas_env import JCASEnv, JCASVectorEnv
from jcas_env.tree import tree_map

FIRST = {
    "multicell": r"`gain` must be finite and at least 0, got gain\[{}0, 0\] = nan",
    "mesh": r"`distance` must be finite and positive, .*got distance\[{}0\] = nan",
    "massive-mimo": r"`large_scale_gain` must be positive and finite, got large_scale_gain\[{}0\] = nan",
}
"""What is said first of a state of NaN, with the lane."""

NO_NOISE = "`noise_density` must be finite and positive.* = 0.0"

by_scenario = pytest.mark.parametrize("name", FIRST)


def broken(leaf, lane=...):
    """A leaf of a state without its numbers."""
    leaf = np.array(leaf)
    if leaf.dtype.kind in "fc":
        leaf[lane] = np.nan
    return leaf


def writable(state):
    """Of every leaf of a state, whether it can be written to."""
    flags = []
    tree_map(lambda leaf: flags.append(leaf.flags.writeable), state)
    return flags


class TestStates:
    @by_scenario
    def test_a_state_of_nan_reaches_no_allocator_and_no_reward(self, name):
        env = JCASEnv(name)
        env.reset(seed=0)
        snapshot = env.get_state()
        env.set_state(snapshot._replace(state=tree_map(broken, snapshot.state)))
        with pytest.raises(ValueError, match=FIRST[name].format("")):
            _ = env.problem
        with pytest.raises(ValueError, match=FIRST[name].format("")):
            env.step(np.zeros(env.action_space.shape))
        with pytest.raises(ValueError, match="= nan"):
            _ = env.truth

    @by_scenario
    def test_the_lane_is_named(self, name):
        env = JCASVectorEnv(name, num_envs=3)
        env.reset(seed=0)
        snapshot = env.get_state()
        env.set_state(snapshot._replace(state=tree_map(lambda leaf: broken(leaf, 2), snapshot.state)))
        with pytest.raises(ValueError, match=FIRST[name].format("2, ")):
            _ = env.problem

    @pytest.mark.parametrize(
        ("name", "options", "message"),
        [
            ("mesh", {"absorption_db_km": 3e5}, r"`absorption_db_km` must be a number in \[0, 1000\], got 300000.0"),
            ("mesh", {"dtype": "float32", "rate_floor": 1e300}, "`rate_floor` must be .*, got 1e.300"),
            ("massive-mimo", {"shadowing_db": 8000.0}, "`shadowing_db` must be .*, got 8000.0"),
            ("multicell", {"noise_density_dbm_hz": -1e30}, "`noise_density_dbm_hz` must be .*, got -1e.30"),
        ],
    )
    def test_a_configuration_beyond_arithmetic_is_refused_before_anything_is_drawn(self, name, options, message):
        with pytest.raises(ValueError, match=message):
            JCASVectorEnv(name, num_envs=4, **options)


class TestReadOnly:
    @by_scenario
    @pytest.mark.parametrize("attribute", ["problem", "truth"])
    @pytest.mark.parametrize("lanes", [None, 2])
    def test_the_problem_of_a_slot_cannot_be_written_to(self, name, attribute, lanes):
        env = JCASEnv(name) if lanes is None else JCASVectorEnv(name, num_envs=lanes)
        env.reset(seed=0)
        problem = getattr(env, attribute)
        stated = [getattr(problem, item.name) for item in fields(problem)]
        arrays = [value for value in stated if isinstance(value, np.ndarray)]
        assert len(arrays) >= 4
        for value in arrays:
            with pytest.raises(ValueError, match="read-only"):
                value[...] = 0

    @by_scenario
    def test_the_state_stays_as_it_was(self, name):
        env = JCASEnv(name)
        env.reset(seed=0)
        before = writable(env.state)
        _ = env.problem, env.truth
        assert writable(env.state) == before
        assert any(before)

    def test_what_a_user_does_to_computed_quantities_earns_nothing(self):
        rewards = []
        for factor in (1.0, 0.5):
            env = JCASEnv("mesh")
            env.reset(seed=0)
            allocation = env.scenario.fallback(env.problem)
            env.truth.utility(allocation)
            vars(env.truth)["rate_per_subcarrier"] *= factor
            rewards.append(env.step_allocation(allocation)[1])
        assert rewards[0] == rewards[1]

    def test_a_beam_at_the_target_stays_one_array_with_it(self):
        env = JCASEnv("massive-mimo")
        env.reset(seed=0)
        assert env.problem.beam_angle is env.problem.target_angle
        assert env.problem.aligned() is env.problem
