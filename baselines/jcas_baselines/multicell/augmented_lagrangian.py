r"""Augmented Lagrangian of the relaxed problem (luo2023 eq. 36-40): state, primal updates, multiplier step, measures.

In normalised units, with a simplex for the powers of a service and one for the bands of its groups; see
:class:`jcas_baselines.ADMM` for the iteration.
"""

from __future__ import annotations

from math import inf, log
from typing import NamedTuple

from array_api_compat import array_namespace, device

from jcas_env.batching import rows
from jcas_env.physics.membership import Groups
from jcas_env.physics.rates import spectral_efficiency
from jcas_env.physics.water_filling import penalised_waterfill
from jcas_env.scenarios.multicell import RelaxedAllocation, RelaxedProblem
from jcas_env.types import Array, rounding

from .relaxed_solver import floors_of


class AugmentedState(NamedTuple):
    """Iterates and data of a flattened batch: (batch, users), (batch, groups) or (batch,)."""

    power: Array
    band: Array
    power_multiplier: Array
    band_multiplier: Array
    objective: Array
    weight: Array
    coefficient: Array
    power_floor: Array
    band_floor: Array
    member: Array


def first_state(relaxed: RelaxedProblem, groups: Groups, start: RelaxedAllocation | None) -> AugmentedState:
    """Flattened batch at a starting point, power and bandwidth (..., users); None: p = 1/N, b = 1/G."""
    xp = array_namespace(relaxed.coefficient)
    floors = floors_of(relaxed, groups)
    batch = relaxed.coefficient.shape[:-1]
    if start is None:
        here = xp.astype(relaxed.present, relaxed.coefficient.dtype)
        power = here / xp.clip(groups.users, min=1.0)[..., None]
        band = xp.astype(groups.size > 0, here.dtype) / xp.clip(groups.count, min=1.0)[..., None]
    else:
        power = start.power
        band = groups.total(start.bandwidth) / xp.clip(groups.size, min=1.0)
    zero = xp.zeros(batch, dtype=power.dtype, device=device(power))
    weight = xp.where(relaxed.present, relaxed.weight, 0.0)
    coefficient = xp.where(relaxed.present, relaxed.coefficient, 0.0)
    state = AugmentedState(
        power=power,
        band=band,
        power_multiplier=zero,
        band_multiplier=zero,
        objective=xp.sum(weight * groups.spread(band) * spectral_efficiency(coefficient * power), axis=-1),
        weight=weight,
        coefficient=coefficient,
        power_floor=floors.power,
        band_floor=floors.band,
        member=groups.member,
    )
    return rows(state, batch)


def multiplier_step(
    state: AugmentedState,
    power: Array,
    band: Array,
    *,
    penalty: float,
    tolerance: float,
    residual_tolerance: float,
) -> tuple[AugmentedState, Array]:
    """Multiplier step after the primal updates, and whether the run has converged (luo2023 eq. 39, 40).

    ``power`` (batch, users) and ``band`` (batch, groups) -> the next state, and (batch,) bool.
    """
    xp = array_namespace(state.power)
    objective = xp.sum(band * group_value(state, power), axis=-1)
    power_residual = xp.sum(power, axis=-1) - 1.0
    band_residual = xp.sum(band, axis=-1) - 1.0
    done = (
        (xp.abs(objective - state.objective) <= tolerance)
        & (xp.abs(power_residual) <= residual_tolerance)
        & (xp.abs(band_residual) <= residual_tolerance)
    )
    following = state._replace(
        power=power,
        band=band,
        power_multiplier=state.power_multiplier + penalty * power_residual,
        band_multiplier=state.band_multiplier + penalty * band_residual,
        objective=objective,
    )
    return following, done | ~earns(state)


def earns(state: AugmentedState) -> Array:
    """Elements (batch,) in which anything can be earned; in the others every feasible point is as good as any."""
    xp = array_namespace(state.power)
    return xp.any((state.weight > 0) & (state.coefficient > 0), axis=-1)


def group_value(state: AugmentedState, power: Array) -> Array:
    r"""Objective per unit of band, :math:`q_g = \sum_{u \in g} a_u \log_2(1 + c_u p_u)`, (batch, groups)."""
    xp = array_namespace(power)
    value = state.weight * spectral_efficiency(state.coefficient * power)
    return (xp.astype(state.member, power.dtype) @ value[..., None])[..., 0]


def closed_form_update(state: AugmentedState, penalty: float) -> tuple[Array, Array]:
    """Power step, then band step, of :class:`ADMM` in closed form: (batch, users) and (batch, groups)."""
    xp = array_namespace(state.power)
    width = (state.band[..., None, :] @ xp.astype(state.member, state.band.dtype))[..., 0, :]
    power = penalised_waterfill(
        state.weight * width,
        state.coefficient,
        state.power_floor,
        multiplier=state.power_multiplier,
        penalty=penalty,
    )
    value = xp.where(xp.any(state.member, axis=-1), group_value(state, power), -inf)
    floors = xp.sum(state.band_floor, axis=-1, keepdims=True)
    floor = xp.max(state.band_floor, axis=-1, keepdims=True)
    best = xp.max(value, axis=-1, keepdims=True)
    gain = 1.0 + (best - state.band_multiplier[..., None]) / penalty - (floors - floor)
    label = xp.arange(value.shape[-1], device=device(value))
    winner = label == xp.argmax(value, axis=-1, keepdims=True)
    return power, xp.where(winner, xp.maximum(floor, gain), state.band_floor)


def onto_simplex(value: Array, floor: Array, parts: Array) -> tuple[Array, Array]:
    """Scale the slack above the floors so that the sum is one.

    ``value``, ``floor``, ``parts`` (batch, n) -> the point (batch, n), and whether all entries stood on their
    floors although there was room above, (batch,); then the room is split in proportion to ``parts``, and the run
    has failed (spec multicell 4.4). Where the floors fill the budget there is no room, and the point is the floors.
    """
    xp = array_namespace(value)
    slack = value - floor
    total = xp.sum(slack, axis=-1, keepdims=True)
    room = xp.clip(1.0 - xp.sum(floor, axis=-1, keepdims=True), min=0.0)
    flat = total <= 0
    even = parts / xp.clip(xp.sum(parts, axis=-1, keepdims=True), min=1.0)
    part = xp.where(flat, even, slack / xp.where(flat, 1.0, total))
    return floor + room * part, (flat & (room > rounding(room)))[..., 0]


def stationarity(relaxed: RelaxedProblem, groups: Groups, allocation: RelaxedAllocation) -> Array:
    r"""First-order gain that the feasible set still offers, relative to the objective, (...,); 0 at a KKT point.

    With the gradients :math:`m_u = \partial f / \partial p_u` and :math:`q_g = \partial f / \partial b_g`,

    .. math:: \max_{p', b'} \nabla f^T (p' - p, b' - b)
              = \sum_u (\max m - m_u)(p_u - \underline p) + \sum_g (\max q - q_g)(b_g - \underline b)
    """
    xp = array_namespace(relaxed.coefficient)
    power, width = allocation
    floors = floors_of(relaxed, groups)
    weight = xp.where(relaxed.present, relaxed.weight, 0.0)
    coefficient = xp.where(relaxed.present, relaxed.coefficient, 0.0)
    efficiency = weight * spectral_efficiency(coefficient * power)
    marginal = weight * width * coefficient / ((1.0 + coefficient * power) * log(2.0))
    band = groups.total(width) / xp.clip(groups.size, min=1.0)
    gain = 0.0
    for value, floor, slope in ((power, floors.power, marginal), (band, floors.band, groups.total(efficiency))):
        gain = gain + xp.sum((xp.max(slope, axis=-1, keepdims=True) - slope) * (value - floor), axis=-1)
    objective = xp.sum(width * efficiency, axis=-1)
    return gain / xp.where(objective > 0, objective, 1.0)
