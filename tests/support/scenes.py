"""Scenes of the multi-cell network, and the smallest problem by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from jcas_env import MultiCellAllocation
from jcas_env.scenarios.multicell import MultiCell, MultiCellConfig

PLAIN = {
    "gain": [[1e-8, 1e-9, 1e-10], [2e-9, 2e-8, 1e-10], [1e-10, 1e-10, 3e-8]],
    "leakage": [1e-10, 1e-10, 1e-10],
    "sensing_gain": [5.0, 4.0, 3.0],
    "cell": [0, 0, 1],
    "group": [0, 0, 0],
    "last_power": [[2.0, 3.0, 5.0], [2.0, 3.0, 5.0]],
    "weight": [0.5, 0.5, 1.0],
    "service_weight": [1.0, 1.0],
    "power_budget": 10.0,
    "band_budget": 10e6,
    "power_floor": 0.1,
    "band_floor": 1e5,
    "noise_density": 2e-20,
    "positioning_share": 0.5,
    "queue": [0.0, 0.0, 0.0],
}
"""Two cells, two users in the first; constructible without an environment."""


EQUAL = MultiCellAllocation(
    power=np.array([[2.5, 2.5, 5.0], [2.5, 2.5, 5.0]]),
    bandwidth=np.array([[5e6, 5e6, 5e6], [5e6, 5e6, 5e6]]),
    group=np.array([0, 0, 0]),
)


def scenes(config: MultiCellConfig, count: int, seed: int = 0) -> tuple[MultiCell, Any]:
    """A scenario and a batch of first states, lane i of seed + i."""
    scenario = MultiCell(config)
    return scenario, scenario.sample(range(seed, seed + count))


def static(count: int, seed: int = 0, **fields: Any) -> SimpleNamespace:
    """Scenes of the tables of spec multicell 10: known and true problem of one slot."""
    scenario, state = scenes(MultiCellConfig.preset("luo2023-static", **fields), count, seed)
    return SimpleNamespace(scenario=scenario, state=state, problem=scenario.problem(state), truth=scenario.truth(state))
