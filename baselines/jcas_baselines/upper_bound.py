"""A certified upper bound on what any allocation can earn in a slot."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import Literal, NamedTuple

import numpy as np
from array_api_compat import array_namespace, device

from jcas_env.checks import require
from jcas_env.physics.rates import saturated_ratio
from jcas_env.scenarios.multicell import MultiCellProblem
from jcas_env.types import Status, as_array

from .bounding.coupling import Network, attained, couple
from .bounding.descent import lowest
from .bounding.prices import Budgets, UnitPrices, clear_market, ground, losers, room, winners
from .bounding.tree import Effort
from .bounding.units import Units, numpy_of, take_apart
from .multicell.ascent import without_floors
from .multicell.cells import infeasible
from .search import Joint
from .solver import Method, Solution, Solver

ROUNDING = 1e-9
"""Share by which the bound is raised against rounding in the last sums."""
TUNED_SHARE = 1e-3
"""Prices are not tuned to shares below this one."""
CHUNK = 96
"""Units, services of cells, whose trees grow in one batch: what keeps the memory bounded."""
HESSIANS = 4_000_000
"""Most entries of the Hessians of a batch whose prices of interference are sought together."""


class Setting(NamedTuple):
    """How hard a bound is worked for."""

    price_steps: int
    """Most prices of power that are tried for a service of a cell."""
    probe: int
    """Most nodes of its tree at each of them."""
    nodes: int
    """Most nodes of its tree at the final price."""
    tolerance: float
    """Gap at which its tree is done, relative to the worth of one nat."""


EFFORTS = {
    "root": Setting(4, 1, 1, 1e-3),
    "fast": Setting(6, 49, 600, 2e-3),
    "default": Setting(7, 49, 3000, 1e-3),
    "tight": Setting(9, 97, 12000, 3e-4),
}
"""From the relaxation of each group alone to thousands of nodes."""


@dataclass(frozen=True)
class UpperBound(Method):
    r"""Certified upper bound on the ``rate`` utility of every feasible allocation of a slot.

    The rates have interference in them and are not concave; the bound holds nevertheless, for the problem's
    own grouping and beams and for whatever the problem holds to be true: give it the truth
    (``env.unwrapped.truth``) to bound the reward. It is the less of two. The first, which knows the interference in
    groups, takes three steps, each of them a relaxation (spec bound 3 R3, R4):

    1. The interference of other cells is set to the least that they can cause, whatever they allocate. Services of
       cells then share nothing.
    2. Prices of power and band separate the groups of a service (weak duality, valid at any price).
    3. A group's best value at its prices is bounded by branch and bound on its users' logarithmic SINRs, over a
       concave relaxation in logarithmic powers.

    The second leaves out the interference in groups and puts a price on what users hear of the other cells (spec
    bound 3 R2 with J a variable): the less where beams are clean within groups and cells hear one another, as with ZF
    and few user antennas. It is sought only where an equal split does not show that it cannot be the less.

    A certificate is the relaxation's tangent, or its dual, at any point: no solver's accuracy enters, only rounding.
    ZF at N > (C-1) L without in-group interference is solved exactly by the roots alone. A fixed positioning share is
    bounded at that share, a free one over all shares that the floors leave: the first bound is then the largest,
    over the share, of the less of two with prices tuned to its two ends, the second has the largest over the
    share inside its dual.

    ``bound`` certifies; ``objective`` and ``allocation`` are the best that ``search`` found, so a slot's optimum
    lies between the two, and ``details["gap"]`` is bound / objective - 1. Status OPTIMAL where the gap is at
    most ``tolerance``, else FEASIBLE; ``iterations`` counts nodes. Where no bound is known it says so by ``inf``:
    rewards other than ``rate``, and whole subcarriers. With ``noise="constant"`` the bound of the per-hertz form
    is returned, which is not less, because a part of the band has less noise than the whole.
    """

    effort: Literal["root", "fast", "default", "tight"] = "default"
    """How much work; the names of ``EFFORTS``."""
    spend_all: bool = False
    """Bound only allocations that radiate every cell's whole budget, as decoded actions do, a little tighter."""
    search: Solver = Joint(steps=100, random_starts=0)  # noqa: RUF009 (frozen)
    """Solver whose allocation is the one that is known."""
    tolerance: float = 1e-3
    """Gap up to which the allocation is called optimal."""

    def __post_init__(self) -> None:
        require(self.effort in EFFORTS, f"`effort` must be one of {list(EFFORTS)}, got {self.effort!r}")
        require(0 <= self.tolerance < inf, f"`tolerance` must be at least 0, got {self.tolerance!r}")

    def _certify(self, problem: MultiCellProblem) -> tuple[np.ndarray, np.ndarray]:
        """Bound and number of nodes of every element, (...,) each."""
        free = numpy_of(problem.share_is_free)
        share, least = numpy_of(problem.share), np.minimum(numpy_of(problem.least_share), 0.5)
        low, high = np.where(free, least, share), np.where(free, 1.0 - least, share)
        ends = [(low.ravel(), high.ravel())[end] for end in ((0, 1) if free.any() else (0,))]
        separate, nodes = self._separate(problem, low.ravel(), high.ravel(), ends)
        cells = (-1, problem.cells)
        network = couple(problem, low.reshape(cells), high.reshape(cells), spend_all=self.spend_all)
        bound = np.minimum(separate, coupled(network, separate))
        return bound.reshape(problem.batch) * (1.0 + ROUNDING), nodes.reshape(problem.batch)

    def _separate(
        self, problem: MultiCellProblem, low: np.ndarray, high: np.ndarray, ends: list[np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Bound with the least interference of other cells, and number of nodes, (elements,) each.

        Positioning shares are those of all cells, (elements * cells,); prices are tuned to each of ``ends``.
        """
        units = take_apart(problem, spend_all=self.spend_all)
        widest = services(low, high)
        lines, nodes = [], np.zeros(widest.shape, dtype=np.int64)
        for tuned in ends:
            prices = self._price(units, Budgets(np.maximum(services(tuned, tuned), TUNED_SHARE), widest))
            nodes = nodes + prices.nodes
            line = [(prices.power + prices.band) * services(end, end) + prices.rest for end in (low, high)]
            lines.append([np.reshape(part, (-1, 2)).sum(axis=-1) for part in line])
        bound = highest_of_lowest(np.asarray(lines)).reshape(-1, problem.cells).sum(axis=-1)
        return bound, nodes.reshape(len(bound), -1).sum(axis=-1)

    def _price(self, units: Units, plan: Budgets) -> UnitPrices:
        """Prices of all units, some at a time."""
        count = len(plan.tuned)
        setting = EFFORTS[self.effort]
        parts = []
        for begin in range(0, count, CHUNK):
            some = slice(begin, min(begin + CHUNK, count))
            parts.append(price_units(units.part(some.start, some.stop), Budgets(*(x[some] for x in plan)), setting))
        return UnitPrices(*(np.concatenate(values) for values in zip(*parts, strict=True)))


@UpperBound.register(MultiCellProblem)
def _(problem: MultiCellProblem, method: UpperBound) -> Solution:
    xp = array_namespace(problem.gain)
    known = method.search.solve(problem)
    lost = infeasible(problem)
    objective = problem.utility(known.allocation)
    bound, nodes = xp.full_like(objective, inf), np.zeros(problem.batch, dtype=np.int64)
    if problem.reward == "rate" and not problem.subcarrier_spacing:
        certificate, nodes = method._certify(without_floors(problem, lost))
        bound = as_array(certificate, problem.gain)
    closed = bound <= objective * (1.0 + method.tolerance)
    known_gap = saturated_ratio(xp.clip(bound - objective, min=0.0), objective)
    found = Solution(
        known.allocation,
        objective,
        bound,
        xp.where(closed, int(Status.OPTIMAL), int(Status.FEASIBLE)),
        xp.asarray(nodes, device=device(problem.gain)),
        {
            "gap": xp.where(objective > 0, xp.where(bound < inf, known_gap, inf), float("nan")),
            "least_share": problem.least_share,
        },
    ).struck(lost | (known.status == int(Status.INFEASIBLE)), "gap")
    # A search may hold floors to be too large that fill the budget up to rounding; the bound stands nevertheless.
    return replace(found, bound=xp.where(lost, float("nan"), bound))


def coupled(network: Network, known: np.ndarray) -> np.ndarray:
    """Bound with prices of interference, Mbit/s, or inf where it cannot be less than a ``known`` one, (elements,)."""
    bound = np.full_like(known, np.inf)
    useful = np.flatnonzero((network.coupling > 0).any(axis=(-2, -1)) & (attained(network) * network.scale < known))
    prices = 2 * (2 * network.worth.shape[-1] + 2 * network.cell.shape[1])
    count = max(1, HESSIANS // prices**2)
    for begin in range(0, len(useful), count):
        some = useful[begin : begin + count]
        bound[some] = lowest(Network(*(part[some] for part in network)))
    return bound


def services(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Largest shares of both services, interleaved, where the positioning share is in [low, high], (2 n,)."""
    return np.stack([1.0 - low, high], axis=-1).ravel()


def price_units(units: Units, plan: Budgets, setting: Setting) -> UnitPrices:
    """Find prices of power and band for every unit, and what the bound is at these."""
    widest = room(units, plan.widest)
    base = ground(units, widest)
    nat = units.most(units.data.worth.sum(axis=-1))
    closed = setting.tolerance * nat
    probe = Effort(setting.probe, closed)
    power, probed = clear_market(units, base, plan, widest, steps=setting.price_steps, probe=probe)
    best = winners(units, base, widest, power, Effort(setting.nodes, closed))
    lost = losers(units, base, widest, (power, best.bound), best, 0.1 * closed * plan.widest)
    return UnitPrices(
        power, best.bound, units.total(lost.bound), probed + best.nodes + units.total(lost.nodes).astype(int)
    )


def highest_of_lowest(ends: np.ndarray) -> np.ndarray:
    """Largest value between two ends of the least of one or two lines, (lines, 2 ends, ...) -> (...,)."""
    values = [ends[:, 0].min(axis=0), ends[:, 1].min(axis=0)]
    if len(ends) == 2:
        ahead = ends[0] - ends[1]  # (2 ends, ...)
        change = ahead[0] - ahead[1]
        at = np.clip(np.where(change != 0, ahead[0] / np.where(change != 0, change, 1.0), 0.0), 0.0, 1.0)
        values.append((ends[:, 0] + at * (ends[:, 1] - ends[:, 0])).min(axis=0))
    return np.maximum.reduce(values)
