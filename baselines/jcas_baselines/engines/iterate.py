"""The loop that iterative methods share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from array_api_compat import array_namespace, device

from jcas_env.batching import reassemble
from jcas_env.tree import take
from jcas_env.types import Array

T = TypeVar("T")


class _Piece(NamedTuple):
    """Elements that left the batch together."""

    state: Any
    iterations: Array
    converged: Array


def iterate(state: T, step: Callable[[T], tuple[T, Array]], *, limit: int) -> tuple[T, Array, Array]:
    """Run a batched fixed-point iteration in which every element stops on its own.

    Elements that are done leave the batch, so that a straggler does not hold up the others; nothing is
    written in place.

    Parameters
    ----------
    state : NamedTuple of arrays, shape (batch, ...)
        Iterates and the data that the step needs.
    step : function
        Maps a state to the next one and a (batch,) bool of the elements that are done with it.
    limit : int
        Most iterations.

    Returns
    -------
    state : NamedTuple of arrays
        Last iterate of every element, in the order given.
    iterations : Array, shape (batch,), int64
    converged : Array, shape (batch,), bool
        Whether an element was done before the limit.
    """
    leaf = _first_leaf(state)
    xp = array_namespace(leaf)
    index = xp.arange(leaf.shape[0], device=device(leaf))
    retired: list[tuple[_Piece, Array]] = []

    def retire(state: T, index: Array, iteration: int, converged: bool) -> None:
        piece = _Piece(state, xp.full_like(index, iteration), xp.full_like(index, converged, dtype=xp.bool))
        retired.append((piece, index))

    for iteration in range(1, limit + 1):
        if index.shape[0] == 0:
            break
        state, done = step(state)
        if xp.any(done):
            retire(take(state, done), index[done], iteration, True)
            index, state = index[~done], take(state, ~done)
    if index.shape[0] or not retired:
        retire(state, index, limit, False)
    whole = reassemble(*zip(*retired, strict=True))
    return whole.state, whole.iterations, whole.converged


def _first_leaf(tree: Any) -> Array:
    return _first_leaf(tree[0]) if isinstance(tree, tuple) else tree
