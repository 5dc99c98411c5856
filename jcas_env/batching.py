"""Work on some links of a batch: gather them, and put them back without writing in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from array_api_compat import array_namespace

from .tree import tree_map
from .types import Array

T = TypeVar("T")


BLOCK = 1024
"""Links that a search works on at a time: bounds memory where many environments run in parallel."""


def blocks(tree: T, count: int) -> list[T]:
    """Cut the ``count`` links of a nested NamedTuple into blocks of at most BLOCK links; None stays None."""
    if count <= BLOCK:
        return [tree]
    edges = range(0, count, BLOCK)
    return [tree_map(lambda x: None if x is None else x[a : a + BLOCK, ...], tree) for a in edges]  # noqa: B023


def joined(pieces: Sequence[T]) -> T:
    """Inverse of :func:`blocks`."""

    def leaf(*parts: Any) -> Any:
        return None if parts[0] is None else array_namespace(parts[0]).concat(list(parts))

    return pieces[0] if len(pieces) == 1 else tree_map(leaf, *pieces)


def indices(mask: Array) -> Array:
    """Positions at which a mask (links,) is true."""
    return array_namespace(mask).nonzero(mask)[0]


def gather(tree: T, index: Array) -> T:
    """Links ``index`` of every array of a nested NamedTuple; None stays None."""
    xp = array_namespace(index)

    def leaf(value: Any) -> Any:
        return None if value is None else xp.take(value, index, axis=0)

    return tree_map(leaf, tree)


def scatter(tree: T, mask: Array, values: T) -> T:
    """``tree`` with the links of a mask replaced, in order, by those of ``values``."""
    xp = array_namespace(mask)
    position = xp.clip(xp.cumulative_sum(xp.astype(mask, xp.int64)) - 1, min=0)

    def leaf(old: Any, new: Any) -> Any:
        if old is None:
            return None
        return xp.where(xp.reshape(mask, (-1, *(1,) * (old.ndim - 1))), xp.take(new, position, axis=0), old)

    return tree_map(leaf, tree, values)


def reassemble(pieces: Sequence[T], index: Sequence[Array]) -> T:
    """Join pieces of a batch that finished at different times, in the order of their links."""
    xp = array_namespace(index[0])
    order = xp.argsort(xp.concat(list(index)))

    def leaf(*parts: Any) -> Any:
        return None if parts[0] is None else xp.take(xp.concat(list(parts)), order, axis=0)

    return tree_map(leaf, *pieces)
