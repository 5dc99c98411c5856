"""What every policy answers, whatever the scenario."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Self

import numpy as np
from torch import nn

from jcas_env.checks import require

LOGIT_SCALE = 5.0
"""Logits per unit of action that policies are made for, the environments' default [-]."""


def size(default: int, low: int, high: int) -> Any:
    """A field of a :class:`Shape`: a whole number and the range in which it lies."""
    return field(default=default, metadata={"range": (low, high)})


@dataclass(frozen=True)
class Shape:
    """Size of a network. Fields are made by :func:`size`, or flags; the ranges keep a network within a few megabytes.

    Raises ``ValueError`` for a value of another type or outside its range.
    """

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if "range" not in item.metadata:
                require(type(value) is bool, f"`{item.name}` must be True or False, got {value!r:.100}")
                continue
            low, high = item.metadata["range"]
            whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
            rule = f"`{item.name}` must be a whole number in [{low}, {high}], got "
            require(whole, f"{rule}{value!r:.100}")
            require(low <= value <= high, f"{rule}{value if abs(value) < 1e12 else 'a far larger one'}")
            object.__setattr__(self, item.name, int(value))  # what a card can hold

    @classmethod
    def from_card(cls, entries: Mapping[str, Any]) -> Self:
        """The shape that a card states; entries that are not there have their defaults."""
        unknown = sorted(set(entries) - {item.name for item in fields(cls)})
        require(not unknown, f"`shape` has an unknown entry {unknown[:1]!r:.100}")
        return cls(**entries)


class Policy(nn.Module, ABC):
    """A network that decides for one scenario: from an observation, or from the known problem it is made of.

    Both give the same decision; ``act`` as an action, ``decide`` as an allocation.
    """

    scenario: ClassVar[str]
    """Scenario that the policy is for."""
    sees: ClassVar[str] = "network"
    """Who decides: one that sees the whole network, or each ``station`` from its own view."""
    problem_type: ClassVar[Any]
    """Type of the scenario's problems."""
    shape_type: ClassVar[Any]
    """Kind of :class:`Shape`; a network is made from one, and a card records it."""
    shape: Any
    """Size of this network."""

    @abstractmethod
    def features(self) -> str:
        """Names of what the policy reads, as its card states them; a file with other ones is refused."""

    @abstractmethod
    def act(self, observation: Mapping[str, Any]) -> np.ndarray:
        """Action in [-1, 1], (..., action_size), for a structured observation in NumPy arrays."""

    @abstractmethod
    def decide(self, problem: Any) -> Any:
        """Allocation of the scenario's type for a known problem in NumPy arrays, (...) as the problem."""
