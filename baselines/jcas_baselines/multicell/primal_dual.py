r"""Primal-dual interior-point method for the convex step of the successive approximation.

:math:`F = \sum_j a_j \hat R_j` or :math:`\sum_j a_j \ln \hat R_j` of the minorant (:mod:`.minorant`), less a linear
price on the powers, is maximised over both services of a cell, whose budgets are :math:`(1 - \beta, \beta)` with
:math:`\beta` given or free (spec multicell 4.5).

With :math:`v = (p, B)`, :math:`\xi_j = (B/y_j) \nabla y_j - \nabla B`
and :math:`-\nabla^2 \hat R_j = \xi_j \xi_j^T / B`, the Hessian is a sum of outer products; scaled by
:math:`D = \sqrt{s/z}`, slacks s and multipliers z of the floors, the floors' part is the identity, so that the system
stays well conditioned near them. There is no line search beyond the domain: the caller accepts a point by the true
utility only.

The minorant is computed relative to the point where it touches, with :math:`r = B_0/I_0` there,

.. math:: \hat R = B \big(\ln(1 + \delta + x) - \delta\big), \qquad \delta = r I / B - 1, \qquad x = r S p / B

so that no SNR is too small: the logarithms of y and of I would cancel. An element whose numbers leave no step, because
the domain ends at the point or the Newton system is not finite, keeps the point and is marked.
"""

from __future__ import annotations

from typing import NamedTuple

from array_api_compat import array_namespace, device

from jcas_env.types import Array

from ..engines.iterate import iterate
from .minorant import CellModel, Point, band_per_level, gradients

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
    """(n,): complementarity gap at which to stop, and the length of the last step in the next field."""
    length: Array
    weight: Array
    price: Array
    """(n, 2, entries): linear price."""
    level_slope: Array
    """(n, 1, seats, entries): gradient of I, and e in the next field."""
    constant: Array
    own_slope: Array
    """(n, 2, seats, entries): gradient of S p."""
    band: Array
    """(n, 1, seats, entries): gradient of B."""
    ratio: Array
    """(n, 2, seats): r, B/I where the minorant touches."""
    floor: Array
    absent: Array
    """(n, 1, entries): 1 for padding."""
    budgets: Array
    """(n, 2, entries): 1 for existing users, then for existing groups."""
    logarithmic: Array
    free: Array
    broken: Array
    """(n,) bool: whether the last step was not one."""


def maximise_surrogate(air: CellModel, at: Point, price: Array) -> Point:
    """Maximise the minorant that touches the utility at a point; ``price`` (n, seats) per unit of power.

    Batched; elements stop on their own. The start must satisfy the floors; it is drawn inside. ``found`` is false where
    that leaves the domain of the objective however little it is drawn, or where the last step was not one; the point is
    then the given one, or the last that was reached.
    """
    xp = array_namespace(at.value)
    start = _begin(air, at, price)
    state, _, _ = iterate(start, _newton, limit=LIMIT)
    outside = start.broken
    value = xp.where(outside[:, None, None], at.value, state.point)
    return Point(value, xp.where(outside, at.share, state.share), ~(outside | state.broken))


def _begin(air: CellModel, at: Point, price: Array) -> _Iterate:
    """Data of the step, and a start drawn inside with multipliers on the central path of the floors."""
    xp = array_namespace(at.value)
    level, summed, band = gradients(air)
    present = xp.sum(air.member, axis=-2)  # 1 for users that exist
    exists = xp.astype(xp.sum(air.member, axis=-1) > 0, present.dtype)
    budgets = xp.stack(
        [
            xp.concat([present, xp.zeros_like(exists)], axis=-1),
            xp.concat([xp.zeros_like(present), exists], axis=-1),
        ],
        axis=1,
    )
    shares = xp.stack([1.0 - at.share, at.share], axis=-1)[..., None]  # (n, 2, 1)
    count = xp.clip(xp.sum(budgets, axis=-1), min=1.0)[:, None, :]  # (n, 1, 2)
    room = shares - air.floor @ budgets.mT  # (n, 2, 2)
    middle = air.floor + (room / count) @ budgets
    prices = xp.concat([price, xp.zeros_like(exists)], axis=-1)[:, None, :]
    absent = 1.0 - xp.sum(budgets, axis=1, keepdims=True)
    elements = at.value.shape[0]
    state = _Iterate(
        at.value, at.share, at.value, at.share, at.share, air.weight, xp.broadcast_to(prices, at.value.shape),
        xp.broadcast_to(level, (elements, *level.shape[1:])), air.constant[:, None, :], summed - level,
        xp.broadcast_to(band, (elements, *band.shape[1:])), band_per_level(air, at.value),
        air.floor, absent, budgets, air.logarithmic, air.free, air.free,
    )  # fmt: skip
    start, inside = _drawn_inside(state, at.value, middle)
    _, _, rate = _minorant(state, start)
    scale = xp.sum(air.weight * xp.where(air.logarithmic[:, None, None], 1.0, xp.abs(rate)), axis=(-2, -1))
    scale = xp.where(scale > 0, scale, 1.0)
    inequalities = 2.0 * xp.clip(xp.sum(budgets, axis=(-2, -1)), min=1.0)
    slack = xp.clip(start - air.floor, min=LEAST_SLACK) * (1.0 - absent) + absent
    multiplier = (START * scale / inequalities)[:, None, None] / slack
    return state._replace(
        point=start,
        multiplier=multiplier * (1.0 - absent) + absent,
        last=GAP * scale,
        length=xp.ones_like(scale),
        broken=~inside,
    )


def _drawn_inside(state: _Iterate, at: Array, middle: Array) -> tuple[Array, Array]:
    """A point between the given one and the middle in the domain of the objective, and whether there is one, (n,)."""
    xp = array_namespace(at)
    start = at + PULLS[0] * (middle - at)
    inside = _inside(state, start)
    for pull in PULLS[1:]:
        if xp.all(inside):
            break
        closer = at + pull * (middle - at)
        start = xp.where(inside[:, None, None], start, closer)
        inside = inside | _inside(state, closer)
    return start, inside


def _minorant(state: _Iterate, point: Array) -> tuple[Array, Array, Array]:
    r"""B, :math:`q - 1 = \delta + x` and :math:`\hat R` of each user, three (n, 2, seats); 1, 0 and 0 for padding."""
    xp = array_namespace(point)
    column = point[..., None]
    band = (state.band @ column)[..., 0]
    level = (state.level_slope @ column)[..., 0] + state.constant
    heard = (state.own_slope @ column)[..., 0]
    good = (band > 0) & (level > 0)
    band = xp.where(good, band, 1.0)
    part, sounded = state.ratio * level / band, state.ratio * heard / band
    excess = xp.where(good, part - 1.0, 0.0)
    above = xp.where(good, excess + sounded, 0.0)
    # Near -1 the difference has lost its digits, near 0 the sum would.
    low = good & (above < -0.5)
    log_of = xp.where(low, xp.log(xp.where(low, part + sounded, 1.0)), xp.log1p(xp.where(low, 0.0, above)))
    return band, above, band * (log_of - excess)


def _inside(state: _Iterate, point: Array) -> Array:
    """Whether a point is in the domain of the objective, (n,) bool."""
    xp = array_namespace(point)
    _, _, rate = _minorant(state, point)
    outside = (state.weight > 0) & (rate <= 0) & state.logarithmic[:, None, None]
    return ~xp.any(outside, axis=(-2, -1))


def _curvature(state: _Iterate, scale: Array) -> tuple[Array, Array]:
    r"""Gradient of -F, (n, 2, entries), and its Hessian scaled on both sides, (n, 2, entries, entries).

    .. math:: \xi = \frac{r}{q} \nabla y - \nabla B, \qquad
              \nabla \hat R = \frac{r}{q} \nabla (S p) - r \frac{q - 1}{q} \nabla I + \ln q\, \nabla B
    """
    xp = array_namespace(scale)
    band, above, rate = _minorant(state, state.point)
    counts = state.logarithmic[:, None, None] & (state.weight > 0) & (rate > 0)
    rate = xp.where(counts, rate, 1.0)
    marginal = state.weight / rate
    sum_part = (state.ratio / (1.0 + above))[..., None]
    level_part = (state.ratio * above / (1.0 + above))[..., None]
    own = sum_part * state.own_slope
    outer = own + sum_part * state.level_slope - state.band
    slope = own - level_part * state.level_slope + xp.log1p(above)[..., None] * state.band
    gradient = state.price - (marginal[..., None, :] @ slope)[..., 0, :]
    rows = xp.sqrt(marginal / band)[..., None] * outer * scale[..., None, :]
    hessian = rows.mT @ rows
    if xp.any(state.logarithmic):
        bend = xp.where(state.logarithmic[:, None, None], marginal / rate, 0.0)
        rows = xp.sqrt(bend)[..., None] * slope * scale[..., None, :]
        hessian = hessian + rows.mT @ rows
    return gradient, hessian


def _direction(state: _Iterate, slack: Array, target: Array) -> tuple[Array, Array]:
    r"""Newton direction of the point and of the share towards complementarity ``target`` (n, 2, entries).

    With :math:`D^2 = s/z` the system is :math:`D (\nabla^2 (-F)) D + 1` and the two budgets; the share follows where
    the prices of the two services meet.
    """
    xp = array_namespace(slack)
    scale = xp.sqrt(slack / state.multiplier) * (1.0 - state.absent)
    gradient, hessian = _curvature(state, scale)
    hessian = _definite(hessian)
    ones = state.budgets.mT[:, None] * scale[..., None]  # (n, 2, entries, 2)
    right = scale * (gradient - target / slack)
    solved = xp.linalg.solve(hessian, xp.concat([right[..., None], ones], axis=-1))
    seen = ones.mT @ solved  # (n, 2, 2, 3)
    signs = xp.asarray([-1.0, 1.0], dtype=slack.dtype, device=device(slack))
    shares = xp.stack([1.0 - state.share, state.share], axis=-1)
    missing = shares[..., None] - (state.point[..., None, :] @ state.budgets.mT[:, None])[..., 0, :]
    force = _solve_pair(seen[..., 1:], seen[..., 0] + missing)
    unit = _solve_pair(seen[..., 1:], xp.ones_like(missing))
    stiff = xp.sum(unit, axis=(-2, -1))
    moves = state.free & (stiff > 0)
    change = -xp.sum(signs * xp.sum(force, axis=-1), axis=-1) / xp.where(moves, stiff, 1.0)
    change = xp.where(moves, change, 0.0)
    price = force + (signs * change[:, None])[..., None] * unit
    return scale * ((solved[..., 1:] @ price[..., None])[..., 0] - solved[..., 0]), change


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
    centring = xp.where(state.length > FULL, CENTRING, 5.0 * CENTRING)
    target = (centring * gap / count)[:, None, None] * present
    step, change = _direction(state, slack, target)
    sound = xp.all(xp.isfinite(step), axis=(-2, -1)) & xp.isfinite(change) & ~state.broken
    step, change = xp.where(sound[:, None, None], step, 0.0), xp.where(sound, change, 0.0)
    turn = target / slack - state.multiplier * (1.0 + step / slack) * present
    length = 0.99 / xp.clip(xp.max(-step / slack, axis=(-2, -1)), min=0.99)
    for _ in range(HALVINGS):
        point = state.point + length[:, None, None] * step
        inside = _inside(state, point)
        if xp.all(inside):
            break
        length = xp.where(inside, length, 0.5 * length)
    sound = sound & inside
    length = xp.where(sound, length, 0.0)
    dual = 0.99 / xp.clip(xp.max(-turn / state.multiplier * present, axis=(-2, -1)), min=0.99)
    following = state._replace(
        point=state.point + length[:, None, None] * step,
        share=state.share + length * change,
        multiplier=state.multiplier + dual[:, None, None] * turn * present,
        length=xp.minimum(length, dual),
        broken=~sound,
    )
    return following, ((gap <= state.last) & (state.length > FULL)) | ~sound


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
