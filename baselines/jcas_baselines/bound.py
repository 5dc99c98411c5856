"""A certified upper bound on what any allocator can earn in a slot."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal, NamedTuple

import numpy as np
from array_api_compat import array_namespace

from jcas_env.scenarios.multicell import MultiCellProblem
from jcas_env.types import Array, Status, as_array

from .bound_prices import Effort, Plan, Prices, clear_market, ground, losers, room, winners
from .bound_units import Units, numpy_of, take_apart
from .exact import Exact
from .search import GradientSearch, Joint, floors_fit, without_floors
from .solver import Solution, Solver, unsupported


class Setting(NamedTuple):
    """How hard the bound works."""

    price_steps: int
    """Most prices of power that are tried for a service."""
    probe: int
    """Nodes of a unit at each of them."""
    nodes: int
    """Nodes of a unit at the final price."""
    tolerance: float
    """Gap at which a unit is done, relative to its value."""


EFFORTS = {
    "root": Setting(4, 1, 1, 1e-3),
    "fast": Setting(5, 49, 200, 3e-3),
    "default": Setting(7, 49, 2000, 1e-3),
    "tight": Setting(9, 97, 12000, 3e-4),
}
"""From one relaxation of each group to thousands."""


@dataclass(frozen=True)
class UpperBound:
    effort: Literal["root", "fast", "default", "tight"] = "default"
    spend_all: bool = False
    search: Solver | None = Joint(steps=50, rate=0.3, final_rate=0.3, random_starts=0)
    tolerance: float = 1e-3

    def solve(self, problem: MultiCellProblem) -> Solution:
        if not isinstance(problem, MultiCellProblem):
            raise unsupported(self, problem, MultiCellProblem)
        xp = array_namespace(problem.gain)
        fits = floors_fit(problem)
        solvable = without_floors(problem, ~fits)
        bound, nodes = self._bound(solvable)
        return bound, nodes

    def _bound(self, problem: MultiCellProblem):
        setting = EFFORTS[self.effort]
        units = take_apart(problem, spend_all=self.spend_all)
        least = numpy_of(problem.least_share)
        free = numpy_of(problem.share_is_free)
        share = np.where(free, 0.5, numpy_of(problem.share))
        low = np.where(free, least, share).reshape(-1)      # positioning share interval per (element, cell)
        high = np.where(free, 1.0 - least, share).reshape(-1)
        widest = np.stack([1.0 - low, high], axis=-1).reshape(-1)
        ends = []
        nodes = 0
        for b in ([low, high] if free.any() else [low]):
            tuned = np.stack([1.0 - b, b], axis=-1).reshape(-1)
            prices = unit_prices(units, Plan(tuned, widest), setting)
            nodes = nodes + prices.nodes
            at = [
                (prices.power + prices.band) * np.stack([1.0 - x, x], axis=-1).reshape(-1) + prices.rest for x in (low, high)
            ]
            ends.append([a.reshape(-1, 2).sum(axis=-1) for a in at])
        ends = np.array(ends)  # (plans, 2 ends, cells)
        value = lowest_of_lines(ends)
        value = value.reshape(*problem.batch, problem.cells).sum(axis=-1)
        return value * (1 + 1e-9), nodes.reshape(*problem.batch, -1).sum(axis=-1)


def unit_prices(units: Units, plan: Plan, setting: Setting) -> Prices:
    widest = room(units, plan.widest)
    base = ground(units, widest)
    scale = np.zeros(len(plan.tuned))
    np.maximum.at(scale, units.unit, units.data.worth.sum(axis=-1))
    probe = Effort(setting.probe, setting.tolerance * scale)
    price, probed = clear_market(units, base, plan, widest, steps=setting.price_steps, probe=probe)
    best = winners(units, base, widest, price, Effort(setting.nodes, setting.tolerance * scale))
    lost = losers(units, base, widest, (price, best.bound), best, 0.1 * setting.tolerance * scale * plan.tuned)
    rest = np.bincount(units.unit, weights=lost.bound, minlength=len(price))
    nodes = probed + best.nodes + np.bincount(units.unit, weights=lost.nodes, minlength=len(price)).astype(int)
    return Prices(price, best.bound, rest, nodes)


def lowest_of_lines(ends: np.ndarray) -> np.ndarray:
    r"""Largest value over [0, 1] of the least of one or two lines given by their ends, (lines, 2, ...) -> (...,)."""
    values = [ends[:, 0].min(axis=0), ends[:, 1].min(axis=0)]
    if len(ends) == 2:
        first, slope = ends[0, 0] - ends[1, 0], (ends[0, 1] - ends[0, 0]) - (ends[1, 1] - ends[1, 0])
        cross = np.clip(np.where(slope != 0, -first / np.where(slope != 0, slope, 1.0), 0.0), 0.0, 1.0)
        values.append((ends[:, 0] + cross * (ends[:, 1] - ends[:, 0])).min(axis=0))
    return np.maximum.reduce(values)
