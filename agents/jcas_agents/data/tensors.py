"""From NumPy to torch: the physics' functions then carry gradients."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch

from jcas_env.tree import tree_map

T = TypeVar("T")


def to_torch(value: T, dtype: torch.dtype | None = None) -> T:
    """The same problem, or nest of NamedTuples, with copies of its arrays as tensors.

    Real and complex numbers get the precision of ``dtype``, a real type, if one is given. Integers, masks and whatever
    is no array stay as they are.
    """
    if is_dataclass(value) and not isinstance(value, type):
        arrays = {item.name: getattr(value, item.name) for item in fields(value)}
        changes = {name: _tensor(array, dtype) for name, array in arrays.items() if isinstance(array, np.ndarray)}
        return replace(value, **changes)
    return tree_map(lambda leaf: _tensor(leaf, dtype), value)


def _tensor(array: Any, dtype: torch.dtype | None) -> torch.Tensor:
    tensor = torch.from_numpy(np.array(array))
    if dtype is None or not (tensor.is_floating_point() or tensor.is_complex()):
        return tensor
    return tensor.to(dtype.to_complex() if tensor.is_complex() else dtype)
