"""Allocators of the delay task: what is known of queues, and what a single slot can do about it.

None of them looks further than one slot. They know the backlog, the mean of the arrivals and the estimated channel; a
problem without queues is refused with ``ValueError``. A free positioning share is chosen by the solver that they build
on, which with the ``delay`` reward goes to the communication end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from array_api_compat import array_namespace

from jcas_env.checks import require
from jcas_env.scenarios.multicell import MultiCellProblem
from jcas_env.types import COMMUNICATION, POSITIONING, Array, Status

from .equal import EqualAllocation
from .multicell.ascent import AscentSearch, search
from .solver import Method, Solution, Solver, require_solvers

IDLE_WEIGHT = 0.01
"""Weight of a user without backlog in MaxWeight, in slots of its mean arrivals [-]."""


def require_queues(problem: MultiCellProblem, method: Method) -> None:
    """Raise ``ValueError`` for a problem without queues."""
    if problem.arrival_rate is None:
        raise ValueError(f"{type(method).__name__} needs a problem with queues, got `arrival_rate` = None")


@dataclass(frozen=True)
class MaxWeight(Method):
    r"""Band per user and water-filling power (EBA + PA) with the backlogs as weights.

    .. math:: a_u \propto q_u + 0.01\, \lambda_u \Delta t

    The weights of the relaxed sum rate, normalised in each cell; equal where nothing waits and nothing comes. Status
    FEASIBLE, no bound (spec multicell 4.8).
    """


@MaxWeight.register(MultiCellProblem)
def _(problem: MultiCellProblem, method: MaxWeight) -> Solution:
    require_queues(problem, method)
    xp = array_namespace(problem.gain)
    weight = problem.queue + IDLE_WEIGHT * problem.mean_arrivals
    most = xp.max(xp.where(problem.same_cell, weight[..., None, :], 0.0), axis=-1)
    weight = weight / xp.where(most > 0, most, xp.ones_like(most))  # only ratios matter, and sums stay numbers
    total = problem.of_cell(problem.cell_sum(weight))
    busy = total > 0
    weight = xp.where(busy, weight / xp.where(busy, total, xp.ones_like(total)), problem.weight)
    return EqualAllocation(power="proposed").solve(problem.changed(weight=weight))


@dataclass(frozen=True)
class BacklogProportional(Method):
    r"""Equal power, and the communication band in proportion to what each group still needs.

    .. math:: n_g = \max_{u \in g} \frac{q_u}{e_u}, \qquad
              B_g = B_\mathrm{thr} + (B_C - G B_\mathrm{thr}) \frac{n_g}{\sum_h n_h}

    with :math:`e_u` the known spectral efficiency under the equal allocation per user. Where nothing waits in a cell,
    and for positioning, the band is the equal allocation's. Status FEASIBLE, no bound (spec multicell 4.8).
    """

    @staticmethod
    def need(problem: MultiCellProblem, equal: Solution) -> Array:
        """Band that a user's group needs at the equal allocation's efficiency, relative to the most in its cell.

        (..., users) [-]; 0 for a group in which nothing waits for a user who can be heard.
        """
        xp = array_namespace(problem.gain)
        rate, _ = problem.rates(equal.allocation)
        waits = (rate > 0) & (problem.queue > 0)
        queue, width, rate = (
            xp.log(xp.where(waits, value, xp.ones_like(rate)))
            for value in (problem.queue, equal.allocation.bandwidth[..., COMMUNICATION, :], rate)
        )  # in single precision their quotient is no number for what is hardly heard
        level = xp.where(waits, queue + width - rate, -inf)[..., None, :]
        most = xp.max(xp.where(problem.same_cell, level, -inf), axis=-1)
        level = xp.max(xp.where(problem.mates, level, -inf), axis=-1)
        return xp.exp(xp.where(most > -inf, level - xp.where(most > -inf, most, 0.0), -inf))


@BacklogProportional.register(MultiCellProblem)
def _(problem: MultiCellProblem, method: BacklogProportional) -> Solution:
    require_queues(problem, method)
    xp = array_namespace(problem.gain)
    equal = EqualAllocation().solve(problem)
    band = equal.allocation.bandwidth
    width, positioning = band[..., COMMUNICATION, :], band[..., POSITIONING, :]
    budget = problem.of_cell(problem.cell_sum(width / problem.group_size))
    need = method.need(problem, equal)
    total = problem.of_cell(problem.cell_sum(need / problem.group_size))
    waits = total > 0
    floor = problem.per_user(problem.band_floor)
    part = need / xp.where(waits, total, xp.ones_like(total))
    width = xp.where(waits, floor + (budget - problem.groups * floor) * part, width)
    allocation = equal.allocation._replace(bandwidth=xp.stack([width, positioning], axis=-2))
    objective = problem.utility(allocation)
    figures = {name: equal.details[name] for name in ("positioning_share", "least_share")}
    answer = Solution(allocation, objective, xp.full_like(objective, inf), equal.status, equal.iterations, figures)
    return answer.struck(equal.status == int(Status.INFEASIBLE))


@dataclass(frozen=True)
class DrainSearch(AscentSearch):
    r"""Gradient search on the queues that the slot leaves, on the known channel.

    .. math:: \min\; \frac1U \sum_u \Big(\frac{\max(q_u + \lambda_u \Delta t - R_u^C \Delta t,\, 0)}
              {\lambda_u \Delta t}\Big)^2

    Adam on the logits of all cells at once, see :class:`Joint`; the best iterate of all starts counts. The strongest
    allocator that looks one slot ahead and no further, and slow. ``objective`` is minus the stated sum. Status
    FEASIBLE, no bound (spec multicell 10.5, spec learning 5).
    """

    steps: int = 120
    """Adam steps."""
    rate: float = 0.3
    """Rate of the first step [logits]; it goes linearly to ``final_rate``."""
    final_rate: float = 0.01
    """Rate of the last step [logits]."""
    starts: Sequence[Solver] = (EqualAllocation(), BacklogProportional())
    """Solvers whose allocations are starts."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_solvers("starts", self.starts)
        require(len(self.starts) > 0, "`starts` must hold at least one solver, got none")

    def warm_starts(self) -> Sequence[Solver]:
        """Solvers whose allocations are starts."""
        return self.starts


@DrainSearch.register(MultiCellProblem)
def _(problem: MultiCellProblem, method: DrainSearch) -> Solution:
    require_queues(problem, method)
    return search(problem.changed(reward="drain"), method)
