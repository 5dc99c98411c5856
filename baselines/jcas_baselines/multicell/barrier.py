r"""Log-barrier function of the per-hertz problem, and its Newton direction.

With the rate :math:`R_u = b_{g(u)} \ln(1 + c_u p_u / b_{g(u)})` and F the weighted sum of the rates or of their
logarithms, :math:`-tF - \sum \ln(p - \underline p) - \sum \ln(b - \underline b)` has a Hessian in which every power
meets one band only. Eliminating the powers leaves a diagonal system in the bands and a 2 x 2 system in the multipliers
of the two equalities: a Newton step is a handful of vector operations. With
:math:`r = cp/b`, :math:`L = \ln(1+r)`, the gradient :math:`R_p = c/(1+r)`, :math:`R_b = L - r/(1+r)`, the marginal
value m = a or a/R, :math:`A = tm/(b(1+r)^2)`, W = 0 or tm/R, and the barrier curvature
:math:`q = (p - \underline p)^{-2}`,

.. math:: D_u = A c^2 + W R_p^2 + q, \qquad E_u = W R_p R_b - A c r, \qquad
          S_g = (b - \underline b)^{-2} + \sum_{u \in g} \frac{A W c^2 L^2 + q (A r^2 + W R_b^2)}{D_u}

are the Hessian's power diagonal, its coupling, and the Schur complement, written without cancellation (spec
multicell 4.7).
"""

from __future__ import annotations

from typing import NamedTuple

from array_api_compat import array_namespace

from jcas_env.types import Array


class BarrierState(NamedTuple):
    """Flattened batch: users on the last axis of per-user arrays, groups of per-group ones."""

    power: Array
    band: Array
    value: Array
    """(batch,): F at this point."""
    logs: Array
    """(batch,): sum of the logarithms of the slacks."""
    barrier: Array
    """(batch,): barrier parameter t."""
    last: Array
    """(batch,): barrier parameter at which the gap is small enough."""
    weight: Array
    coefficient: Array
    power_floor: Array
    band_floor: Array
    member: Array
    """(batch, groups, users): 1 where the user belongs to the group."""
    absent: Array
    """(batch, users): 1 for padding, which stands at power 0 with a slack of one."""
    missing: Array
    """(batch, groups): the same of groups."""
    logarithmic: Array
    """(batch,) bool: form of the objective."""
    nobody: Array
    """(batch,): 1 where there is no user."""


class _Blocks(NamedTuple):
    """Gradient of the barrier function, and its Hessian as the elimination of the powers needs it."""

    gradient: Array
    """(batch, users): by the powers."""
    band_gradient: Array
    """(batch, groups): by the bands."""
    inverse: Array
    """(batch, users): 1/D; 0 for padding."""
    coupling: Array
    """(batch, users): E/D."""
    inverse_schur: Array
    """(batch, groups): 1/S; 0 for padding."""


class Step(NamedTuple):
    """Newton direction of power (batch, users) and band (batch, groups)."""

    power: Array
    band: Array
    decrement: Array
    """(batch,): half the squared Newton decrement."""


def _group_total(state: BarrierState, value: Array) -> Array:
    return (state.member @ value[..., None])[..., 0]


def _per_user(state: BarrierState, band: Array) -> Array:
    """Band of each user's group; one for absent users."""
    return (band[..., None, :] @ state.member)[..., 0, :] + state.absent


def merit(state: BarrierState, power: Array, band: Array) -> tuple[Array, Array, Array]:
    """F, sum of the logarithms of the slacks, and whether the point is inside, each (batch,)."""
    xp = array_namespace(power)
    power_slack, band_slack = power - state.power_floor + state.absent, band - state.band_floor + state.missing
    inside = (xp.min(power_slack, axis=-1) > 0) & (xp.min(band_slack, axis=-1) > 0)
    if not xp.all(inside):  # outside there are no logarithms: such an element is computed where it stands
        safe = inside[:, None]
        power, band = xp.where(safe, power, state.power), xp.where(safe, band, state.band)
        power_slack, band_slack = xp.where(safe, power_slack, 1.0), xp.where(safe, band_slack, 1.0)
    width = _per_user(state, band)
    rate = width * xp.log1p(state.coefficient * power / width)
    logarithm = xp.log(xp.where(state.weight * rate > 0, rate, 1.0))
    value = xp.sum(state.weight * xp.where(state.logarithmic[:, None], logarithm, rate), axis=-1)
    return value, xp.sum(xp.log(power_slack), axis=-1) + xp.sum(xp.log(band_slack), axis=-1), inside


def _marginal_values(state: BarrierState, rate: Array) -> tuple[Array, Array]:
    """Marginal value tm of a rate (batch, users), and W, how fast it falls with the rate; 0 for weighted rates."""
    xp = array_namespace(rate)
    logarithmic = state.logarithmic[:, None]
    marginal = state.barrier[:, None] * state.weight
    rate = xp.where(logarithmic & (marginal > 0), rate, 1.0)  # who has no weight may have no rate
    marginal = marginal / rate
    return marginal, xp.where(logarithmic, marginal / rate, 0.0)


def _hessian_blocks(state: BarrierState) -> _Blocks:
    """Derivatives of the barrier function at a point, in the terms of the module's docstring."""
    c, present = state.coefficient, 1.0 - state.absent
    b = _per_user(state, state.band)
    ratio = c * state.power / b  # r
    heard = 1.0 + ratio
    logarithm = array_namespace(b).log1p(ratio)  # L
    marginal, bend = _marginal_values(state, b * logarithm)  # tm, W
    slope, width_slope = c / heard, logarithm - ratio / heard  # R_p, R_b
    curvature = marginal / (b * heard**2)  # A
    barrier = present / (state.power - state.power_floor + state.absent)
    band_barrier = 1.0 / (state.band - state.band_floor + state.missing)
    q = barrier**2

    inverse = present / (curvature * c**2 + bend * slope**2 + q + state.absent)
    coupling = (bend * slope * width_slope - curvature * c * ratio) * inverse
    schur_user = curvature * bend * (c * logarithm) ** 2 + q * (curvature * ratio**2 + bend * width_slope**2)
    schur = band_barrier**2 + _group_total(state, schur_user * inverse)
    return _Blocks(
        gradient=-(marginal * slope + barrier),
        band_gradient=-_group_total(state, marginal * width_slope) - band_barrier,
        inverse=inverse,
        coupling=coupling,
        inverse_schur=(1.0 - state.missing) / schur,
    )


def _eliminated(state: BarrierState, blocks: _Blocks) -> tuple[Array, Array]:
    r"""Solution of the Newton system under both sums: change of power (batch, users) and band (batch, groups).

    Without the powers, :math:`S\, db = (E/D)^T g_p - g_b - \nu_2 + \nu_1 (E/D)^T 1` in the multipliers of the sums of
    power and band. With the coupling centred at its :math:`S^{-1}`-weighted mean, :math:`\nu_2` drops out, and no
    difference of nearly equal numbers is left in :math:`\nu_1`.
    """
    xp = array_namespace(state.power)
    gradient, band_gradient, inverse, coupling, inverse_schur = blocks

    def total(value: Array) -> Array:
        return xp.sum(value, axis=-1, keepdims=True)

    # An element without groups has no weights: the bound keeps 0/0 away.
    weight = inverse_schur / xp.clip(total(inverse_schur), min=1e-300)
    tie = _group_total(state, coupling)
    mean = total(weight * tie)
    tie = tie - mean
    # The sums are steered back to one, against the drift of rounding.
    power_missing, band_missing = 1.0 - total(state.power), 1.0 - total(state.band)
    free = inverse_schur * (_group_total(state, coupling * gradient) - band_gradient)
    free = free - weight * (total(free) - band_missing)
    multiplier = -(total(inverse * gradient) + total(tie * free) + mean * band_missing + power_missing) / (
        total(inverse) + total(inverse_schur * tie**2) + state.nobody[:, None]
    )
    band = free + inverse_schur * tie * multiplier
    power = -inverse * (gradient + multiplier) - coupling * (_per_user(state, band) - state.absent)
    return power, band


def newton_direction(state: BarrierState) -> Step:
    """Newton direction that keeps both sums, and half the squared decrement."""
    xp = array_namespace(state.power)
    blocks = _hessian_blocks(state)
    power, band = _eliminated(state, blocks)
    exists = 1.0 - state.missing
    change = xp.sum(blocks.gradient * power, axis=-1) + xp.sum(blocks.band_gradient * exists * band, axis=-1)
    # The decrement is the fall along the direction; where rounding makes it rise, the problem is solved.
    return Step(power, band, xp.clip(-change, min=0.0) / 2.0)
