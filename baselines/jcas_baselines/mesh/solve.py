"""Answers of ``GBD``, ``Exact`` and ``EqualAllocation`` to a :class:`MeshProblem` (lu2022, spec mesh 3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial, wraps
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device

from jcas_env.batching import rows, unrows
from jcas_env.checks import require
from jcas_env.scenarios.mesh import MeshAllocation, MeshProblem
from jcas_env.scenarios.mesh.subcarriers import proportional_counts
from jcas_env.types import Array, Status

from ..engines.benders import Decomposition
from ..solver import Solution, in_double_precision
from .bins import solve_with_bins
from .counts import Frontier, frontier_of, unsorted
from .cuts import Cuts, decompose_counts, interval_of, without_unmet_floors
from .exact import exact_share
from .rounding import DOWN, SMALL_BAND, as_allocation, best_share, needed_counts, round_counts

BINS = 8
"""Bins of subcarriers in the cone programs."""


def _in_double_precision(solve: Callable[..., Solution]) -> Callable[..., Solution]:
    """Decorator: solve in double precision, and answer in the problem's own with a share that still keeps the floors.

    Near 1 single precision rounds a share up to where nothing is left for the data; it is rounded down instead.
    """

    @wraps(solve)
    def wide(problem: MeshProblem, **options: Any) -> Solution:
        """``solve`` in double precision."""
        xp, dtype = array_namespace(problem.distance), problem.distance.dtype
        if dtype != xp.float32:
            return solve(problem, **options)
        solution = in_double_precision(partial(solve, **options), problem, dtype)
        share = solution.allocation.positioning_share * (1.0 - float(xp.finfo(dtype).eps))
        share = xp.where(share < problem.share_min, problem.share_min, share)
        return replace(solution, allocation=solution.allocation._replace(positioning_share=share))

    return wide


@_in_double_precision
def solve_gbd(
    problem: MeshProblem, *, cuts: Cuts, bins: int | None, conic: bool, whole: bool, tolerance: float, limit: int
) -> Solution:
    """Benders over the share, on the count model in closed form or on bins; see :class:`.GBD` (lu2022 eq. 16-18).

    Cone programs where ``conic``, where the channel is selective and where the band is of at most ``SMALL_BAND``
    subcarriers, of which counts say too little. Raises ``ValueError`` for an option of the way that is not taken.
    """
    if conic or problem.selective or problem.subcarriers <= SMALL_BAND:
        require(whole, "`whole` = False is for frames solved in closed form, cone programs give whole subcarriers")
        return _by_bins(problem, bins=BINS if bins is None else bins, cuts=cuts, tolerance=tolerance, limit=limit)
    require(bins is None, f"`bins` = {bins} is for cone programs, this frame is solved in closed form")
    found, frontier, feasible = decompose_counts(problem.count_model, cuts=cuts, tolerance=tolerance, limit=limit)
    found = found._replace(status=_claimed(found.status, problem, cuts))
    return _assembled(problem, frontier, feasible, found, whole=whole)


def _claimed(status: Array, problem: MeshProblem, cuts: Cuts) -> Array:
    """A closed gap proves nothing where tangents were taken of a value that is not concave in the share."""
    xp = array_namespace(status)
    if cuts != "paper" or problem.objective != "sum":
        return status
    return xp.where(status == int(Status.OPTIMAL), int(Status.FEASIBLE), status)


@_in_double_precision
def solve_exact(problem: MeshProblem) -> Solution:
    """Count model in closed form (spec mesh 3.4).

    Raises ``ValueError`` for a frequency-selective channel, which it does not cover.
    """
    if problem.selective:
        raise ValueError("`snr` differs between subcarriers: Exact solves flat channels, GBD solves this one")
    interval = interval_of(problem.count_model)
    frontier = without_unmet_floors(frontier_of(problem.count_model), interval.feasible)
    best = exact_share(frontier, problem.count_model, interval)
    xp = array_namespace(best.value)
    status = xp.full_like(frontier.order[:, 0], int(Status.OPTIMAL))
    found = Decomposition(best.answer.share[:, None], best.answer, best.value, best.bound, xp.ones_like(status), status)
    return _assembled(problem, frontier, interval.feasible, found, whole=True)


def _assembled(
    problem: MeshProblem, frontier: Frontier, feasible: Array, found: Decomposition, *, whole: bool
) -> Solution:
    """Round the relaxed counts (n, sorted users) of all instances, and put everything into the problem's shape.

    Where no share keeps the floors nothing is known; where only whole counts do not, the relaxed figures stay.
    """
    xp = array_namespace(found.lower)
    model = problem.count_model
    share = xp.where(feasible, found.point[:, 0], problem.share_min)
    relaxed = unsorted(frontier, found.answer.counts)
    if whole:
        counts, rounded, kept = round_counts(frontier, model, share, least=problem.least_subcarriers)
        kept = feasible & kept
        allocation = as_allocation(problem, counts, rounded, ~kept)
    else:
        kept, allocation = feasible, unrows(MeshAllocation(relaxed, None, share), problem.batch)
    figures = {
        "positioning_share": share,
        "counts": relaxed,
        "floors_kept": kept,
        "relaxed_objective": found.lower,
        "subcarriers_needed": xp.sum(needed_counts(frontier_of(model), model), axis=-1),
    }
    of_band = {
        "relaxation": xp.full(problem.batch, not whole, device=device(relaxed)),
        "share_max": model.share_max,
        "rate_floor_max": model.rate_floor_max,
    }
    found = unrows(found._replace(answer=None), problem.batch)
    solution = Solution(
        allocation,
        found.lower,
        found.upper,
        found.status,
        found.cuts,
        {name: unrows(value, problem.batch) for name, value in figures.items()} | of_band,
    )
    unsolved = solution.struck(unrows(~feasible, problem.batch), "positioning_share", "counts", "relaxed_objective")
    return unsolved.struck(unrows(~kept, problem.batch))


def _by_bins(problem: MeshProblem, *, bins: int, cuts: Cuts, tolerance: float, limit: int) -> Solution:
    """Instances one after the other, in NumPy; the answer is in the problem's library."""
    options: dict[str, Any] = {"bins": bins, "cuts": cuts, "tolerance": tolerance, "limit": limit}
    solved = [solve_with_bins(one, **options) for one in _instances(problem)]

    xp = array_namespace(problem.distance)

    def gather(pick: Any, *rest: int) -> Array:
        values = np.reshape(np.stack([np.asarray(pick(one)) for one in solved]), (*problem.batch, *rest))
        return xp.asarray(values, device=device(problem.distance))

    return Solution(
        MeshAllocation(
            gather(lambda one: one.allocation.counts, problem.users),
            gather(lambda one: one.allocation.assignment, problem.subcarriers),
            gather(lambda one: one.allocation.positioning_share),
        ),
        gather(lambda one: one.found.lower[0]),
        gather(lambda one: one.found.upper[0]),
        _claimed(gather(lambda one: one.found.status[0]), problem, cuts),
        gather(lambda one: one.found.cuts[0]),
        {
            "positioning_share": gather(lambda one: one.found.point[0, 0]),
            "counts": gather(lambda one: one.found.answer.amount[0].sum(axis=-1), problem.users),
            "floors_kept": gather(lambda one: one.kept),
            "relaxed_objective": gather(lambda one: one.found.lower[0]),
            "shortfall": gather(lambda one: one.shortfall),
            "share_max": gather(lambda one: one.share_max),
            "programs_inaccurate": gather(lambda one: one.inaccurate),
            "programs_failed": gather(lambda one: one.failed),
            "rate_floor_max": problem.count_model.rate_floor_max,
        },
    ).struck(gather(lambda one: not one.kept))


def _instances(problem: MeshProblem) -> list[MeshProblem]:
    """Unbatched problems of a batch, in order."""
    wide = problem.snr.ndim - problem.distance.ndim + 1  # axes of the SNR of one instance: 2 where it is selective
    lanes = []
    for index in np.ndindex(problem.batch):
        lanes.append(
            replace(
                problem,
                distance=np.asarray(problem.distance)[index],
                aod=np.asarray(problem.aod)[index],
                aoa=np.asarray(problem.aoa)[index],
                snr=np.asarray(problem.snr).reshape(*problem.batch, *problem.snr.shape[-wide:])[index],
                rate_floor=float(np.asarray(problem.per_instance(problem.rate_floor))[index]),
                positioning_weight=float(np.asarray(problem.per_instance(problem.positioning_weight))[index]),
                reference_error=np.asarray(problem.error_scale)[index],
                reference_rate=np.asarray(problem.rate_scale)[index],
            )
        )
    return lanes


@_in_double_precision
def solve_equal(problem: MeshProblem) -> Solution:
    """Equal whole counts, and the share that suits them best (spec mesh 3.6); FEASIBLE, for it claims nothing.

    INFEASIBLE where equal counts keep the floors at no share; ``details["share_max"]`` says by how much.
    """
    xp = array_namespace(problem.distance)
    model = problem.count_model
    weight = xp.full_like(model.rate, 1.0 / problem.users)
    counts = proportional_counts(weight, total=problem.subcarriers, least=0)
    rate = counts * model.rate / model.rate_scale[..., None]
    positioning = xp.min(counts * model.information, axis=-1)
    floor = model.rate_floor / model.rate_scale
    share = best_share(model, model.positioning_weight, floor, positioning, rate)
    lost = (1.0 - share) * xp.min(rate, axis=-1) < floor * DOWN
    flat = (rows(part, problem.batch) for part in (counts, share, lost))
    value = model._replace(rate_scale=xp.ones_like(share)).value(positioning, xp.mean(rate, axis=-1), share)
    figures = {
        "positioning_share": share,
        "share_max": 1.0 - floor / xp.min(rate, axis=-1),
        "rate_floor_max": model.rate_floor_max,
    }
    return Solution.unproven(as_allocation(problem, *flat), value, figures).struck(lost, "positioning_share")
