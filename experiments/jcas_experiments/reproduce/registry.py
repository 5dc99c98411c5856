"""All figures by the names that the command line takes."""

from __future__ import annotations

from . import (
    accuracy,
    contamination,
    estimation_cost,
    lu2022,
    luo2023_allocation,
    luo2023_estimation,
    nguyen2024,
    tracking_regret,
)
from .figure import Recipe

FIGURES: dict[str, Recipe] = {
    **luo2023_estimation.FIGURES,
    **luo2023_allocation.FIGURES,
    **estimation_cost.FIGURES,
    **contamination.FIGURES,
    **accuracy.FIGURES,
    **lu2022.FIGURES,
    **nguyen2024.FIGURES,
    **tracking_regret.FIGURES,
}
"""``PAPER-figN``, in the order of the papers."""
