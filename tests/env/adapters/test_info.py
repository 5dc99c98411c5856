"""What waits in ``info`` until somebody reads it looks like any other entry, whoever reads it."""

from __future__ import annotations

import pickle
from copy import copy, deepcopy

import numpy as np
import pytest

from jcas_env import JCASEnv, JCASVectorEnv
from jcas_env.envs.info import LazyInfo

WHOLE = {"rate": 1, "position": 2, "located": 3}


def lazy():
    """An ``info`` of which two entries wait, and the list of times that they were made."""
    made = []

    def make():
        made.append(1)
        return {"position": 2, "located": 3}

    return LazyInfo({"rate": 1}, ("position", "located"), make), made


READERS = {
    "index": lambda info: {name: info[name] for name in info},
    "get": lambda info: {name: info.get(name) for name in info},
    "items": lambda info: dict(info.items()),
    "values": lambda info: dict(zip(info, info.values(), strict=True)),
    "dict": dict,
    "copy": copy,
    "copy method": lambda info: info.copy(),
    "deepcopy": deepcopy,
    "pickle": lambda info: pickle.loads(pickle.dumps(info)),
    "unpacked": lambda info: {**info},
    "keywords": lambda info: dict(**info),
    "right": lambda info: {} | info,
    "left": lambda info: info | {},
    "updated": lambda info: updated({}, info),
    "pop": lambda info: {name: info.pop(name) for name in tuple(info)},
    "popitem": lambda info: dict(info.popitem() for _ in range(3)),
    "setdefault": lambda info: {name: info.setdefault(name, 9) for name in info},
    "self": lambda info: info,
}


def updated(plain, info):
    """A plain dictionary with the entries of another."""
    plain.update(info)
    return plain


@pytest.mark.parametrize("reader", READERS)
def test_every_way_to_read_gives_what_was_made(reader):
    info, made = lazy()
    assert len(info) == 3
    assert list(info) == list(WHOLE)
    assert info["rate"] == 1
    assert "position" in info
    assert not made
    assert READERS[reader](info) == WHOLE
    assert made == [1]


def test_equality_and_text_are_those_of_the_entries():
    assert lazy()[0] == WHOLE
    assert lazy()[0] == lazy()[0]
    assert lazy()[0] != {**WHOLE, "rate": 2}
    assert repr(lazy()[0]) == repr(WHOLE)
    assert lazy()[0].get("nothing", 4) == 4


def test_an_entry_that_was_set_stays():
    info, _ = lazy()
    info["position"] = 7
    assert info["located"] == 3
    assert info["position"] == 7


@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
def test_positions_read_late_are_those_of_their_slot(mode):
    """Whether they are read at once or slots later, and whoever writes to them."""
    options = {"users_per_cell": 3, "estimator": "perfect", "angle_coherence": 2, "horizon": 5}
    envs = [JCASVectorEnv("multicell", num_envs=2, autoreset_mode=mode, **options) for _ in range(2)]
    zero = np.zeros((2, envs[0].scenario.action_size))
    for env in envs:
        env.reset(seed=3)
    infos, read = [], []
    for _ in range(5):
        infos.append(envs[0].step(zero)[-1])
        read.append(deepcopy(envs[1].step(zero)[-1]))
    for late, early in zip(infos, read, strict=True):
        for name in set(early) - {"final_obs", "final_info"}:
            np.testing.assert_equal(late[name], early[name])
        if "position" in early:
            late["position"][...] = 0.0


def test_positions_of_a_single_environment_change_with_their_measurement():
    env = JCASEnv("multicell", users_per_cell=3, estimator="perfect", angle_coherence=2)
    env.reset(seed=0)
    position = [env.step(np.zeros(env.scenario.action_size))[-1]["position"] for _ in range(3)]
    np.testing.assert_array_equal(position[0], position[1])
    assert not np.array_equal(position[1], position[2])
