"""Setting of lu2022: numbered instances of the OFDMA mesh, in the readings of spec mesh 4.

One instance has 30 users, drawn with the seed; 1 is that of the specification's tables. Figs. 3 to 5 are computed at
calibration A (20 dBm), Fig. 6 at calibration B (2 dBm): the paper does not print its power, and one power cannot give
both (spec mesh 5.24).
"""

from __future__ import annotations

from typing import Any

from jcas_env.scenarios.mesh import Mesh, MeshConfig, MeshProblem

from ..figure import Effort


def instance(effort: Effort, preset: str = "A", **fields: Any) -> MeshProblem:
    """Numbered instance ``seed + 1`` of spec mesh 2."""
    scenario = Mesh(MeshConfig.preset(preset, **fields))
    return scenario.problem(scenario.sample(effort.seed + 1))
