"""luo2023 Algorithm 3 with its updates resolved."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import Literal

from array_api_compat import array_namespace

from jcas_env.batching import unrows
from jcas_env.scenarios.multicell import RelaxedAllocation, RelaxedProblem
from jcas_env.types import Status

from .engines.iterate import iterate
from .multicell.augmented_lagrangian import (
    closed_form_update,
    earns,
    first_state,
    multiplier_step,
    onto_simplex,
    stationarity,
)
from .multicell.convex_relaxed import admm_update as convex_update
from .multicell.relaxed_solver import RelaxedResult, RelaxedSolver
from .solver import require_choice, require_count, require_numpy, require_positive


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
        require_positive(self, "penalty", "tolerance", "residual_tolerance")
        require_count("max_iterations", self.max_iterations)
        require_choice("backend", self.backend, "closed_form", "cvxpy")

    def solve_relaxed(self, relaxed: RelaxedProblem, start: RelaxedAllocation | None = None) -> RelaxedResult:
        """Iterate a batch, each element until it has converged.

        ``start``: power and bandwidth (..., users) to begin with, instead of p = 1/N, b = 1/G.
        """
        require_numpy(self.backend, relaxed.coefficient)
        xp = array_namespace(relaxed.coefficient)
        batch = relaxed.coefficient.shape[:-1]
        groups = relaxed.groups
        update = convex_update if self.backend == "cvxpy" else closed_form_update
        step = partial(
            multiplier_step,
            penalty=self.penalty,
            tolerance=self.tolerance,
            residual_tolerance=self.residual_tolerance,
        )
        begin = first_state(relaxed, groups, start)
        ended = iterate(begin, lambda state: step(state, *update(state, self.penalty)), limit=self.max_iterations)
        state, iterations, converged = (unrows(part, batch) for part in ended)
        live = earns(state)
        residual = xp.maximum(xp.abs(xp.sum(state.power, axis=-1) - 1.0), xp.abs(xp.sum(state.band, axis=-1) - 1.0))
        residual = xp.where(live, residual, 0.0)
        users = xp.astype(relaxed.present, state.power.dtype)
        power, power_flat = onto_simplex(state.power, state.power_floor, users)
        band, band_flat = onto_simplex(state.band, state.band_floor, groups.size)
        good = converged & ~((power_flat | band_flat) & live)
        status = xp.where(good, int(Status.STATIONARY), int(Status.ITERATION_LIMIT))
        allocation = RelaxedAllocation(power, groups.spread(band))
        figures = {"primal_residual": residual, "stationarity": stationarity(relaxed, groups, allocation)}
        return RelaxedResult(allocation, xp.full_like(residual, inf), status, iterations, figures)

    @property
    def searcher(self) -> RelaxedSolver:
        """The closed form, to which the CVXPY backend agrees to the solver's accuracy."""
        return self if self.backend == "closed_form" else replace(self, backend="closed_form")
