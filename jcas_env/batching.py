"""Work on some elements of a batch: take them out, put them back in order, and lay all batch axes in one.

Trees are nested NamedTuples of arrays (elements, ...), or single arrays; where a tree holds None, it stays None.
Nothing is written in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, TypeVar

from .tree import tree_map
from .types import Array, array_namespace, at_hand, device

T = TypeVar("T")


BLOCK = 1024
"""Elements that a search works on at a time: bounds memory where many environments run in parallel."""
WIDER = 128
"""How many times as many a device works on: it has no cache to stay in, and each block costs the same launches."""


def blocks(tree: T, count: int, size: int | None = None) -> list[T]:
    """Cut the ``count`` elements of a tree into blocks of at most ``size`` elements, BLOCK if none is given.

    On a device blocks are :data:`WIDER` times as large.
    """
    size = (BLOCK if size is None else size) * (1 if _on_host(tree) else WIDER)
    if count <= size:
        return [tree]
    edges = range(0, count, size)
    return [tree_map(lambda x: None if x is None else x[a : min(a + size, count), ...], tree) for a in edges]  # noqa: B023


def _on_host(tree: Any) -> bool:
    """Whether all arrays of a tree are the host's."""
    if isinstance(tree, tuple):
        return all(_on_host(part) for part in tree)
    return tree is None or at_hand(tree)


def joined(pieces: Sequence[T]) -> T:
    """Inverse of :func:`blocks`."""

    def leaf(*parts: Any) -> Any:
        return None if parts[0] is None else array_namespace(parts[0]).concat(list(parts))

    return pieces[0] if len(pieces) == 1 else tree_map(leaf, *pieces)


WRITTEN_OUT = 256
"""Products of entries up to which :func:`small_product` writes them out."""


def small_product(one: Array, two: Array) -> Array:
    """``one @ two``, (..., n, k) and (..., k, m) -> (..., n, m), for many matrices of a few entries.

    On a device all products of entries are made and summed: a library fills a tile of 32 x 32 for each of the matrices.
    """
    if at_hand(one) or one.shape[-2] * one.shape[-1] * two.shape[-1] > WRITTEN_OUT:
        return one @ two
    return array_namespace(one).sum(one[..., :, :, None] * two[..., None, :, :], axis=-2)


def indices(mask: Array) -> Array:
    """Positions at which a mask (elements,) is true."""
    return array_namespace(mask).nonzero(mask)[0]


def _like(index: Array, value: Array) -> Array:
    """An index in the library and on the device of what it picks from."""
    xp = array_namespace(value)
    return index if array_namespace(index) is xp else xp.asarray(index, device=device(value))


def gather(tree: T, index: Array) -> T:
    """Elements ``index`` of every array of a tree, which may be in other libraries than the index."""

    def leaf(value: Any) -> Any:
        return None if value is None else array_namespace(value).take(value, _like(index, value), axis=0)

    return tree_map(leaf, tree)


def scatter(tree: T, mask: Array, values: T) -> T:
    """``tree`` with the elements of a mask replaced, in order, by those of ``values``."""
    xp = array_namespace(mask)
    position = xp.clip(xp.cumulative_sum(xp.astype(mask, xp.int64)) - 1, min=0)

    def leaf(old: Any, new: Any) -> Any:
        if old is None:
            return None
        return xp.where(xp.reshape(mask, (-1, *(1,) * (old.ndim - 1))), xp.take(new, position, axis=0), old)

    return tree_map(leaf, tree, values)


def retire(done: Array, results: tuple[Any, ...], *data: Any) -> tuple[list[Any], list[Any]]:
    """Part trees in two: the ``results`` of elements that are ``done``, (elements,) bool, and all of those that go on.

    For a loop in which every element stops on its own, so that a straggler does not hold up the others: carry the
    elements' index as one of the results, keep what is done, and :func:`reassemble` the pieces at the end. Nobody needs
    the ``data`` of those that are done.
    """
    leaving, going = indices(done), indices(~done)
    return [gather(tree, leaving) for tree in results], [gather(tree, going) for tree in (*results, *data)]


def reassemble(pieces: Sequence[T], index: Sequence[Array]) -> T:
    """Join pieces that left a batch at different times, in the order of their elements, ``index`` (elements,) each."""
    xp = array_namespace(index[0])
    order = xp.argsort(xp.concat(list(index)))

    def leaf(*parts: Any) -> Any:
        if parts[0] is None:
            return None
        whole = array_namespace(parts[0]).concat(list(parts))
        return array_namespace(whole).take(whole, _like(order, whole), axis=0)

    return tree_map(leaf, *pieces)


def rows(tree: T, batch: tuple[int, ...], trailing: int | None = None) -> T:
    """All batch axes in one: arrays (*batch, ...) as (elements, ...).

    With ``trailing``, the number of axes that are an array's own, the others are broadcast to the batch first.
    """

    def leaf(value: Any) -> Any:
        if value is None:
            return None
        xp = array_namespace(value)
        tail = value.shape[len(batch) if trailing is None else value.ndim - trailing :]
        return xp.reshape(xp.broadcast_to(value, (*batch, *tail)), (prod(batch), *tail))

    return tree_map(leaf, tree)


def unrows(tree: T, batch: tuple[int, ...]) -> T:
    """Inverse of :func:`rows`: (elements, ...) to (*batch, ...)."""

    def leaf(value: Any) -> Any:
        return None if value is None else array_namespace(value).reshape(value, (*batch, *value.shape[1:]))

    return tree_map(leaf, tree)
