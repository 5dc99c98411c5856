"""A snapshot continues where it was made, in an environment like that one; elsewhere it is refused by name."""

from __future__ import annotations

import pickle
import re

import numpy as np
import pytest

from jcas_env import EnvState, JCASEnv, JCASVectorEnv

SMALL = {
    "multicell": {"users_per_cell": 3, "estimator": "perfect"},
    "mesh": {"users": 5},
    "massive-mimo": {"users": 3},
}
SIZES = {"multicell": {"users_per_cell": 4}, "mesh": {"users": 6}, "massive-mimo": {"users": 4}}
by_scenario = pytest.mark.parametrize("name", SMALL)


def begun(name, lanes=None, **fields):
    """An environment after its first slot; single, or of some lanes."""
    fields = {**SMALL[name], **fields}
    env = JCASEnv(name, **fields) if lanes is None else JCASVectorEnv(name, num_envs=lanes, **fields)
    env.reset(seed=5)
    env.step(np.zeros(env.action_space.shape))
    return env


def refused(env, snapshot, message, error=ValueError):
    """A snapshot is refused with a message, and the environment goes on as if nobody had tried."""
    before = pickle.dumps(env.get_state())
    with pytest.raises(error, match=message):
        env.set_state(snapshot)
    assert pickle.dumps(env.get_state()) == before


@by_scenario
@pytest.mark.parametrize("lanes", [None, 3])
class TestSnapshots:
    def test_of_another_scenario(self, name, lanes):
        env = begun(name, lanes)
        for other in SMALL.keys() - {name}:
            refused(env, begun(other, lanes).get_state(), f"`snapshot` must be of the scenario '{name}'.*got a .*State")

    def test_of_another_size(self, name, lanes):
        message = r"`snapshot.state.\w+(\.\w+)*` must have shape .* and type .*, got .*: a snapshot of another config"
        refused(begun(name, lanes), begun(name, lanes, **SIZES[name]).get_state(), message)

    def test_of_another_precision(self, name, lanes):
        message = r"`snapshot.state.\w+(\.\w+)*` must have .* type float64, got .* float32"
        refused(begun(name, lanes), begun(name, lanes, dtype="float32").get_state(), message)

    def test_of_another_number_of_lanes_or_adapter(self, name, lanes):
        env, mine = begun(name, lanes), "a single environment" if lanes is None else "a vector environment with 3 lanes"
        others = {
            None: "a single environment",
            1: "a vector environment with 1 lanes",
            2: "a vector environment with 2",
        }
        for count, words in others.items():
            if count != lanes:
                refused(env, begun(name, count).get_state(), f"`snapshot` must be of {mine}, got one of {words}")

    def test_of_another_place(self, name, lanes):
        """Tensors do not go on as arrays."""
        env = begun(name, lanes)
        if lanes is None:
            return
        snapshot = begun(name, lanes, device="cpu").get_state()
        refused(env, snapshot, "`snapshot.generators` must be 3 of type numpy.random")
        there = begun(name, lanes, device="cpu")
        with pytest.raises(ValueError, match=r"`snapshot.generators` must be 1 of type torch.Tensor"):
            there.set_state(env.get_state())
        there.set_state(snapshot)

    def test_what_is_none(self, name, lanes):
        env = begun(name, lanes)
        good = env.get_state()
        for bad in (None, tuple(good), good.state, "state"):
            refused(env, bad, "`snapshot` must be an EnvState, as `get_state` gives it, got", TypeError)
        refused(env, good._replace(generators=()), "`snapshot.generators` must be")
        refused(env, good._replace(generators=tuple(0 for _ in good.generators)), "`snapshot.generators` must be")
        refused(env, good._replace(finished=0), "`snapshot.finished` must be an array of bools, got 0")
        refused(env, good._replace(state=(1, 2)), "`snapshot` must be of the scenario")
        env.set_state(good)

    def test_a_fresh_environment_takes_one_and_says_its_seeds(self, name, lanes):
        env, other = begun(name, lanes), begun(name, lanes)
        other.reset(seed=77)
        for there in (other, type(env)(env.scenario) if lanes is None else type(env)(env.scenario, num_envs=lanes)):
            there.set_state(pickle.loads(pickle.dumps(env.get_state())))
            assert there.np_random_seed == env.np_random_seed == (5 if lanes is None else (5, 6, 7))


def test_seeds_of_a_generator_that_was_not_seeded_are_unknown():
    env = begun("mesh")
    (generator,) = env.get_state().generators
    env.set_state(env.get_state()._replace(generators=tuple(generator.spawn(1))))
    assert env.np_random_seed == -1


def test_lanes_on_a_device_say_the_seed_of_a_snapshot():
    env, other = begun("mesh", 2, device="cpu"), JCASVectorEnv("mesh", num_envs=2, device="cpu", **SMALL["mesh"])
    assert other.np_random_seed == (-1, -1)
    other.set_state(env.get_state())
    assert other.np_random_seed == env.np_random_seed == (5, 5)


@by_scenario
def test_every_difference_in_size_or_kind_is_named_before_anything_changes(name):
    """Whatever array of a state has another shape."""
    env = begun(name, 2)
    snapshot = env.get_state()
    for field in snapshot.state._fields:
        value = getattr(snapshot.state, field)
        if isinstance(value, np.ndarray):
            cut = snapshot._replace(state=snapshot.state._replace(**{field: value[:1]}))
            refused(env, cut, re.escape(f"`snapshot.state.{field}` must have shape {value.shape}"))
    assert isinstance(snapshot, EnvState)
