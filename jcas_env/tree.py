"""Nested NamedTuples of arrays: the few operations that lanes of an environment need.

``State``, ``Innovation`` and their parts are NamedTuples whose leaves are arrays with the same leading batch
axes. A lane is one index on the first axis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")


def tree_map(function: Callable[..., Any], tree: T, *others: T) -> T:
    """Apply a function to corresponding leaves of equally nested NamedTuples."""
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(tree_map(function, *parts) for parts in zip(tree, *others, strict=True)))
    return function(tree, *others)


def stack(trees: Sequence[T]) -> T:
    """Stack single lanes into a batch, leaf by leaf on a new first axis (NumPy)."""
    return tree_map(lambda *leaves: np.stack(leaves), *trees)


def take(tree: T, lane: Any) -> T:
    """Select a lane (an integer) or several lanes (an integer or boolean array) of every leaf; None stays None."""
    return tree_map(lambda leaf: None if leaf is None else leaf[lane], tree)


def put(tree: T, lanes: np.ndarray, values: T) -> T:
    """Return ``tree`` with the given lanes replaced by those of ``values``; the argument is left alone.

    A leaf that is None in either, which follows from others, is None.
    """

    def replace(leaf: Any, new: Any) -> Any:
        if leaf is None or new is None:
            return None
        leaf = leaf.copy() if isinstance(leaf, np.ndarray) else leaf.clone()
        leaf[lanes] = new
        return leaf

    return tree_map(replace, tree, values)
