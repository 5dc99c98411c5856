"""luo2023: cells, groups, power and bandwidth per service."""

from __future__ import annotations

from .allocation import MultiCellAllocation, MultiCellOutcome
from .config import PRESETS, MultiCellConfig
from .problem import MultiCellProblem
from .relaxed import RelaxedAllocation, RelaxedProblem
from .scenario import MultiCell

__all__ = [
    "PRESETS",
    "MultiCell",
    "MultiCellAllocation",
    "MultiCellConfig",
    "MultiCellOutcome",
    "MultiCellProblem",
    "RelaxedAllocation",
    "RelaxedProblem",
]
