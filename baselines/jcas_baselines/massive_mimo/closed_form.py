"""Exact optimum and equal allocations of the massive MIMO power allocation (nguyen2024 eq. 19), in closed form."""

from __future__ import annotations

from math import inf
from typing import Literal

from array_api_compat import array_namespace, device

from jcas_env.scenarios.massive_mimo import MassiveMIMOAllocation, MassiveMIMOProblem
from jcas_env.scenarios.massive_mimo.action import floor_powers, sinr_slope, split
from jcas_env.scenarios.massive_mimo.problem import REACH
from jcas_env.types import Array, Status

from ..solver import Solution, double_precision

Reading = Literal["equal-power", "equal-stream", "equal-full", "equal-half"]
"""Equal allocations: what the paper's two benchmarks may mean (spec mimo 3, 6.16)."""

GRID = 30
"""Points of the grid of sensing shares from 0.02 to 1, beside 0."""


def answer(
    problem: MassiveMIMOProblem,
    allocation: MassiveMIMOAllocation,
    *,
    status: Array | int,
    feasible: Array,
    optimal: bool = False,
    iterations: Array | None = None,
) -> Solution:
    """Solution, struck where not ``feasible``, (...,) bool.

    The objective is :func:`promised`, and its own bound if ``optimal``.

    ``details`` hold what the demand takes: ``feasible``, ``crb_min`` [rad^2], ``sufficient_power`` [W] and the
    allocation's own ``crb`` [rad^2].
    """
    xp = array_namespace(problem.large_scale_gain)
    objective = promised(problem, allocation)
    return Solution(
        allocation,
        objective,
        objective if optimal else xp.full_like(objective, inf),
        xp.where(feasible, status, int(Status.INFEASIBLE)),
        xp.zeros_like(feasible, dtype=xp.int64) if iterations is None else iterations,
        {
            "feasible": feasible,
            "crb_min": problem.crb_min,
            "sufficient_power": problem.sufficient_power,
            "crb": problem.crb(allocation),
        },
    ).struck(~feasible, "crb")


def promised(problem: MassiveMIMOProblem, allocation: MassiveMIMOAllocation) -> Array:
    """Utility of the rates of nguyen2024 Theorem 1, which takes pilots as orthonormal, (...,) [bit/s/Hz]."""
    stated = problem if problem.pilot_overlap is None else problem.changed(pilot_overlap=None)
    return stated.score(stated.rates(allocation))


def at_sensing_power(problem: MassiveMIMOProblem, sensing_power: Array) -> MassiveMIMOAllocation:
    """Full power S_max with a given sensing power T (...,) [W] and water-filled streams (spec mimo 3)."""
    total = problem.largest_total
    xp = array_namespace(total)
    # Of no power at all any share is nothing.
    return split(problem, sensing_power / xp.where(total > 0, total, xp.ones_like(total)))


def floor_power(problem: MassiveMIMOProblem) -> Array:
    """Least power of all streams per antenna that carries every user's rate floor at full power, (...,) [W]."""
    xp = array_namespace(problem.large_scale_gain)
    return xp.sum(floor_powers(problem, sinr_slope(problem, problem.largest_total)), axis=-1)


@double_precision("large_scale_gain")
def solve_exact_split(problem: MassiveMIMOProblem) -> Solution:
    r"""Global optimum of nguyen2024 eq. 19: full power, least sensing power, water-filling (spec mimo 3).

    Multiplying a feasible point by :math:`S_{max}/S > 1` raises every SINR and lowers the bound, so the optimum
    radiates everything. At fixed total the denominators are constant and the sensing beam only takes budget away: it
    gets the least power that meets the demand, the streams are water-filled on the rest. The same holds for a
    mispointed beam, weighted rates, rate floors and the least rate as objective. One sort of K numbers per frame,
    batched; OPTIMAL, and its own bound. Where rate floors are out of reach, ``details`` tell by ``stream_power_needed``
    and ``stream_power_left`` [W per antenna].
    """
    sensing = problem.least_sensing_power()
    allocation = at_sensing_power(problem, sensing)
    # Rate floors are compared with what the sensing beam leaves, up to the rounding of both.
    needed, left = floor_power(problem), problem.largest_total - sensing
    feasible = problem.feasible & (needed <= left * (1.0 + REACH))
    found = answer(problem, allocation, status=int(Status.OPTIMAL), feasible=feasible, optimal=True)
    found.details.update(stream_power_needed=needed, stream_power_left=left)
    return found


@double_precision("large_scale_gain")
def solve_equal_reading(problem: MassiveMIMOProblem, reading: Reading) -> Solution:
    r"""Benchmarks of nguyen2024 Sec. V, of which the paper gives one equation for two unknowns.

    ============ =====================================================================================
    equal-power  the optimum's own T, equal gamma: :math:`p_k \propto \xi_k`
    equal-stream the optimum's own T, equal p_k
    equal-full   :math:`\gamma_k = \eta_k = S_{max} / (\sum_k \xi_k + K)`; knows no demand
    equal-half   half of the power for the beam, :math:`p_k \propto \xi_k`; knows no demand
    ============ =====================================================================================

    FEASIBLE keeps the budget and claims nothing; INFEASIBLE where the first two find the demand out of reach
    (spec mimo 3).
    """
    xp = array_namespace(problem.large_scale_gain)
    total, variance = problem.largest_total, problem.estimate_variance
    everywhere = xp.ones(problem.batch, dtype=xp.bool, device=device(total))
    if reading == "equal-full":
        sensing = total * problem.users / (xp.sum(variance, axis=-1) + problem.users)
    elif reading == "equal-half":
        sensing = total / 2.0
    else:
        sensing, everywhere = problem.least_sensing_power(), problem.feasible
    part = xp.ones_like(variance) if reading == "equal-stream" else variance
    power = (total - sensing)[..., None] * part / xp.sum(part, axis=-1, keepdims=True)
    allocation = MassiveMIMOAllocation(power, sensing)
    return answer(problem, allocation, status=int(Status.FEASIBLE), feasible=everywhere)


def share_grid(like: Array) -> Array:
    """Grid of sensing shares: 0, and 30 points from .02 to 1, (31,)."""
    xp = array_namespace(like)
    points = xp.linspace(0.02, 1.0, GRID, dtype=like.dtype, device=device(like))
    return xp.concat([xp.zeros_like(points[:1]), points])
