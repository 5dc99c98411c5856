"""The figures of the three papers, computed anew: ``jcas reproduce FIGURE``."""

from __future__ import annotations

from .figure import Plan, Recipe, Table
from .registry import FIGURES

__all__ = ["FIGURES", "Plan", "Recipe", "Table"]
