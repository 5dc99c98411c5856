"""All figures by the names that the command line takes."""

from __future__ import annotations

from . import lu2022, luo2023_allocation
from .figure import Recipe

FIGURES: dict[str, Recipe] = {**luo2023_allocation.FIGURES, **lu2022.FIGURES}
"""``PAPER-figN``, in the order of the papers."""
