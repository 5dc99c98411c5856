"""nguyen2024: power of the users' streams and of a sensing beam, and a target that is tracked."""

from __future__ import annotations

from .allocation import MassiveMIMOAllocation, MassiveMIMOOutcome
from .config import MassiveMIMOConfig
from .problem import MassiveMIMOProblem
from .scenario import MassiveMIMO

__all__ = ["MassiveMIMO", "MassiveMIMOAllocation", "MassiveMIMOConfig", "MassiveMIMOOutcome", "MassiveMIMOProblem"]
