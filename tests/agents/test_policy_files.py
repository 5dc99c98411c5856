"""Policy files from anywhere: what is wrong with them is said in one line, before anything of their size is made."""

from __future__ import annotations

import json
import random
import re
import struct
import warnings

import numpy as np
import pytest
import torch
from jcas_agents import tensor_files
from jcas_agents.checkpoint import POLICIES, PRETRAINED, load_policy, policy_file, pretrained, save_policy
from jcas_agents.policies.mesh import MeshPolicy
from jcas_agents.policies.multicell import PolicyShape
from jcas_agents.policies.sets import SetShape
from safetensors.torch import save
from support.mutations import forged, mutated, parts_of

SOURCES = ("mesh-sum", "massive-mimo-tracking", "multicell-rate")


@pytest.fixture(scope="module")
def mesh():
    return parts_of((PRETRAINED / "mesh-sum.safetensors").read_bytes())


def refusal(path, content):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(str(path))) as error:
        load_policy(path)
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", pretrained())
def test_the_card_of_a_shipped_policy_has_the_hash_of_its_tensors(name):
    tensors, card = tensor_files.read(PRETRAINED / f"{name}.safetensors")
    assert card["tensors_sha256"] == tensor_files.tensor_hash(tensors)


def test_the_hash_is_of_names_types_shapes_and_values():
    first = {"a": torch.zeros(2, 3), "b": torch.ones(1)}
    assert tensor_files.tensor_hash(first) == tensor_files.tensor_hash(dict(reversed(first.items())))
    others = [
        {"a": torch.zeros(3, 2), "b": torch.ones(1)},
        {"a": torch.zeros(2, 3), "c": torch.ones(1)},
        {"a": torch.zeros(2, 3).double(), "b": torch.ones(1)},
        {"a": torch.zeros(2, 3), "b": torch.full((1,), 1.0 + 2**-23)},
    ]
    assert len({tensor_files.tensor_hash(tensors) for tensors in [first, *others]}) == 5


@pytest.mark.parametrize("place", [0.0, 0.3, 0.999])
def test_a_flipped_bit_of_a_weight_is_noticed(tmp_path, place):
    content = bytearray((PRETRAINED / "mesh-sum.safetensors").read_bytes())
    begin = 8 + struct.unpack("<Q", content[:8])[0]
    content[begin + int(place * (len(content) - begin))] ^= 1
    assert "changed or damaged" in refusal(tmp_path / "p.safetensors", content)


def test_a_file_without_a_hash_is_refused(tmp_path, mesh):
    card, tensors = mesh
    old = {name: value for name, value in card.items() if name != tensor_files.HASH}
    assert "holds no hash of its tensors" in refusal(tmp_path / "p.safetensors", forged(old, tensors))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shape": None}, "`shape` of its card must be dict, got None"),
        ({"shape": [32, 2]}, "`shape` of its card must be dict, got [32, 2]"),
        ({"shape": {"width": None, "layers": 2}}, "`width` must be a whole number in [1, 512], got None"),
        ({"shape": {"width": [32], "layers": 2}}, "`width` must be a whole number in [1, 512], got [32]"),
        ({"shape": {"width": -1, "layers": 2}}, "`width` must be a whole number in [1, 512], got -1"),
        ({"shape": {"width": 1e9, "layers": 2}}, "`width` must be a whole number in [1, 512], got 1000000000.0"),
        ({"shape": {"width": True, "layers": 2}}, "`width` must be a whole number in [1, 512], got True"),
        ({"shape": {"width": 10**400, "layers": 2}}, "got a far larger one"),
        ({"shape": {"width": 32, "layers": 100_000}}, "`layers` must be a whole number in [1, 16], got 100000"),
        ({"shape": {"width": 512, "layers": 16}}, "tensor 'rounds.10.0.bias'"),
        ({"shape": {"width": 33, "layers": 2}}, "holds embed.bias as torch.float32 [32], not as torch.float32 [33]"),
        ({"shape": {"width": 32, "layers": 2, "heads": 2}}, "`shape` has an unknown entry ['heads']"),
        ({"scenario": ["mesh"]}, "`scenario` of its card must be str, got ['mesh']"),
        ({"scenario": "multicell"}, "`shape`"),
        ({"features": 3}, "`features` of its card must be str, got 3"),
        ({"reward": {}}, "`reward` of its card must be str, got {}"),
        ({"parameters": 5}, "parameters, its card says 5"),
        ({"format": "jcas-policy-9"}, "has format 'jcas-policy-9', expected"),
        ({"tensors_sha256": 3}, None),
    ],
)  # fmt: skip
def test_a_card_is_refused_by_the_name_of_its_entry(tmp_path, mesh, changes, words):
    card, tensors = mesh
    if words is None:  # a hash of another type is no hash
        content = save(tensors, {"card": json.dumps(card | changes)})
        assert "another hash" in refusal(tmp_path / "p.safetensors", content)
        return
    if changes.get("scenario") == "multicell":
        changes = changes | {"shape": {"width": 3, "heads": 2}}
        words = "`heads` must be at most 1 at width 3, got 2"
    assert words in refusal(tmp_path / "p.safetensors", forged(card | changes, tensors))


def test_a_card_that_asks_for_much_gets_nothing(tmp_path, monkeypatch, mesh):
    """The largest shape that the bounds allow would take hundreds of times the file."""
    made = []

    class Watched(MeshPolicy):
        def __init__(self, shape):
            super().__init__(shape)
            made.append({value.device.type for value in self.parameters()})

    monkeypatch.setitem(POLICIES, ("mesh", "network"), Watched)
    card, tensors = mesh
    refusal(tmp_path / "p.safetensors", forged(card | {"shape": {"width": 512, "layers": 16}}, tensors))
    assert made == [{"meta"}]  # names and sizes alone


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_finite_are_refused(tmp_path, mesh, value):
    card, tensors = mesh
    broken = tensors | {"user_head.bias": torch.full_like(tensors["user_head.bias"], value)}
    assert "holds user_head.bias with NaN or inf" in refusal(tmp_path / "p.safetensors", forged(card, broken))


def test_weights_of_another_type_are_refused(tmp_path, mesh):
    card, tensors = mesh
    halves = {name: value.half() for name, value in tensors.items()}
    assert "as torch.float16" in refusal(tmp_path / "p.safetensors", forged(card, halves))


@pytest.mark.parametrize("card", ["[]", "3", "null", "{", '{"a": ' * 5000, "9" * 5000])
def test_what_is_no_card_is_refused(tmp_path, mesh, card):
    assert "no whole checkpoint" in refusal(tmp_path / "p.safetensors", save(mesh[1], {"card": card}))


@pytest.mark.parametrize(
    "name", ["../x", "..", "../pretrained/mesh-sum", "http://example.org/policy", "mesh-sums", "", "/etc/passwd"]
)
def test_a_name_is_a_name(name):
    with pytest.raises(ValueError, match="no shipped policy") as error:
        policy_file(name)
    assert repr(name) in str(error.value)
    assert ("did you mean 'mesh-sum'?" in str(error.value)) or name != "mesh-sums"


def test_a_shape_takes_numpy_integers_and_a_policy_of_them_has_a_card(tmp_path):
    save_policy(tmp_path / "p.safetensors", MeshPolicy(SetShape(np.int64(8), np.int32(1))), {})
    assert load_policy(tmp_path / "p.safetensors").shape == SetShape(8, 1)
    with pytest.raises(ValueError, match="`queues` must be True or False, got 'False'"):
        PolicyShape(queues="False")


def test_loading_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_policy("mesh-sum")
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_mutated_policy_files_meet_only_clean_refusals(tmp_path, count):
    """Refused in one line, or nothing has changed that a policy is made of."""
    rng, path = random.Random(20231), tmp_path / "p.safetensors"
    sources = {name: (PRETRAINED / f"{name}.safetensors").read_bytes() for name in SOURCES}
    weights = {name: load_policy(name).state_dict() for name in SOURCES}
    loaded = 0
    for number in range(count):
        name = rng.choice(SOURCES)
        path.write_bytes(mutated(rng, sources[name]))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                policy = load_policy(path)
        except ValueError as error:
            message = str(error)
            assert str(path) in message, (number, message)
            assert "\n" not in message
            assert len(message) < 3000
        else:  # what the card tells people alone may have been another thing
            loaded += 1
            assert all(torch.equal(value, weights[name][key]) for key, value in policy.state_dict().items()), number
    assert loaded < count / 3
