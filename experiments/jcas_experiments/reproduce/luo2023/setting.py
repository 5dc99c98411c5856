"""Setting of luo2023 Figs. 6 to 9: random networks of one slot, the allocators, and what these earn.

In the readings of spec multicell 10.2, 10.4, 10.8. The proposed algorithm is ADMM in closed form. Rates are true rates
on perfect channel knowledge, summed over the users of a network, mean over networks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from jcas_baselines import ADMM, EqualAllocation

from jcas_env.scenarios.multicell import MultiCell, MultiCellConfig, MultiCellProblem
from jcas_env.units import MEGA

METHODS = {"proposed": ADMM(), "eba_pa": EqualAllocation(power="proposed"), "equal": EqualAllocation()}
"""The three allocators of Figs. 8 and 9."""
SERVICES = ("rate_mbps", "positioning_rate_mbps")
"""Columns of the two rates."""
CHUNK = 50
"""Networks in a batch: a good size for memory and caches."""


def problems(config: MultiCellConfig, count: int, seed: int) -> Iterator[tuple[MultiCellProblem, MultiCellProblem]]:
    """Known and true problem of ``count`` networks, in batches; network i is drawn with seed + i."""
    scenario = MultiCell(config)
    for start in range(seed, seed + count, CHUNK):
        lanes = range(start, min(start + CHUNK, seed + count))
        state = scenario.sample(lanes)
        yield scenario.problem(state), scenario.truth(state)


@lru_cache(maxsize=1)
def drawn(config: MultiCellConfig, count: int, seed: int) -> tuple[tuple[MultiCellProblem, MultiCellProblem], ...]:
    """All of :func:`problems`; kept for the next point, which mostly asks for the same networks."""
    return tuple(problems(config, count, seed))


def at(problem: MultiCellProblem, *, threshold: Any = None, communication_share: float) -> MultiCellProblem:
    """The same networks grouped by another threshold and split by another share."""
    problem = problem if threshold is None else problem.regroup(threshold)
    return replace(problem, positioning_share=1.0 - communication_share)


def totals(known: MultiCellProblem, truth: MultiCellProblem, solver: Any) -> np.ndarray:
    """True total data and positioning rate of the networks under a solver's allocation, (networks, 2) [Mbit/s]."""
    allocation = solver.solve(known).allocation
    return np.stack([rate.sum(axis=-1) for rate in truth.rates(allocation)], axis=-1) / MEGA
