"""A walk over configurations: at every end and between them steps finish, and what they return is what was promised."""

from __future__ import annotations

import pytest
from support.walk import LITTLE_ROOM, compare_lanes, long_walk, play, play_tensors, walk

from jcas_env.scenarios import SCENARIOS

BY_SCENARIO = pytest.mark.parametrize("name", list(SCENARIOS))
PARTS = 8
"""Walks per scenario, which run beside one another; each from a seed of its own."""


def faults(name, seed, changes=None, look=play):
    config, moved = walk(name, seed, changes, LITTLE_ROOM)
    return [f"seed {seed}, {moved}: {fault}" for fault in look(name, config, seed)]


@BY_SCENARIO
@pytest.mark.parametrize("seed", range(10))
def test_any_legal_configuration_plays(name, seed):
    """Without a warning, observations in their spaces, finite rewards, ``info`` as documented, feasible allocations."""
    assert faults(name, seed) == []


@pytest.mark.parametrize("seed", [10022, 10130, 20684, 50035, 52135])
def test_configurations_in_which_walks_have_stumbled_play(seed):
    """Indefinite by rounding, floors of little shares, negative energies, more groups than subcarriers."""
    assert faults("multicell", seed) == []


@BY_SCENARIO
@pytest.mark.parametrize("seed", range(4))
def test_pairs_of_ends_play(name, seed):
    assert faults(name, 100 + seed, changes=2) == []


@BY_SCENARIO
@pytest.mark.parametrize("seed", [0, 10070, 200, 201])
def test_a_lane_of_three_is_the_lane_alone(name, seed):
    """To the last bit: what a network earns does not hang on who is computed beside it."""
    assert faults(name, seed, look=compare_lanes) == []


@BY_SCENARIO
@pytest.mark.parametrize("seed", [300, 301])
def test_tensors_play(name, seed):
    assert faults(name, seed, look=play_tensors) == []


@pytest.mark.slow
@BY_SCENARIO
@pytest.mark.parametrize("part", range(PARTS))
def test_a_long_walk_meets_no_event(name, part, walk_steps):
    """As long as ``--walk`` says: ``python3 dev.py test --all --walk 100000 tests/env/test_walk.py`` walks that far."""
    steps = -(-walk_steps // (PARTS * len(SCENARIOS)))
    assert long_walk(name, 10**6 * (1 + part), steps) == []
