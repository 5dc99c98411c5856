"""A certified upper bound on what any allocation can earn in a slot."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import Literal

import numpy as np
from array_api_compat import array_namespace, device

from jcas_env.physics.rates import saturated_ratio
from jcas_env.scenarios.multicell import MultiCellProblem
from jcas_env.types import Status, as_array

from .bounding.certificate import certify
from .bounding.prices import Setting
from .bounding.units import share_range, slots_of
from .multicell.ascent import without_floors
from .multicell.cells import infeasible
from .search import Joint
from .solver import Method, Solution, Solver, not_below, require_choice, require_number

EFFORTS = {
    "root": Setting(4, 1, 1, 1e-3),
    "fast": Setting(6, 9, 600, 2e-3),
    "default": Setting(7, 33, 4000, 1e-3),
    "tight": Setting(9, 25, 12000, 3e-4),
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
        require_choice("effort", self.effort, *EFFORTS)
        require_number("tolerance", self.tolerance, "of at least 0", lambda value: 0 <= value < inf)

    def _certificate(self, problem: MultiCellProblem) -> tuple[np.ndarray, np.ndarray]:
        """Bound and number of nodes of every element, (...,) each."""
        found = certify(slots_of(problem), share_range(problem), EFFORTS[self.effort], spend_all=self.spend_all)
        bound, nodes = (part.reshape(problem.batch) for part in found)
        return bound, nodes


@UpperBound.register(MultiCellProblem)
def _(problem: MultiCellProblem, method: UpperBound) -> Solution:
    xp = array_namespace(problem.gain)
    known = method.search.solve(problem)
    lost = infeasible(problem)
    objective = problem.utility(known.allocation)
    bound, nodes = xp.full_like(objective, inf), np.zeros(problem.batch, dtype=np.int64)
    if problem.reward == "rate" and not problem.subcarrier_spacing:
        certificate, nodes = method._certificate(without_floors(problem, lost))
        bound = not_below(as_array(certificate, problem.gain), xp.asarray(certificate, device=device(problem.gain)))
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
