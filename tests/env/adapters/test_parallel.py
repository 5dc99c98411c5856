"""Base stations as PettingZoo's agents: the same network, the same rewards, and what each may see."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pettingzoo", reason="needs PettingZoo: pip install 'jcas-env[pettingzoo]'")

from pettingzoo.test import parallel_api_test, parallel_seed_test

from jcas_env import JCASEnv, MultiCellConfig
from jcas_env.envs.parallel_env import LEAKAGE_OUT, JCASParallelEnv

SMALL = {"users_per_cell": 3, "estimator": "crb", "horizon": 6}
TASKS = {
    "rate": SMALL,
    "flat": SMALL | {"observation": "flat"},
    "one-cell": SMALL | {"cells": 1},
    "delay": SMALL | {"reward": "delay"},
    "fair": SMALL | {"reward": "fair"},
}
by_task = pytest.mark.parametrize("task", TASKS)


def drawn(env, rng):
    """Actions of all agents."""
    return {agent: rng.uniform(-1, 1, env.action_space(agent).shape).astype(np.float32) for agent in env.agents}


@by_task
@pytest.mark.parametrize("own_reward", [False, True])
def test_pettingzoo_s_own_tests_pass(task, own_reward):
    env = JCASParallelEnv(own_reward=own_reward, **TASKS[task])
    parallel_api_test(env, num_cycles=20)
    if env.cells == 1:  # one station's bearings locate nobody, and NaN in `info` equals nothing, not even itself
        return
    parallel_seed_test(lambda: JCASParallelEnv(own_reward=own_reward, **TASKS[task]), num_cycles=20)


def test_the_registered_defaults_pass_too():
    parallel_api_test(JCASParallelEnv(horizon=3), num_cycles=5)


@by_task
def test_joint_actions_are_the_step_of_the_single_agent_bit_for_bit(task):
    """Rewards, truth and ends; the network's observation is the agents' in parts; own rewards have its mean."""
    shared, own = (JCASParallelEnv(own_reward=choice, **TASKS[task]) for choice in (False, True))
    single = JCASEnv(**(TASKS[task] | {"observation": "dict"}))
    for env in (shared, own, single):
        env.reset(seed=4)
    rng = np.random.default_rng(0)
    crowd, agents = 3, list(shared.agents)
    for slot in range(6):
        actions = drawn(shared, rng)
        logits = [actions[agent][: 4 * crowd] for agent in agents]
        joint = np.concatenate([*logits, [actions[agent][4 * crowd] for agent in agents]])
        seen, reward, _, truncated, info = single.step(joint)
        _, shared_reward, terminations, truncations, infos = shared.step(actions)
        _, own_reward, *_ = own.step(actions)
        assert shared_reward == dict.fromkeys(agents, reward)
        assert np.mean(list(own_reward.values())) == reward
        assert len(agents) == 1 or len(set(own_reward.values())) > 1
        assert truncations == dict.fromkeys(agents, truncated)
        assert not any(terminations.values())
        np.testing.assert_array_equal(shared.state(), np.concatenate([part.ravel() for part in seen.values()]))
        rates = [infos[agent]["rate"] for agent in agents]
        np.testing.assert_array_equal(np.concatenate(rates), info["rate"])
        assert {infos[agent]["utility"] for agent in agents} == {info["utility"]}
        assert bool(shared.agents) == (slot < 5)


def test_a_station_sees_its_cell_now_and_what_others_report_one_slot_later():
    env, single = JCASParallelEnv(**SMALL), JCASEnv(**SMALL)
    views, _ = env.reset(seed=1)
    now, _ = single.reset(seed=1)
    before = {name: np.zeros_like(part) for name, part in now.items()}
    rng = np.random.default_rng(1)
    for _ in range(3):
        for cell, agent in enumerate(env.agents):
            rows, view = slice(3 * cell, 3 * cell + 3), views[agent]
            assert env.observation_space(agent).contains(view)
            np.testing.assert_array_equal(view["gains"], now["gains"][rows, rows])
            np.testing.assert_array_equal(view["group"], now["group"][rows, rows])
            np.testing.assert_array_equal(view["station"], now["cells"][cell])
            own = np.delete(view["users"], LEAKAGE_OUT, axis=1)
            np.testing.assert_array_equal(own, np.delete(now["users"][rows], LEAKAGE_OUT, axis=1))
            np.testing.assert_array_equal(view["users"][:, LEAKAGE_OUT], before["users"][rows, LEAKAGE_OUT])
            for place, other in enumerate([(cell + 1) % 3, (cell + 2) % 3]):
                mean = before["users"][3 * other : 3 * other + 3].mean(axis=0)
                np.testing.assert_allclose(view["reports"][place, :-3], mean, rtol=1e-6)
                np.testing.assert_array_equal(view["reports"][place, -3:], before["cells"][other])
        actions = drawn(env, rng)
        before = now
        now = single.step(env.joint_action(actions))[0]
        views = env.step(actions)[0]


def test_the_flat_view_is_the_parts_in_the_order_of_gymnasium_s_own():
    from gymnasium.spaces import flatten

    env, parts = JCASParallelEnv(observation="flat", **SMALL), JCASParallelEnv(**SMALL)
    seen, whole = env.reset(seed=2)[0], parts.reset(seed=2)[0]
    for agent in env.agents:
        np.testing.assert_array_equal(seen[agent], flatten(parts.observation_space(agent), whole[agent]))
        assert env.observation_space(agent).contains(seen[agent])


def test_what_a_caller_does_to_a_view_reaches_nobody_else():
    views = []
    for spoil in (False, True):
        env = JCASParallelEnv(**SMALL)
        seen, infos = env.reset(seed=3)
        for _ in range(2):
            for agent in env.agents if spoil else []:
                for part in seen[agent].values():
                    part[...] = 0.5
                for value in infos[agent].values():
                    if np.ndim(value):
                        value[...] = 0
            seen, _, _, _, infos = env.step({agent: np.zeros(13, dtype=np.float32) for agent in env.agents})
        views.append(seen["station_1"])
    for name in views[0]:
        np.testing.assert_array_equal(views[0][name], views[1][name])


def test_bad_input_is_refused_by_name():
    env = JCASParallelEnv(**SMALL)
    env.reset(seed=0)
    actions = {agent: np.zeros(13) for agent in env.agents}
    with pytest.raises(ValueError, match=r"one action for each of station_0, .*missing or unknown: \['station_2'\]"):
        env.step({agent: actions[agent] for agent in ("station_0", "station_1")})
    with pytest.raises(ValueError, match=r"missing or unknown: \['station_3'\]"):
        env.step(actions | {"station_3": np.zeros(13)})
    with pytest.raises(ValueError, match=r"`actions\['station_1'\]` must have shape \(13,\), got \(12,\)"):
        env.step(actions | {"station_1": np.zeros(12)})
    with pytest.raises(ValueError, match="`assignment` must be 'geometric'"):
        JCASParallelEnv(assignment="svd")
    with pytest.raises(ValueError, match="`own_reward` must be True or False, got 'cell'"):
        JCASParallelEnv(own_reward="cell")
    with pytest.raises(ValueError, match="`config` must be a MultiCellConfig, got dict"):
        JCASParallelEnv(config={})
    env = JCASParallelEnv(config=MultiCellConfig(users_per_cell=2), horizon=4)
    assert (env.crowd, env.env.scenario.horizon) == (2, 4)


def test_it_draws_the_network():
    env = JCASParallelEnv(render_mode="rgb_array", **SMALL)
    env.reset(seed=0)
    assert env.render().shape[-1] == 3
    env.close()
