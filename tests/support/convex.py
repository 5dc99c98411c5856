"""What the library solves in parts as one convex program in CVXPY."""

from __future__ import annotations

import numpy as np
from jcas_baselines.multicell.convex_relaxed import weighted_rates
from jcas_baselines.multicell.duality import Form

from jcas_env import RelaxedProblem


def shared_optimum(
    services: list[RelaxedProblem], factors: list[float], form: Form, low: list[float], high: list[float]
) -> tuple[float, np.ndarray]:
    r"""Both services of one cell and their shares in one convex program: what :class:`.GBD` decomposes.

    In units of the cell's budgets, where the per-hertz coefficients do not depend on the share,

    .. math:: \max_{\beta, P, B} \sum_s \omega_s F_s(P^s, B^s) \quad\text{s.t.}\quad
              \mathbf 1^T P^O = \beta_P,\; \mathbf 1^T B^O = \beta_B,\; \mathbf 1^T P^C = 1 - \beta_P, \dots

    Parameters
    ----------
    services : list of RelaxedProblem
        Communication and positioning, floors in units of the cell's budgets. Unbatched, every user present.
    factors : list of float
        :math:`\omega_s`.
    low, high : list of float
        Interval of the share; one entry: one share for power and band, two: one each.

    Returns
    -------
    value, share
        In natural logarithms; share as ``low``.
    """
    import cvxpy as cp

    share = cp.Variable(len(low))
    constraints, earned = [share >= np.asarray(low), share <= np.asarray(high)], 0
    for service, (relaxed, factor) in enumerate(zip(services, factors, strict=True)):
        labels, index = np.unique(relaxed.group, return_inverse=True)
        power, band = cp.Variable(relaxed.coefficient.shape[-1]), cp.Variable(len(labels))
        part = share if service else 1 - share
        constraints += [cp.sum(power) == part[0], cp.sum(band) == part[len(low) - 1]]
        constraints += [power >= float(relaxed.power_floor), band >= float(relaxed.band_floor)]
        earned += factor * weighted_rates(relaxed, power, band[index], form)
    program = cp.Problem(cp.Maximize(earned), constraints)
    program.solve(solver="CLARABEL")
    return float(program.value), np.asarray(share.value)
