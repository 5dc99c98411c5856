"""Where the fields of a problem are checked: once, where a user states them."""

from __future__ import annotations

from dataclasses import MISSING
from typing import Any, Self


class CheckedFields:
    """Base of frozen dataclasses of arrays that are checked where a user constructs one.

    ``Problem(...)`` and ``dataclasses.replace`` scan every value and raise ``ValueError`` that names field, index and
    value. What the code itself derives from checked fields goes around the scans by :meth:`trusted` and
    :meth:`changed`; kinds and shapes are settled all the same.
    """

    @staticmethod
    def fit_fields(fields: dict[str, Any]) -> dict[str, Any]:
        """All fields in the kind and shape that the class works with; looks at no value."""
        return fields

    @staticmethod
    def check_fields(fields: dict[str, Any]) -> dict[str, Any]:
        """All fields, fitted; raises ``ValueError`` for what cannot be meant."""
        raise NotImplementedError

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

    def changed(self, **fields: Any) -> Self:
        """The same with other fields, whose values are known to be valid; what had been computed is forgotten."""
        stated = {name: getattr(self, name) for name in self.__dataclass_fields__}  # type: ignore[attr-defined]
        return self.trusted(**(stated | fields))
