"""What the configurations of all scenarios have in common: checked fields, presets, replacement of fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from functools import cache
from typing import Any, Literal, Self, get_type_hints

from ..checks import require, suggest
from .kinds import Kind, literal

Precision = Literal["float64", "float32"]
"""Of the simulation; draws are made in double precision and rounded."""
ObservationForm = Literal["dict", "flat"]
"""Arrays by name for networks that know the structure, or one vector for MLPs."""

MOST_ENTRIES = 10**8
"""Numbers that the largest array of a network may hold: 1.6 GB of complex ones in double precision."""


class Configuration:
    """Base of a frozen dataclass of settings, every one with a default.

    A field whose annotation carries a :class:`.Kind` takes what the kind accepts, and holds it as Python's own value.
    What several fields have to do with each other :meth:`check_relations` says. Raises ``ValueError`` that names
    the field, the rule and the value.
    """

    def __post_init__(self) -> None:
        for name, kind in self.kinds().items():
            object.__setattr__(self, name, kind.read(name, getattr(self, name)))
        self.check_relations()
        what, count = max(self.entries.items(), key=lambda item: item[1], default=("", 0))
        require(
            count <= MOST_ENTRIES,
            f"the network is too large: {what} may take {count:.3g} numbers, more than {MOST_ENTRIES:.0e}",
        )

    def check_relations(self) -> None:
        """Raise ``ValueError`` where fields that are right each do not go together; a scenario says which."""

    @property
    def entries(self) -> Mapping[str, float]:
        """Entries of the largest arrays of one network, by the fields that make them large; a scenario says which."""
        return {}

    @classmethod
    @cache
    def kinds(cls) -> Mapping[str, Kind]:
        """What the fields take, by name; a field without a kind takes anything."""
        hints = get_type_hints(cls, include_extras=True)
        stated = {name: getattr(hint, "__metadata__", ()) for name, hint in hints.items()}
        return {name: part for name, parts in stated.items() for part in parts if isinstance(part, Kind)}

    @classmethod
    def parse(cls, name: str, text: str) -> Any:
        """Value that a text means for a field, as in ``--set name=text``; an unknown field's by its looks."""
        kind = cls.kinds().get(name)
        return literal(text) if kind is None else kind.parse(text)

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
        """Replace fields; an unknown one is a ``TypeError``, as of any keyword, that names the nearest."""
        known = [item.name for item in fields(self)]  # type: ignore[arg-type]
        for name in changes:
            if name not in known:
                near = suggest(name, known)
                raise TypeError(f"{type(self).__name__} got an unexpected keyword argument {name!r}: {near}")
        return replace(self, **changes)  # type: ignore[type-var]
