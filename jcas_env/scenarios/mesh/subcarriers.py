"""Whole subcarriers: from shares to counts, from counts to places in the band, and sums over what a user got."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

from ...batching import blocks, joined
from ...physics.rounding import largest_remainder
from ...types import Array, array_namespace, device


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
    xp = array_namespace(counts)
    *batch, users = counts.shape
    lanes = xp.reshape(counts, (-1, users))
    rows = [_sorted_users(runs, grid) for grid, runs in (_runs(few, total) for few in _few_lanes(lanes, total))]
    # Block by block: the places of the band in order, without what fills up.
    placed = joined([xp.astype(few[few <= users], xp.int64) for few in rows])
    placed = xp.reshape(placed, (*batch, total))
    return xp.where(placed == users, -1, placed)


def comb_moments(counts: Array, /, *, total: int) -> Moments:
    """:func:`moments_per_user` of :func:`comb_placement`, for counts (..., users), without placing a subcarrier."""
    *batch, users = counts.shape
    lanes = array_namespace(counts).reshape(counts, (-1, users))
    moments = joined([_comb_moments(few, total) for few in _few_lanes(lanes, total)])
    return _centred(moments, batch, total)


def _comb_moments(counts: Array, total: int) -> Moments:
    """Moments of the places themselves, of (lanes, users)."""
    xp, users = array_namespace(counts), counts.shape[-1]
    grid, runs = _runs(counts, total)
    sums = _places_in_block(runs, grid)
    held = runs.length[..., : users + 1]  # blocks follow each other, without what fills them up
    size = xp.sum(held, axis=-1, keepdims=True)
    start = xp.cumulative_sum(size, axis=-2) - size
    count, first, second = (part[..., :users] for part in (runs.length, *sums))
    second = second + start * (2 * first + start * count)
    parts = (count, first + start * count, second)
    return Moments(*(xp.sum(part, axis=-2) for part in parts))


def _few_lanes(lanes: Array, total: int) -> list[Array]:
    """Lanes (lanes, ...), a few at a time, so that what is made of their subcarriers stays in the cache."""
    return blocks(lanes, lanes.shape[0], max(1, CACHED // total))


CACHED = 2**15
"""Numbers of an array that stays in the cache with the others that are worked on, and costs no fresh memory."""

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


class _Runs(NamedTuple):
    """Rows of keys before they are sorted: a run for each user, one for what is left over, one that fills up the row.

    Entry p of a row has the key (p + offset) / number of its run; (lanes, blocks, users + 2) each. What fills up stands
    at key 1, the end.
    """

    offset: Array
    number: Array
    length: Array
    """int64."""


def _runs(counts: Array, total: int) -> tuple[_KeyGrid, _Runs]:
    """Runs of counts (lanes, users). Of more than the band holds, the first users' subcarriers fill it."""
    xp, users = array_namespace(counts), counts.shape[-1]
    counts = xp.astype(counts, xp.float64)  # equal keys of different users must be equal numbers
    spare = total - xp.sum(counts, axis=-1, keepdims=True)
    beyond = bool(xp.any(spare < 0))
    owned = xp.concat([counts, xp.maximum(spare, 0.0)], axis=-1)[:, None, :]
    grid = _key_grid(users, total, beyond=beyond)
    edges = xp.arange(grid.blocks + 1, dtype=owned.dtype, device=device(owned))[:, None] / grid.blocks
    passed = xp.ceil(edges * owned - 0.5)  # keys of a user below each edge
    if beyond:
        end = xp.minimum(xp.cumulative_sum(owned, axis=-1), float(total))
        passed = xp.minimum(passed, xp.concat([end[..., :1], end[..., 1:] - end[..., :-1]], axis=-1))
    first, size = passed[:, :-1, :], passed[:, 1:, :] - passed[:, :-1, :]
    length = xp.concat([size, grid.width - xp.sum(size, axis=-1, keepdims=True)], axis=-1)
    before = xp.cumulative_sum(length, axis=-1) - length
    filler = xp.full_like(first[..., :1], FAR)
    offset = xp.concat([first + 0.5 - before[..., :-1], filler], axis=-1)
    number = xp.concat([xp.broadcast_to(owned, first.shape), filler], axis=-1)
    return grid, _Runs(offset, number, xp.astype(length, xp.int64))


def _sorted_users(runs: _Runs, grid: _KeyGrid) -> Array:
    """Users in the order of their keys, (lanes, blocks, width); ``users`` is what is left over, one more fills up."""
    xp, shape = array_namespace(runs.offset), runs.offset.shape
    unit = 2.0**grid.key_bits  # keys in whole numbers of 1/unit: a power of two rounds nothing
    kind = xp.int32 if grid.key_bits + grid.label_bits < 31 else xp.int64
    label = xp.broadcast_to(xp.arange(shape[-1], dtype=kind, device=device(runs.offset)), shape)
    times = xp.reshape(runs.length, (-1,))
    offset, number, label = (
        xp.reshape(xp.repeat(xp.reshape(part, (-1,)), times), (*shape[:-1], grid.width))
        for part in (runs.offset * unit, runs.number, label)
    )
    entry = unit * xp.arange(grid.width, dtype=offset.dtype, device=device(offset))
    key = xp.astype((entry + offset) / number, kind)
    # Users stand in the last bits: equal keys come lower user first, and no order has to be applied to them afterwards.
    code = xp.sort(key * 2**grid.label_bits + label, axis=-1, stable=False)
    return code & (2**grid.label_bits - 1)


class _Places(NamedTuple):
    """Sums of the places inside a block that each run gets, and of their squares, (lanes, blocks, users + 2) int64."""

    first: Array
    second: Array


def _places_in_block(runs: _Runs, grid: _KeyGrid) -> _Places:
    """Where sorting puts the keys of each run."""
    label = _sorted_users(runs, grid)
    xp, bits = array_namespace(label), (grid.width - 1).bit_length()
    entry = xp.arange(grid.width, dtype=label.dtype, device=device(label))
    # Sorted by user, in a second sort of the same short rows, the entries tell where each one's keys stood.
    place = xp.sort(label * 2**bits + entry, axis=-1, stable=False) & (2**bits - 1)
    place = xp.reshape(xp.astype(place, xp.int64), (-1,))
    end = xp.cumulative_sum(xp.reshape(runs.length, (-1,)))
    last = xp.maximum(end - 1, 0)

    def sums(values: Array) -> Array:
        at = xp.where(end > 0, xp.take(xp.cumulative_sum(values), last), 0)
        return xp.reshape(xp.concat([at[:1], at[1:] - at[:-1]]), runs.length.shape)

    return _Places(sums(place), sums(place * place))


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
