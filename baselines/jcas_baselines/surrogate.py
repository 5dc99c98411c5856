r"""Convex step of the successive approximation: a concave minorant of the true-interference utility, maximised.

In units of a cell's budgets, with the interference plus noise of user j, affine in its band and the powers,

.. math:: I_j = d_j B + e_j + \sum_{k \in g,\, k \ne j} Y_{jk} p_k, \qquad y_j = I_j + S_j p_j, \qquad
          R_j = B \ln(y_j / I_j) = B \ln(y_j / B) + B \ln(B / I_j)

the first term is concave and the second convex, so that its tangent at the last point gives :math:`\hat R_j \le R_j`
with equality there. :math:`F = \sum_j a_j \hat R_j` or :math:`\sum_j a_j \ln \hat R_j`, less a linear price on the
powers, is maximised over both services of a cell, whose budgets are :math:`(1 - \beta, \beta)` with :math:`\beta`
given or free (spec multicell 4.5).

A log-barrier method does it. With :math:`v = (p, B)`, :math:`z_j = (B/y_j) \nabla y_j - \nabla B` and
:math:`-\nabla^2 \hat R_j = z_j z_j^T / B`, the Hessian is a sum of outer products; scaled by the slacks its barrier
part is the identity, so that it stays well conditioned near the floors.
"""

from __future__ import annotations

from typing import NamedTuple

from array_api_compat import array_namespace

from jcas_env.types import Array

from .solver import iterate

GAP = 1e-5
"""Barrier gap at the end, relative to the scale of the objective."""
START, GROWTH = 0.1, 30.0
"""First barrier gap, relative to the scale of the objective, and how much smaller the next ones are."""
PULL = 0.1
"""Share of the way to the middle of the feasible set by which the start is drawn inside."""
NEWTON_TOLERANCE = 1e-2
LIMIT = 150


class Air(NamedTuple):
    """What cells hear of their own, in units of their budgets; flattened batch (n, ...), padded seats and groups."""

    signal: Array
    """(n, 2, seats): S, the positioning factor included."""
    cross: Array
    """(n, seats, seats): Y, receiver first, within the group and without the own beam."""
    density: Array
    """(n, seats): d, noise and interference of the other cells in the whole band."""
    constant: Array
    """(n, seats): e, noise that does not depend on the band."""
    weight: Array
    """(n, 2, seats): a; 0 for users that do not count."""
    member: Array
    """(n, groups, seats): 1 where the user belongs to the group."""
    floor: Array
    """(n, 2, seats + groups): floors of p and B, with some slack."""
    logarithmic: Array
    """(n,) bool: form of the objective."""
    free: Array
    """(n,) bool: whether the positioning share is free."""


class Point(NamedTuple):
    """Allocation in units of the cell's budgets."""

    value: Array
    """(n, 2, seats + groups): v = (p, B)."""
    share: Array
    """(n,): positioning share."""


class _Iterate(NamedTuple):
    point: Array
    share: Array
    objective: Array
    logs: Array
    barrier: Array
    last: Array
    weight: Array
    price: Array
    """(n, 2, entries): linear price."""
    sum_slope: Array
    """(n, 2, seats, entries): gradient of y, and e in the next field."""
    constant: Array
    band: Array
    """(n, 1, seats, entries): gradient of B."""
    tangent: Array
    """(n, 2, seats, entries): gradient of the tangent, and its constant."""
    tangent_constant: Array
    floor: Array
    absent: Array
    """(n, 1, entries): 1 for padding."""
    budgets: Array
    """(n, 2, entries): 1 for existing users, then for existing groups."""
    logarithmic: Array
    free: Array


def interference_of(air: Air, value: Array) -> tuple[Array, Array, Array]:
    """Power and band of each user, and its interference plus noise, three arrays (n, 2, seats)."""
    seats = air.signal.shape[-1]
    power, band = value[..., :seats], value[..., seats:] @ air.member
    heard = air.density[..., None, :] * band + air.constant[..., None, :]
    return power, band, heard + power @ _transposed(air.cross)


def true_rates(air: Air, value: Array) -> Array:
    """R of both services, (n, 2, seats) in natural logarithms per unit of band; 0 for padding."""
    xp = array_namespace(value)
    power, band, level = interference_of(air, value)
    return band * xp.log1p(air.signal * power / xp.where(level > 0, level, 1.0))


def gradients(air: Air) -> tuple[Array, Array, Array]:
    """Gradients of I, of y (n, 1 or 2, seats, entries) and of B, with respect to v."""
    xp = array_namespace(air.signal)
    seats = air.signal.shape[-1]
    member = _transposed(air.member)
    level = xp.concat([air.cross, air.density[..., None] * member], axis=-1)[:, None]
    own = air.signal[..., None] * xp.eye(seats, dtype=member.dtype)
    summed = level + xp.concat([own, xp.zeros((*own.shape[:-1], member.shape[-1]), dtype=own.dtype)], axis=-1)
    band = xp.concat([xp.zeros_like(air.cross), member], axis=-1)[:, None]
    return level, summed, band


def tangent_of(air: Air, at: Array) -> tuple[Array, Array]:
    r"""Tangent of :math:`B \ln(B/I)` at a point: gradient (n, 2, seats, entries) and constant (n, 2, seats)."""
    xp = array_namespace(at)
    _, band, level = interference_of(air, at)
    there = (band > 0) & (level > 0)
    ratio = xp.where(there, band / xp.where(there, level, 1.0), 1.0)
    level_slope, _, band_slope = gradients(air)
    slope = -ratio[..., None] * level_slope + (xp.log(ratio) + 1.0)[..., None] * band_slope
    return slope, band * xp.log(ratio) - (slope @ at[..., None])[..., 0]


def maximise_surrogate(air: Air, at: Point, price: Array) -> Point:
    """Maximise the minorant that touches the utility at a point; ``price`` (n, seats) per unit of power.

    Batched; elements stop on their own. The start must satisfy the floors; it is drawn inside.
    """
    state, _, _ = iterate(_begin(air, at, price), _newton, limit=LIMIT)
    return Point(state.point, state.share)


def _begin(air: Air, at: Point, price: Array) -> _Iterate:
    xp = array_namespace(at.value)
    _, summed, band = gradients(air)
    tangent, constant = tangent_of(air, at.value)
    present = xp.sum(air.member, axis=-2)  # 1 for users that exist
    exists = xp.astype(xp.sum(air.member, axis=-1) > 0, present.dtype)
    none = xp.zeros_like
    budgets = xp.stack(
        [xp.concat([present, none(exists)], axis=-1), xp.concat([none(present), exists], axis=-1)], axis=1
    )
    absent = 1.0 - xp.sum(budgets, axis=1, keepdims=True)
    # The middle: what is left above the floors, in equal parts.
    shares = xp.stack([1.0 - at.share, at.share], axis=-1)[..., None]  # (n, 2, 1)
    count = xp.clip(xp.sum(budgets, axis=-1), min=1.0)[:, None, :]  # (n, 1, 2)
    room = shares - air.floor @ _transposed(budgets)  # (n, 2, 2)
    middle = air.floor + (room / count) @ budgets
    start = at.value + PULL * (middle - at.value)
    prices = xp.concat([price, none(exists)], axis=-1)[:, None, :] + 0.0 * start
    zero = 0.0 * at.share
    state = _Iterate(
        start, at.share, zero, zero, zero, zero, air.weight, prices, summed, air.constant[:, None, :], band, tangent,
        constant, air.floor, absent, budgets, air.logarithmic, air.free,
    )  # fmt: skip
    value, logs, inside = _merit(state, start)
    start = xp.where(inside[:, None, None], start, at.value + 1e-3 * (middle - at.value))
    value, logs, _ = _merit(state, start)
    scale = xp.where(air.logarithmic, xp.sum(air.weight, axis=(-2, -1)), xp.abs(value))
    scale = xp.where(scale > 0, scale, 1.0)
    inequalities = 2.0 * xp.clip(xp.sum(budgets, axis=(-2, -1)), min=1.0)
    return state._replace(
        point=start,
        objective=value,
        logs=logs,
        barrier=inequalities / (START * scale),
        last=inequalities / (GAP * scale),
    )


def _minorant(state: _Iterate, point: Array) -> tuple[Array, Array, Array]:
    r"""B and y of each user, and :math:`\hat R`, three arrays (n, 2, seats); 1, 1 and 0 for padding."""
    xp = array_namespace(point)
    column = point[..., None]
    band = (state.band @ column)[..., 0]
    here = band > 0
    summed = (state.sum_slope @ column)[..., 0] + state.constant
    good = here & (summed > 0)
    band, summed = xp.where(good, band, 1.0), xp.where(good, summed, 1.0)
    rate = band * xp.log(summed / band) + (state.tangent @ column)[..., 0] + state.tangent_constant
    return band, summed, xp.where(good, rate, 0.0)


def _merit(state: _Iterate, point: Array) -> tuple[Array, Array, Array]:
    """F and the sum of the logarithms of the slacks, and whether the point is in the domain, each (n,)."""
    xp = array_namespace(point)
    slack = point - state.floor + state.absent
    inside = xp.min(slack, axis=(-2, -1)) > 0
    slack = xp.where(slack > 0, slack, 1.0)
    _, _, rate = _minorant(state, point)
    counts = state.weight > 0
    inside = inside & ~xp.any(counts & (rate <= 0) & state.logarithmic[:, None, None], axis=(-2, -1))
    logarithm = xp.log(xp.where(counts & (rate > 0), rate, 1.0))
    value = state.weight * xp.where(state.logarithmic[:, None, None], logarithm, rate)
    objective = xp.sum(value, axis=(-2, -1)) - xp.sum(state.price * point, axis=(-2, -1))
    return objective, xp.sum(xp.log(slack), axis=(-2, -1)), inside


def _direction(state: _Iterate) -> tuple[Array, Array, Array]:
    """Newton direction of the point and of the share, and half the squared decrement."""
    xp = array_namespace(state.point)
    band, summed, rate = _minorant(state, state.point)
    slack = state.point - state.floor + state.absent
    present = 1.0 - state.absent
    logarithmic = state.logarithmic[:, None, None]
    rate = xp.where(logarithmic & (state.weight > 0), rate, 1.0)
    marginal = state.barrier[:, None, None] * state.weight / rate
    outer = (band / summed)[..., None] * state.sum_slope - state.band
    slope = outer + xp.log(summed / band)[..., None] * state.band + state.tangent
    gradient = state.barrier[:, None, None] * state.price - (marginal[..., None, :] @ slope)[..., 0, :]
    gradient = (slack * gradient - 1.0) * present
    scale = (slack * present)[..., None, :]
    rows = xp.sqrt(marginal / band)[..., None] * outer * scale
    hessian = _transposed(rows) @ rows + xp.eye(rows.shape[-1], dtype=rows.dtype)
    if xp.any(state.logarithmic):
        rows = xp.sqrt(xp.where(logarithmic, marginal / rate, 0.0))[..., None] * slope * scale
        hessian = hessian + _transposed(rows) @ rows
    ones = _transposed(state.budgets)[:, None] * slack[..., None]  # (n, 2, entries, 2)
    solved = xp.linalg.solve(hessian, xp.concat([gradient[..., None], ones], axis=-1))
    seen = _transposed(ones) @ solved  # (n, 2, 2, 3)
    signs = xp.asarray([-1.0, 1.0], dtype=slack.dtype)
    shares = xp.stack([1.0 - state.share, state.share], axis=-1)
    missing = shares[..., None] - xp.sum(state.point[..., None, :] * state.budgets[:, None], axis=-1)
    force = _solve_pair(seen[..., 1:], seen[..., 0] + missing)
    unit = _solve_pair(seen[..., 1:], xp.ones_like(missing))
    # The share follows where the services' prices meet.
    stiff = xp.sum(unit, axis=(-2, -1))
    change = -xp.sum(signs * xp.sum(force, axis=-1), axis=-1) / xp.where(stiff > 0, stiff, 1.0)
    change = xp.where(state.free & (stiff > 0), change, 0.0)
    multiplier = -(force + (signs * change[:, None])[..., None] * unit)
    scaled = -(solved[..., 0] + (solved[..., 1:] @ multiplier[..., None])[..., 0])
    decrement = -xp.sum(gradient * scaled, axis=(-2, -1)) / 2.0
    return slack * scaled, change, xp.clip(decrement, min=0.0)


def _newton(state: _Iterate) -> tuple[_Iterate, Array]:
    """One damped Newton step; the barrier parameter grows where its problem is solved."""
    xp = array_namespace(state.point)
    step, change, decrement = _direction(state)
    fall = xp.max(-step / (state.point - state.floor + state.absent), axis=(-2, -1))
    length = 0.99 / xp.clip(fall, min=0.99)
    merit = -state.barrier * state.objective - state.logs
    for _ in range(30):
        point = state.point + length[:, None, None] * step
        value, logs, inside = _merit(state, point)
        trial = -state.barrier * value - logs
        enough = inside & (trial <= merit - 0.1 * length * decrement + 1e-12 * xp.abs(merit))
        if xp.all(enough):
            break
        length = xp.where(enough, length, 0.5 * length)
    else:  # no progress within rounding: such elements stay where they are
        length = xp.where(enough, length, 0.0)
        point = state.point + length[:, None, None] * step
        value, logs, _ = _merit(state, point)
    solved = (decrement <= NEWTON_TOLERANCE) | (length == 0)
    done = solved & (state.barrier >= state.last)
    following = xp.minimum(GROWTH * state.barrier, xp.maximum(state.last, state.barrier))
    barrier = xp.where(solved & ~done, following, state.barrier)
    share = state.share + length * change
    return state._replace(point=point, share=share, objective=value, logs=logs, barrier=barrier), done


def _solve_pair(matrix: Array, right: Array) -> Array:
    """Solve symmetric 2 x 2 systems (..., 2, 2), (..., 2); zero where the matrix is (no users)."""
    xp = array_namespace(matrix)
    a, b, c = matrix[..., 0, 0], matrix[..., 0, 1], matrix[..., 1, 1]
    determinant = a * c - b * b
    safe = xp.where(determinant > 0, determinant, 1.0)
    first = (c * right[..., 0] - b * right[..., 1]) / safe
    second = (a * right[..., 1] - b * right[..., 0]) / safe
    return xp.where((determinant > 0)[..., None], xp.stack([first, second], axis=-1), 0.0)


def _transposed(matrix: Array) -> Array:
    return array_namespace(matrix).matrix_transpose(matrix)
