"""lu2022: OFDMA users of one anchor, positioning and data on the same subcarriers, a time split."""

from __future__ import annotations

from .allocation import MeshAllocation, MeshOutcome
from .config import PRESETS, MeshConfig
from .counts import CountModel
from .problem import MeshProblem
from .scenario import Mesh

__all__ = [
    "PRESETS",
    "CountModel",
    "Mesh",
    "MeshAllocation",
    "MeshConfig",
    "MeshOutcome",
    "MeshProblem",
]
