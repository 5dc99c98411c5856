"""What callers give to an environment: seeds, options, and numbers, which may be tensors of somebody's network."""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np

from ..checks import require, shown


def seed_number(seed: Any) -> int | None:
    """A seed as Python's integer, whatever integer it is; ``ValueError`` for what is none, and below 0."""
    if seed is None:
        return None
    try:
        number = index(seed)
    except TypeError:
        number = -1
    require(number >= 0, f"`seed` must be an integer of at least 0 or None, got {shown(seed)}")
    return number


def seed_of(generator: np.random.Generator) -> int:
    """Seed that a generator began with, -1 where it began in another way."""
    sequence = generator.bit_generator.seed_seq
    if not isinstance(sequence, np.random.SeedSequence) or sequence.spawn_key:
        return -1
    return sequence.entropy if isinstance(sequence.entropy, int) else -1


def check_options(options: Any) -> dict[str, Any]:
    """Options of a reset; ``TypeError`` for what is no dictionary."""
    if options is not None and not isinstance(options, dict):
        raise TypeError(f"`options` must be a dictionary or None, got {shown(options)}")
    return options or {}


def on_host(value: Any) -> Any:
    """A caller's value; a tensor as an array of NumPy, from wherever it is and without its gradient."""
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value


def check_numbers(name: str, value: Any) -> Any:
    """A value that holds real numbers, or None; ``ValueError`` for text and objects that could be read as numbers."""
    if value is None or hasattr(value, "detach"):
        return value
    kind = np.asarray(value).dtype
    require(kind.kind in "buif", f"`{name}` must hold real numbers, got {shown(value)}, of type {kind}")
    return value
