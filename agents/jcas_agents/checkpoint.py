"""Policies and training states as safetensors files; loading never unpickles (spec learning 7.8).

The metadata of a file holds its card as JSON; a policy's card stands beside it once more, to be read by people.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from jcas_env.checks import require

from .policies.mesh import MeshPolicy
from .policies.multicell import EquivariantPolicy
from .policies.policy import Policy
from .policies.tracking import TrackingPolicy

FORMAT = "jcas-policy-2"
"""Kind and version of the file."""
POLICIES: dict[str, type[Policy]] = {kind.scenario: kind for kind in (EquivariantPolicy, MeshPolicy, TrackingPolicy)}
"""Kinds of policies by scenario; a further one is one name more."""
PRETRAINED = Path(__file__).resolve().parent / "pretrained"
"""Policies that ship with the package."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is at any time the old or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(content)
    os.replace(temporary, path)


def save_training(path: Path, tensors: dict[str, Tensor], card: dict[str, Any]) -> None:
    """Write tensors with a card in the metadata."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_atomically(path, save(tensors, {"card": json.dumps(card)}))


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and card of a file.

    Raises ``ValueError`` in one line for a file that is truncated, pickled or of another kind, and
    ``FileNotFoundError`` for none.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no policy file {path}")
    head = path.read_bytes()[:2]
    require(head not in (b"PK", b"\x80\x02", b"\x80\x04", b"\x80\x05"), f"{path} is a pickle or zip file: refused")
    try:
        with safe_open(path, framework="pt") as file:
            card = json.loads((file.metadata() or {})["card"])
            return {name: file.get_tensor(name) for name in file.keys()}, card  # noqa: SIM118
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is no whole checkpoint of this project: {error}") from None


def save_policy(path: Path, policy: Policy, card: dict[str, Any]) -> None:
    """Write a policy and, beside it, its card as JSON."""
    card = {
        "format": FORMAT,
        "scenario": policy.scenario,
        "features": policy.features(),
        "shape": asdict(policy.shape),
        "parameters": sum(value.numel() for value in policy.parameters()),
        **card,
    }
    save_training(path, dict(policy.state_dict()), card)
    write_atomically(path.with_suffix(".json"), (json.dumps(card, indent=2) + "\n").encode())


def rewrite_card(path: Path, changes: dict[str, Any]) -> Path:
    """Change entries of a policy's card, in the file and beside it; returns the latter."""
    tensors, card = read(path)
    card |= changes
    save_training(path, tensors, card)
    beside = path.with_suffix(".json")
    write_atomically(beside, (json.dumps(card, indent=2) + "\n").encode())
    return beside


def policy_file(path: Path | str) -> Path:
    """File of a policy: a path, or the name of a shipped one."""
    return Path(path) if Path(path).suffix else PRETRAINED / f"{path}.safetensors"


def load_policy(path: Path | str, *, scenario: str | None = None) -> Policy:
    """Load a policy; ``path`` is a file or the name of a shipped one, ``scenario`` the one that it must be for.

    Raises ``ValueError`` for a broken file, and for a policy of another scenario or feature version (both are named).
    """
    file = policy_file(path)
    tensors, card = read(file)
    require(card.get("format") == FORMAT, f"{file} has format {card.get('format')!r}, expected {FORMAT!r}")
    made_for = str(card.get("scenario"))
    fits = made_for == scenario if scenario else made_for in POLICIES
    require(fits, f"{file} is a policy for scenario {made_for!r}, not for {scenario or list(POLICIES)!r}")
    kind = POLICIES[made_for]
    policy = kind(kind.shape_type(**card["shape"]))
    version, here = card.get("features"), policy.features()
    require(version == here, f"{file} reads features {version!r}, this version has {here!r}")
    try:
        policy.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"{file} does not fit its card: {str(error).splitlines()[0]}") from None
    return policy.eval()


def pretrained() -> list[str]:
    """Names of the shipped policies."""
    return sorted(path.stem for path in PRETRAINED.glob("*.safetensors"))
