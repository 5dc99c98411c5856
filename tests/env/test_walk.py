"""A walk over configurations: at every end and between them steps finish, and what they return is what was promised."""

from __future__ import annotations

import pytest
from support.walk import LITTLE_ROOM, ROOM, compare_lanes, play, play_tensors, walk

from jcas_env.scenarios import SCENARIOS

BY_SCENARIO = pytest.mark.parametrize("name", list(SCENARIOS))


def faults(name, seed, changes=None, room=ROOM, look=play):
    config, moved = walk(name, seed, changes, room)
    return [f"seed {seed}, {moved}: {fault}" for fault in look(name, config, seed)]


@BY_SCENARIO
@pytest.mark.parametrize("seed", range(10))
def test_any_legal_configuration_plays(name, seed):
    """Without a warning, observations in their spaces, finite rewards, ``info`` as documented, feasible allocations."""
    assert faults(name, seed, room=LITTLE_ROOM) == []


@pytest.mark.parametrize("seed", [10022, 10130, 20684, 50035, 52135])
def test_configurations_in_which_walks_have_stumbled_play(seed):
    """Indefinite by rounding, floors of little shares, negative energies, more groups than subcarriers."""
    assert faults("multicell", seed, room=LITTLE_ROOM) == []


@BY_SCENARIO
@pytest.mark.parametrize("seed", range(4))
def test_pairs_of_ends_play(name, seed):
    assert faults(name, 100 + seed, changes=2, room=LITTLE_ROOM) == []


@BY_SCENARIO
@pytest.mark.parametrize("seed", [0, 10070, 200, 201])
def test_a_lane_of_three_is_the_lane_alone(name, seed):
    """To the last bit: what a network earns does not hang on who is computed beside it."""
    assert faults(name, seed, room=LITTLE_ROOM, look=compare_lanes) == []


@BY_SCENARIO
@pytest.mark.parametrize("seed", [300, 301])
def test_tensors_play(name, seed):
    assert faults(name, seed, room=LITTLE_ROOM, look=play_tensors) == []


@pytest.mark.slow
@BY_SCENARIO
@pytest.mark.parametrize("part", range(8))
def test_hundreds_of_configurations_play(name, part):
    found = [fault for seed in range(1000 + 40 * part, 1040 + 40 * part) for fault in faults(name, seed)]
    found += [fault for seed in range(2000 + 40 * part, 2040 + 40 * part) for fault in faults(name, seed, changes=2)]
    some = range(3000 + 10 * part, 3010 + 10 * part)
    for look in (compare_lanes, play_tensors):
        found += [fault for seed in some for fault in faults(name, seed, room=LITTLE_ROOM, look=look)]
    assert found == []
