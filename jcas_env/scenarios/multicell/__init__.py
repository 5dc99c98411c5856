"""luo2023: cells, groups, power and bandwidth per service."""

from __future__ import annotations

from .config import PRESETS, MultiCellConfig
from .problem.allocation import MultiCellAllocation, MultiCellOutcome
from .problem.problem import MultiCellProblem
from .problem.relaxed import RelaxedAllocation, RelaxedProblem
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
