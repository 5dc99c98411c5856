"""Gradient ascent on the utility itself, by its gradient in closed form: what the searches share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal

import numpy as np
from array_api_compat import array_namespace, device

from jcas_env.checks import require
from jcas_env.scenarios.multicell import MultiCellAllocation, MultiCellProblem
from jcas_env.scenarios.multicell.action import action_size, decode, encode_allocation
from jcas_env.scenarios.multicell.action_gradient import ActionGradient
from jcas_env.types import Array, Status, as_array, rounding

from ..engines.adam import adam_ascent
from ..engines.lbfgs import maximise
from ..solver import Method, Solution, Solver, double_precision, require_choice
from .cells import infeasible
from .relaxed_solver import choose_candidate, share_interval

LOGIT_SCALE = 60.0
"""Logits per unit of action inside a search: more than an ascent ever needs, so that nothing is clipped."""
START_SCALE = 5.0
"""Half the spread of a start's logits: what stands on its floor keeps e^-10 of the largest, and can come back."""


@dataclass(frozen=True)
class AscentSearch(Method, ABC):
    """What the two searches share: the ascent, and the choice of the best."""

    steps: int
    rate: float
    final_rate: float
    backend: Literal["auto", "torch", "numpy"] = "auto"
    """``auto`` and ``torch``: Adam; ``numpy``: L-BFGS with at most as many steps. Either works on the problem's own
    arrays, with the gradient in closed form."""

    def __post_init__(self) -> None:
        require(self.steps >= 1, f"`steps` must be at least 1, got {self.steps!r}")
        for name in ("rate", "final_rate"):
            require(0 < getattr(self, name) < inf, f"`{name}` must be positive, got {getattr(self, name)!r}")
        require_choice("backend", self.backend, "auto", "torch", "numpy")

    @abstractmethod
    def warm_starts(self) -> Sequence[Solver]:
        """Solvers whose allocations are starts."""

    def random_logits(self, size: int) -> np.ndarray:
        """Logits of random starts, (starts, size)."""
        return np.zeros((0, size))

    def first_actions(self, problem: MultiCellProblem, begin: list[MultiCellAllocation]) -> Array:
        """Starts of the ascents as actions of scale ``LOGIT_SCALE``, (starts, ..., 4 * users + cells)."""
        xp = array_namespace(problem.gain)
        size = action_size(problem.users, problem.cells)
        drawn = as_array(self.random_logits(size), problem.gain)
        logits = [START_SCALE * encode_allocation(part, problem, logit_scale=START_SCALE) for part in begin]
        logits += [xp.broadcast_to(drawn[k, :], (*problem.batch, size)) for k in range(drawn.shape[0])]
        first = xp.stack(logits) / LOGIT_SCALE
        return xp.where(xp.isfinite(first), first, 0.0)  # where a solver has no answer: the equal allocation

    def ascend(self, problem: MultiCellProblem, actions: Array) -> Array:
        """Best actions of the ascents, in the shape of the starts (starts, ..., 4 * users + cells)."""
        xp = array_namespace(actions)
        slope = ActionGradient(problem, LOGIT_SCALE)
        logits = LOGIT_SCALE * xp.moveaxis(actions, 0, -2)  # starts are candidates: behind the batch
        if self.backend == "numpy":
            best = maximise(slope, logits, steps=self.steps)
        else:
            best = adam_ascent(slope, logits, steps=self.steps, rate=self.rate, final_rate=self.final_rate)
        return xp.moveaxis(best, -2, 0) / LOGIT_SCALE


@AscentSearch.register(MultiCellProblem)
@double_precision("gain")
def search(problem: MultiCellProblem, method: AscentSearch) -> Solution:
    """Ascend from every start, and keep the best of what was found and of the starts themselves."""
    xp = array_namespace(problem.gain)
    lost = infeasible(problem)
    solvable = without_floors(problem, lost)
    begin = [part for solver in method.warm_starts() for part in answers(solver, solvable)]
    found = method.ascend(_smooth(solvable), method.first_actions(solvable, begin))
    ascended = decode(found, solvable, logit_scale=LOGIT_SCALE)
    power = xp.concat([ascended.power, *(part.power[None, ...] for part in begin)])
    band = xp.concat([ascended.bandwidth, *(part.bandwidth[None, ...] for part in begin)])
    group = xp.broadcast_to(problem.group, (power.shape[0], *problem.batch, problem.users))
    value = solvable.utility(MultiCellAllocation(power, band, group))
    # A start that breaks a constraint, or that is none, is no answer, whatever it would earn.
    broken = ~(solvable.violation(MultiCellAllocation(power, band, group)) <= rounding(power))
    value = xp.where(xp.isnan(value) | broken, -inf, value)
    best = xp.argmax(value, axis=0)[None, ...]
    objective = xp.max(value, axis=0)
    nothing = xp.zeros(problem.batch, dtype=xp.int64, device=device(objective))
    return Solution(
        MultiCellAllocation(choose_candidate(power, best), choose_candidate(band, best), group[0, ...]),
        objective,
        xp.full_like(objective, inf),
        nothing + int(Status.FEASIBLE),
        nothing + method.steps,
        {"least_share": problem.least_share},
    ).struck(lost)


def without_floors(problem: MultiCellProblem, where: Array) -> MultiCellProblem:
    """The problem with floors of zero in the marked elements (...,), so that these can be computed and struck out.

    Where subcarriers are whole, which are floors, too, with a band that has some for every user.
    """
    xp = array_namespace(problem.gain)
    if not xp.any(where):
        return problem
    floors = {
        name: xp.where(where[..., None], 0.0, problem.per_cell(getattr(problem, name)))
        for name in ("power_floor", "band_floor")
    }
    if problem.subcarrier_spacing:
        share = xp.where(problem.share_is_free, 0.5, problem.share)
        wide = problem.users * problem.subcarrier_spacing / xp.minimum(share, 1.0 - share)
        floors["band_budget"] = xp.where(where[..., None], wide, problem.per_cell(problem.band_budget))
    return problem.changed(**floors)


def answers(solver: Solver, problem: MultiCellProblem) -> list[MultiCellAllocation]:
    """A solver's allocation; where the share is free, also those at its two ends."""
    found = [solver.solve(problem).allocation]
    if array_namespace(problem.gain).any(problem.share_is_free):
        ends = (problem.changed(positioning_share=end) for end in share_interval(problem))
        found += [solver.solve(fixed).allocation for fixed in ends]
    return found


def _smooth(problem: MultiCellProblem) -> MultiCellProblem:
    """The problem as a search sees it: bands continuous, and beams as they are, since the grouping is kept."""
    return problem.changed(subcarrier_spacing=0.0, beam_channel=None, air_channel=None, correlation=None)
