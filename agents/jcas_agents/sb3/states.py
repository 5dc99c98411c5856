"""The state of a Stable-Baselines3 model as tensors with names: going on with a run never unpickles.

What SB3's own format holds beside them, classes and keywords, follows from the recipe.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..tensor_files import require_like, restore_optimiser


def model_tensors(model: Any) -> dict[str, Tensor]:
    """Weights, moments of the optimisers, and single variables such as SAC's temperature, by name."""
    names, variables = model._get_torch_save_params()
    tensors = {f"variables.{name}": _attribute(model, name).detach() for name in variables}
    for name in names:
        part = _attribute(model, name)
        if isinstance(part, torch.optim.Optimizer):
            for index, moments in part.state_dict()["state"].items():
                moved = {key: torch.as_tensor(value) for key, value in moments.items()}
                tensors |= {f"{name}:{index}.{key}": value for key, value in moved.items()}
        else:
            tensors |= {f"{name}:{key}": value for key, value in part.state_dict().items()}
    return {name: value.clone() for name, value in tensors.items()}  # target networks share what they copy


def restore_model(model: Any, tensors: Mapping[str, Tensor]) -> None:
    """Give a new model the tensors of a saved one; ``ValueError`` where they are not those of such a model."""
    names, variables = model._get_torch_save_params()
    parts = {name: _attribute(model, name) for name in names}
    optimisers = {name: part for name, part in parts.items() if isinstance(part, torch.optim.Optimizer)}
    require_like("the state", tensors, _expected(model, parts, variables, tensors))
    for name, part in parts.items():
        if name in optimisers:
            restore_optimiser(part, tensors, f"{name}:")
        else:
            begin = f"{name}:"
            part.load_state_dict({key[len(begin) :]: tensors[key] for key in tensors if key.startswith(begin)})
    for name in variables:
        _attribute(model, name).data.copy_(tensors[f"variables.{name}"])


def _expected(
    model: Any, parts: Mapping[str, Any], variables: list[str], tensors: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Tensors with the names, shapes and types of a saved model's; moments for the weights that have been moved."""
    expected = {f"variables.{name}": _attribute(model, name) for name in variables}
    for name, part in parts.items():
        if not isinstance(part, torch.optim.Optimizer):
            expected |= {f"{name}:{key}": value for key, value in part.state_dict().items()}
            continue
        weights = [weight for group in part.param_groups for weight in group["params"]]
        for index, weight in enumerate(weights):
            if any(key.startswith(f"{name}:{index}.") for key in tensors):
                moments = {"exp_avg": weight, "exp_avg_sq": weight, "step": torch.zeros(())}
                expected |= {f"{name}:{index}.{key}": value for key, value in moments.items()}
    return expected


def _attribute(model: Any, name: str) -> Any:
    """Attribute behind dots."""
    for part in name.split("."):
        model = getattr(model, part)
    return model
