"""Solvers of the relaxed problem, and how each of them becomes a solver of the multi-cell problem.

A method states how it solves a :class:`RelaxedProblem`: any number of (cell, service) pairs in one batch.
:class:`RelaxedSolver` turns that into the multi-cell problem by relaxing at a positioning share, and searches
the share where it is free (DESIGN 7.2).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from math import inf
from typing import ClassVar, NamedTuple

from array_api_compat import array_namespace, device

from jcas_env.physics.membership import Groups
from jcas_env.physics.rates import Noise
from jcas_env.scenarios.multicell import MultiCellProblem, RelaxedAllocation, RelaxedProblem
from jcas_env.tree import tree_map
from jcas_env.types import COMMUNICATION, POSITIONING, Array, Status, rounding
from jcas_env.units import MEGA

from ..solver import Method, Solution, double_precision, widened

LEAST_SHARE = 1e-6
"""Least share of a service where there are no floors."""


class Floors(NamedTuple):
    """Floors of present users and existing groups; 0 for padding."""

    power: Array
    """(..., users) [-]"""
    band: Array
    """(..., groups) [-]"""


def floors_of(relaxed: RelaxedProblem, groups: Groups) -> Floors:
    """Spread the floors of a relaxed problem over its users and groups."""
    xp = array_namespace(relaxed.coefficient)
    dtype = relaxed.coefficient.dtype
    power, band = (xp.asarray(value, dtype=dtype) for value in (relaxed.power_floor, relaxed.band_floor))
    return Floors(
        xp.where(relaxed.present, power[..., None], xp.zeros_like(relaxed.coefficient)),
        xp.where(groups.size > 0, band[..., None], xp.zeros_like(groups.size)),
    )


def feasible(relaxed: RelaxedProblem) -> Array:
    """Whether the floors fit into the budgets, (...,) bool."""
    power, band = floor_sums(relaxed)
    limit = 1.0 + rounding(relaxed.coefficient)
    return (power <= limit) & (band <= limit)


def floor_sums(relaxed: RelaxedProblem) -> tuple[Array, Array]:
    """Shares of power and of band that the floors need, (...,) each."""
    floors = floors_of(relaxed, relaxed.groups)
    xp = array_namespace(relaxed.coefficient)
    return xp.sum(floors.power, axis=-1), xp.sum(floors.band, axis=-1)


@widened.register
def _(problem: RelaxedProblem) -> RelaxedProblem:
    """Floors that exceed the budget by no more than the rounding of the problem's own precision are lowered to fit."""
    wide: RelaxedProblem = widened.dispatch(object)(problem)
    xp = array_namespace(wide.coefficient)
    fits = feasible(problem)
    power, band = (xp.where(fits, xp.clip(total, min=1.0), 1.0) for total in floor_sums(wide))
    return replace(wide, power_floor=wide.power_floor / power, band_floor=wide.band_floor / band)


@widened.register
def _(problem: MultiCellProblem) -> MultiCellProblem:
    """Budgets that floors exceed by no more than the rounding of the problem's own precision are raised to fit."""
    wide: MultiCellProblem = widened.dispatch(object)(problem)
    xp = array_namespace(wide.gain)
    over = xp.where(problem.floors_fit, xp.clip(wide.least_share / wide.most_share, min=1.0), 1.0)
    power, band = (over * wide.per_cell(budget) for budget in (wide.power_budget, wide.band_budget))
    return replace(wide, power_budget=power, band_budget=band, cell_count=problem.cells)


class RelaxedResult(NamedTuple):
    """Answer to a batch of relaxed problems."""

    allocation: RelaxedAllocation
    bound: Array
    """(...,): upper bound on the relaxed optimum, or inf [-]."""
    status: Array
    """(...,) integer"""
    iterations: Array
    """(...,) integer"""
    details: dict[str, Array]

    @classmethod
    def unproven(cls, allocation: RelaxedAllocation) -> RelaxedResult:
        """What a closed form of which nothing is claimed returns: FEASIBLE, no bound, no iterations."""
        xp = array_namespace(allocation.power)
        bound = xp.full_like(allocation.power[..., 0], inf)
        count = xp.zeros_like(bound, dtype=xp.int64)
        return cls(allocation, bound, xp.full_like(count, int(Status.FEASIBLE)), count, {})


class RelaxedSolver(Method, ABC):
    r"""Solver of relaxed problems, lifted to the multi-cell problem.

    On a :class:`MultiCellProblem` the objective is the configured utility of the relaxed rates (Mbit/s, or its
    logarithm); inside a service the methods maximise the weighted relaxed sum rate of luo2023 eq. 32 whatever
    the utility, and claim nothing but feasibility where it is not that sum. A free positioning share is searched for
    each cell: ``SHARES[0]`` points with both ends, then ``SHARES[1]`` between the neighbours of the best one, which
    leaves 0.6 % of the interval. For the ``rate`` utility and fixed p, b the relaxed objective is convex
    in the share (a sum of :math:`s \log(1 + a s/(d + e s))`), so the best share is an end but for the floors, which
    move with it (spec multicell 4.9).
    """

    SHARES: ClassVar[tuple[int, ...]] = (9, 33)

    @property
    def model(self) -> Noise:
        """Form of the relaxed problem that the method works on."""
        return "constant"

    @abstractmethod
    def solve_relaxed(self, relaxed: RelaxedProblem) -> RelaxedResult:
        """Solve a batch of relaxed problems; the caller blanks infeasible elements."""

    @property
    def searcher(self) -> RelaxedSolver:
        """What the search over the share evaluates; another solver where an equivalent is cheaper."""
        return self

    def _checked(self, relaxed: RelaxedProblem, fits: Array) -> RelaxedResult:
        """Solve, and mark the elements whose floors do not fit into the budgets; ``fits`` broadcasts to the batch."""
        xp = array_namespace(relaxed.coefficient)
        result = self.solve_relaxed(relaxed)
        nan = xp.asarray(float("nan"), dtype=relaxed.coefficient.dtype)
        return RelaxedResult(
            RelaxedAllocation(*(xp.where(fits[..., None], part, nan) for part in result.allocation)),
            xp.where(fits, result.bound, nan),
            xp.where(fits, result.status, int(Status.INFEASIBLE)),
            result.iterations,
            result.details,
        )

    def _at_best_share(self, problem: MultiCellProblem) -> AtShare:
        """Solve at the stated share, or at the best one that the search finds where it is free."""
        xp = array_namespace(problem.gain)
        free = problem.share_is_free
        if not xp.any(free):
            return self._at_share(problem, problem.share)
        searcher = self.searcher
        low, high = share_interval(problem)
        settled = problem.reward == "rate" and self.model == "constant"  # convex: an end that is best stays best
        for count in self.SHARES:
            shares = share_candidates(low, high, count)
            tried = searcher._at_share(problem, shares)
            best = xp.argmax(xp.where(xp.isnan(tried.score), -inf, tried.score), axis=0)[None, ...]
            low, high = (choose_candidate(shares, xp.clip(best + turn, min=0, max=count - 1)) for turn in (-1, 1))
            share = choose_candidate(shares, best)
            if settled and bool(xp.all((low == share) | (high == share))):
                break
        if searcher is not self:
            return self._at_share(problem, share)

        def choose(value: Array) -> Array:
            return choose_candidate(value, best)

        result = tried.result
        chosen = RelaxedResult(
            tree_map(choose, result.allocation),
            choose(result.bound),
            choose(result.status),
            choose(result.iterations),
            {name: choose(value) for name, value in result.details.items()},
        )
        bound = xp.where(xp.any(free, axis=-1)[..., None], inf, choose(tried.bound))
        return AtShare(share, choose(tried.score), bound, chosen)

    def _at_share(self, problem: MultiCellProblem, share: Array) -> AtShare:
        """Solve at shares (..., cells); leading axes beyond the problem's are candidates."""
        relaxed = problem.relaxed(positioning_share=share, noise=self.model)
        result = self._checked(relaxed, problem.floors_fit[..., None])
        score = problem.score(*problem.relaxed_rates(relaxed.efficiency(result.allocation, self.model), share))
        # Added up in another order, the bound of what is optimal may come out a rounding below it.
        bound = array_namespace(score).maximum(self._bound(problem, result.bound, share), score)
        return AtShare(share, score, bound, result)

    @staticmethod
    def _bound(problem: MultiCellProblem, bound: Array, share: Array) -> Array:
        """Bound on each cell's utility at a given share from bounds (..., cells, 2) on the relaxed objectives."""
        xp = array_namespace(problem.gain)
        if problem.reward != "rate":
            return xp.full(bound.shape[:-1], inf, dtype=bound.dtype, device=device(bound))
        band = problem.per_cell(problem.band_budget) * problem.duty[..., None] / MEGA
        total = 0.0
        for service, unit, part in ((COMMUNICATION, 1.0, 1.0 - share), (POSITIONING, 0.5, share)):
            worth = problem.service_weight[service] * unit * part * band
            total = total + xp.where(worth > 0, worth * xp.where(worth > 0, bound[..., service], 0.0), 0.0)
        return total


@RelaxedSolver.register(MultiCellProblem)
@double_precision("gain")
def solve_cells(problem: MultiCellProblem, method: RelaxedSolver) -> Solution:
    """Solve both services of all cells at the best positioning share."""
    xp = array_namespace(problem.gain)
    best = method._at_best_share(problem)
    result = best.result
    status = xp.max(result.status, axis=(-2, -1))
    infeasible = status == int(Status.INFEASIBLE)
    if problem.reward != "rate":  # the methods maximise the sum rate of each service: no claim on another utility
        status = xp.where(status < int(Status.FEASIBLE), int(Status.FEASIBLE), status)
    elif not best.certified:
        free = xp.any(problem.share_is_free, axis=-1)
        status = xp.where(free & (status == int(Status.OPTIMAL)), int(Status.STATIONARY), status)
    figures = {
        "positioning_share": best.share,
        "least_share": problem.least_share,
        "cell_objective": best.score,
        "cell_bound": best.bound,
    }
    return Solution(
        problem.assemble(result.allocation, best.share),
        xp.mean(best.score, axis=-1),
        xp.mean(best.bound, axis=-1),
        status,
        xp.max(result.iterations, axis=(-2, -1)),
        figures | {name: xp.max(value, axis=(-2, -1)) for name, value in result.details.items()},
    ).struck(infeasible)


@RelaxedSolver.register(RelaxedProblem)
@double_precision("coefficient")
def solve_services(problem: RelaxedProblem, method: RelaxedSolver) -> Solution:
    """Solve a batch of relaxed problems as they are."""
    result = method._checked(problem, feasible(problem))
    objective = problem.objective(result.allocation, method.model)
    return Solution(result.allocation, objective, result.bound, result.status, result.iterations, result.details)


class AtShare(NamedTuple):
    """What a method makes of a problem at a positioning share, or at candidates of it on leading axes."""

    share: Array
    """(..., cells)"""
    score: Array
    """(..., cells): utility of the relaxed rates."""
    bound: Array
    """(..., cells): upper bound on it, or inf."""
    result: RelaxedResult
    """Batch axes (..., cells, 2)."""
    certified: bool = False
    """Whether the bound holds for every share, where the share is free."""


def share_interval(problem: MultiCellProblem) -> tuple[Array, Array]:
    """Least and largest positioning share that keep the floors, (..., cells) each; twice the share that is given."""
    xp = array_namespace(problem.gain)
    free = problem.share_is_free
    low = xp.where(free, xp.clip(problem.least_share, min=LEAST_SHARE, max=0.5), problem.share)
    return low, xp.where(free, 1.0 - low, problem.share)


def share_candidates(low: Array, high: Array, count: int) -> Array:
    """Shares at equal distances from ``low`` to ``high`` (..., cells), (count, ..., cells)."""
    xp = array_namespace(low)
    step = xp.linspace(0.0, 1.0, count, dtype=low.dtype, device=device(low))
    return low + (high - low) * xp.reshape(step, (count, *(1,) * low.ndim))


def choose_candidate(value: Array, index: Array) -> Array:
    """Select along the leading axis of candidates: ``value`` (candidates, ..., any), ``index`` (1, ...)."""
    xp = array_namespace(value)
    index = xp.reshape(index, (*index.shape, *(1,) * (value.ndim - index.ndim)))
    return xp.take_along_axis(value, xp.broadcast_to(index, (1, *value.shape[1:])), axis=0)[0, ...]
