"""Whole subcarriers: from shares to counts, from counts to places in the band, and sums over what a user got."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

from array_api_compat import array_namespace, device

from ...batching import blocks, joined
from ...physics.rounding import largest_remainder
from ...types import Array


def proportional_counts(weight: Array, /, *, total: int, least: int) -> Array:
    r"""Whole counts that sum to ``total``, at least ``least`` each, the rest in proportion to weights.

    Quotas :math:`w_u (N - U n_\min)` are rounded by the largest remainder (spec mesh 6).

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
    spare = total - weight.shape[-1] * least
    return least + largest_remainder(weight * spare, spare)


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
    *batch, users = counts.shape
    lanes = array_namespace(counts).reshape(counts, (-1, users))
    placed = joined([_placed(few, total) for few in _few_lanes(lanes, total)])
    return array_namespace(placed).reshape(placed, (*batch, total))


def comb_moments(counts: Array, /, *, total: int) -> Moments:
    """:func:`moments_per_user` of :func:`comb_placement`, for counts (..., users) within it, which is not made."""
    *batch, users = counts.shape
    lanes = array_namespace(counts).reshape(counts, (-1, users))
    return _centred(joined([_comb_moments(few, total) for few in _few_lanes(lanes, total)]), batch, total)


def _comb_moments(counts: Array, total: int) -> Moments:
    xp, users = array_namespace(counts), counts.shape[-1]
    label, runs = _sorted_keys(counts, total)
    # Sorted by user, the entries of a row tell where each stands in its block, and blocks follow each other.
    width = label.shape[-1]
    bits = (width - 1).bit_length()
    entry = xp.arange(width, dtype=label.dtype, device=device(label))
    place = xp.astype(xp.sort(label * 2**bits + entry, axis=-1, stable=False) & (2**bits - 1), xp.int64)
    runs = xp.astype(runs, xp.int64)
    ends = xp.cumulative_sum(runs, axis=-1)
    edge = xp.concat([xp.zeros_like(ends[..., :1]), ends[..., :users]], axis=-1)
    held = runs[..., : users + 1]
    size = xp.sum(held, axis=-1, keepdims=True)
    start, count = xp.cumulative_sum(size, axis=-2) - size, runs[..., :users]
    first, second = _sums_between(place, edge), _sums_between(place * place, edge)
    second = second + start * (2 * first + start * count)
    parts = (count, first + start * count, second)
    return Moments(*(xp.sum(part, axis=-2) for part in parts))


def _few_lanes(lanes: Array, total: int) -> list[Array]:
    """Lanes (lanes, ...), a few at a time, so that what is made of their subcarriers stays in the cache."""
    return blocks(lanes, lanes.shape[0], max(1, CACHED // total))


CACHED = 2**15
"""Numbers of an array that stays in the cache with the others that are worked on, and costs no fresh memory."""


def _placed(counts: Array, total: int) -> Array:
    """:func:`comb_placement` of (lanes, users)."""
    xp, users = array_namespace(counts), counts.shape[-1]
    label, _ = _sorted_keys(counts, total)
    # Block by block: the places of the band in order, without what fills up.
    placed = xp.reshape(xp.astype(label[label <= users], xp.int64), (-1, total))
    return xp.where(placed == users, -1, placed)


def _sorted_keys(counts: Array, total: int) -> tuple[Array, Array]:
    """Users in the order of their keys, and how many keys of each there are in a block.

    For counts (lanes, users): labels (lanes, blocks, width), ``users`` for what is left over and one more for what
    fills up a row, and their numbers (lanes, blocks, users + 2).
    """
    xp, users = array_namespace(counts), counts.shape[-1]
    counts = xp.astype(counts, xp.float64)  # equal keys of different users must be equal numbers
    spare = total - xp.sum(counts, axis=-1, keepdims=True)
    beyond = bool(xp.any(spare < 0))  # then the first users' subcarriers fill the band
    owned = xp.concat([counts, xp.maximum(spare, xp.zeros_like(spare))], axis=-1)
    grid = _key_grid(users, total, beyond=beyond)
    first, runs = _runs(owned, total, grid, beyond=beyond)

    # An entry of a run is its user's key (entry + offset) / number; what fills a row up stands at key 1, its end.
    filler = xp.full_like(first[..., :1], FAR)
    unit = 2.0**grid.key_bits  # keys in whole numbers of 1/unit: a power of two rounds nothing
    before = xp.cumulative_sum(runs, axis=-1) - runs
    offset = xp.concat([(first + 0.5 - before[..., :-1]) * unit, filler * unit], axis=-1)
    number = xp.concat([xp.broadcast_to(owned[:, None, :], first.shape), filler], axis=-1)
    kind = xp.int32 if grid.key_bits + grid.label_bits < 31 else xp.int64
    label = xp.broadcast_to(xp.arange(users + 2, dtype=kind, device=device(counts)), runs.shape)
    times = xp.astype(xp.reshape(runs, (-1,)), xp.int64)
    offset, number, label = (
        xp.reshape(xp.repeat(xp.reshape(part, (-1,)), times), (*runs.shape[:-1], grid.width))
        for part in (offset, number, label)
    )
    entry = xp.arange(grid.width, dtype=counts.dtype, device=device(counts))
    key = xp.astype((entry * unit + offset) / number, kind)
    # Users stand in the last bits: equal keys come lower user first, and no order has to be applied to them afterwards.
    code = xp.sort(key * 2**grid.label_bits + label, axis=-1, stable=False)
    return code & (2**grid.label_bits - 1), runs


FAR = 2.0**900
"""A number beside which the entries of a row are nothing."""


class _KeyGrid(NamedTuple):
    """How keys are sorted: in ``blocks`` equal parts of [0, 1], as whole numbers with their user in the last bits.

    A block holds at most a key more of each user than its part, so short rows of a fixed width hold it, which sort
    many times faster than the band. Different keys i/2n and j/2m differ by 1/2nm, at least 2/N^2: whole numbers of that
    unit tell them apart.
    """

    blocks: int
    width: int
    label_bits: int
    key_bits: int


def _key_grid(users: int, total: int, *, beyond: bool) -> _KeyGrid:
    """The grid for counts within the band, or ``beyond`` it: then one block, as fine as whole numbers can be."""
    label_bits = (users + 1).bit_length()
    if beyond:
        return _KeyGrid(1, total, label_bits, min(52, 62 - label_bits))
    blocks = 2 ** ((total // (12 * (users + 1))) | 1).bit_length() // 2
    width = total if blocks == 1 else -(-total // blocks) + users + 1
    return _KeyGrid(blocks, width, label_bits, (total**2 // 2).bit_length())


def _runs(owned: Array, total: int, grid: _KeyGrid, *, beyond: bool) -> tuple[Array, Array]:
    """Keys of each user below each block, (lanes, blocks, users), and in it, with what fills its row up as one more.

    Of what is ``owned`` (lanes, users) the band holds what fits, first users first.
    """
    xp = array_namespace(owned)
    edges = xp.arange(grid.blocks + 1, dtype=owned.dtype, device=device(owned))[:, None] / grid.blocks
    passed = xp.ceil(edges * owned[:, None, :] - 0.5)
    if beyond:
        end = xp.clip(xp.cumulative_sum(owned, axis=-1), max=float(total))
        kept = xp.concat([end[..., :1], end[..., 1:] - end[..., :-1]], axis=-1)
        passed = xp.minimum(passed, kept[:, None, :])
    size = passed[:, 1:, :] - passed[:, :-1, :]
    return passed[:, :-1, :], xp.concat([size, grid.width - xp.sum(size, axis=-1, keepdims=True)], axis=-1)


def ranks(edges: Array, values: Array, period: float) -> Array:
    """Number of sorted edges at or below each value, (..., edges), (..., values) -> (..., values) int64.

    Both are numbers from 0 to below ``period``: lanes are laid end to end, so that one search serves all of them.
    """
    xp = array_namespace(edges, values)
    lanes = edges.shape[:-1]
    shift = xp.reshape(xp.arange(prod(lanes), dtype=edges.dtype, device=device(edges)), (*lanes, 1))
    line, asked = (xp.reshape(part + period * shift, (-1,)) for part in (edges, values))
    found = xp.reshape(xp.searchsorted(line, asked, side="right"), values.shape)
    return found - edges.shape[-1] * xp.astype(shift, found.dtype)


def sums_per_user(values: Array, assignment: Array, /, *, users: int) -> tuple[Array, Array]:
    """Number of subcarriers of each user, and sums of values over them, without a (users, subcarriers) matrix.

    Parameters
    ----------
    values : Array, shape (..., rows, subcarriers)
        Any number of rows to be summed.
    assignment : Array, shape (..., subcarriers), integer
        User of each subcarrier, or -1.
    users : int

    Returns
    -------
    counts : Array, shape (..., users), int64
    sums : Array, shape (..., rows, users)
    """
    xp = array_namespace(values)
    order, edge = _by_user(assignment, users)
    shape = (*values.shape[:-1], order.shape[-1])
    ordered = xp.take_along_axis(values, xp.broadcast_to(order[..., None, :], shape), axis=-1)
    edges = xp.broadcast_to(edge[..., None, :], (*shape[:-1], users + 1))
    return edge[..., 1:] - edge[..., :-1], _sums_between(ordered, edges)


class Moments(NamedTuple):
    """Whole numbers (..., users) int64 about what each user got: exact, whatever they are summed up to."""

    count: Array
    """Number of subcarriers."""
    first: Array
    """Sum of the places; of the doubled centred ones, 2n - (N - 1), where a function says nothing else."""
    second: Array
    """Sum of their squares."""


def moments_per_user(assignment: Array, /, *, users: int) -> Moments:
    """Moments of the places of each user's subcarriers, from the user of each, (..., subcarriers) integer, or -1."""
    xp, total = array_namespace(assignment), assignment.shape[-1]
    lanes = xp.reshape(assignment, (-1, total))
    moments = joined([_moments(few, users) for few in _few_lanes(lanes, total)])
    return _centred(moments, assignment.shape[:-1], total)


def _moments(assignment: Array, users: int) -> Moments:
    """Moments of the places themselves, of (lanes, subcarriers)."""
    order, edge = _by_user(assignment, users)
    return Moments(edge[..., 1:] - edge[..., :-1], _sums_between(order, edge), _sums_between(order * order, edge))


def _centred(places: Moments, batch: Sequence[int], total: int) -> Moments:
    """Moments of 2n - (N - 1), of a batch, from those of places n of (lanes, users)."""
    xp, middle = array_namespace(places.count), total - 1
    count, first, second = (xp.reshape(part, (*batch, part.shape[-1])) for part in places)
    return Moments(count, 2 * first - middle * count, 4 * (second - middle * first) + middle**2 * count)


def _by_user(assignment: Array, users: int) -> tuple[Array, Array]:
    """Subcarriers sorted by user, (..., subcarriers), and where each user's begin there and end, (..., users + 1)."""
    xp = array_namespace(assignment)
    # The label of no user is zero; short numbers are sorted by radix, five times faster.
    label = (assignment if users > 32_000 else xp.astype(assignment, xp.int16)) + 1
    order = xp.argsort(label, axis=-1, stable=True)
    lane = xp.reshape(xp.arange(prod(label.shape[:-1]), device=device(label)), (*label.shape[:-1], 1))
    ordered = xp.take(xp.reshape(label, (-1,)), xp.reshape(order + lane * label.shape[-1], (-1,)))
    user = xp.arange(users + 1, dtype=order.dtype, device=device(label))
    user = xp.broadcast_to(user, (*label.shape[:-1], users + 1))
    return order, ranks(xp.reshape(xp.astype(ordered, order.dtype), label.shape), user, users + 2)


def _sums_between(values: Array, edge: Array) -> Array:
    """Sums of values (..., subcarriers) between successive edges (..., users + 1), (..., users)."""
    xp = array_namespace(values)
    running = xp.cumulative_sum(values, axis=-1)
    at = xp.take_along_axis(running, xp.maximum(edge - 1, xp.zeros_like(edge)), axis=-1)
    at = xp.where(edge > 0, at, xp.zeros_like(at))
    return at[..., 1:] - at[..., :-1]


def assigned_counts(assignment: Array, /, *, users: int) -> Array:
    """Number of subcarriers of each user, (..., users) int64, from the user of each, (..., subcarriers)."""
    edge = _by_user(assignment, users)[1]
    return edge[..., 1:] - edge[..., :-1]
