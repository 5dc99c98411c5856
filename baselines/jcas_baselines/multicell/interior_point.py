r"""Batched interior-point method for the per-hertz form of the relaxed problem.

With the rate :math:`R_u = b_{g(u)} \ln(1 + c_u p_u / b_{g(u)})`, the perspective of a logarithm and so jointly
concave,

.. math:: \max_{p, b} F = \sum_u a_u R_u \quad\text{or}\quad F = \sum_u a_u \ln R_u \quad\text{s.t.}\quad
          \mathbf 1^T p = \mathbf 1^T b = 1,\; p \ge \underline p,\; b \ge \underline b

The log-barrier function (:mod:`.barrier`) is minimised by damped Newton steps while its parameter grows, elements of a
batch side by side (spec multicell 4.7).
"""

from __future__ import annotations

from math import log
from typing import NamedTuple

from array_api_compat import array_namespace

from jcas_env.batching import rows, unrows
from jcas_env.physics.membership import Groups
from jcas_env.scenarios.multicell import RelaxedAllocation, RelaxedProblem
from jcas_env.types import Array, Status

from ..engines.iterate import iterate
from .barrier import BarrierState, Step, merit, newton_direction
from .duality import BudgetPrices, Form, perspective_prices
from .relaxed_solver import RelaxedResult, floors_of

GAP = 1e-6
"""Duality gap at the end, relative to the objective (to the sum of the weights for logarithms)."""
START, GROWTH = 10.0, 100.0
"""First barrier parameter, times the inverse of the objective's scale, and its growth."""
NEWTON_TOLERANCE = 1e-2
"""Half the squared Newton decrement at which a barrier problem counts as solved; in the objective it is this much
over the barrier parameter, against ``inequalities`` over the barrier parameter of the gap."""
LIMIT, HALVINGS = 200, 30
"""Most Newton steps in all, and most lengths that are tried for one."""
SLACK = 1e-7
"""Least slack that the floors are given, so that an interior exists; undone in the answer."""


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
    groups = relaxed.groups
    floors = floors_of(relaxed, groups)
    batch = relaxed.coefficient.shape[:-1]
    totals = [xp.sum(floor, axis=-1, keepdims=True) for floor in floors]
    # Floors that fill their budget leave no interior: the method sees them a little lower.
    inner = [
        floor * xp.clip(total, max=1.0 - SLACK) / xp.where(total > 0, total, 1.0)
        for floor, total in zip(floors, totals, strict=True)
    ]
    begin = _begin(relaxed, groups, inner, form, gap)
    state, iterations, converged = (unrows(part, batch) for part in iterate(begin, _newton, limit=LIMIT))
    chosen = []  # the same shares of the slack, above the floors as they are
    for value, tight, floor, total in zip(
        (state.power, state.band), (state.power_floor, state.band_floor), floors, totals, strict=True
    ):
        part = (value - tight) / xp.clip(xp.sum(value - tight, axis=-1, keepdims=True), min=1e-300)
        chosen.append(floor + xp.clip(1.0 - total, min=0.0) * part)
    allocation = RelaxedAllocation(chosen[0], groups.spread(chosen[1]))
    value, bound, prices = perspective_prices(
        relaxed, groups, floors, allocation, barrier=state.barrier, form=form, least=least
    )
    status = xp.where(converged, int(Status.OPTIMAL), int(Status.ITERATION_LIMIT))
    return PerspectiveResult(allocation, value, bound, prices, status, iterations)


def _begin(relaxed: RelaxedProblem, groups: Groups, inner: list[Array], form: Form, gap: float) -> BarrierState:
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
    unset = BarrierState(
        power=power,
        band=band,
        value=nothing,
        logs=nothing,
        barrier=nothing,
        last=nothing,
        weight=weight,
        coefficient=relaxed.coefficient * present,
        power_floor=inner[0],
        band_floor=inner[1],
        member=xp.astype(groups.member, dtype),
        absent=1.0 - present,
        missing=1.0 - exists,
        logarithmic=xp.full_like(nothing, form == "log", dtype=xp.bool),
        nobody=1.0 - xp.max(present, axis=-1),
    )

    state = rows(unset, batch)
    value, logs, _ = merit(state, state.power, state.band)
    scale = value if form == "rate" else xp.sum(state.weight, axis=-1)
    scale = xp.where(scale > 0, scale, 1.0)
    inequalities = xp.reshape(groups.users + groups.count, scale.shape)
    return state._replace(value=value, logs=logs, barrier=START / scale, last=inequalities / (gap * scale))


def _newton(state: BarrierState) -> tuple[BarrierState, Array]:
    """One damped Newton step; the barrier parameter grows where its problem is solved."""
    step = newton_direction(state)
    following = _line_search(state, step)
    solved = step.decrement <= NEWTON_TOLERANCE
    done = solved & (state.barrier >= state.last)
    barrier = array_namespace(solved).where(solved & ~done, GROWTH * state.barrier, state.barrier)
    return following._replace(barrier=barrier), done


def _line_search(state: BarrierState, step: Step) -> BarrierState:
    """Halve the step until the barrier function falls by a tenth of what its slope promises (Armijo)."""
    xp = array_namespace(state.power)
    length = _boundary(state, step)
    before = -state.barrier * state.value - state.logs
    for _ in range(HALVINGS):
        power = state.power + length[:, None] * step.power
        band = state.band + length[:, None] * step.band
        value, logs, inside = merit(state, power, band)
        trial = -state.barrier * value - logs
        # Near the optimum the fall is below the rounding of the barrier function, which must not stop the method.
        enough = inside & (trial <= before - 0.1 * length * step.decrement + 1e-12 * xp.abs(before))
        if xp.all(enough):
            break
        length = xp.where(enough, length, 0.5 * length)
    return state._replace(power=power, band=band, value=value, logs=logs)


def _boundary(state: BarrierState, step: Step) -> Array:
    """Longest step, at most 1, that keeps one percent of every slack, (batch,)."""
    xp = array_namespace(state.power)
    fall = xp.max(-step.power / (state.power - state.power_floor + state.absent), axis=-1)
    fall = xp.maximum(fall, xp.max(-step.band / (state.band - state.band_floor + state.missing), axis=-1))
    return 0.99 / xp.clip(fall, min=0.99)
