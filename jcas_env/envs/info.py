"""An ``info`` whose expensive entries wait until somebody reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

_PENDING = object()


class LazyInfo(dict[str, Any]):
    """A dictionary of which some entries, ``names``, are made by one call when the first of them is read.

    Whoever copies, merges, compares or pickles it gets a plain dictionary with all entries.
    """

    def __init__(
        self, entries: Mapping[str, Any], names: tuple[str, ...], make: Callable[[], Mapping[str, Any]]
    ) -> None:
        super().__init__(entries)
        self._make = make
        for name in names:
            dict.__setitem__(self, name, _PENDING)

    def _settled(self) -> LazyInfo:
        """Itself, with every entry made."""
        if any(value is _PENDING for value in dict.values(self)):
            for name, value in self._make().items():
                if dict.get(self, name) is _PENDING:
                    dict.__setitem__(self, name, value)
        return self

    def __getitem__(self, name: str) -> Any:
        value = dict.__getitem__(self, name)
        return dict.__getitem__(self._settled(), name) if value is _PENDING else value

    def get(self, name: str, default: Any = None) -> Any:
        """The entry, or ``default`` where there is none."""
        return self[name] if name in self else default  # noqa: SIM401 (`get` is this method)

    def pop(self, name: str, *default: Any) -> Any:
        """Take an entry out."""
        return dict.pop(self._settled(), name, *default)

    def popitem(self) -> tuple[str, Any]:
        """Take the last entry out."""
        return dict.popitem(self._settled())

    def setdefault(self, name: str, default: Any = None) -> Any:
        """The entry, which becomes ``default`` where there is none."""
        return dict.setdefault(self._settled(), name, default)

    def items(self) -> Any:
        """Names and entries, all of them made."""
        return dict.items(self._settled())

    def values(self) -> Any:
        """All entries, made."""
        return dict.values(self._settled())

    def copy(self) -> dict[str, Any]:
        """A plain dictionary with all entries."""
        return dict(self.items())

    def __iter__(self) -> Iterator[str]:  # with an iterator of its own, `dict(info)` and `{**info}` ask for the entries
        return dict.__iter__(self)

    def __or__(self, other: Any) -> Any:
        return self.copy() | other

    def __ror__(self, other: Any) -> Any:
        return other | self.copy()

    def __eq__(self, other: object) -> bool:
        return self.copy() == (other.copy() if isinstance(other, LazyInfo) else other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None

    def __repr__(self) -> str:
        return repr(self.copy())

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (self.copy(),)


def part_of_info(info: Mapping[str, Any], names: Iterable[str], part: Callable[[Any], Any]) -> dict[str, Any]:
    """Some entries of an ``info``, each through a function that takes a part of it; what waits there waits here."""
    names = tuple(names)
    waiting = [name for name in names if dict.get(info, name) is _PENDING] if isinstance(info, LazyInfo) else []
    ready = {name: part(info[name]) for name in names if name not in waiting}
    if not waiting:
        return ready
    return LazyInfo(ready, tuple(waiting), lambda: {name: part(info[name]) for name in waiting})
