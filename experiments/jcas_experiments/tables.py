"""Tables that never cut a digit: what does not fit beside one another stands below one another."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.measure import Measurement
from rich.table import Column, Table

GAP = 1
"""Spaces between two columns, beside the one that rich puts there."""


def new_table() -> Table:
    """The house's table: no lines, bold headings."""
    return Table(box=None, pad_edge=False, header_style="bold")


def print_table(console: Console, table: Table) -> None:
    """Print a table; one that is wider than the console breaks into several, each with the first column.

    A column may wrap where its ``overflow`` is ``fold``: it then needs its ``min_width`` alone.
    """
    parts = list(_parts(console, table))
    for index, part in enumerate(parts):
        if index:
            console.print()
        console.print(table if len(parts) == 1 else part)


def _parts(console: Console, table: Table) -> Iterable[Table]:
    """Tables of as many columns as fit beside the first one."""
    first, *others = table.columns
    room = console.width - _width(console, first)
    part, left = [first], room
    for column in others:
        needed = GAP + 1 + _width(console, column)
        if needed > left and len(part) > 1:
            yield _of(part)
            part, left = [first], room
        part.append(column)
        left -= needed
    yield _of(part)


def _width(console: Console, column: Column) -> int:
    """Characters that a column needs to be read."""
    cells = (column.header, *column.cells)
    if column.overflow == "fold" and not column.no_wrap:
        cells = (column.header,)
    found = max(Measurement.get(console, console.options, cell).maximum for cell in cells)
    return max(found, column.min_width or 0)


def _of(columns: list[Column]) -> Table:
    """The table of some columns."""
    table = new_table()
    for column in columns:
        table.add_column(
            column.header, justify=column.justify, no_wrap=column.no_wrap, overflow=column.overflow,
            min_width=column.min_width,
        )  # fmt: skip
    for cells in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*cells)
    return table
