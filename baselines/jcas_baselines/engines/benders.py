r"""Generalised Benders decomposition: one loop for every scenario, batched over instances.

A problem :math:`\max_{x, y} F(x, y)` whose variable x is low-dimensional is split into a subproblem, the value
:math:`v(x) = \max_y F(x, y)` at a given x, and a master, which bounds v from what the subproblems have reported.
A feasible solution at some x is a lower bound on the optimum, the master an upper bound; both are certified at
any time, whether the loop has closed the gap or not (Geoffrion 1972, lu2022 eq. 16-18, spec mesh 3.3,
spec multicell 4.9).

The subproblem and the master are callables, so that the loop knows no scenario. :func:`interval_master` and
:func:`polyhedral_master` serve concave value functions; one that is not concave brings a master of its own, which
finds what it needs in :class:`Cut`.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from array_api_compat import array_namespace, device, to_device

from jcas_env.batching import reassemble, unrows
from jcas_env.tree import take, tree_map
from jcas_env.types import Array, Status, as_array


class Cut(NamedTuple):
    r"""What a subproblem reports about the point :math:`x_k` at which it was solved.

    An optimality cut says :math:`v(x) \le \ell_k + g_k^T (x - x_k)`, a feasibility cut that every feasible x has
    :math:`\ell_k + g_k^T (x - x_k) \le 0`. A subproblem returns arrays (batch, ...); the master sees all cuts
    of an element on a second axis, (batch, cuts, ...).
    """

    point: Array
    """(batch, dimensions): x_k."""
    feasible: Array
    """(batch,) bool: optimality cut, or feasibility cut."""
    value: Array
    """(batch,): value of the feasible solution found at x_k, a lower bound; -inf for a feasibility cut."""
    level: Array
    """(batch,): the cut's height at x_k: upper bound on v there, or the violation, which is positive."""
    slope: Array
    """(batch, dimensions): g_k, from the multipliers of the subproblem."""
    multiplier: Array
    """(batch, any number): further figures that a master of its own needs; the masters below ignore them."""


class Proposal(NamedTuple):
    """Answer of a master."""

    point: Array
    """(batch, dimensions): where to solve next."""
    bound: Array
    """(batch,): upper bound on the optimum; inf while there is none."""
    possible: Array
    """(batch,) bool: False where the feasibility cuts leave no point."""


class Decomposition(NamedTuple):
    """Result of the loop, one per batch element."""

    point: Array
    """(batch, dimensions): best x; NaN where infeasible."""
    answer: Any
    """Nested NamedTuple of arrays (batch, ...): the subproblem's answer at the best x, meaningless where infeasible."""
    lower: Array
    """(batch,): value of the answer; NaN where infeasible."""
    upper: Array
    """(batch,): certified upper bound on the optimum; NaN where infeasible."""
    cuts: Array
    """(batch,) integer: subproblems solved."""
    status: Array
    """(batch,) integer: OPTIMAL (gap closed), ITERATION_LIMIT (bounds valid, gap open) or INFEASIBLE."""


INFEASIBLE_PROGRAM = 2
"""Code of SciPy's linear programming for an empty feasible set."""

Subproblem: TypeAlias = Callable[[Array, Array], tuple[Cut, Any]]
"""Maps points (n, dimensions) and the elements (n,) they belong to, in any order and with repetitions, to n cuts and n
answers."""
Master: TypeAlias = Callable[[Cut, Array, Array], Proposal]
"""Maps all cuts (n, cuts, ...) and the box (n, dimensions) each to proposals."""


class _Run(NamedTuple):
    """Elements that are still at work, (n, ...)."""

    index: Array
    """(n,) integer: place in the batch."""
    cuts: Cut
    """(n, cuts, ...): all cuts so far."""
    low: Array
    high: Array
    point: Array
    """(n, dimensions): best x so far, with its answer and its value."""
    answer: Any
    lower: Array
    upper: Array
    """(n,): least bound of any master so far."""


def decompose(
    subproblem: Subproblem,
    master: Master,
    low: Array,
    high: Array,
    *,
    start: Array,
    tolerance: float = 1e-4,
    scale: float = 0.0,
    limit: int = 40,
) -> Decomposition:
    r"""Alternate subproblem and master until :math:`UB - LB \le \epsilon \max(|UB|, \text{scale})`.

    Every element keeps its own cuts and leaves the batch when its gap has closed or its feasible set has turned
    out empty, or where the master proposes a point that has been solved; neighbours do not notice.

    Parameters
    ----------
    subproblem, master : function
        See :data:`Subproblem` and :data:`Master`.
    low, high : Array, shape (batch, dimensions)
        Box of x.
    start : Array, shape (batch, starts, dimensions)
        Points that are solved before the master is asked; one call solves them all.
    tolerance, scale : float
        Relative gap, and the least magnitude it refers to (1 for logarithmic values, which may be 0).
    limit : int
        Most subproblems of an element, starts included.

    Returns
    -------
    Decomposition
    """
    xp = array_namespace(start)
    run, solved = _begin(subproblem, low, high, start), start.shape[1]
    retired: list[tuple[Decomposition, Array]] = []
    while run.index.shape[0]:
        proposal = master(run.cuts, run.low, run.high)
        upper = xp.minimum(run.upper, proposal.bound)
        run = run._replace(upper=xp.maximum(upper, run.lower))  # rounding may put the bound below the value
        status = _status(run, proposal, tolerance, scale)
        # A point that has been solved before would give the cut that is there.
        stalled = xp.any(xp.all(run.cuts.point == proposal.point[:, None, :], axis=-1), axis=1)
        done = (status != int(Status.ITERATION_LIMIT)) | stalled | (solved >= limit)
        if xp.any(done):
            left = take(run, done)
            cuts = xp.full_like(left.index, solved)
            result = Decomposition(left.point, left.answer, left.lower, left.upper, cuts, status[done])
            retired.append((result, left.index))
            run, proposal = take(run, ~done), take(proposal, ~done)
        if run.index.shape[0]:
            cut, answer = subproblem(proposal.point, run.index)
            run = _absorb(run, cut, answer)
        solved += 1
    return _without_infeasible(reassemble(*zip(*retired, strict=True)))


def _status(run: _Run, proposal: Proposal, tolerance: float, scale: float) -> Array:
    """OPTIMAL where the gap has closed, INFEASIBLE where no point is left and none is known, else ITERATION_LIMIT."""
    xp = array_namespace(run.lower)
    known = xp.isfinite(run.lower) & xp.isfinite(run.upper)
    closed = known & (run.upper - run.lower <= tolerance * xp.clip(xp.abs(run.upper), min=scale))
    status = xp.where(closed, int(Status.OPTIMAL), int(Status.ITERATION_LIMIT))
    return xp.where(proposal.possible | known, status, int(Status.INFEASIBLE))


def _begin(subproblem: Subproblem, low: Array, high: Array, start: Array) -> _Run:
    """Solve the starting points of all elements in one call."""
    xp = array_namespace(start)
    batch, starts, dimensions = start.shape
    index = xp.arange(batch, device=device(start))
    every = xp.reshape(xp.broadcast_to(index[:, None], (batch, starts)), (-1,))
    solved = subproblem(xp.reshape(start, (-1, dimensions)), every)
    cuts, answers = (unrows(part, (batch, starts)) for part in solved)
    best = xp.argmax(cuts.value, axis=1)
    answer = tree_map(lambda leaf: leaf[index, best], answers)
    lower = xp.max(cuts.value, axis=1)
    return _Run(index, cuts, low, high, cuts.point[index, best], answer, lower, xp.full_like(lower, inf))


def _absorb(run: _Run, cut: Cut, answer: Any) -> _Run:
    """Add one cut to every element, and keep its answer where it is the best so far."""
    xp = array_namespace(run.lower)
    better = cut.value > run.lower

    def keep(old: Array, new: Array) -> Array:
        return xp.where(xp.reshape(better, (-1, *(1,) * (new.ndim - 1))), new, old)

    return run._replace(
        cuts=tree_map(lambda old, new: xp.concat([old, new[:, None, ...]], axis=1), run.cuts, cut),
        point=keep(run.point, cut.point),
        answer=tree_map(keep, run.answer, answer),
        lower=xp.maximum(run.lower, cut.value),
    )


def _without_infeasible(found: Decomposition) -> Decomposition:
    """NaN where there is no point."""
    xp = array_namespace(found.lower)
    lost = found.status == int(Status.INFEASIBLE)
    return found._replace(
        point=xp.where(lost[:, None], xp.nan, found.point),
        lower=xp.where(lost, xp.nan, found.lower),
        upper=xp.where(lost, xp.nan, found.upper),
    )


def interval_master(cuts: Cut, low: Array, high: Array) -> Proposal:
    r"""Exact master for a concave value function of one variable.

    Feasibility cuts shorten the interval. On it, :math:`\max_x \min_k (\ell_k + g_k (x - x_k))` is a linear
    program in two unknowns; its dual has basic solutions with one cut, at the end where it is highest, or with a
    rising and a falling cut, at their crossing. The smallest of these values is the bound, and it is attained:

    .. math:: UB = \min\Big\{ \min_k \max(f_k(\underline x), f_k(\overline x)),\;
              \min_{g_i > 0 > g_j} \frac{g_i f_j(\underline x) - g_j f_i(\underline x)}{g_i - g_j} \Big\}

    Arguments and result as in :data:`Master`, with one dimension.
    """
    xp = array_namespace(low)
    left, right, possible = _interval_left(cuts, low[:, 0], high[:, 0])
    width = xp.clip(right - left, min=0.0)
    bounds, offsets = _basic_solutions(cuts, left, width)
    chosen = xp.argmin(bounds, axis=1)[:, None]
    bound = xp.take_along_axis(bounds, chosen, axis=1)[:, 0]
    offset = xp.clip(xp.take_along_axis(offsets, chosen, axis=1)[:, 0], min=0.0)
    # Without an optimality cut nothing is known but the interval: its middle halves it.
    offset = xp.where(xp.isfinite(bound), xp.minimum(offset, width), 0.5 * width)
    return Proposal((left + offset)[:, None], bound, possible)


def _interval_left(cuts: Cut, low: Array, high: Array) -> tuple[Array, Array, Array]:
    """Ends of the interval that the feasibility cuts leave, and whether they leave any, (batch,) each."""
    xp = array_namespace(low)
    slope, sets = cuts.slope[..., 0], ~cuts.feasible
    wall = cuts.point[..., 0] - cuts.level / xp.where(slope == 0, 1.0, slope)
    left = xp.maximum(low, xp.max(xp.where(sets & (slope < 0), wall, -inf), axis=1))
    right = xp.minimum(high, xp.min(xp.where(sets & (slope > 0), wall, inf), axis=1))
    # A level cut that is violated somewhere is violated everywhere.
    return left, right, (left <= right) & ~xp.any(sets & (slope == 0) & (cuts.level > 0), axis=1)


def _basic_solutions(cuts: Cut, left: Array, width: Array) -> tuple[Array, Array]:
    """Values of the dual's basic solutions and their places right of ``left``, (batch, cuts + pairs of cuts) each.

    Heights are measured from the left end of the interval, where differences of nearly equal cuts cancel least.
    """
    xp = array_namespace(left)
    slope, batch = cuts.slope[..., 0], left.shape[0]
    rising, falling = slope > 0, slope < 0
    at_left = cuts.level + slope * (left[:, None] - cuts.point[..., 0])
    alone = xp.where(cuts.feasible, xp.maximum(at_left, at_left + slope * width[:, None]), inf)
    end = xp.where(rising, width[:, None], 0.0)

    pair = (cuts.feasible & rising)[:, :, None] & (cuts.feasible & falling)[:, None, :]
    up, down = slope[:, :, None], slope[:, None, :]
    share = up / xp.where(pair, up - down, 1.0)
    crossing = xp.where(pair, share * at_left[:, None, :] + (1.0 - share) * at_left[:, :, None], inf)
    where = (at_left[:, None, :] - at_left[:, :, None]) / xp.where(pair, up - down, 1.0)
    bounds = xp.concat([alone, xp.reshape(crossing, (batch, -1))], axis=1)
    return bounds, xp.concat([end, xp.reshape(where, (batch, -1))], axis=1)


def polyhedral_master(cuts: Cut, low: Array, high: Array) -> Proposal:
    r"""Master for a concave value function of several variables: one linear program per element (HiGHS).

    The bound does not rely on the program's accuracy. For any weights :math:`w_k \ge 0`, :math:`\sum w_k = 1`, of
    the optimality cuts and :math:`\mu_k \ge 0` of the feasibility cuts weak duality gives

    .. math:: UB = \sum_k w_k (\ell_k - g_k^T x_k) - \sum_k \mu_k (\ell_k - g_k^T x_k)
              + \sum_d \max_{\underline x_d \le x_d \le \overline x_d} \Big(\sum_k (w_k - \mu_k) g_k\Big)_d x_d

    which is evaluated at the program's multipliers. Arguments and result as in :data:`Master`; the programs run in
    NumPy.
    """
    xp = array_namespace(low)
    ends = _numpy(low), _numpy(high)
    parts = tree_map(_numpy, cuts)
    answers = [_linear_program(take(parts, i), ends[0][i], ends[1][i]) for i in range(low.shape[0])]
    points, bounds, possible = zip(*answers, strict=True)
    return Proposal(as_array(np.stack(points), low), as_array(bounds, low), xp.asarray(possible, device=device(low)))


def _numpy(value: Array) -> np.ndarray:
    return np.asarray(to_device(value, "cpu"))


def _linear_program(cuts: Cut, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, float, bool]:
    """Solve one master over (x, height): point, certified bound, and whether there is a point at all."""
    from scipy.optimize import linprog

    middle = 0.5 * (low + high)
    if _nothing_left(cuts, low, high):
        return middle, inf, False
    # Heights in units of the largest: a program's tolerances are absolute.
    unit = np.abs(np.where(cuts.feasible, cuts.level, 0.0)).max() or 1.0
    scale = np.where(cuts.feasible, unit, 1.0)
    slope = cuts.slope / scale[:, None]
    offset = cuts.level / scale - (slope * cuts.point).sum(axis=-1)
    sided = np.where(cuts.feasible, 1.0, -1.0)
    height = cuts.feasible.astype(float)  # 1: bounds the height; 0: must not be positive
    goal = np.append(np.zeros(len(low)), -1.0 if cuts.feasible.any() else 0.0)
    program = linprog(
        goal,
        A_ub=np.concatenate([-sided[:, None] * slope, height[:, None]], axis=1),
        b_ub=sided * offset,
        bounds=[*zip(low, high, strict=True), (None, None)],
        method="highs",
    )
    if program.x is None:
        return middle, inf, program.status != INFEASIBLE_PROGRAM
    if not cuts.feasible.any():
        return program.x[:-1], inf, True
    # The program's multipliers, with which weak duality holds as soon as those of the optimality cuts sum to one.
    weight = np.maximum(-program.ineqlin.marginals, 0.0)
    weight /= (weight * height).sum()
    tilt = (weight * sided) @ slope
    bound = (weight * sided) @ offset + np.maximum(tilt * low, tilt * high).sum()
    return np.clip(program.x[:-1], low, high), unit * float(bound), True


def _nothing_left(cuts: Cut, low: np.ndarray, high: np.ndarray) -> bool:
    """Whether no point of the box satisfies some feasibility cut, by however little: programs tolerate 1e-7."""
    nearest = np.where(cuts.slope > 0, low, high)
    least = cuts.level + (cuts.slope * (nearest - cuts.point)).sum(axis=-1)
    return bool((~cuts.feasible & (least > 0)).any())
