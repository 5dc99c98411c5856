r"""Batched interior-point method for the per-hertz form of the relaxed problem.

.. math:: \max_{p, b} F = \sum_u a_u\, b_{g(u)} \ln\!\Big(1 + \frac{c_u p_u}{b_{g(u)}}\Big) \quad\text{s.t.}\quad
          \mathbf 1^T p = \mathbf 1^T b = 1,\; p \ge \underline p,\; b \ge \underline b

Each term is the perspective of a logarithm, so F is jointly concave. The log-barrier function
:math:`-tF - \sum \ln(p - \underline p) - \sum \ln(b - \underline b)` has a Hessian in which every power meets one
band only. Eliminating the powers leaves a diagonal system in the bands and a 2 x 2 system in the multipliers of
the two equalities: a Newton step is a handful of vector operations. With :math:`r = cp/b`,
:math:`A = ta/(b(1+r)^2)` and the barrier curvature :math:`q = (p - \underline p)^{-2}`,

.. math:: D_u = A c^2 + q, \qquad E_u = -A c r, \qquad
          S_g = (b - \underline b)^{-2} + \sum_{u \in g} \frac{A r^2 q}{A c^2 + q}

are the Hessian's power diagonal, its coupling, and the Schur complement, written without cancellation (spec
multicell 4.7).
"""

from __future__ import annotations

from math import log
from typing import NamedTuple

from array_api_compat import array_namespace

from jcas_env.scenarios.multicell import RelaxedAllocation, RelaxedProblem
from jcas_env.types import Array, Status

from .relaxed import RelaxedResult, canonical_groups, floors_of
from .solver import iterate

GAP = 1e-6
"""Duality gap at the end, relative to the objective."""
START, GROWTH = 10.0, 20.0
"""First barrier parameter, times the inverse of the objective's scale, and its growth."""
NEWTON_TOLERANCE = 1e-3
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
    barrier: Array
    last: Array
    weight: Array
    coefficient: Array
    power_floor: Array
    band_floor: Array
    member: Array
    present: Array
    exists: Array


class _Step(NamedTuple):
    power: Array
    band: Array
    decrement: Array


def maximise_perspective(relaxed: RelaxedProblem) -> RelaxedResult:
    """Solve a batch of per-hertz relaxed problems to a relative gap of ``GAP``.

    Elements stop on their own. Where floors leave no slack, the only feasible point is returned. Elements
    whose floors do not fit get a meaningless point, which the caller replaces.
    """
    xp = array_namespace(relaxed.coefficient)
    groups = canonical_groups(relaxed)
    floors = floors_of(relaxed, groups)
    batch = relaxed.coefficient.shape[:-1]
    present = xp.broadcast_to(relaxed.present, relaxed.coefficient.shape)
    exists = groups.size > 0
    power_total, band_total = xp.sum(floors.power, axis=-1), xp.sum(floors.band, axis=-1)
    inner = [
        floor * (xp.clip(total, max=1.0 - SLACK) / xp.where(total > 0, total, 1.0))[..., None]
        for floor, total in ((floors.power, power_total), (floors.band, band_total))
    ]
    equal_power = xp.astype(present, inner[0].dtype) / xp.clip(groups.users, min=1.0)[..., None]
    equal_band = xp.astype(exists, inner[1].dtype) / xp.clip(groups.count, min=1.0)[..., None]
    # In the middle between the floors and the equal point; strictly inside.
    start_power = inner[0] + (1.0 - xp.sum(inner[0], axis=-1, keepdims=True)) * equal_power
    start_band = inner[1] + (1.0 - xp.sum(inner[1], axis=-1, keepdims=True)) * equal_band
    scale = log(2.0) * relaxed.objective(RelaxedAllocation(start_power, groups.spread(start_band)), "per_hertz")
    scale = xp.where(scale > 0, scale, 1.0)
    inequalities = groups.users + groups.count

    def flat(value: Array) -> Array:
        rest = value.shape[len(batch) :]
        return xp.reshape(xp.broadcast_to(value, (*batch, *rest)), (-1, *rest))

    state = _Iterate(
        *(
            flat(value)
            for value in (
                start_power,
                start_band,
                START / scale,
                inequalities / (GAP * scale),
                relaxed.weight,
                relaxed.coefficient,
                inner[0],
                inner[1],
                groups.member,
                present,
                exists,
            )
        )
    )
    state, iterations, converged = iterate(state, _newton, limit=LIMIT)
    chosen = []
    for value, tight, floor, total in (
        (xp.reshape(state.power, start_power.shape), inner[0], floors.power, power_total),
        (xp.reshape(state.band, start_band.shape), inner[1], floors.band, band_total),
    ):
        part = (value - tight) / xp.sum(value - tight, axis=-1, keepdims=True)
        chosen.append(floor + xp.clip(1.0 - total, min=0.0)[..., None] * part)
    allocation = RelaxedAllocation(chosen[0], groups.spread(chosen[1]))
    gap = xp.reshape(xp.sum(xp.astype(state.present, chosen[0].dtype), axis=-1), batch) + groups.count
    gap = gap / (xp.reshape(state.barrier, batch) * log(2.0))
    status = xp.where(converged, int(Status.OPTIMAL), int(Status.ITERATION_LIMIT))
    return RelaxedResult(
        allocation,
        relaxed.objective(allocation, "per_hertz") + gap,
        xp.reshape(status, batch),
        xp.reshape(iterations, batch),
        {"gap": gap},
    )


def _group_total(state: _Iterate, value: Array) -> Array:
    xp = array_namespace(value)
    return (xp.astype(state.member, value.dtype) @ value[..., None])[..., 0]


def _per_user(state: _Iterate, band: Array) -> Array:
    xp = array_namespace(band)
    spread = (band[..., None, :] @ xp.astype(state.member, band.dtype))[..., 0, :]
    return xp.where(state.present, spread, xp.ones_like(spread))


def _merit(state: _Iterate, power: Array, band: Array) -> Array:
    """Barrier function, (batch,); +inf outside of the interior."""
    xp = array_namespace(power)
    width = _per_user(state, band)
    power_slack = xp.where(state.present, power - state.power_floor, 1.0)
    band_slack = xp.where(state.exists, band - state.band_floor, 1.0)
    inside = (xp.min(power_slack, axis=-1) > 0) & (xp.min(band_slack, axis=-1) > 0)
    safe = inside[..., None]
    snr = xp.where(safe, state.coefficient * power / xp.where(safe, width, 1.0), 0.0)
    value = xp.sum(state.weight * width * xp.log1p(snr), axis=-1)
    barrier = xp.sum(xp.log(xp.where(safe, power_slack, 1.0)), axis=-1) + xp.sum(
        xp.log(xp.where(safe, band_slack, 1.0)), axis=-1
    )
    return xp.where(inside, -state.barrier * value - barrier, xp.inf)


def _direction(state: _Iterate) -> _Step:
    """Newton direction that keeps both sums, and half the squared decrement."""
    xp = array_namespace(state.power)
    t = state.barrier[..., None]
    a, c = state.weight, state.coefficient
    b = _per_user(state, state.band)
    ratio = c * state.power / b
    slack = xp.where(state.present, state.power - state.power_floor, 1.0)
    band_slack = xp.where(state.exists, state.band - state.band_floor, 1.0)
    curvature = t * a / (b * (1.0 + ratio) ** 2)
    q = 1.0 / slack**2
    zero = xp.zeros_like(q)
    inverse = xp.where(state.present, 1.0 / (curvature * c**2 + q), zero)  # 1/D
    coupling = -curvature * c * ratio * inverse  # E/D
    gradient = -xp.where(state.present, t * a * c / (1.0 + ratio) + 1.0 / slack, zero)
    band_gradient = -_group_total(state, t * a * (xp.log1p(ratio) - ratio / (1.0 + ratio))) - 1.0 / band_slack
    schur = 1.0 / band_slack**2 + _group_total(state, curvature * ratio**2 * q * inverse)
    inverse_schur = xp.where(state.exists, 1.0 / schur, xp.zeros_like(schur))
    tie = _group_total(state, coupling)

    def total(value: Array) -> Array:
        return xp.sum(value, axis=-1, keepdims=True)

    # S db = (E/D)' g_p - g_b - nu_2 + nu_1 (E/D)' 1. With the coupling centred at its S^-1-weighted mean, the
    # multiplier of sum(b) drops out, and no difference of nearly equal numbers is left in the other. The sums
    # are steered back to one, against the drift of rounding.
    weight = inverse_schur / total(inverse_schur)
    tie = _group_total(state, coupling)
    mean = total(weight * tie)
    tie = tie - mean
    power_missing, band_missing = 1.0 - total(state.power), 1.0 - total(state.band)
    free = inverse_schur * (_group_total(state, coupling * gradient) - band_gradient)
    free = free - weight * (total(free) - band_missing)
    multiplier = -(total(inverse * gradient) + total(tie * free) + mean * band_missing + power_missing) / (
        total(inverse) + total(inverse_schur * tie**2)
    )
    band = free + inverse_schur * tie * multiplier
    power = -inverse * (gradient + multiplier) - coupling * xp.where(state.present, _per_user(state, band), zero)
    slope = xp.sum(gradient * power, axis=-1) + xp.sum(band_gradient * band, axis=-1)
    return _Step(power, band, xp.maximum(-slope, xp.zeros_like(slope)) / 2.0)


def _newton(state: _Iterate) -> tuple[_Iterate, Array]:
    """One damped Newton step; the barrier parameter grows where its problem is solved."""
    xp = array_namespace(state.power)
    step = _direction(state)
    length = _boundary(state, step)
    merit = _merit(state, state.power, state.band)
    for _ in range(30):
        trial = _merit(state, state.power + length[..., None] * step.power, state.band + length[..., None] * step.band)
        enough = trial <= merit - 0.1 * length * step.decrement + 1e-12 * xp.abs(merit)
        if xp.all(enough):
            break
        length = xp.where(enough, length, 0.5 * length)
    power = state.power + length[..., None] * step.power
    band = state.band + length[..., None] * step.band
    solved = step.decrement <= NEWTON_TOLERANCE
    done = solved & (state.barrier >= state.last)
    barrier = xp.where(solved & ~done, GROWTH * state.barrier, state.barrier)
    return state._replace(power=power, band=band, barrier=barrier), done


def _boundary(state: _Iterate, step: _Step) -> Array:
    """Longest step, at most 1, that keeps one percent of every slack, (batch,)."""
    xp = array_namespace(state.power)
    length = xp.ones_like(state.barrier)
    for value, floor, change in (
        (state.power, state.power_floor, step.power),
        (state.band, state.band_floor, step.band),
    ):
        falling = change < 0
        room = xp.where(falling, (floor - value) / xp.where(falling, change, 1.0), xp.inf)
        length = xp.minimum(length, 0.99 * xp.min(room, axis=-1))
    return length
