"""Whole subcarriers: from shares to counts, from counts to places in the band, and sums over what a user got."""

from __future__ import annotations

from array_api_compat import array_namespace, device

from ...types import Array


def largest_remainder(weight: Array, /, *, total: int, least: int) -> Array:
    r"""Whole counts that sum to ``total``, at least ``least`` each, the rest in proportion to weights.

    Quotas :math:`w_u (N - U n_\min)` are rounded down, and what is left goes one each to the largest remainders,
    ties to the lower index (spec mesh 6).

    Parameters
    ----------
    weight : Array, shape (..., users)
        Not negative, summing to one [-].
    total, least : int
        N and n_min, with ``total >= users * least``.

    Returns
    -------
    Array, shape (..., users)
        Whole numbers in the precision of ``weight``; their sum is N exactly.
    """
    xp = array_namespace(weight)
    quota = weight * (total - weight.shape[-1] * least)
    whole = xp.floor(quota * (1.0 + 4.0 * float(xp.finfo(weight.dtype).eps)))  # 3.9999... is 4 in disguise
    left = (total - weight.shape[-1] * least) - xp.sum(whole, axis=-1, keepdims=True)
    order = xp.argsort(quota - whole, axis=-1, descending=True, stable=True)
    rank = xp.argsort(order, axis=-1, stable=True)
    return least + whole + xp.astype(xp.astype(rank, weight.dtype) < left - 0.5, weight.dtype)


def comb_placement(counts: Array, /, *, total: int) -> Array:
    r"""Spread every user's subcarriers evenly over the band by stride scheduling.

    The keys :math:`(i + \tfrac12)/n_u`, :math:`i = 0 \dots n_u - 1`, of all users are sorted (stable, lower user
    first); the place in the sorted list is the subcarrier. What the counts leave over is placed like one more user,
    so that the combs span the band whatever is used (spec mesh 3.6).

    Parameters
    ----------
    counts : Array, shape (..., users)
        Whole numbers, summing to at most ``total``.
    total : int
        Number N of subcarriers.

    Returns
    -------
    Array, shape (..., total), int64
        User of each subcarrier; -1 where it is left over.
    """
    xp = array_namespace(counts)
    users = counts.shape[-1]
    counts = xp.astype(counts, xp.float64)  # equal keys of different users must be equal numbers
    spare = total - xp.sum(counts, axis=-1, keepdims=True)
    counts = xp.concat([counts, spare], axis=-1)
    end = xp.cumulative_sum(counts, axis=-1)
    place = xp.arange(total, dtype=xp.float64, device=device(counts))
    owner = xp.sum(xp.astype(end[..., :, None] <= place, xp.int64), axis=-2)
    start = xp.take_along_axis(end - counts, owner, axis=-1)
    key = (place - start + 0.5) / xp.take_along_axis(counts, owner, axis=-1)
    placed = xp.take_along_axis(owner, xp.argsort(key, axis=-1, stable=True), axis=-1)
    return xp.where(placed == users, -1, placed)


def assigned_counts(assignment: Array, /, *, users: int) -> Array:
    """Number of subcarriers of each user, (..., users) int64, from the user of each, (..., subcarriers)."""
    xp = array_namespace(assignment)
    user = xp.arange(users, dtype=assignment.dtype, device=device(assignment))
    return xp.sum(xp.astype(assignment[..., None, :] == user[:, None], xp.int64), axis=-1)


def sums_per_user(values: Array, assignment: Array, counts: Array, /) -> Array:
    """Sum values of subcarriers over those that each user has, without a (users, subcarriers) matrix of floats.

    Parameters
    ----------
    values : Array, shape (..., rows, subcarriers)
        Any number of rows to be summed.
    assignment : Array, shape (..., subcarriers), integer
        User of each subcarrier, or -1.
    counts : Array, shape (..., users), integer
        As :func:`assigned_counts` gives them.

    Returns
    -------
    Array, shape (..., rows, users)
    """
    xp = array_namespace(values)
    order = xp.argsort(assignment, axis=-1, stable=True)[..., None, :]
    shape = (*values.shape[:-1], order.shape[-1])
    ordered = xp.take_along_axis(values, xp.broadcast_to(order, shape), axis=-1)
    running = xp.cumulative_sum(ordered, axis=-1, include_initial=True)
    unused = assignment.shape[-1] - xp.sum(counts, axis=-1, keepdims=True)
    end = (unused + xp.cumulative_sum(counts, axis=-1))[..., None, :]
    begin = end - counts[..., None, :]
    rows = (*values.shape[:-1], counts.shape[-1])
    above, below = (xp.take_along_axis(running, xp.broadcast_to(index, rows), axis=-1) for index in (end, begin))
    return above - below
