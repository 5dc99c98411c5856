"""Where the fields of a problem are checked: once, where a user states them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import MISSING
from typing import Any, Self

from ..types import at_hand, is_array


class CheckedFields(ABC):
    """Base of frozen dataclasses of arrays that are checked where a user constructs one.

    ``Problem(...)`` and ``dataclasses.replace`` scan every value and raise ``ValueError`` that names field, index and
    value. What a scenario makes of a state gets a glance, by :meth:`derived`; what the code makes of checked fields
    goes around both by :meth:`trusted` and :meth:`changed`. Kinds and shapes are settled all the same.
    """

    @staticmethod
    def fit_fields(fields: dict[str, Any]) -> dict[str, Any]:
        """All fields in the kind and shape that the class works with; looks at no value."""
        return fields

    @staticmethod
    @abstractmethod
    def check_fields(fields: dict[str, Any]) -> dict[str, Any]:
        """All fields, fitted; raises ``ValueError`` for what cannot be meant."""

    @staticmethod
    def plausible(fields: dict[str, Any]) -> bool:  # noqa: ARG004 (a class says by what it can tell)
        """Whether a glance at fields that follow from a state rules out that :meth:`check_fields` refuses them."""
        return False

    def __post_init__(self) -> None:
        vars(self).update(self.check_fields(dict(vars(self))))

    @classmethod
    def trusted(cls, **fields: Any) -> Self:
        """Construct from fields whose values are known to be valid, without a scan of them.

        Raises ``TypeError`` for an unknown field and for one that is missing, as the constructor does.
        """
        known = {name: field.default for name, field in cls.__dataclass_fields__.items()}  # type: ignore[attr-defined]
        given = known | fields
        wrong = [name for name, value in given.items() if name not in known or value is MISSING]
        if wrong:
            raise TypeError(f"{cls.__name__} has other fields: {', '.join(wrong)} unknown or missing")
        made = object.__new__(cls)
        vars(made).update(cls.fit_fields(given))
        return made

    @classmethod
    def derived(cls, **fields: Any) -> Self:
        """Construct from what follows from a valid configuration and a state, which may be anybody's.

        Raises ``ValueError`` as the constructor does for what a state, or an absurd configuration, makes of the fields;
        they are scanned where they do not look :meth:`plausible`. Nobody waits for a device to show them.
        """
        made = cls.trusted(**fields)
        if all(at_hand(value) for value in fields.values() if is_array(value)) and not cls.plausible(vars(made)):
            cls.check_fields(dict(vars(made)))
        return made

    def changed(self, **fields: Any) -> Self:
        """The same with other fields, whose values are known to be valid; what had been computed is forgotten."""
        stated = {name: getattr(self, name) for name in self.__dataclass_fields__}  # type: ignore[attr-defined]
        return self.trusted(**(stated | fields))
