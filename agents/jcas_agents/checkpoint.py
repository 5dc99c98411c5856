"""Files of policies: what their cards must hold, and the policies that ship (spec learning 7.8).

A policy's card lies in its safetensors file, see :mod:`.tensor_files`, and beside it once more, to be read by people.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from jcas_env.checks import require, suggest

from .files import write_file
from .policies.mesh import MeshPolicy
from .policies.multicell import EquivariantPolicy
from .policies.policy import Policy
from .policies.stations import StationPolicy
from .policies.tracking import TrackingPolicy
from .runs import brief
from .tensor_files import read, require_like, write

FORMAT = "jcas-policy-2"
"""Kind and version of the file."""
POLICIES: dict[tuple[str, str], type[Policy]] = {
    (kind.scenario, kind.sees): kind for kind in (EquivariantPolicy, StationPolicy, MeshPolicy, TrackingPolicy)
}
"""Kinds of policies by scenario and who decides; a further one is one name more."""
PRETRAINED = Path(__file__).resolve().parent / "pretrained"
"""Policies that ship with the package."""


CARD = {"format": str, "scenario": str, "features": str, "shape": dict, "parameters": int}
"""Entries that every card has, and their types; :class:`.policy.Shape` declares those of ``shape``."""
FURTHER = {"sees": str, "reward": str, "recipe": dict, "scores": dict}
"""Types of further entries, where a card has them."""


def save_policy(path: Path, policy: Policy, card: Mapping[str, Any]) -> dict[str, Any]:
    """Write a policy and, beside it, its card as JSON; returns the card."""
    about = {
        "format": FORMAT,
        "scenario": policy.scenario,
        **({} if policy.sees == Policy.sees else {"sees": policy.sees}),
        "features": policy.features(),
        "shape": asdict(policy.shape),
        "parameters": sum(value.numel() for value in policy.parameters()),
    }
    return _write(path, policy.state_dict(), {**about, **card})


def _write(path: Path, tensors: Mapping[str, Tensor], card: Mapping[str, Any]) -> dict[str, Any]:
    """Write tensors and card, and the card beside them; returns the card as written."""
    card = write(path, tensors, card)
    write_file(path.with_suffix(".json"), (json.dumps(card, indent=2) + "\n").encode())
    return card


def rewrite_card(path: Path, changes: Mapping[str, Any]) -> Path:
    """Change entries of a policy's card, in the file and beside it; returns the latter."""
    tensors, card = read(path)
    _write(path, tensors, {**card, **changes})
    return path.with_suffix(".json")


def policy_file(name: Path | str) -> Path:
    """File of a policy: the name of a shipped one, or else a path, which has an ending.

    Raises ``ValueError`` for a name that no shipped policy has.
    """
    if str(name) in pretrained():
        return PRETRAINED / f"{name}.safetensors"
    require(bool(Path(name).suffix), f"no shipped policy {str(name)!r}: {suggest(name, pretrained())}")
    return Path(name)


def read_policy(file: Path) -> tuple[Policy, dict[str, Any]]:
    """Policy and card of a file, whose types and bounds are checked before anything of their size is made.

    Raises as :func:`load_policy` does.
    """
    tensors, card = read(file)
    for entry, kind in {**CARD, **{name: kind for name, kind in FURTHER.items() if name in card}}.items():
        value = card.get(entry)
        require(type(value) is kind, f"{file}: `{entry}` of its card must be {kind.__name__}, got {brief(value)}")
    require(card["format"] == FORMAT, f"{file} has format {brief(card['format'])}, expected {FORMAT!r}")
    made_for, sees = card["scenario"], card.get("sees", Policy.sees)
    known = list(dict.fromkeys(scenario for scenario, _ in POLICIES))
    require(made_for in known, f"{file} is a policy for scenario {brief(made_for)}, not for {known!r}")
    views = [view for scenario, view in POLICIES if scenario == made_for]
    require(sees in views, f"{file} is a policy that sees {brief(sees)}; in {made_for} there are {views!r}")
    kind = POLICIES[made_for, sees]
    try:
        shape = kind.shape_type.from_card(card["shape"])
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    with torch.device("meta"):  # names and sizes of the tensors without the tensors
        expected = kind(shape)
    version, here = card["features"], expected.features()
    require(version == here, f"{file} reads features {brief(version)}, this version has {here!r}")
    require_like(file, tensors, expected.state_dict())
    count = sum(value.numel() for value in expected.parameters())
    require(card["parameters"] == count, f"{file} has {count} parameters, its card says {brief(card['parameters'])}")
    with torch.random.fork_rng(devices=[]):  # the first weights, which the file's replace, are random
        policy = kind(shape)
    policy.load_state_dict(tensors)
    return policy.eval(), card


def load_policy(path: Path | str, *, scenario: str | None = None) -> Policy:
    """Load a policy; ``path`` is a file or the name of a shipped one, ``scenario`` the one that it must be for.

    Raises ``ValueError`` for a name that is not known, for a file that is broken, has been changed or holds what is not
    finite, and for a policy of another scenario or feature version (both are named).
    """
    file = policy_file(path)
    policy, _ = read_policy(file)
    fits = scenario in (None, policy.scenario)
    require(fits, f"{file} is a policy for scenario {policy.scenario!r}, not for {scenario!r}")
    return policy


def pretrained() -> list[str]:
    """Names of the shipped policies."""
    return sorted(path.stem for path in PRETRAINED.glob("*.safetensors"))
