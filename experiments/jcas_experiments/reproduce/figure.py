"""What a figure of a paper is here: rows that are computed one by one, a drawing of them, and a verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from jcas_env.checks import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure


P = TypeVar("P")

Rows = Iterator[dict[str, Any]]
"""Rows as mappings from column to number."""


class Effort(NamedTuple):
    """How much work to spend."""

    seed: int = 0
    """First seed; scene i is drawn with seed + i."""
    quick: bool = False
    """Fewer scenes, in under a minute."""
    wanted: frozenset[int] | None = None
    """Numbers of the rows to compute, from 1 on; None: all."""

    def left(self, points: Iterable[P]) -> Iterator[P]:
        """The points of the rows that are wanted, of points that yield a row each."""
        return (point for number, point in enumerate(points, 1) if self.wanted is None or number in self.wanted)

    def pick(self, full: int, quick: int) -> int:
        """A size for the full and for the quick run."""
        return quick if self.quick else full


@dataclass(frozen=True)
class Table:
    """Named columns of numbers."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def __getitem__(self, name: str) -> np.ndarray:
        """A column as an array."""
        require(name in self.columns, f"no column {name!r}: {', '.join(self.columns)}")
        return np.array([row[self.columns.index(name)] for row in self.rows])

    def where(self, **values: Any) -> Table:
        """The rows whose columns have the given values."""
        wanted = [(self.columns.index(name), value) for name, value in values.items()]
        return Table(self.columns, tuple(row for row in self.rows if all(row[i] == value for i, value in wanted)))

    def only(self, names: Sequence[str]) -> Table:
        """Some of the columns."""
        index = [self.columns.index(name) for name in names]
        return Table(tuple(names), tuple(tuple(row[i] for i in index) for row in self.rows))


@dataclass(frozen=True)
class FigureRecipe:
    """A figure: what is computed, how it is drawn, what it says about the paper's claim."""

    title: str
    """What the figure shows, with its place in the paper."""
    columns: tuple[str, ...]
    """Columns of the JSON file, in order; units are in the names."""
    compute: Callable[[Effort], Rows]
    """Yields the rows that are wanted, in their order, as they are finished: by :meth:`Effort.left` of its points, or
    by :func:`all_at_once`. Rows may carry more columns than ``columns``, half-widths of 95 % confidence intervals
    ``NAME_ci95`` for example: these go into the CSV file and into ``extra`` of the JSON file."""
    size: Callable[[Effort], int]
    """Number of rows that ``compute`` yields, for the progress bar."""
    draw: Callable[[Figure, Table], None]
    """Draws the rows that there are into an empty figure; all columns."""
    verdict: Callable[[Table], list[str]]
    """Sentences on what agrees with the paper and what does not, with the numbers found; all columns, all rows."""
    extra: tuple[str, ...] = ()
    """Further columns."""
    in_one_piece: bool = False
    """Whether the rows share work that nobody should do twice."""

    @property
    def all_columns(self) -> tuple[str, ...]:
        """Columns of the JSON file, then the others."""
        return (*self.columns, *self.extra)


def all_at_once(compute: Callable[[Effort], Rows]) -> Callable[[Effort], Rows]:
    """For rows that share their work: it is done anew, and the rows that are not wanted are left out."""

    def rows(effort: Effort) -> Rows:
        return effort.left(compute(effort._replace(wanted=None)))

    return rows


def intervals(names: Iterable[str]) -> tuple[str, ...]:
    """Columns of the half-widths of the 95 % confidence intervals of some columns."""
    return tuple(f"{name}_ci95" for name in names)
