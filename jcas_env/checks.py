"""Errors about values: each names the entry, the rule and the value."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

import numpy as np

from .types import Array, array_namespace, at_hand, device

LONGEST = 80
"""Characters of a value that an error prints."""


def require(condition: bool, message: str) -> None:
    """Raise ``ValueError(message)`` unless the condition holds."""
    if not condition:
        raise ValueError(message)


def first_bad_entry(values: Array, bad: Array) -> tuple[tuple[int, ...], Any]:
    """Index and value of the first entry that is marked as bad, as a plain number whatever array it stands in."""
    index = tuple(np.argwhere(np.asarray(bad))[0].tolist())
    entry = values[index]  # of a tensor that is being differentiated, NumPy makes no array
    return index, entry.item() if hasattr(entry, "item") else entry


def require_all(name: str, value: Array, good: Array, rule: str) -> None:
    """Raise ``ValueError`` that names the first entry of ``value`` that is not good, the rule and the entry.

    Values on a device are not looked at: nobody waits for them.
    """
    xp = array_namespace(value)
    if at_hand(good) and not xp.all(good):
        index, entry = first_bad_entry(value, ~good)
        raise ValueError(f"`{name}` must be {rule}, got {name}{list(index)} = {entry}")


def whole_numbers(name: str, value: Any, like: Array) -> Array:
    """Whole numbers in the library of ``like`` and where it is, int64; ``ValueError`` that names a fraction."""
    xp = array_namespace(like)
    value = xp.asarray(value, device=device(like))
    if xp.isdtype(value.dtype, "real floating"):
        require_all(name, value, xp.isfinite(value) & (value == xp.floor(value)), "a whole number")
    return xp.astype(value, xp.int64)


def glance(bounded: Iterable[Array | None], unbounded: Iterable[Array] = ()) -> tuple[Any, Any]:
    """Least entry of real arrays together, and the largest of the ``bounded`` ones; NaN where one is NaN.

    In place of a scan of each, which costs several times as much where arrays are small. None counts for nothing.
    """
    given = [value for value in bounded if value is not None]
    xp = array_namespace(given[0])
    rest = [value.reshape(-1) for value in unbounded]
    together = xp.concat([value.reshape(-1) for value in given] + rest)
    count = together.shape[0] - sum(value.shape[0] for value in rest)
    return xp.min(together), xp.max(together[:count])


def shown(value: object) -> str:
    """A value as an error prints it, however long or hostile it is."""
    try:
        text = repr(value)
    except ValueError:  # an integer of thousands of digits
        text = f"an {type(value).__name__} of thousands of digits"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 4]} ..."


def suggest(name: object, known: list[str]) -> str:
    """Ending for an error about an unknown name: the nearest known one, or all of them."""
    near = get_close_matches(str(name), known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
