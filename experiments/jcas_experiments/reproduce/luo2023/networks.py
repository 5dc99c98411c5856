"""Random networks of one slot for the figures, and the mean of what allocators earn on them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from jcas_env.scenarios.multicell import MultiCell, MultiCellConfig, MultiCellProblem
from jcas_env.units import MEGA

from ...networks import first_states

CHUNK = 50
"""Networks in a batch: a good size for memory and caches."""


def problems(config: MultiCellConfig, count: int, seed: int) -> Iterator[tuple[MultiCellProblem, MultiCellProblem]]:
    """Known and true problem of ``count`` networks, in batches; network i is drawn with seed + i."""
    scenario = MultiCell(config)
    for start in range(seed, seed + count, CHUNK):
        lanes = range(start, min(start + CHUNK, seed + count))
        state = first_states(scenario, lanes)
        yield scenario.problem(state), scenario.truth(state)


def at(problem: MultiCellProblem, *, threshold: Any = None, communication_share: float) -> MultiCellProblem:
    """The same networks grouped by another threshold and split by another share."""
    problem = problem if threshold is None else problem.regroup(threshold)
    return replace(problem, positioning_share=1.0 - communication_share)


def totals(known: MultiCellProblem, truth: MultiCellProblem, solver: Any) -> np.ndarray:
    """True total data and positioning rate of the networks under a solver's allocation, (networks, 2) [Mbit/s]."""
    allocation = solver.solve(known).allocation
    return np.stack([rate.sum(axis=-1) for rate in truth.rates(allocation)], axis=-1) / MEGA
