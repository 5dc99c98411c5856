"""From fractional to whole subcarriers on the mesh, keeping every rate floor (spec mesh 3.6)."""

from __future__ import annotations

from math import inf
from typing import NamedTuple

import numpy as np
from array_api_compat import array_namespace, device

from jcas_env.scenarios.mesh import CountModel, MeshAllocation, MeshProblem
from jcas_env.scenarios.mesh.subcarriers import assigned_counts, comb_placement
from jcas_env.tree import take
from jcas_env.types import Array

from .counts import Frontier, best_level, unsorted

SHARES = 41
"""Shares around the relaxed optimum at which counts are rounded."""
REACH = (4.0, 1.0)
"""How far below and above the optimum they go, in parts U/N of the time for data: rounding up costs every user up to a
subcarrier, so the share must rather fall."""
HALVINGS = 16
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
    total, shape = model.subcarriers, share.shape
    index = xp.reshape(xp.broadcast_to(xp.arange(shape[0], device=device(share))[:, None], shape), (-1,))
    high = xp.reshape(best_level(take(frontier, index), model, xp.reshape(share, (-1,))).value, shape)
    slope, rate = 1.0 / frontier.information[:, None, :], frontier.rate[:, None, :]
    floor = frontier.floor[:, None, None] / (1.0 - share[..., None])
    base = xp.maximum(xp.ceil(floor / rate * (1.0 - 1e-12)), float(least))

    def at(level: Array) -> Array:
        return xp.maximum(base, xp.ceil(level[..., None] * slope - 1e-9))

    def fits(counts: Array) -> Array:
        return xp.sum(counts, axis=-1) <= total

    # Rounding up costs at most a subcarrier a user, so the level falls by about U/N.
    low = high * max(1.0 - 4.0 * rate.shape[-1] / total, 0.0)
    low = xp.where(fits(at(low)), low, 0.0)
    low = xp.where(fits(at(high)), high, low)
    for _ in range(HALVINGS):
        level = 0.5 * (low + high)
        enough = fits(at(level))
        low, high = xp.where(enough, level, low), xp.where(enough, high, level)
    counts = at(low)
    return counts, fits(counts)


def best_share(model: CountModel, weight: Array, floor: Array, positioning: Array, rate: Array) -> Array:
    r"""Best share for whole counts; beta_lo where no share keeps the floors. All (...,), ``rate`` (..., users).

    For fixed counts the ``sum`` is affine in the share, so the optimum is beta_lo or the last share that keeps the
    floors, :math:`1 - R^*/\min_u R_u`; the logarithms have theirs at mu, clipped to that range. Rates in any unit,
    in which ``floor`` is R*.
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
    total = model.subcarriers
    limit = 1.0 - frontier.floor * frontier.rest[:, 0] / total
    step = xp.linspace(-REACH[0], REACH[1], SHARES, dtype=share.dtype, device=device(share))
    shares = share[:, None] + ((1.0 - share) * frontier.rate.shape[-1] / total)[:, None] * step
    shares = xp.concat([shares, xp.full_like(shares[:, :1], model.share_min)], axis=-1)
    shares = xp.maximum(xp.minimum(shares, limit[:, None] * (1.0 - 1e-9)), model.share_min)
    shares = xp.minimum(shares, 1.0 - 1e-9)
    counts, fits = _counts_at(frontier, model, shares, least=least)
    needed = needed_counts(frontier, model)[:, None, :]
    counts = xp.concat([counts, needed], axis=1)
    fits = xp.concat([fits, xp.sum(needed, axis=-1) <= total], axis=1)
    counts = xp.where(fits[..., None], counts, 0.0)
    counts = counts + xp.where(frontier.leader[:, None, :], (total - xp.sum(counts, axis=-1))[..., None], 0.0)
    rate = frontier.rate[:, None, :] * counts  # in units of R_ref
    positioning = xp.min(frontier.information[:, None, :] * counts, axis=-1)
    weight, floor = frontier.weight[:, None], frontier.floor[:, None]
    shares = best_share(model, weight, floor, positioning, rate)
    fits = fits & ((1.0 - shares) * xp.min(rate, axis=-1) >= floor * (1.0 - 1e-12))
    flat = model._replace(rate_scale=xp.ones_like(share), positioning_weight=frontier.weight)
    value = xp.where(fits, flat.value(positioning, xp.mean(rate, axis=-1), shares), -inf)
    row, chosen = xp.arange(share.shape[0], device=device(share)), xp.argmax(value, axis=-1)
    return Rounded(unsorted(frontier, counts[row, chosen]), shares[row, chosen], xp.any(fits, axis=-1))


def needed_counts(frontier: Frontier, model: CountModel) -> Array:
    """Fewest whole subcarriers with which the sorted users have their floors at the least share, (n, users)."""
    xp = array_namespace(frontier.rate)
    return xp.ceil(frontier.floor[:, None] / ((1.0 - model.share_min) * frontier.rate) * (1.0 - 1e-12))


def as_allocation(problem: MeshProblem, counts: Array, share: Array, lost: Array) -> MeshAllocation:
    """Combs of whole counts (n, users) in the problem's batch shape; NaN and unassigned where ``lost`` (n,)."""
    xp = array_namespace(counts)
    assignment = comb_placement(xp.where(lost[:, None], 0.0, counts), total=problem.subcarriers)
    return MeshAllocation(
        xp.reshape(xp.where(lost[:, None], xp.nan, counts), (*problem.batch, problem.users)),
        xp.reshape(assignment, (*problem.batch, problem.subcarriers)),
        xp.reshape(xp.where(lost, xp.nan, share), problem.batch),
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
        if not scores[best] > score[0] + 1e-12:
            return assignment, float(score[0])
        assignment, score = neighbours[best], scores[best : best + 1]


def _scores(problem: MeshProblem, assignment: np.ndarray) -> np.ndarray:
    """Objective at the best share of assignments, (candidates, subcarriers) -> (candidates,); -inf without floors."""
    model = problem.count_model
    counts = assigned_counts(assignment, users=problem.users).astype(float)
    allocation = MeshAllocation(counts, assignment, np.zeros(len(assignment)))
    positioning, rate = problem.performance(allocation)
    share = best_share(
        model, model.positioning_weight, model.rate_floor / model.rate_scale, positioning, rate / model.rate_scale
    )
    kept = (1.0 - share) * rate.min(axis=-1) >= model.rate_floor * (1.0 - 1e-12)
    return np.where(kept, model.value(positioning, rate.mean(axis=-1), share), -inf)


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
