"""Small policies and the configuration that they are tested on."""

from __future__ import annotations

import torch
from jcas_agents.policies.multicell import EquivariantPolicy

from jcas_env.scenarios.multicell import MultiCellConfig


def static_config(**fields) -> MultiCellConfig:
    """Single slots with perfect channels, the specs' tables."""
    return MultiCellConfig.preset("luo2023-static", **fields)


def stirred(seed: int = 0, kind: type[EquivariantPolicy] = EquivariantPolicy) -> EquivariantPolicy:
    """A policy whose last layers are not zero."""
    torch.manual_seed(seed)
    policy = kind()
    with torch.no_grad():
        for value in policy.parameters():
            value.add_(0.1 * torch.randn_like(value))
    return policy.eval()
