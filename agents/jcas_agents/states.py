"""What training states have in common, whoever trains: which run they belong to, and the optimiser without pickles."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from jcas_env.checks import require

from .tensor_files import brief


def require_same_run(card: Mapping[str, Any], made_by: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` that names what differs between what a state was made by and what is to go on with it."""
    ours = json.loads(json.dumps(dict(made_by)))  # as a file holds it: tuples have become lists
    for entry, value in ours.items():
        told = ", ".join(_differences(card.get(entry), value, entry))
        require(not told, f"the run was started with another {entry}: {told}")


def _differences(theirs: Any, ours: Any, name: str) -> Iterator[str]:
    """What differs, down to the single entries."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for entry in {**theirs, **ours}:
            yield from _differences(theirs.get(entry), ours.get(entry), entry)
    elif type(theirs) is not type(ours) or theirs != ours:
        yield f"{name} {brief(theirs)}, not {brief(ours)}"


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor], prefix: str) -> None:
    """Give an optimiser its moments, named ``PREFIX INDEX.MOMENT``; its settings stay as they are."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith(prefix):
            index, moment = name[len(prefix) :].split(".")
            state.setdefault(int(index), {})[moment] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
