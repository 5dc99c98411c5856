"""What all scenarios share: first states of seeds, and functions that take a problem that is at hand."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

from jcas_env import make_scenario
from jcas_env.render import scene
from jcas_env.scenarios import SCENARIOS, ScenarioBase
from jcas_env.tree import take, tree_map

SMALL = {"multicell": {"users_per_cell": 3, "bs_antennas": 8, "estimator": "perfect"}}

for_all = pytest.mark.parametrize("name", list(SCENARIOS))


def small(name, **fields):
    return make_scenario(name, **(SMALL.get(name, {}) | fields))


def assert_same(a, b):
    tree_map(np.testing.assert_array_equal, a, b)


@for_all
def test_an_entry_of_the_table_is_registered_and_painted(name):
    scenario, config = SCENARIOS[name]
    assert issubclass(scenario, ScenarioBase)
    assert (scenario.name, type(scenario().config)) == (name, config)
    assert gym.spec(f"jcas/{scenario.__name__}-v0").kwargs == {"scenario": name}
    assert scene.dispatch(scenario) is not scene.dispatch(object)


@for_all
class TestSample:
    def test_is_what_the_seeds_draw_one_after_the_other(self, name):
        scenario = small(name)
        batch = scenario.sample([7, 3])
        for lane, seed in enumerate((7, 3)):
            single = scenario.initial(scenario.draw_initial(np.random.default_rng(seed)))
            tree_map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9), take(batch, lane), single)
            assert_same(scenario.sample(seed), single)
        assert batch.slot.shape == (2,)

    def test_generators_are_drawn_from_and_move_on(self, name):
        scenario, rng = small(name), np.random.default_rng(5)
        assert_same(scenario.sample([rng]), scenario.sample([5]))
        assert rng.random() != np.random.default_rng(5).random()

    def test_keeps_the_precision(self, name):
        kinds = {leaf.dtype.name for leaf in leaves(small(name, dtype="float32").sample([0, 1]))}
        assert kinds <= {"float32", "complex64", "int64", "bool"}


def leaves(tree):
    """Arrays of nested NamedTuples."""
    found = []
    tree_map(found.append, tree)
    return found


@for_all
def test_functions_take_the_problem_and_the_truth_that_are_at_hand(name, monkeypatch):
    fields = {"reward": "delay", "kalman": True} if name == "multicell" else {}
    scenario = small(name, **fields)
    state = scenario.sample([0, 1])
    problem, truth = scenario.problem(state), scenario.truth(state)
    allocation = scenario.fallback(problem)
    innovation = tree_map(lambda leaf: np.stack([leaf, leaf]), scenario.draw(np.random.default_rng(2), state))
    made = scenario.outcome(state, allocation), scenario.transition(state, allocation, innovation)
    seen = scenario.observation(state)

    def refuse(state):
        raise AssertionError("posed again")

    for function in ("problem", "truth"):
        monkeypatch.setattr(scenario, function, refuse)
    assert_same(scenario.transition(state, allocation, innovation, truth), made[1])
    assert scenario.outcome(state, allocation, truth).utility.tolist() == made[0].utility.tolist()
    again = scenario.observation(state, problem)
    for part in seen if isinstance(seen, dict) else [slice(None)]:
        np.testing.assert_array_equal(again[part], seen[part])
