"""Kinds of configuration values: type and range of a field, stated once, beside it.

``radius: Annotated[float, Number(5.0, 1e5)] = 30.0`` says what the field takes. From it come the refusal of anything
else by name, rule and value, the reading of ``--set radius=50``, the reference table and the ends that tests try.
Inside of the ranges everything works, in both precisions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from ast import literal_eval
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf, nan
from numbers import Integral, Real
from typing import Any, get_args

import numpy as np

from ..checks import require, shown, suggest


def literal(text: str) -> Any:
    """Python literal that a text is, or the text."""
    try:
        return literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return text


class Kind(ABC):
    """What a field takes; its ``rule`` completes "must be ..."."""

    @property
    @abstractmethod
    def rule(self) -> str:
        """The values, in words."""

    @property
    @abstractmethod
    def ends(self) -> tuple[Any, ...]:
        """Values at the ends of the range; every one of a few."""

    @abstractmethod
    def accepts(self, value: object) -> bool:
        """Whether a value is of the kind; NumPy's scalars are what Python's are, arrays are not."""

    def plain(self, value: Any) -> Any:
        """An accepted value as Python's own."""
        return value

    def parse(self, text: str) -> Any:
        """Value that a text means, a Python literal or itself; it may not be accepted."""
        return literal(text)

    def read(self, name: str, value: object) -> Any:
        """An accepted value as Python's own; raises ``ValueError`` that names the field, the rule and the value."""
        require(self.accepts(value), f"`{name}` must be {self.rule}, got {shown(value)}{self._hint(value)}")
        return self.plain(value)

    def _hint(self, value: object) -> str:  # noqa: ARG002 (a kind may know what was meant)
        return ""


@dataclass(frozen=True)
class Boolean(Kind):
    """True or False, no number and no text."""

    rule = "True or False"
    ends = (False, True)

    def accepts(self, value: object) -> bool:
        """Whether it is a truth value."""
        return isinstance(value, bool | np.bool_)

    def plain(self, value: Any) -> bool:
        """Python's."""
        return bool(value)

    def parse(self, text: str) -> Any:
        """``true`` and ``false`` in any case."""
        return {"true": True, "false": False}.get(text.lower(), text)


@dataclass(frozen=True)
class Integer(Kind):
    """Whole number between two ends, which belong to it."""

    low: int
    high: int

    @property
    def rule(self) -> str:
        """Integer and interval."""
        return f"an integer in [{self.low}, {self.high}]"

    @property
    def ends(self) -> tuple[int, ...]:
        """Least and largest."""
        return self.low, self.high

    def accepts(self, value: object) -> bool:
        """Whether it is an integer, no truth value, in the interval."""
        return isinstance(value, Integral) and not isinstance(value, bool) and self.low <= int(value) <= self.high

    def plain(self, value: Any) -> int:
        """Python's."""
        return int(value)


@dataclass(frozen=True)
class Number(Kind):
    """Real number between two finite ends, which belong to it."""

    low: float
    high: float

    @property
    def rule(self) -> str:
        """Number and interval."""
        return f"a number in [{self.low:g}, {self.high:g}]"

    @property
    def ends(self) -> tuple[float, ...]:
        """Least and largest."""
        return self.low, self.high

    def accepts(self, value: object) -> bool:
        """Whether it is a real number, no truth value, in the interval."""
        return isinstance(value, Real) and not isinstance(value, bool) and self.low <= _rounded(value) <= self.high

    def plain(self, value: Any) -> float:
        """Python's, in double precision."""
        return float(value)


def _rounded(value: Real) -> float:
    """In double precision; what is beyond it is infinite, and no number is NaN."""
    try:
        return float(value)
    except OverflowError:
        return inf
    except ValueError:
        return nan


@dataclass(frozen=True)
class Choice(Kind):
    """One of a few words or integers: of a ``Literal`` type, or of a collection, which may grow."""

    known: Any

    @property
    def ends(self) -> tuple[Any, ...]:
        """All of them."""
        return get_args(self.known) or tuple(self.known)

    @property
    def rule(self) -> str:
        """List of them."""
        return f"one of {list(self.ends)}"

    def accepts(self, value: object) -> bool:
        """Whether it is a text or an integer of the list; a truth value is none."""
        return isinstance(value, str | Integral) and not isinstance(value, bool) and value in self.ends

    def plain(self, value: Any) -> Any:
        """The entry of the list."""
        return next(entry for entry in self.ends if entry == value)

    def _hint(self, value: object) -> str:
        words = [entry for entry in self.ends if isinstance(entry, str)]
        return f": {suggest(value, words)}" if words and isinstance(value, str) else ""


@dataclass(frozen=True)
class OrNone(Kind):
    """A kind, or None."""

    kind: Kind

    @property
    def rule(self) -> str:
        """That of the kind, or None."""
        return f"{self.kind.rule} or None"

    @property
    def ends(self) -> tuple[Any, ...]:
        """None and those of the kind."""
        return (None, *self.kind.ends)

    def accepts(self, value: object) -> bool:
        """Whether it is None or of the kind."""
        return value is None or self.kind.accepts(value)

    def plain(self, value: Any) -> Any:
        """None, or as the kind has it."""
        return None if value is None else self.kind.plain(value)

    def parse(self, text: str) -> Any:
        """``none`` in any case, or as the kind reads it."""
        return None if text.lower() == "none" else self.kind.parse(text)

    def _hint(self, value: object) -> str:
        return self.kind._hint(value)


@dataclass(frozen=True)
class Several(Kind):
    """A tuple or list with one value of each of several kinds."""

    kinds: tuple[Kind, ...]

    @property
    def rule(self) -> str:
        """Rules one after the other."""
        return f"({', '.join(kind.rule for kind in self.kinds)})"

    @property
    def ends(self) -> tuple[Any, ...]:
        """All least, all largest."""
        return tuple(tuple(kind.ends[end] for kind in self.kinds) for end in (0, -1))

    def accepts(self, value: object) -> bool:
        """Whether there are as many values as kinds, and each is accepted."""
        fits = isinstance(value, tuple | list) and len(value) == len(self.kinds)
        return fits and all(kind.accepts(part) for kind, part in zip(self.kinds, _parts(value), strict=True))

    def plain(self, value: Any) -> tuple[Any, ...]:
        """A tuple."""
        return tuple(kind.plain(part) for kind, part in zip(self.kinds, value, strict=True))


@dataclass(frozen=True)
class OneOrEach(Kind):
    """A value for all, or a tuple or list of them with one for each."""

    kind: Kind

    @property
    def rule(self) -> str:
        """That of the kind, or several."""
        return f"{self.kind.rule} or several of them"

    @property
    def ends(self) -> tuple[Any, ...]:
        """Those of the kind, for all."""
        return self.kind.ends

    def accepts(self, value: object) -> bool:
        """Whether it, or each part of it, is of the kind."""
        parts = list(_parts(value))
        return len(parts) > 0 and all(self.kind.accepts(part) for part in parts)

    def plain(self, value: Any) -> Any:
        """A value, or a tuple."""
        several = isinstance(value, tuple | list)
        return tuple(self.kind.plain(part) for part in value) if several else self.kind.plain(value)


def _parts(value: Any) -> Iterable[Any]:
    return value if isinstance(value, tuple | list) else (value,)
