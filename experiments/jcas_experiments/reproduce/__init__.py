"""The figures of the three papers, computed anew: ``jcas reproduce FIGURE``."""

from __future__ import annotations

from .figure import Effort, FigureRecipe, Table
from .registry import FIGURES

__all__ = ["FIGURES", "Effort", "FigureRecipe", "Table"]
