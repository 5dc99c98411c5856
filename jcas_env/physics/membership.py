"""Who shares cell and group: sizes, sums by cell, seats, canonical order.

A user is served by one cell and, inside it, shares the band of one group. All of this is functions of the two labels,
whatever else a problem knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from ..types import Array, array_namespace, device


def same_label(label: Array, /) -> Array:
    """Whether two users carry the same label, ``(..., users)`` -> ``(..., users, users)`` bool."""
    return label[..., :, None] == label[..., None, :]


def same_group(cell: Array, group: Array, /) -> Array:
    """Whether two users share cell and group, ``(..., users, users)`` bool, true on the diagonal.

    ``cell`` and ``group`` (..., users) integer; a group label means something inside its cell alone.
    """
    return same_label(cell) & same_label(group)


def one_hot(index: Array, size: int) -> Array:
    """Boolean membership, ``(..., size, users)``: whether ``index[..., user]`` equals the row number."""
    xp = array_namespace(index)
    return index[..., None, :] == xp.arange(size, dtype=index.dtype, device=device(index))[:, None]


def opens_group(mates: Array, /) -> Array:
    """Whether a user is the first of its group in index order: ``(..., users, users)`` -> ``(..., users)`` bool."""
    xp = array_namespace(mates)
    index = xp.arange(mates.shape[-1], device=device(mates))
    return ~xp.any(mates & (index[None, :] < index[:, None]), axis=-1)


class Groups(NamedTuple):
    """Groups of one cell, batched, in canonical form: labels 0, 1, ... in order of first appearance."""

    label: Array
    """(..., users) integer; -1 for absent users."""
    member: Array
    """(..., groups, users) bool; rows beyond an element's number of groups are empty."""
    size: Array
    """(..., groups): users in each group."""
    count: Array
    """(...,): number of groups."""
    users: Array
    """(...,): number of present users."""

    def total(self, value: Array) -> Array:
        """Sum ``(..., users)`` over each group, (..., groups)."""
        xp = array_namespace(value)
        return (xp.astype(self.member, value.dtype) @ value[..., None])[..., 0]

    def spread(self, value: Array) -> Array:
        """Give each user the value of its group: (..., groups) -> (..., users); 0 for absent users."""
        xp = array_namespace(value)
        return (value[..., None, :] @ xp.astype(self.member, value.dtype))[..., 0, :]


def canonical_groups(group: Array, /, *, dtype: Any) -> Groups:
    """Relabel groups in order of first appearance, and count users and groups, of every batch element.

    Parameters
    ----------
    group : Array, shape (..., users), integer
        Any labels; -1 marks an absent user (padding of smaller cells).
    dtype
        Precision of the counts, real floating.

    Returns
    -------
    Groups
        With as many rows of groups as the element with most has.
    """
    xp = array_namespace(group)
    present = group >= 0
    mates = same_label(group) & present[..., :, None]
    opens = present & opens_group(mates)
    opened = xp.cumulative_sum(xp.astype(opens, xp.int64), axis=-1) - 1
    # Exactly one of a user's mates opened the group: the sum picks that one's number.
    label = xp.sum(xp.where(mates & opens[..., None, :], opened[..., None, :], 0), axis=-1)
    label = xp.where(present, label, -1)
    member = one_hot(label, int(xp.max(label)) + 1)
    return Groups(
        label,
        member,
        size=xp.sum(xp.astype(member, dtype), axis=-1),
        count=xp.sum(xp.astype(opens, dtype), axis=-1),
        users=xp.sum(xp.astype(present, dtype), axis=-1),
    )


@dataclass(frozen=True, eq=False)
class Membership:
    """Which cell serves a user and which group of the cell it is in, and what follows from that, once computed.

    Labels may have fewer batch axes than the values that are summed or spread. Counts are real numbers: they divide.
    A cell may be without users.
    """

    cell: Array
    """(..., users) integer: serving cell, below ``cells``."""
    group: Array
    """(..., users) integer: group label inside the cell."""
    cells: int
    """Number of cells."""
    dtype: Any
    """Precision of the counts, real floating."""

    def regrouped(self, group: Array) -> Membership:
        """The same cells with other groups, (..., users) integer."""
        return self if group is self.group else Membership(self.cell, group, self.cells, self.dtype)

    # ---------------------------------------------------------------- pairs of users and sizes

    @cached_property
    def same_cell(self) -> Array:
        """(..., users, users) bool: whether two users share the cell."""
        return same_label(self.cell)

    @cached_property
    def mates(self) -> Array:
        """(..., users, users) bool: whether two users share cell and group, see :func:`same_group`."""
        return self.same_cell & same_label(self.group)

    @cached_property
    def crowd(self) -> Array:
        """(..., users): number of users in each user's cell."""
        return self._count(self.same_cell)

    @cached_property
    def group_size(self) -> Array:
        """(..., users): number of users in each user's group."""
        return self._count(self.mates)

    @cached_property
    def groups(self) -> Array:
        """(..., users): number of groups in each user's cell, those labels that occur in it."""
        return self._count(self.same_cell & opens_group(self.mates)[..., None, :])

    def _count(self, pairs: Array) -> Array:
        xp = array_namespace(pairs)
        return xp.sum(xp.astype(pairs, self.dtype), axis=-1)

    # ---------------------------------------------------------------- numbers of cells and of users

    @cached_property
    def _serves(self) -> Array:
        """(..., users, cells): 1 where a user is served by a cell."""
        xp = array_namespace(self.cell)
        index = xp.arange(self.cells, dtype=self.cell.dtype, device=device(self.cell))
        return xp.astype(self.cell[..., :, None] == index, self.dtype)

    def cell_sum(self, value: Array) -> Array:
        """Sum ``(..., users)`` over the users of each cell, ``(..., cells)``."""
        xp = array_namespace(value, self.cell)
        return (value[..., None, :] @ xp.astype(self._serves, value.dtype, copy=False))[..., 0, :]

    def of_cell(self, value: Array) -> Array:
        """Give each user the number of its cell, ``(..., cells)`` -> ``(..., users)``."""
        xp = array_namespace(value, self.cell)
        return xp.take_along_axis(*_broadcast(value, self.cell), axis=-1)

    # ---------------------------------------------------------------- a row of seats for each cell

    @cached_property
    def place(self) -> Array:
        """(..., users) integer: flat seat of each user; a cell's users sit in index order in a row of their own."""
        return self.cell * self._seats + self._rank

    @cached_property
    def _rank(self) -> Array:
        """(..., users) integer: how many users of the cell come before a user."""
        xp = array_namespace(self.cell)
        index = xp.arange(self.cell.shape[-1], device=device(self.cell))
        return xp.sum(xp.astype(self.same_cell & (index[None, :] < index[:, None]), self.cell.dtype), axis=-1)

    @cached_property
    def _seats(self) -> int:
        """Seats of a cell: the users of the largest one in the batch."""
        xp = array_namespace(self.cell)
        return int(xp.max(self._rank)) + 1

    @cached_property
    def _sits(self) -> Array:
        """(..., cells * seats, users) bool: whether a user has a flat seat."""
        return one_hot(self.place, self.cells * self._seats)

    @cached_property
    def seat(self) -> Array:
        """(..., cells, seats) integer: user in each seat; an empty seat repeats user 0."""
        xp = array_namespace(self.cell)
        index = xp.arange(self.cell.shape[-1], dtype=self.cell.dtype, device=device(self.cell))
        return self._by_cell(xp.sum(xp.where(self._sits, index, xp.zeros_like(index)), axis=-1))

    @cached_property
    def taken(self) -> Array:
        """(..., cells, seats) bool: whether the seat holds a user."""
        xp = array_namespace(self.cell)
        return self._by_cell(xp.any(self._sits, axis=-1))

    def _by_cell(self, value: Array) -> Array:
        """Flat seats ``(..., cells * seats)`` by cell, ``(..., cells, seats)``."""
        xp = array_namespace(value)
        return xp.reshape(value, (*value.shape[:-1], self.cells, self._seats))

    def gather(self, value: Array) -> Array:
        """``(..., users)`` by cell, ``(..., cells, seats)``; an empty seat repeats user 0."""
        xp = array_namespace(value)
        seat = xp.reshape(self.seat, (*self.cell.shape[:-1], -1))
        return self._by_cell(xp.take_along_axis(*_broadcast(value, seat), axis=-1))

    def scatter(self, value: Array) -> Array:
        """``(..., cells, seats)`` back to the users, ``(..., users)``."""
        xp = array_namespace(value)
        flat = xp.reshape(value, (*value.shape[:-2], -1))
        return xp.take_along_axis(*_broadcast(flat, self.place), axis=-1)

    @cached_property
    def by_cell(self) -> Groups:
        """Groups of every cell in canonical order, (..., cells, groups, seats)."""
        xp = array_namespace(self.group)
        return canonical_groups(xp.where(self.taken, self.gather(self.group), -1), dtype=self.dtype)


def _broadcast(value: Array, index: Array) -> tuple[Array, Array]:
    """Value and index with the batch axes of both, for ``take_along_axis``."""
    if value.shape[:-1] == index.shape[:-1]:
        return value, index
    xp = array_namespace(value, index)
    batch = xp.broadcast_arrays(value[..., :1], index[..., :1])[0].shape[:-1]
    return xp.broadcast_to(value, (*batch, value.shape[-1])), xp.broadcast_to(index, (*batch, index.shape[-1]))
