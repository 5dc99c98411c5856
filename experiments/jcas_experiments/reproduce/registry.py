"""All figures by the names that the command line takes."""

from __future__ import annotations

from . import lu2022
from .figure import FigureRecipe
from .luo2023 import accuracy, contamination, estimation_cost
from .luo2023 import allocation as luo2023_allocation
from .luo2023 import estimation as luo2023_estimation
from .nguyen2024 import figures as nguyen2024
from .nguyen2024 import tracking_regret

FIGURES: dict[str, FigureRecipe] = {
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
