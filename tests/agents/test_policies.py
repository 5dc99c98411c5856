"""Policies: one decision whichever way they are asked, equal for users in any order (spec learning 3)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from jcas_agents import evaluate
from jcas_agents.checkpoint import load_policy
from jcas_agents.data.scenes import draw_scenes
from jcas_agents.data.tensors import to_torch
from jcas_agents.learned import LearnedAllocator
from jcas_agents.policies.equivariant import action
from jcas_agents.policies.multicell import EquivariantPolicy, membership
from support.policies import static_config, stirred

from jcas_env import make_scenario
from jcas_env.scenarios.massive_mimo import observation as massive_mimo_observation
from jcas_env.scenarios.mesh import observation as mesh_observation
from jcas_env.scenarios.multicell import observation as multicell_observation
from jcas_env.scenarios.multicell.action import decode
from jcas_env.scenarios.multicell.observation import structured


def permuted(problem, order):
    users = {
        name: getattr(problem, name)[..., order] for name in ("leakage", "sensing_gain", "cell", "group", "weight")
    }
    pairs = problem.gain[..., order, :][..., order]
    rest = {"queue": problem.queue[..., order], "csi_error": problem.csi_error[..., order]}
    return replace(problem, gain=pairs, last_power=problem.last_power[..., order], **users, **rest)


def test_permuting_users_permutes_the_allocation():
    known = draw_scenes(static_config(positioning_share=None), 3, split="validation").known
    allocator = LearnedAllocator(stirred())
    order = np.random.default_rng(1).permutation(known.users)
    here, there = allocator.allocate(known), allocator.allocate(permuted(known, order))
    np.testing.assert_allclose(there.power, here.power[..., order], rtol=2e-4)
    np.testing.assert_allclose(there.bandwidth, here.bandwidth[..., order], rtol=2e-4)


@pytest.mark.parametrize("cells", [1, 3])
def test_numpy_decides_what_torch_was_trained_for(cells):
    """The same function on both libraries; in a single cell nobody has partners in another one."""
    known = draw_scenes(
        static_config(cells=cells, positioning_share=None, users_per_cell=5), 3, split="validation"
    ).known
    policy = stirred()
    trained = policy.action_for(to_torch(known, torch.float32)).detach().numpy()
    decided = action(policy.arrays(), structured(known), membership(known))
    assert np.abs(decided).max() > 0.01
    np.testing.assert_allclose(decided, trained, atol=2e-5)


def test_renaming_cells_renames_their_shares():
    known = draw_scenes(static_config(positioning_share=None), 2, split="validation").known
    policy, order = stirred(), np.array([2, 0, 1])
    last = order.argsort()[known.cell]

    def action(problem):
        return policy.action_for(to_torch(problem)).detach().numpy()

    np.testing.assert_allclose(action(replace(known, cell=last))[:, -3:], action(known)[:, -3:][:, order], atol=1e-5)


def test_training_starts_at_the_equal_allocation_on_any_number_of_users_and_cells():
    for fields in ({"users_per_cell": 2}, {"cells": 7, "users_per_cell": 3}, {"cells": 1}):
        known = draw_scenes(static_config(**fields), 2, split="validation").known
        zero = np.zeros((2, 4 * known.users + known.cells))
        got, expected = LearnedAllocator(EquivariantPolicy()).allocate(known), decode(zero, known, logit_scale=5.0)
        np.testing.assert_allclose(got.power, expected.power, rtol=1e-12)
        np.testing.assert_allclose(got.bandwidth, expected.bandwidth, rtol=1e-12)


@pytest.mark.parametrize("name", ["mesh-sum", "massive-mimo-tracking"])
def test_small_policies_do_not_depend_on_the_order_of_users(name):
    allocator = LearnedAllocator.load(name)
    scenario = make_scenario(allocator.policy.scenario)
    problem = scenario.problem(scenario.sample(0))
    order = np.random.default_rng(1).permutation(problem.users)
    fields = ("distance", "aod", "aoa", "snr") if name == "mesh-sum" else ("large_scale_gain", "estimate_variance")
    moved = replace(problem, **{field: getattr(problem, field)[order] for field in fields})
    for here, there in zip(allocator.allocate(problem), allocator.allocate(moved), strict=True):
        if np.shape(here) == (problem.users,):
            np.testing.assert_allclose(there, here[order], rtol=1e-4, atol=1e-6 + (name == "mesh-sum"))
        elif np.ndim(here) == 0:
            np.testing.assert_allclose(there, here, rtol=1e-4)


def test_a_policy_for_another_scenario_is_refused_by_name():
    scenario = make_scenario("mesh", horizon=1)
    problem = scenario.problem(scenario.sample(0))
    with pytest.raises(TypeError, match="decides for MultiCellProblem, got MeshProblem"):
        LearnedAllocator.load("multicell-rate").allocate(problem)


# ---------------------------------------------------------------- one verb


def first_problem(name, lanes=3, **fields):
    """A scenario and its known problem in the first slot of a few lanes."""
    scenario = make_scenario(name, **fields)
    return scenario, scenario.problem(scenario.sample(range(lanes)))


@pytest.mark.parametrize(
    ("name", "observe", "fields"),
    [
        ("multicell-rate", multicell_observation.structured, {"users_per_cell": 4}),
        ("mesh-sum", mesh_observation.structured, {}),
        ("massive-mimo-tracking", massive_mimo_observation.structured, {"action": "share", "drift_deg": 3.0}),
    ],
)
def test_an_action_and_a_decision_of_a_policy_are_the_same_allocation(name, observe, fields):
    policy = load_policy(name)
    scenario, problem = first_problem(policy.scenario, **fields)
    acted = scenario.decode(policy.act(observe(problem)), problem)
    for one, two in zip(acted, policy.decide(problem), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("name", "fields"), [("multicell-rate", {"users_per_cell": 4}), ("mesh-sum", {})])
def test_a_policy_plays_an_environment_by_its_observation_as_by_its_problem(name, fields):
    policy = load_policy(name)
    scenario = make_scenario(policy.scenario, horizon=2, **fields)
    seen, known = (evaluate(scenario, a, episodes=2, seed=0).utility for a in (policy, LearnedAllocator(policy)))
    np.testing.assert_allclose(seen, known, rtol=1e-6)


def test_the_tracking_policy_says_what_the_environments_vector_lacks():
    scenario = make_scenario("massive-mimo", horizon=1)
    with pytest.raises(ValueError, match="predicted variance and least share.*decide"):
        evaluate(scenario, load_policy("massive-mimo-tracking"), episodes=1, seed=0)


def test_the_features_of_the_tracking_task_are_those_of_the_observation_where_both_have_them():
    scenario = make_scenario("massive-mimo")
    state = scenario.sample(range(3))
    parts = massive_mimo_observation.structured(scenario.problem(state))
    vector, users = scenario.observation(state), scenario.config.users
    np.testing.assert_allclose(vector[:, :users], parts["users"][..., 0], rtol=1e-6)
    np.testing.assert_allclose(vector[:, users : 2 * users], parts["users"][..., 1], rtol=1e-6)
    # sine; the variance of the first slot, in which the target has not moved; echo; SNR
    np.testing.assert_allclose(vector[:, 2 * users : -1], parts["frame"][:, :4], rtol=1e-6, atol=1e-7)


def test_numpy_follows_a_policy_that_is_still_being_trained():
    """What was copied for NumPy before a change of the weights must not be used after it."""
    known = draw_scenes(static_config(users_per_cell=3), 1, split="validation").known
    policy = stirred()
    before = policy.decide(known)
    assert policy.arrays() is policy.arrays()
    with torch.no_grad():
        policy.parts.user_head.last.bias.add_(torch.tensor([1.0, -1.0]))
    after, anew = policy.decide(known), stirred()
    anew.load_state_dict(policy.state_dict())
    assert np.abs(after.power - before.power).max() > 1e-3
    np.testing.assert_array_equal(after.power, anew.decide(known).power)
