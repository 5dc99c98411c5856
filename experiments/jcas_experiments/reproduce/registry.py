"""All figures by the names that the command line takes."""

from __future__ import annotations

from .figure import FigureRecipe
from .lu2022 import fig3_to_5 as lu_fig3_to_5
from .lu2022 import fig6 as lu_fig6
from .luo2023 import accuracy, contamination, estimation_cost, fig3_to_5, fig6, fig7, fig8_9
from .nguyen2024 import fig1_2 as nguyen_fig1_2
from .nguyen2024 import fig3 as nguyen_fig3
from .nguyen2024 import tracking_regret

LUO2023 = (fig3_to_5, fig6, fig7, fig8_9, estimation_cost, contamination, accuracy)
LU2022 = (lu_fig3_to_5, lu_fig6)
NGUYEN2024 = (nguyen_fig1_2, nguyen_fig3, tracking_regret)

FIGURES: dict[str, FigureRecipe] = {
    name: recipe for module in (*LUO2023, *LU2022, *NGUYEN2024) for name, recipe in module.FIGURES.items()
}
"""``PAPER-figN``, in the order of the papers."""
