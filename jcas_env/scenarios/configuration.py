"""What the configurations of all scenarios have in common: presets, replacement of fields, checks of numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from math import isfinite
from typing import Any, Literal, Self, get_args

from ..checks import require, suggest

Precision = Literal["float64", "float32"]
"""Of the simulation; draws are made in double precision and rounded."""
ObservationForm = Literal["dict", "flat"]
"""Arrays by name for networks that know the structure, or one vector for MLPs."""


class Configuration:
    """Base of a frozen dataclass of settings, every one with a default."""

    @property
    def ratio_scale(self) -> bool:
        """Whether the reward is one of rates alone: never negative, and twice as much is twice as good."""
        return False

    @classmethod
    def presets(cls) -> Mapping[str, Mapping[str, Any]]:
        """Settings by name, as the fields that differ from the defaults."""
        return {}

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Self:
        """Settings by name, with fields replaced by keyword.

        Raises ``ValueError`` with the nearest known name.
        """
        known = cls.presets()
        require(name in known, f"unknown preset {name!r}: {suggest(name, list(known))}")
        return cls().with_fields({**known[name], **changes})

    def with_fields(self, changes: Mapping[str, Any]) -> Self:
        """Replace fields; raises ``ValueError`` for an unknown one and names the nearest."""
        known = [item.name for item in fields(self)]  # type: ignore[arg-type]
        for name in changes:
            require(name in known, f"unknown config field {name!r}: {suggest(name, known)}")
        return replace(self, **changes)  # type: ignore[type-var]


def is_number(value: object) -> bool:
    """Whether a value is a finite real number, and no bool."""
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def check_counts(config: Any, names: Iterable[str]) -> None:
    """Raise ``ValueError`` unless the fields are positive integers."""
    for name in names:
        value = getattr(config, name)
        ok = isinstance(value, int) and not isinstance(value, bool) and value >= 1
        require(ok, f"`{name}` must be a positive integer, got {value!r}")


def check_range(config: Any, names: Iterable[str], rule: str, holds: Callable[[float], bool]) -> None:
    """Raise ``ValueError`` unless the fields are numbers for which a rule holds."""
    for name in names:
        value = getattr(config, name)
        require(is_number(value) and holds(value), f"`{name}` must be a number {rule}, got {value!r}")


def check_choices(config: Any, choices: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` unless each field is one of the words of its ``Literal`` type, or of a collection."""
    for name, kind in choices.items():
        value, known = getattr(config, name), list(get_args(kind) or kind)
        require(value in known, f"`{name}` must be one of {known}, got {value!r}: {suggest(value, known)}")
