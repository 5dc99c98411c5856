"""Whole subcarriers: from shares to counts, from counts to places in the band, and sums over what a user got."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

from array_api_compat import array_namespace, device

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
    xp = array_namespace(counts)
    *batch, users = counts.shape
    counts = xp.astype(xp.reshape(counts, (-1, users)), xp.float64)  # equal keys of different users: equal numbers
    spare = total - xp.sum(counts, axis=-1, keepdims=True)
    beyond = bool(xp.any(spare < 0))  # then the first users' subcarriers fill the band
    owned = xp.concat([counts, xp.maximum(spare, xp.zeros_like(spare))], axis=-1)[:, None, :]
    grid = _key_grid(users, total, beyond=beyond)

    edges = xp.arange(grid.blocks + 1, dtype=counts.dtype, device=device(counts))[:, None] / grid.blocks
    passed = xp.ceil(edges * owned - 0.5)  # keys of a user below each edge
    if beyond:
        passed = xp.minimum(passed, _kept(owned, total))
    first, size = passed[:, :-1, :], passed[:, 1:, :] - passed[:, :-1, :]
    held = xp.sum(size, axis=-1, keepdims=True)
    runs = xp.concat([size, grid.width - held], axis=-1)
    before = xp.cumulative_sum(runs, axis=-1) - runs
    # An entry of a run is its user's key (entry + offset) / number; what fills a row up stands at key 1, its end.
    filler = xp.full_like(held, FAR)
    offset = xp.concat([first + 0.5 - before[..., :-1], filler], axis=-1)
    number = xp.concat([xp.broadcast_to(owned, size.shape), filler], axis=-1)
    label = xp.broadcast_to(xp.arange(users + 2, dtype=grid.kind(xp), device=device(counts)), runs.shape)
    times = xp.astype(xp.reshape(runs, (-1,)), xp.int64)
    offset, number, label = (
        xp.reshape(xp.repeat(xp.reshape(part, (-1,)), times), (-1, grid.width)) for part in (offset, number, label)
    )
    entry = xp.arange(grid.width, dtype=counts.dtype, device=device(counts))
    key = xp.astype((entry + offset) / number * 2.0**grid.key_bits, label.dtype)
    placed = xp.sort(key * 2**grid.label_bits + label, axis=-1) & (2**grid.label_bits - 1)
    placed = placed[entry < xp.reshape(held, (-1, 1))]  # block by block: the places of the band in order
    return xp.reshape(xp.where(placed == users, -1, xp.astype(placed, xp.int64)), (*batch, total))


FAR = 2.0**1000
"""A number beside which the entries of a row are nothing."""


class _KeyGrid(NamedTuple):
    """How keys are sorted: in ``blocks`` equal parts of [0, 1], as whole numbers with their user in the last bits.

    A block holds at most a key more of each user than its part, so short rows of a fixed width hold it, which sort many
    times faster than the band. Different keys i/2n and j/2m differ by 1/2nm, at least 2/N^2, and no rounding joins them.
    """

    blocks: int
    width: int
    label_bits: int
    key_bits: int

    def kind(self, xp: Any) -> Any:
        """Integer type that holds a key and a user."""
        return xp.int32 if self.key_bits + self.label_bits < 31 else xp.int64


def _key_grid(users: int, total: int, *, beyond: bool) -> _KeyGrid:
    """The grid for counts within the band, or ``beyond`` it: then one block, as fine as whole numbers can be."""
    label_bits = (users + 1).bit_length()
    if beyond:
        return _KeyGrid(1, total, label_bits, min(52, 62 - label_bits))
    blocks = 2 ** ((total // (6 * (users + 1))) | 1).bit_length() // 2
    width = total if blocks == 1 else -(-total // blocks) + users + 1
    return _KeyGrid(blocks, width, label_bits, (total**2 // 2).bit_length())


def _kept(owned: Array, total: int) -> Array:
    """What of the subcarriers owned (..., users) the band holds, first users first."""
    xp = array_namespace(owned)
    end = xp.clip(xp.cumulative_sum(owned, axis=-1), max=float(total))
    return xp.concat([end[..., :1], end[..., 1:] - end[..., :-1]], axis=-1)


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
    return edge[..., 1:] - edge[..., :-1], _sums_between(ordered, edge)


def moments_per_user(assignment: Array, /, *, users: int) -> tuple[Array, Array, Array]:
    """Number of subcarriers of each user, sum of their doubled centred places 2n - (N - 1), and of its squares.

    Exact: ``assignment`` (..., subcarriers) integer, the user of each or -1; three arrays (..., users) int64.
    """
    xp = array_namespace(assignment)
    order, edge = _by_user(assignment, users)
    place = 2 * order - (order.shape[-1] - 1)
    sums = _sums_between(xp.stack([place, place * place], axis=-2), edge)
    return edge[..., 1:] - edge[..., :-1], sums[..., 0, :], sums[..., 1, :]


def _by_user(assignment: Array, users: int) -> tuple[Array, Array]:
    """Subcarriers sorted by user, (..., subcarriers), and where each user's begin there and end, (..., users + 1)."""
    xp = array_namespace(assignment)
    short = assignment if users > 32_000 else xp.astype(assignment, xp.int16)  # sorted by radix, five times faster
    order = xp.argsort(short, axis=-1, stable=True)
    label = xp.astype(xp.take_along_axis(short, order, axis=-1), xp.int64) + 1
    user = xp.arange(users + 1, dtype=label.dtype, device=device(label))
    edge = ranks(label, xp.broadcast_to(user, (*label.shape[:-1], users + 1)), users + 2)
    return order, edge


def _sums_between(values: Array, edge: Array) -> Array:
    """Sums of values (..., rows, subcarriers) between successive edges (..., users + 1), (..., rows, users)."""
    xp = array_namespace(values)
    running = xp.cumulative_sum(values, axis=-1)
    last = xp.broadcast_to(xp.clip(edge - 1, min=0)[..., None, :], (*values.shape[:-1], edge.shape[-1]))
    at = xp.where(edge[..., None, :] > 0, xp.take_along_axis(running, last, axis=-1), xp.zeros_like(running[..., :1]))
    return at[..., 1:] - at[..., :-1]


def assigned_counts(assignment: Array, /, *, users: int) -> Array:
    """Number of subcarriers of each user, (..., users) int64, from the user of each, (..., subcarriers)."""
    edge = _by_user(assignment, users)[1]
    return edge[..., 1:] - edge[..., :-1]
