r"""Generalised Benders decomposition of the mesh over the positioning share (spec mesh 3.3).

The value :math:`v(\beta)` of the best assignment at a share is neither convex nor concave, so the paper's tangent cuts
(lu2022 eq. 18) can cut off the optimum and certify a wrong answer. Valid cuts come from convexity elsewhere: with
multipliers :math:`\sigma` of the floors :math:`R_u \ge R^*/(1-\beta)`,

.. math:: G(\beta, \sigma) = \max_y \Big[ a\beta P + (1-\beta) b \sum_u R_u + \sum_u \sigma_u R_u \Big], \qquad
          v(\beta) \le G(\beta, \sigma) - R^* \frac{\sum_u \sigma_u}{1 - \beta}

is a maximum of affine functions, hence convex along the straight line between the multipliers of two solved points.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

from array_api_compat import array_namespace, device

from jcas_env.scenarios.mesh import CountModel
from jcas_env.tree import take
from jcas_env.types import Array, Status

from ..engines.benders import Cut, Decomposition, Proposal, Subproblem, decompose, interval_master
from .counts import CountAnswer, Frontier, frontier_of, solve_counts

Cuts = Literal["valid", "paper"]
"""Cuts that hold for the sum as well, or the tangents of lu2022 eq. 18."""
Watch: TypeAlias = Callable[[Cut, Proposal], None]

TAIL = 1e-6
"""The last share that is solved lies this part of the interval before beta_max."""
INSET = 0.1
"""The next share keeps this part of its interval away from solved points."""


class Interval(NamedTuple):
    """Range of the share and whether an instance has one; (n,) each."""

    low: Array
    """beta_lo."""
    high: Array
    """Last share that is solved."""
    limit: Array
    """beta_max."""
    feasible: Array
    """bool: whether any share keeps the floors."""


def interval_of(model: CountModel) -> Interval:
    """Shares that keep the floors. Infeasible instances get the point ``share_min``, so that neighbours go on."""
    xp = array_namespace(model.rate)
    limit = xp.reshape(model.share_max, (-1,))
    feasible = xp.reshape(model.feasible, (-1,))
    if model.objective == "log":  # no logarithm at 1: data keeps as much as positioning has at least
        limit = xp.minimum(limit, 1.0 - model.share_min)
    low = xp.full_like(limit, model.share_min)
    limit = xp.where(feasible, xp.maximum(limit, low), low)
    # At beta_max itself the floors leave no freedom, and multipliers grow without bound.
    return Interval(low, low + (limit - low) * (1.0 - TAIL), limit, feasible)


def without_unmet_floors(frontier: Frontier, feasible: Array) -> Frontier:
    """No floors where they cannot be kept, (n,) bool: such instances are solved for nothing, the caller marks them."""
    xp = array_namespace(feasible)
    return frontier if xp.all(feasible) else frontier._replace(floor=xp.where(feasible, frontier.floor, 0.0))


class CountSubproblem:
    """Cuts of the count model: value, weak-duality bound, tangent, and what :func:`sigma_master` needs."""

    def __init__(self, frontier: Frontier, model: CountModel, interval: Interval) -> None:
        self.frontier, self.model, self.interval = frontier, model, interval

    def __call__(self, point: Array, index: Array) -> tuple[Cut, CountAnswer]:
        """Solve at points (n, 1) of the instances ``index``."""
        xp = array_namespace(point)
        frontier = take(self.frontier, index)
        found = solve_counts(frontier, self.model, point[:, 0])
        return Cut(
            point=point,
            feasible=xp.ones_like(index, dtype=xp.bool),
            value=found.value,
            level=found.bound,
            slope=found.slope[:, None],
            multiplier=xp.stack([found.price, frontier.floor, self.interval.limit[index]], axis=-1),
        ), found.answer


def sigma_master(cuts: Cut, low: Array, high: Array) -> Proposal:  # noqa: ARG001 (Master protocol)
    r"""Largest bound of any interval between solved shares, in closed form (spec mesh 3.3).

    With :math:`\hat G = ub + R^* S/(1-\beta)`, :math:`Q` its slope between two solved points and
    :math:`S(\beta) = s_0 + s_1\beta` the interpolated sum of multipliers,

    .. math:: v(\beta) \le \hat G_i + Q(\beta - \beta_i) - R^* \frac{s_0 + s_1\beta}{1-\beta}

    which is largest at an end or, if :math:`Q > 0` and :math:`s_0 + s_1 > 0`, at
    :math:`1 - \beta = \sqrt{R^*(s_0+s_1)/Q}`. Beyond the last point :math:`v(\beta) \le v(\beta_{last})\,
    \beta_{max}/\beta_{last}`. ``cuts.multiplier`` holds S, R* and beta_max.
    """
    xp = array_namespace(low)
    row = xp.arange(low.shape[0], device=device(low))
    share, level, price = _by_share(cuts)
    floor, limit = cuts.multiplier[:, :1, 1], cuts.multiplier[:, 0, 2]
    top, place = _highest(share, level, price, floor)
    best = xp.argmax(top, axis=1)
    bound, place, left, right = (part[row, best] for part in (top, place, share[:, :-1], share[:, 1:]))
    # Away from points that are solved, so that no cut is asked for twice.
    inset = INSET * (right - left)
    tail = level[:, -1] * limit / share[:, -1]
    return Proposal(
        xp.minimum(xp.maximum(place, left + inset), right - inset)[:, None],
        xp.maximum(bound, tail),
        xp.ones_like(bound, dtype=xp.bool),
    )


def _by_share(cuts: Cut) -> tuple[Array, Array, Array]:
    """Shares, bounds there and sums of multipliers S of the cuts, sorted by the share, (n, cuts) each."""
    xp = array_namespace(cuts.level)
    row = xp.arange(cuts.level.shape[0], device=device(cuts.level))[:, None]
    order = xp.argsort(cuts.point[..., 0], axis=1)
    share, level, price = (part[row, order] for part in (cuts.point[..., 0], cuts.level, cuts.multiplier[..., 0]))
    return share, level, price


def _highest(share: Array, level: Array, price: Array, floor: Array) -> tuple[Array, Array]:
    """Largest bound in each interval between sorted shares, and where it is, (n, cuts - 1) each.

    Equal shares make an interval of no width, on which nothing rises.
    """
    xp = array_namespace(share)
    lifted = level + floor * price / (1.0 - share)
    left, right = share[:, :-1], share[:, 1:]
    width = right - left
    safe = xp.where(width > 0, width, 1.0)
    slope = xp.where(width > 0, (lifted[:, 1:] - lifted[:, :-1]) / safe, 0.0)
    rise = xp.where(width > 0, (price[:, 1:] - price[:, :-1]) / safe, 0.0)
    start = price[:, :-1] - rise * left
    turns = (slope > 0) & (start + rise > 0) & (floor > 0)
    inside = 1.0 - xp.sqrt(xp.where(turns, floor * (start + rise) / xp.where(turns, slope, 1.0), 0.0))
    inside = xp.where(turns, xp.minimum(xp.maximum(inside, left), right), left)
    peak = lifted[:, :-1] + slope * (inside - left) - floor * (start + rise * inside) / (1.0 - inside)
    # An interval whose peak is a solved point is entered at its inset from there.
    top = xp.maximum(peak, xp.maximum(level[:, :-1], level[:, 1:]))
    return top, xp.where(peak >= top, inside, xp.where(level[:, :-1] >= top, left, right))


def tangent_master(cuts: Cut, low: Array, high: Array) -> Proposal:
    """:func:`.interval_master` up to beta_max itself, with proposals kept where subproblems are solved."""
    xp = array_namespace(low)
    proposal = interval_master(cuts, low, xp.maximum(high, cuts.multiplier[:, :1, 2]))
    return proposal._replace(point=xp.minimum(proposal.point, high))


def decompose_counts(
    model: CountModel,
    *,
    cuts: Cuts,
    tolerance: float,
    limit: int,
    watch: Watch | None = None,
) -> tuple[Decomposition, Frontier, Array]:
    """Optimal share of the count model for all instances, flattened, by :func:`decompose_by_cuts`.

    Returns the sorted users and the feasibility of the instances (n,) beside the result, whose counts are those of the
    sorted users; INFEASIBLE and NaN where no share keeps the floors.
    """
    interval = interval_of(model)
    frontier = without_unmet_floors(frontier_of(model), interval.feasible)
    found = decompose_by_cuts(
        CountSubproblem(frontier, model, interval),
        interval.low[:, None],
        interval.high[:, None],
        cuts=cuts,
        concave=model.objective == "log",
        half=0.5 * interval.limit[:, None],
        tolerance=tolerance,
        limit=limit,
        watch=watch,
    )
    return _marked(found, interval.feasible), frontier, interval.feasible


def decompose_by_cuts(
    subproblem: Subproblem,
    low: Array,
    high: Array,
    *,
    cuts: Cuts,
    concave: bool,
    half: Array,
    tolerance: float,
    limit: int,
    watch: Watch | None = None,
) -> Decomposition:
    """Benders over the share between ``low`` and ``high``, (n, 1) each (lu2022 eq. 16-18, spec mesh 3.3).

    ``cuts="valid"``: :func:`sigma_master`; where the value is ``concave`` in the share, tangents and
    :func:`tangent_master`. ``cuts="paper"``: tangents whatever the objective, started at ``half`` of beta_max (lu2022
    Table 1); their bound is NOT valid for the ``sum``. ``watch`` is shown all cuts and the master's proposal in
    every iteration.
    """
    xp = array_namespace(low)
    if cuts == "paper":
        start = [xp.clip(half, min=low, max=high)]
    else:
        # A logarithm has its optimum inside, the sum mostly at an end.
        start = [low, 0.5 * (low + high), high] if concave else [low, high]
    ask = tangent_master if concave or cuts == "paper" else sigma_master

    def master(solved: Cut, low: Array, high: Array) -> Proposal:
        proposal = ask(solved, low, high)
        if watch is not None:
            watch(solved, proposal)
        return proposal

    return decompose(
        subproblem,
        master,
        low,
        high,
        start=xp.stack(start, axis=1),
        tolerance=tolerance,
        scale=1.0 if concave else 0.0,
        limit=limit,
    )


def _marked(found: Decomposition, feasible: Array) -> Decomposition:
    """INFEASIBLE and NaN where instances are, whose numbers mean nothing."""
    xp = array_namespace(feasible)
    return found._replace(
        point=xp.where(feasible[:, None], found.point, xp.nan),
        lower=xp.where(feasible, found.lower, xp.nan),
        upper=xp.where(feasible, found.upper, xp.nan),
        status=xp.where(feasible, found.status, int(Status.INFEASIBLE)),
    )
