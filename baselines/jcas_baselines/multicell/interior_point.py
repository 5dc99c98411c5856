r"""Batched interior-point method for the per-hertz form of the relaxed problem.

With the rate :math:`R_u = b_{g(u)} \ln(1 + c_u p_u / b_{g(u)})`, the perspective of a logarithm and so jointly
concave,

.. math:: \max_{p, b} F = \sum_u a_u R_u \quad\text{or}\quad F = \sum_u a_u \ln R_u \quad\text{s.t.}\quad
          \mathbf 1^T p = \mathbf 1^T b = 1,\; p \ge \underline p,\; b \ge \underline b

The log-barrier function :math:`-tF - \sum \ln(p - \underline p) - \sum \ln(b - \underline b)` has a Hessian in
which every power meets one band only. Eliminating the powers leaves a diagonal system in the bands and a 2 x 2
system in the multipliers of the two equalities: a Newton step is a handful of vector operations. With
:math:`r = cp/b`, :math:`L = \ln(1+r)`, the gradient :math:`R_p = c/(1+r)`, :math:`R_b = L - r/(1+r)`, the marginal
value m = a or a/R, :math:`A = tm/(b(1+r)^2)`, W = 0 or tm/R, and the barrier curvature
:math:`q = (p - \underline p)^{-2}`,

.. math:: D_u = A c^2 + W R_p^2 + q, \qquad E_u = W R_p R_b - A c r, \qquad
          S_g = (b - \underline b)^{-2} + \sum_{u \in g} \frac{A W c^2 L^2 + q (A r^2 + W R_b^2)}{D_u}

are the Hessian's power diagonal, its coupling, and the Schur complement, written without cancellation (spec
multicell 4.7).
"""

from __future__ import annotations

from math import log
from typing import NamedTuple

from array_api_compat import array_namespace

from jcas_env.scenarios.multicell import RelaxedAllocation, RelaxedProblem
from jcas_env.types import Array, Status

from ..engines.iterate import iterate
from .duality import BudgetPrices, Form, perspective_prices
from .relaxed_solver import Groups, RelaxedResult, canonical_groups, floors_of

GAP = 1e-6
"""Duality gap at the end, relative to the objective (to the sum of the weights for logarithms)."""
START, GROWTH = 10.0, 100.0
"""First barrier parameter, times the inverse of the objective's scale, and its growth."""
NEWTON_TOLERANCE = 1e-2
"""Half the squared Newton decrement at which a barrier problem counts as solved; in the objective it is this much
over the barrier parameter, against ``inequalities`` over the barrier parameter of the gap."""
LIMIT = 200
"""Most Newton steps in all."""
SLACK = 1e-7
"""Least slack that the floors are given, so that an interior exists; undone in the answer."""


class _Iterate(NamedTuple):
    """Flattened batch: users on the last axis of per-user arrays, groups of per-group ones."""

    power: Array
    band: Array
    value: Array
    """(batch,): F at this point, and the barrier's sum of logarithms in the next field."""
    logs: Array
    barrier: Array
    last: Array
    weight: Array
    coefficient: Array
    power_floor: Array
    band_floor: Array
    member: Array
    """(batch, groups, users): 1 where the user belongs to the group."""
    absent: Array
    """(batch, users) and (batch, groups): 1 for padding, which stands at power 0 with a slack of one."""
    missing: Array
    logarithmic: Array
    """(batch,) bool: form of the objective."""
    nobody: Array
    """(batch,): 1 where there is no user."""


class _Step(NamedTuple):
    power: Array
    band: Array
    decrement: Array


class PerspectiveResult(NamedTuple):
    """Optimum of a batch of per-hertz problems, with the multipliers that prove it."""

    allocation: RelaxedAllocation
    value: Array
    """(...,): F at the allocation, natural logarithms [-]."""
    bound: Array
    """(...,): certified upper bound on F [-]."""
    prices: BudgetPrices
    """Multipliers behind the bound."""
    status: Array
    iterations: Array


def maximise_perspective(relaxed: RelaxedProblem) -> RelaxedResult:
    """Solve a batch of per-hertz problems to a relative gap of ``GAP``, in bits: see :func:`solve_perspective`."""
    solved = solve_perspective(relaxed, "rate")
    gap = (solved.bound - solved.value) / log(2.0)
    bound = relaxed.objective(solved.allocation, "per_hertz") + gap
    return RelaxedResult(solved.allocation, bound, solved.status, solved.iterations, {"gap": gap})


def solve_perspective(
    relaxed: RelaxedProblem, form: Form, *, gap: float = GAP, least: Array | float = 0.0
) -> PerspectiveResult:
    """Solve a batch of per-hertz problems to a relative gap, with a certificate.

    Elements stop on their own. Where floors leave no slack, the only feasible point is returned. Elements
    whose floors do not fit get a meaningless point, which the caller replaces. Users that cannot be heard
    (``c = 0``) stay near their floors. ``least`` floors the rates in the logarithms of value and bound, not in the
    method: see :func:`.duality.perspective_prices`.
    """
    xp = array_namespace(relaxed.coefficient)
    groups = canonical_groups(relaxed)
    floors = floors_of(relaxed, groups)
    batch = relaxed.coefficient.shape[:-1]
    totals = [xp.sum(floor, axis=-1, keepdims=True) for floor in floors]
    inner = [
        floor * xp.clip(total, max=1.0 - SLACK) / xp.where(total > 0, total, 1.0)
        for floor, total in zip(floors, totals, strict=True)
    ]
    begin = _begin(relaxed, groups, inner, form, gap)
    state, iterations, converged = iterate(begin, _newton, limit=LIMIT)
    chosen = []
    for value, tight, floor, total in zip(
        (state.power, state.band), (state.power_floor, state.band_floor), floors, totals, strict=True
    ):
        part = (value - tight) / xp.clip(xp.sum(value - tight, axis=-1, keepdims=True), min=1e-300)
        chosen.append(floor + xp.clip(1.0 - total, min=0.0) * xp.reshape(part, (*batch, part.shape[-1])))
    allocation = RelaxedAllocation(chosen[0], groups.spread(chosen[1]))
    barrier = xp.reshape(state.barrier, batch)
    value, bound, prices = perspective_prices(
        relaxed, groups, floors, allocation, barrier=barrier, form=form, least=least
    )
    status = xp.where(converged, int(Status.OPTIMAL), int(Status.ITERATION_LIMIT))
    return PerspectiveResult(allocation, value, bound, prices, xp.reshape(status, batch), xp.reshape(iterations, batch))


def _begin(relaxed: RelaxedProblem, groups: Groups, inner: list[Array], form: Form, gap: float) -> _Iterate:
    """In the middle between the floors and the equal point; strictly inside."""
    xp = array_namespace(relaxed.coefficient)
    batch, dtype = relaxed.coefficient.shape[:-1], relaxed.coefficient.dtype
    present, exists = xp.astype(relaxed.present, dtype), xp.astype(groups.size > 0, dtype)
    weight = relaxed.weight * present
    weight = weight if form == "rate" else xp.where(relaxed.coefficient > 0, weight, 0.0)
    power = inner[0] + (1.0 - xp.sum(inner[0], axis=-1, keepdims=True)) * (
        present / xp.clip(groups.users, min=1.0)[..., None]
    )
    band = inner[1] + (1.0 - xp.sum(inner[1], axis=-1, keepdims=True)) * (
        exists / xp.clip(groups.count, min=1.0)[..., None]
    )
    nothing = xp.zeros_like(relaxed.coefficient[..., 0])
    parts = [power, band, nothing, nothing, nothing, nothing, weight, relaxed.coefficient * present, *inner]
    parts += [
        xp.astype(groups.member, dtype),
        1.0 - present,
        1.0 - exists,
        xp.full_like(nothing, form == "log", dtype=xp.bool),
        1.0 - xp.max(present, axis=-1),
    ]

    def flat(value: Array) -> Array:
        rest = value.shape[len(batch) :]
        return xp.reshape(xp.broadcast_to(value, (*batch, *rest)), (-1, *rest))

    state = _Iterate(*(flat(value) for value in parts))
    value, logs, _ = _merit(state, state.power, state.band)
    scale = value if form == "rate" else xp.sum(state.weight, axis=-1)
    scale = xp.where(scale > 0, scale, 1.0)
    inequalities = xp.reshape(groups.users + groups.count, scale.shape)
    return state._replace(value=value, logs=logs, barrier=START / scale, last=inequalities / (gap * scale))


def _group_total(state: _Iterate, value: Array) -> Array:
    return (state.member @ value[..., None])[..., 0]


def _per_user(state: _Iterate, band: Array) -> Array:
    """Band of each user's group; one for absent users."""
    return (band[..., None, :] @ state.member)[..., 0, :] + state.absent


def _merit(state: _Iterate, power: Array, band: Array) -> tuple[Array, Array, Array]:
    """F, sum of the logarithms of the slacks, and whether the point is inside, each (batch,)."""
    xp = array_namespace(power)
    power_slack, band_slack = power - state.power_floor + state.absent, band - state.band_floor + state.missing
    inside = (xp.min(power_slack, axis=-1) > 0) & (xp.min(band_slack, axis=-1) > 0)
    if not xp.all(inside):
        safe = inside[:, None]
        power, band = xp.where(safe, power, state.power), xp.where(safe, band, state.band)
        power_slack, band_slack = xp.where(safe, power_slack, 1.0), xp.where(safe, band_slack, 1.0)
    width = _per_user(state, band)
    rate = width * xp.log1p(state.coefficient * power / width)
    logarithm = xp.log(xp.where(state.weight * rate > 0, rate, 1.0))
    value = xp.sum(state.weight * xp.where(state.logarithmic[:, None], logarithm, rate), axis=-1)
    return value, xp.sum(xp.log(power_slack), axis=-1) + xp.sum(xp.log(band_slack), axis=-1), inside


def _direction(state: _Iterate) -> _Step:
    """Newton direction that keeps both sums, and half the squared decrement."""
    xp = array_namespace(state.power)
    c, present = state.coefficient, 1.0 - state.absent
    b = _per_user(state, state.band)
    ratio = c * state.power / b
    heard = 1.0 + ratio
    logarithm = xp.log1p(ratio)
    barrier, band_barrier = (
        present / (state.power - state.power_floor + state.absent),
        1.0 / (state.band - state.band_floor + state.missing),
    )
    marginal = state.barrier[:, None] * state.weight
    rate = xp.where(state.logarithmic[:, None] & (marginal > 0), b * logarithm, 1.0)
    marginal = marginal / rate
    slope, width_slope = c / heard, logarithm - ratio / heard
    curvature = marginal / (b * heard**2)
    bend = xp.where(state.logarithmic[:, None], marginal / rate, 0.0)
    q = barrier**2
    inverse = present / (curvature * c**2 + bend * slope**2 + q + state.absent)  # 1/D
    coupling = (bend * slope * width_slope - curvature * c * ratio) * inverse  # E/D
    gradient = -(marginal * slope + barrier)
    band_gradient = -_group_total(state, marginal * width_slope) - band_barrier
    schur_user = curvature * bend * (c * logarithm) ** 2 + q * (curvature * ratio**2 + bend * width_slope**2)
    inverse_schur = (1.0 - state.missing) / (band_barrier**2 + _group_total(state, schur_user * inverse))

    def total(value: Array) -> Array:
        return xp.sum(value, axis=-1, keepdims=True)

    # S db = (E/D)' g_p - g_b - nu_2 + nu_1 (E/D)' 1. With the coupling centred at its S^-1-weighted mean, the
    # multiplier of sum(b) drops out, and no difference of nearly equal numbers is left in the other. The sums
    # are steered back to one, against the drift of rounding.
    weight = inverse_schur / xp.clip(total(inverse_schur), min=1e-300)
    tie = _group_total(state, coupling)
    mean = total(weight * tie)
    tie = tie - mean
    power_missing, band_missing = 1.0 - total(state.power), 1.0 - total(state.band)
    free = inverse_schur * (_group_total(state, coupling * gradient) - band_gradient)
    free = free - weight * (total(free) - band_missing)
    multiplier = -(total(inverse * gradient) + total(tie * free) + mean * band_missing + power_missing) / (
        total(inverse) + total(inverse_schur * tie**2) + state.nobody[:, None]
    )
    band = free + inverse_schur * tie * multiplier
    power = -inverse * (gradient + multiplier) - coupling * (_per_user(state, band) - state.absent)
    change = xp.sum(gradient * power, axis=-1) + xp.sum(band_gradient * (1.0 - state.missing) * band, axis=-1)
    return _Step(power, band, xp.clip(-change, min=0.0) / 2.0)


def _newton(state: _Iterate) -> tuple[_Iterate, Array]:
    """One damped Newton step; the barrier parameter grows where its problem is solved."""
    xp = array_namespace(state.power)
    step = _direction(state)
    length = _boundary(state, step)
    merit = -state.barrier * state.value - state.logs
    for _ in range(30):
        power = state.power + length[:, None] * step.power
        band = state.band + length[:, None] * step.band
        value, logs, inside = _merit(state, power, band)
        trial = -state.barrier * value - logs
        enough = inside & (trial <= merit - 0.1 * length * step.decrement + 1e-12 * xp.abs(merit))
        if xp.all(enough):
            break
        length = xp.where(enough, length, 0.5 * length)
    solved = step.decrement <= NEWTON_TOLERANCE
    done = solved & (state.barrier >= state.last)
    barrier = xp.where(solved & ~done, GROWTH * state.barrier, state.barrier)
    return state._replace(power=power, band=band, value=value, logs=logs, barrier=barrier), done


def _boundary(state: _Iterate, step: _Step) -> Array:
    """Longest step, at most 1, that keeps one percent of every slack, (batch,)."""
    xp = array_namespace(state.power)
    fall = xp.max(-step.power / (state.power - state.power_floor + state.absent), axis=-1)
    fall = xp.maximum(fall, xp.max(-step.band / (state.band - state.band_floor + state.missing), axis=-1))
    return 0.99 / xp.clip(fall, min=0.99)
