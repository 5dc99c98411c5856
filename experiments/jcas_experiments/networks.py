"""Random networks in their first slot, on which figures and measurements are computed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from jcas_env.scenarios.scenario import Scenario
from jcas_env.tree import stack


def first_state(scenario: Scenario, seed: int) -> Any:
    """State in which the episode of a seed begins; no batch axis."""
    return scenario.initial(scenario.draw_initial(np.random.default_rng(seed)))


def first_states(scenario: Scenario, seeds: Iterable[int]) -> Any:
    """States in which the episodes of some seeds begin, one batch, (seeds, ...)."""
    return scenario.initial(stack([scenario.draw_initial(np.random.default_rng(seed)) for seed in seeds]))
