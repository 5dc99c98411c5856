"""luo2023 Algorithm 3 with its updates resolved."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf, log
from typing import Literal, NamedTuple

from array_api_compat import array_namespace, device

from jcas_env.physics.rates import spectral_efficiency
from jcas_env.physics.water_filling import penalised_waterfill
from jcas_env.scenarios.multicell import RelaxedAllocation, RelaxedProblem
from jcas_env.types import Array, Status, rounding

from .multicell.convex_relaxed import admm_update as convex_update
from .multicell.relaxed_solver import Groups, RelaxedResult, RelaxedSolver, canonical_groups, floors_of
from .solver import iterate, require_numpy


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


@dataclass(frozen=True)
class ADMM(RelaxedSolver):
    r"""Cyclic iteration on the augmented Lagrangian of the relaxed problem (luo2023 Algorithm 3, eq. 36-40).

    For each service, in normalised units with :math:`w_u = a_u b_{g(u)}`,

    .. math:: p &\leftarrow \max\big(\underline p,\, w_u/(t \ln 2) - 1/c_u\big), \quad
                  t = \lambda_p + \mu (\mathbf 1^T p - 1)\\
              q_g &= \sum_{u \in g} a_u \log_2(1 + c_u p_u), \quad b_g = \underline b \;(g \ne g^* = \arg\max q), \quad
                  b_{g^*} = \max\big(\underline b,\, 1 + (q_{g^*} - \lambda_b)/\mu - (G-1) \underline b\big)\\
              \lambda_p &\leftarrow \lambda_p + \mu(\mathbf 1^T p - 1), \qquad
                  \lambda_b \leftarrow \lambda_b + \mu(\mathbf 1^T b - 1)

    from p = 1/N, b = 1/G and zero multipliers, until the objective changes by at most ``tolerance`` and both
    residuals are at most ``residual_tolerance``. Then the slacks above the floors are scaled onto the simplex. The
    band jumps to a vertex in the first iteration and stays there, so the start decides which; a small penalty
    fails, and says so: ITERATION_LIMIT. A finished run is STATIONARY, as is any point of a service in which nothing can
    be earned; there is no bound (spec multicell 4.4, 5.21, 5.22, 6.2, 6.3). Works on the constant-noise form.
    ``details`` holds the ``primal_residual`` before the scaling, and the ``stationarity`` of the answer, the
    first-order gain that remains relative to the objective; of a multi-cell problem the worst over cells and services.
    """

    penalty: float = 10.0
    """mu, in normalised units [-]."""
    tolerance: float = 1e-3
    """Change of the objective at which to stop."""
    residual_tolerance: float = 1e-3
    """Primal residual of either simplex at which to stop."""
    max_iterations: int = 500
    """Most iterations."""
    backend: Literal["closed_form", "cvxpy"] = "closed_form"
    """Closed-form batched updates, or the convex programs as printed, solved one by one with CVXPY."""

    def __post_init__(self) -> None:
        for name in ("penalty", "tolerance", "residual_tolerance"):
            if not 0 < getattr(self, name) < inf:
                raise ValueError(f"`{name}` must be positive, got {getattr(self, name)!r}")
        if self.max_iterations < 1:
            raise ValueError(f"`max_iterations` must be at least 1, got {self.max_iterations!r}")
        if self.backend not in ("closed_form", "cvxpy"):
            raise ValueError(f"`backend` must be closed_form or cvxpy, got {self.backend!r}")

    def solve_relaxed(self, relaxed: RelaxedProblem, start: RelaxedAllocation | None = None) -> RelaxedResult:
        """Iterate a batch, each element until it has converged.

        ``start``: power and bandwidth (..., users) to begin with, instead of p = 1/N, b = 1/G.
        """
        require_numpy(self.backend, relaxed.coefficient)
        xp = array_namespace(relaxed.coefficient)
        batch = relaxed.coefficient.shape[:-1]
        groups = canonical_groups(relaxed)
        begin = self._begin(relaxed, groups, start)
        update = convex_update if self.backend == "cvxpy" else closed_form_update
        state, iterations, converged = iterate(
            begin, lambda state: self._step(state, *update(state, self.penalty)), limit=self.max_iterations
        )
        live = earns(state)
        residual = xp.maximum(xp.abs(xp.sum(state.power, axis=-1) - 1.0), xp.abs(xp.sum(state.band, axis=-1) - 1.0))
        users = xp.astype(xp.reshape(relaxed.present, state.power.shape), state.power.dtype)
        size = xp.reshape(groups.size, state.band.shape)
        residual = xp.where(live, residual, 0.0)
        power, power_flat = onto_simplex(state.power, state.power_floor, users)
        band, band_flat = onto_simplex(state.band, state.band_floor, size)
        good = converged & ~((power_flat | band_flat) & live)
        status = xp.where(good, int(Status.STATIONARY), int(Status.ITERATION_LIMIT))
        allocation = RelaxedAllocation(
            xp.reshape(power, relaxed.coefficient.shape), groups.spread(xp.reshape(band, groups.size.shape))
        )
        return RelaxedResult(
            allocation,
            xp.full(batch, inf, dtype=power.dtype, device=device(power)),
            xp.reshape(status, batch),
            xp.reshape(iterations, batch),
            {
                "primal_residual": xp.reshape(residual, batch),
                "stationarity": stationarity(relaxed, groups, allocation),
            },
        )

    @property
    def searcher(self) -> RelaxedSolver:
        """The closed form, to which the CVXPY backend agrees to the solver's accuracy."""
        return self if self.backend == "closed_form" else replace(self, backend="closed_form")

    @staticmethod
    def _begin(relaxed: RelaxedProblem, groups: Groups, start: RelaxedAllocation | None) -> AugmentedState:
        xp = array_namespace(relaxed.coefficient)
        floors = floors_of(relaxed, groups)
        shape = relaxed.coefficient.shape
        if start is None:
            here = xp.astype(relaxed.present, relaxed.coefficient.dtype)
            power = here / xp.clip(groups.users, min=1.0)[..., None]
            band = xp.astype(groups.size > 0, here.dtype) / xp.clip(groups.count, min=1.0)[..., None]
        else:
            power = start.power
            band = groups.total(start.bandwidth) / xp.clip(groups.size, min=1.0)
        zero = xp.zeros(shape[:-1], dtype=power.dtype, device=device(power))
        weight = xp.where(relaxed.present, relaxed.weight, 0.0)
        coefficient = xp.where(relaxed.present, relaxed.coefficient, 0.0)

        def flat(value: Array) -> Array:
            rest = value.shape[len(shape) - 1 :]
            return xp.reshape(xp.broadcast_to(value, (*shape[:-1], *rest)), (-1, *rest))

        objective = xp.sum(weight * groups.spread(band) * spectral_efficiency(coefficient * power), axis=-1)
        parts = (
            power,
            band,
            zero,
            zero,
            objective,
            weight,
            coefficient,
            floors.power,
            floors.band,
            groups.member,
        )
        return AugmentedState(*(flat(part) for part in parts))

    def _step(self, state: AugmentedState, power: Array, band: Array) -> tuple[AugmentedState, Array]:
        """Multiplier step and stopping test after the primal updates (luo2023 eq. 39, 40)."""
        xp = array_namespace(state.power)
        objective = xp.sum(band * group_value(state, power), axis=-1)
        power_residual = xp.sum(power, axis=-1) - 1.0
        band_residual = xp.sum(band, axis=-1) - 1.0
        done = (
            (xp.abs(objective - state.objective) <= self.tolerance)
            & (xp.abs(power_residual) <= self.residual_tolerance)
            & (xp.abs(band_residual) <= self.residual_tolerance)
        )
        following = state._replace(
            power=power,
            band=band,
            power_multiplier=state.power_multiplier + self.penalty * power_residual,
            band_multiplier=state.band_multiplier + self.penalty * band_residual,
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
