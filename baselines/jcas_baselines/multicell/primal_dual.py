r"""Primal-dual interior-point method for the convex step of the successive approximation.

:math:`F = \sum_j a_j \hat R_j` or :math:`\sum_j a_j \ln \hat R_j` of the minorant (:mod:`.minorant`), less a linear
price on the powers, is maximised over both services of a cell, whose budgets are :math:`(1 - \beta, \beta)` with
:math:`\beta` given or free (spec multicell 4.5).

The Hessian is a sum of outer products (:func:`.minorant.curvature`). Scaled by :math:`D = \sqrt{s/z}`, slacks s and
multipliers z of the floors, the floors' part is the identity, so that the system stays well conditioned near them.
There is no line search beyond the domain: the caller accepts a point by the true utility only. An element whose numbers
leave no step, because the domain ends at the point or the Newton system is not finite, keeps the point and is marked.
"""

from __future__ import annotations

from typing import NamedTuple

from array_api_compat import array_namespace, device

from jcas_env.types import Array

from ..engines.iterate import iterate
from .minorant import CellModel, Minorant, Point, curvature, in_domain, minorant_at, minorant_rates

START, GAP = 0.1, 1e-5
"""Complementarity gap at the start and at the end, relative to the scale of the objective."""
CENTRING = 0.1
"""Factor by which a step aims to reduce the gap; five times as much after a step that was cut short."""
FULL = 0.5
"""Length from which a step counts as not cut short."""
PULLS = (0.1, 1e-3, 1e-5, 1e-7, 1e-9)
"""Shares of the way to the middle of the feasible set by which the start is drawn inside: the first that is in the
domain of the objective."""
HALVINGS, LIMIT = 30, 60
"""Most halvings of a step, and most steps."""
STEEP, RIDGE = 1e12, 1e-13
"""Diagonal of the scaled Hessian beside its identity from which rounding decides the system, and the multiple of the
diagonal that is then added to it."""
LEAST_SLACK = 1e-18
"""Slack of a floor in units of the budget below which the difference of point and floor is rounding."""


class _Iterate(NamedTuple):
    point: Array
    share: Array
    multiplier: Array
    """(n, 2, entries): z, multipliers of the floors; 1 for padding."""
    last: Array
    """(n,): complementarity gap at which to stop."""
    length: Array
    """(n,): length of the last step."""
    minorant: Minorant
    floor: Array
    absent: Array
    """(n, 1, entries): 1 for padding."""
    budgets: Array
    """(n, 2, entries): 1 for existing users, then for existing groups."""
    free: Array
    """(n,) bool: whether the share is free."""
    broken: Array
    """(n,) bool: whether the last step was not one."""


def maximise_minorant(model: CellModel, at: Point, price: Array) -> Point:
    """Maximise the minorant that touches the utility at a point; ``price`` (n, seats) per unit of power.

    Batched; elements stop on their own. The start must satisfy the floors; it is drawn inside. ``found`` is false where
    that leaves the domain of the objective however little it is drawn, or where the last step was not one; the point is
    then the given one, or the last that was reached.
    """
    xp = array_namespace(at.value)
    start = _begin(model, at, price)
    state, _, _ = iterate(start, _newton, limit=LIMIT)
    outside = start.broken
    value = xp.where(outside[:, None, None], at.value, state.point)
    return Point(value, xp.where(outside, at.share, state.share), ~(outside | state.broken))


def _begin(model: CellModel, at: Point, price: Array) -> _Iterate:
    """Data of the step, and a start drawn inside with multipliers on the central path of the floors."""
    xp = array_namespace(at.value)
    present = xp.sum(model.member, axis=-2)  # 1 for users that exist
    exists = xp.astype(xp.sum(model.member, axis=-1) > 0, present.dtype)
    budgets = xp.stack(
        [
            xp.concat([present, xp.zeros_like(exists)], axis=-1),
            xp.concat([xp.zeros_like(present), exists], axis=-1),
        ],
        axis=1,
    )
    shares = xp.stack([1.0 - at.share, at.share], axis=-1)[..., None]  # (n, 2, 1)
    count = xp.clip(xp.sum(budgets, axis=-1), min=1.0)[:, None, :]  # (n, 1, 2)
    room = shares - model.floor @ budgets.mT  # (n, 2, 2)
    middle = model.floor + (room / count) @ budgets
    absent = 1.0 - xp.sum(budgets, axis=1, keepdims=True)
    minorant = minorant_at(model, at.value, xp.concat([price, xp.zeros_like(exists)], axis=-1))
    start, inside = _drawn_inside(minorant, at.value, middle)
    _, _, rate = minorant_rates(minorant, start)
    scale = xp.sum(model.weight * xp.where(model.logarithmic[:, None, None], 1.0, xp.abs(rate)), axis=(-2, -1))
    scale = xp.where(scale > 0, scale, 1.0)
    inequalities = 2.0 * xp.clip(xp.sum(budgets, axis=(-2, -1)), min=1.0)
    slack = xp.clip(start - model.floor, min=LEAST_SLACK) * (1.0 - absent) + absent
    multiplier = (START * scale / inequalities)[:, None, None] / slack
    return _Iterate(
        point=start,
        share=at.share,
        multiplier=multiplier * (1.0 - absent) + absent,
        last=GAP * scale,
        length=xp.ones_like(scale),
        minorant=minorant,
        floor=model.floor,
        absent=absent,
        budgets=budgets,
        free=model.free,
        broken=~inside,
    )


def _drawn_inside(minorant: Minorant, at: Array, middle: Array) -> tuple[Array, Array]:
    """A point between the given one and the middle in the domain of the objective, and whether there is one, (n,)."""
    xp = array_namespace(at)
    start = at + PULLS[0] * (middle - at)
    inside = in_domain(minorant, start)
    for pull in PULLS[1:]:
        if xp.all(inside):
            break
        closer = at + pull * (middle - at)
        start = xp.where(inside[:, None, None], start, closer)
        inside = inside | in_domain(minorant, closer)
    return start, inside


def _direction(state: _Iterate, slack: Array, target: Array) -> tuple[Array, Array]:
    r"""Newton direction of the point and of the share towards complementarity ``target`` (n, 2, entries).

    With :math:`D^2 = s/z` the system is :math:`D (\nabla^2 (-F)) D + 1` and the two budgets; the share follows where
    the prices of the two services meet.
    """
    xp = array_namespace(slack)
    scale = xp.sqrt(slack / state.multiplier) * (1.0 - state.absent)
    gradient, hessian = curvature(state.minorant, state.point, scale)
    budgets = state.budgets.mT[:, None]
    ones = budgets * scale[..., None]  # (n, 2, entries, 2)
    right = scale * (gradient - target / slack)
    # One factorisation for the unconstrained step and for what a price on each budget changes.
    solved = xp.linalg.solve(_definite(hessian), xp.concat([right[..., None], ones], axis=-1))
    schur = ones.mT @ solved  # (n, 2, 2, 3): what the columns spend of the budgets
    shares = xp.stack([1.0 - state.share, state.share], axis=-1)
    missing = shares[..., None] - (state.point[..., None, :] @ budgets)[..., 0, :]
    price, change = _budget_prices(state, schur[..., 1:], schur[..., 0] + missing)
    return scale * ((solved[..., 1:] @ price[..., None])[..., 0] - solved[..., 0]), change


def _budget_prices(state: _Iterate, schur: Array, spent: Array) -> tuple[Array, Array]:
    """Prices of power and band (n, 2 services, 2) that keep the budgets, and the change of the share (n,).

    ``schur`` (n, 2, 2, 2): what a price brings in; ``spent`` (n, 2, 2): what is to be brought in.
    """
    xp = array_namespace(schur)
    signs = xp.asarray([-1.0, 1.0], dtype=schur.dtype, device=device(schur))
    force = _solve_pair(schur, spent)
    unit = _solve_pair(schur, xp.ones_like(spent))
    stiff = xp.sum(unit, axis=(-2, -1))
    moves = state.free & (stiff > 0)  # without users nothing depends on the share
    change = -xp.sum(signs * xp.sum(force, axis=-1), axis=-1) / xp.where(moves, stiff, 1.0)
    change = xp.where(moves, change, 0.0)
    return force + (signs * change[:, None])[..., None] * unit, change


def _definite(hessian: Array) -> Array:
    """The scaled Hessian (..., n, n) and the identity; with a ridge where rounding hides the identity.

    A Hessian that is not finite is replaced by the identity: its direction is struck by the caller.
    """
    xp = array_namespace(hessian)
    eye = xp.eye(hessian.shape[-1], dtype=hessian.dtype, device=device(hessian))
    finite = xp.all(xp.isfinite(hessian), axis=(-2, -1), keepdims=True)
    hessian = xp.where(finite, hessian, 0.0)
    diagonal = xp.linalg.diagonal(hessian)
    steep = xp.max(diagonal, axis=-1, keepdims=True) > STEEP
    return hessian + eye * (1.0 + xp.where(steep, RIDGE * diagonal, 0.0))[..., None, :]


def _newton(state: _Iterate) -> tuple[_Iterate, Array]:
    """One step towards a smaller complementarity gap, kept inside."""
    xp = array_namespace(state.point)
    present = 1.0 - state.absent
    slack = xp.clip(state.point - state.floor, min=LEAST_SLACK) * present + state.absent
    gap = xp.sum(slack * state.multiplier * present, axis=(-2, -1))
    count = 2.0 * xp.clip(xp.sum(present, axis=(-2, -1)), min=1.0)
    # A step that was cut short has left the central path: the next one aims at it more than at the gap.
    centring = xp.where(state.length > FULL, CENTRING, 5.0 * CENTRING)
    target = (centring * gap / count)[:, None, None] * present
    step, change = _direction(state, slack, target)
    # A direction that is not a number is none: the element keeps its point and leaves.
    sound = xp.all(xp.isfinite(step), axis=(-2, -1)) & xp.isfinite(change) & ~state.broken
    step, change = xp.where(sound[:, None, None], step, 0.0), xp.where(sound, change, 0.0)
    turn = target / slack - state.multiplier * (1.0 + step / slack) * present
    length, inside = _step_length(state, step, change, slack)
    sound = sound & inside
    length = xp.where(sound, length, 0.0)
    # Multipliers take a length of their own: those of the floors may be far longer than the domain allows the point.
    dual = 0.99 / xp.clip(xp.max(-turn / state.multiplier * present, axis=(-2, -1)), min=0.99)
    following = state._replace(
        point=state.point + length[:, None, None] * step,
        share=state.share + length * change,
        multiplier=state.multiplier + dual[:, None, None] * turn * present,
        length=xp.minimum(length, dual),
        broken=~sound,
    )
    # The gradient condition is met by full steps only, so that a small gap after a short one is no end.
    return following, ((gap <= state.last) & (state.length > FULL)) | ~sound


def _step_length(state: _Iterate, step: Array, change: Array, slack: Array) -> tuple[Array, Array]:
    """Longest step, at most 1, that keeps one percent of every slack and the domain, and whether it does, (n,) each.

    Slacks next to nothing hold the share next to not at all: it must stay what a share can be, in [0, 1].
    """
    xp = array_namespace(step)
    length = 0.99 / xp.clip(xp.max(-step / slack, axis=(-2, -1)), min=0.99)
    for _ in range(HALVINGS):
        share = state.share + length * change
        inside = in_domain(state.minorant, state.point + length[:, None, None] * step) & (share >= 0.0) & (share <= 1.0)
        if xp.all(inside):
            break
        length = xp.where(inside, length, 0.5 * length)
    return length, inside


def _solve_pair(matrix: Array, right: Array) -> Array:
    r"""Solve positive semidefinite 2 x 2 systems (..., 2, 2), (..., 2); zero where the matrix is singular (no users).

    In units of the roots of the diagonal, :math:`x = D^{-1} (D^{-1} M D^{-1})^{-1} D^{-1} r`, D^2 = diag M, so that the
    determinant is 1 - rho^2: that of M itself may be beyond the numbers.
    """
    xp = array_namespace(matrix)
    unit = xp.sqrt(xp.clip(xp.linalg.diagonal(matrix), min=0.0))
    regular = xp.all(unit > 0, axis=-1)
    unit = xp.where(regular[..., None], unit, xp.ones_like(unit))
    rho = matrix[..., 0, 1] / unit[..., 0] / unit[..., 1]
    determinant = 1.0 - rho * rho
    regular = regular & (determinant > 0)
    right = right / unit
    mirrored = xp.flip(right, axis=-1)
    solved = (right - rho[..., None] * mirrored) / xp.where(regular, determinant, 1.0)[..., None] / unit
    return xp.where(regular[..., None], solved, 0.0)
