"""Array libraries in which the physics must hold, and problems in each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import array_api_strict
import numpy as np
import torch

from jcas_env import MultiCellAllocation, MultiCellProblem


def _read_only(value: Any) -> np.ndarray:
    array = np.array(value)
    array.flags.writeable = False
    return array


BACKENDS: dict[str, Callable[[Any], Any]] = {
    "numpy": np.asarray,
    "read-only": _read_only,
    "strict": array_api_strict.asarray,
    "torch": lambda value: torch.from_numpy(np.array(value)),
}


def to_numpy(value: Any) -> np.ndarray:
    """Back to NumPy, whatever the library."""
    return value.detach().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)


def convert(problem: MultiCellProblem, name: str) -> MultiCellProblem:
    """The same problem with all arrays in another library."""
    changes = {
        item.name: BACKENDS[name](np.ascontiguousarray(value))
        for item in fields(problem)
        if isinstance(value := getattr(problem, item.name), np.ndarray)
    }
    return replace(problem, **changes)


def convert_allocation(allocation: MultiCellAllocation, name: str) -> MultiCellAllocation:
    return MultiCellAllocation(*(BACKENDS[name](np.ascontiguousarray(part)) for part in allocation))
