"""From fractional to whole subcarriers on the mesh, keeping every rate floor (spec mesh 3.6)."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import NamedTuple

import numpy as np
from array_api_compat import array_namespace, device

from jcas_env.scenarios.mesh import CountModel, MeshAllocation, MeshProblem
from jcas_env.scenarios.mesh.subcarriers import assigned_counts, comb_placement
from jcas_env.tree import take
from jcas_env.types import Array

from .counts import Frontier, best_level, unsorted

SHARE_GRID = 41
"""Shares around the relaxed optimum at which counts are rounded."""
REACH = (4.0, 1.0)
"""How far below and above the optimum they go, in parts U/N of the time for data: rounding up costs every user up to a
subcarrier, so the share must rather fall."""
DOWN = 1.0 - 1e-12
"""Factor of a floor that still counts as kept: rounding alone must not cost a subcarrier or an assignment."""
FLOOR_HALVINGS = 16
"""Bisections of the positioning level: to far below what one subcarrier changes."""
SMALL_BAND = 64
"""Bands of at most this many subcarriers are worth a local search over single subcarriers."""


class Rounded(NamedTuple):
    """Whole counts for instances (n,), and the share that suits them."""

    counts: Array
    """(n, users)"""
    share: Array
    """(n,)"""
    kept: Array
    """(n,) bool: whether every rate floor holds; else no whole counts keep them, for every user needs a number of
    subcarriers of its own at the least share, and together they have too few."""


def _counts_at(frontier: Frontier, model: CountModel, share: Array, *, least: int) -> tuple[Array, Array]:
    """Whole counts (n, shares, users) of the sorted users at shares (n, shares), and whether they fit into the band.

    Rate rows are rounded up; the positioning level is as high as the rest of the band allows, but not above the relaxed
    one: where that stops short of the whole band, more level does not pay.
    """
    xp = array_namespace(share)
    shape = share.shape
    index = xp.reshape(xp.broadcast_to(xp.arange(shape[0], device=device(share))[:, None], shape), (-1,))
    relaxed = xp.reshape(best_level(take(frontier, index), model, xp.reshape(share, (-1,))).value, shape)
    slope, rate = 1.0 / frontier.information[:, None, :], frontier.rate[:, None, :]
    floor = frontier.floor[:, None, None] / (1.0 - share[..., None])
    base = xp.maximum(xp.ceil(floor / rate * DOWN), float(least))

    def at(level: Array) -> Array:
        # A level that a whole count reaches up to rounding needs no further subcarrier.
        return xp.maximum(base, xp.ceil(level[..., None] * slope - 1e-9))

    def fits(counts: Array) -> Array:
        return xp.sum(counts, axis=-1) <= model.subcarriers

    # Rounding up costs at most a subcarrier a user, so the level falls by about U/N; four times that brackets it.
    low = relaxed * max(1.0 - 4.0 * rate.shape[-1] / model.subcarriers, 0.0)
    low = xp.where(fits(at(low)), low, 0.0)
    counts = at(_highest_level(lambda level: fits(at(level)), low, relaxed))
    return counts, fits(counts)


def _highest_level(fits: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """Largest level between two, by bisection, whose counts fit; ``low`` where even its own do not."""
    low = array_namespace(low).where(fits(high), high, low)
    for _ in range(FLOOR_HALVINGS):
        level = 0.5 * (low + high)
        enough = fits(level)
        low, high = (array_namespace(low).where(enough, *pair) for pair in ((level, low), (high, level)))
    return low


def best_share(model: CountModel, weight: Array, floor: Array, positioning: Array, rate: Array) -> Array:
    r"""Best share for whole counts, (...,); beta_lo where no share keeps the floors (spec mesh 3.6).

    For fixed counts the ``sum`` is affine in the share, so the optimum is beta_lo or the last share that keeps the
    floors, :math:`1 - R^*/\min_u R_u`; the logarithms have theirs at mu, clipped to that range. Rates in any unit,
    in which ``floor`` is R*; ``rate`` is (..., users), everything else (...,).
    """
    xp = array_namespace(rate)
    least = xp.min(rate, axis=-1)
    served = least > 0
    # One spacing below: near 1 the rounding of the share itself would cost more of a small floor than is allowed.
    last = xp.where(served, 1.0 - floor / xp.where(served, least, 1.0) - float(xp.finfo(rate.dtype).eps), -inf)
    last = xp.clip(last, max=1.0 - (model.share_min if model.objective == "log" else 0.0))
    if model.objective == "log":
        return xp.clip(xp.minimum(weight + xp.zeros_like(last), last), min=model.share_min)
    rises = weight * positioning > (1.0 - weight) * xp.mean(rate, axis=-1)
    return xp.where(rises, xp.clip(last, min=model.share_min), model.share_min)


def round_counts(frontier: Frontier, model: CountModel, share: Array, *, least: int) -> Rounded:
    """Whole counts near relaxed optima, whose shares are ``share`` (n,).

    For ``SHARES`` shares around each optimum the rate rows are rounded up, the positioning level is bisected, what is
    spare goes to the best rate; each of them then gets its own best share. The best one is kept. ``least``
    subcarriers are for positioning; where they would not leave enough for the floors, fewer do.
    """
    xp = array_namespace(share)
    counts, fits = _candidates(frontier, model, _shares_around(frontier, model, share), least=least)
    rate = frontier.rate[:, None, :] * counts  # in units of R_ref
    positioning = xp.min(frontier.information[:, None, :] * counts, axis=-1)
    weight, floor = frontier.weight[:, None], frontier.floor[:, None]
    shares = best_share(model, weight, floor, positioning, rate)
    fits = fits & ((1.0 - shares) * xp.min(rate, axis=-1) >= floor * DOWN)
    flat = model._replace(rate_scale=xp.ones_like(share), positioning_weight=frontier.weight)
    value = xp.where(fits, flat.value(positioning, xp.mean(rate, axis=-1), shares), -inf)
    row, chosen = xp.arange(share.shape[0], device=device(share)), xp.argmax(value, axis=-1)
    return Rounded(unsorted(frontier, counts[row, chosen]), shares[row, chosen], xp.any(fits, axis=-1))


def _shares_around(frontier: Frontier, model: CountModel, share: Array) -> Array:
    """Shares near the relaxed optima (n,), and the least one, kept where the floors can be met, (n, candidates)."""
    xp = array_namespace(share)
    total = model.subcarriers
    limit = 1.0 - frontier.floor * frontier.rest[:, 0] / total
    step = xp.linspace(-REACH[0], REACH[1], SHARE_GRID, dtype=share.dtype, device=device(share))
    shares = share[:, None] + ((1.0 - share) * frontier.rate.shape[-1] / total)[:, None] * step
    shares = xp.concat([shares, xp.full_like(shares[:, :1], model.share_min)], axis=-1)
    # Below the largest share and below 1, where rows of rates have no finite need.
    shares = xp.maximum(xp.minimum(shares, limit[:, None] * (1.0 - 1e-9)), model.share_min)
    return xp.minimum(shares, 1.0 - 1e-9)


def _candidates(frontier: Frontier, model: CountModel, shares: Array, *, least: int) -> tuple[Array, Array]:
    """Whole counts (n, candidates, users) that use the band, and whether they fit into it.

    One for each share, and one with nothing but the floors at the least share: if that does not fit nothing does.
    """
    xp = array_namespace(shares)
    counts, fits = _counts_at(frontier, model, shares, least=least)
    needed = needed_counts(frontier, model)[:, None, :]
    counts = xp.concat([counts, needed], axis=1)
    fits = xp.concat([fits, xp.sum(needed, axis=-1) <= model.subcarriers], axis=1)
    counts = xp.where(fits[..., None], counts, 0.0)
    spare = (model.subcarriers - xp.sum(counts, axis=-1))[..., None]
    return counts + xp.where(frontier.leader[:, None, :], spare, 0.0), fits


def needed_counts(frontier: Frontier, model: CountModel) -> Array:
    r"""Fewest whole subcarriers with which the sorted users have their floors at the least share, (n, users).

    :math:`\lceil R^* / ((1 - \beta_{lo}) r_u) \rceil`: if these do not fit into the band, no whole counts do.
    """
    xp = array_namespace(frontier.rate)
    return xp.ceil(frontier.floor[:, None] / ((1.0 - model.share_min) * frontier.rate) * DOWN)


def as_allocation(problem: MeshProblem, counts: Array, share: Array, lost: Array) -> MeshAllocation:
    """Combs of whole counts (n, users) in the problem's batch shape; unassigned where ``lost`` (n,)."""
    xp = array_namespace(counts)
    assignment = comb_placement(xp.where(lost[:, None], 0.0, counts), total=problem.subcarriers)
    return MeshAllocation(
        xp.reshape(counts, (*problem.batch, problem.users)),
        xp.reshape(assignment, (*problem.batch, problem.subcarriers)),
        xp.reshape(share, problem.batch),
    )


def polish(problem: MeshProblem, assignment: np.ndarray) -> tuple[np.ndarray, float]:
    """Local search over the owners of single subcarriers, with the share that suits each assignment.

    Tries to give any subcarrier to any other user and to swap the owners of any two, takes the best, and repeats
    while the objective rises. One instance, NumPy; ``assignment`` (subcarriers,). Returns the
    assignment and its objective, -inf where the floors cannot be kept.
    """
    score = _scores(problem, assignment[None, :])
    while True:
        neighbours = _neighbours(assignment, problem.users)
        scores = _scores(problem, neighbours)
        best = int(np.argmax(scores))
        # Rises that rounding explains could go round in circles.
        if not scores[best] > score[0] + 1e-12:
            return assignment, float(score[0])
        assignment, score = neighbours[best], scores[best : best + 1]


def _scores(problem: MeshProblem, assignment: np.ndarray) -> np.ndarray:
    """Objective at the best share of assignments, (candidates, subcarriers) -> (candidates,); -inf without floors."""
    model = problem.count_model
    positioning, rate, share = performance_at_best_share(problem, assignment)
    kept = (1.0 - share) * rate.min(axis=-1) >= model.rate_floor * DOWN
    return np.where(kept, model.value(positioning, rate.mean(axis=-1), share), -inf)


def performance_at_best_share(
    problem: MeshProblem, assignment: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """P (...,), rates (..., users) [bit/s] and best share (...,) of assignments (..., subcarriers) of one instance."""
    model = problem.count_model
    counts = assigned_counts(assignment, users=problem.users).astype(float)
    positioning, rate = problem.performance(MeshAllocation(counts, assignment, np.zeros(assignment.shape[:-1])))
    floor, scale = model.rate_floor / model.rate_scale, model.rate_scale
    return positioning, rate, best_share(model, model.positioning_weight, floor, positioning, rate / scale)


def _neighbours(assignment: np.ndarray, users: int) -> np.ndarray:
    """All assignments that differ by one owner or by a swap of two, (candidates, subcarriers)."""
    size = len(assignment)
    place, owner = (grid.ravel() for grid in np.meshgrid(np.arange(size), np.arange(users), indexing="ij"))
    moved = np.repeat(assignment[None, :], len(place), axis=0)
    moved[np.arange(len(place)), place] = owner
    first, second = np.triu_indices(size, 1)
    swapped = np.repeat(assignment[None, :], len(first), axis=0)
    row = np.arange(len(first))
    swapped[row, first], swapped[row, second] = assignment[second], assignment[first]
    return np.concatenate([moved, swapped])
