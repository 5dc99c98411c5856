"""``jcas bench``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from ..console import fail, standard_output
from ..files import require_writable, write_json
from .row import Row
from .suites import SUITES, run_suites, select

MEASUREMENTS = "[bold]Measurements[/bold]\n\n" + "\n\n".join(
    f"[bold]{name}[/bold]: {suite.text}" for name, suite in SUITES.items()
)
"""What stands under the options in ``jcas bench --help``."""


def bench(
    suites: Annotated[list[str] | None, typer.Argument(help="Names of measurements, see below; without: all.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Small sizes: seconds, and rough ratios.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Scene i is drawn with seed + i.")] = 0,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the numbers as JSON.")] = None,
) -> None:
    """Measure speed against peers in the same run, in CPU time.

    Ratios are what to look at; times depend on the machine. mobile-env, the environment's peer, comes with
    `python3 dev.py bench` (or `pip install mobile-env==2.1`).
    """
    console = standard_output()
    try:
        names = select(suites or [])
        require_writable("--json", json)
    except ValueError as error:
        fail(error)
    rows, complete = run_suites(names, console, quick=quick, seed=seed)
    console.print(row_table(rows))
    if json is not None:
        write_json(json, {"rows": [row._asdict() for row in rows]})
        console.print(f"numbers: {json}")
    if not complete:
        raise typer.Exit(130)


def row_table(rows: list[Row]) -> Table:
    """One row per measurement."""
    result = Table(box=None, pad_edge=False, header_style="bold")
    result.add_column("what")
    result.add_column("value", justify="right")
    result.add_column("peer")
    result.add_column("value", justify="right")
    result.add_column("unit")
    result.add_column("times better", justify="right")
    result.add_column("asked", justify="right")
    for row in rows:
        numbers = (row.value, row.peer_value, row.ratio, row.target)
        value, peer_value, ratio, target = ("-" if x is None or x != x else f"{x:,.4g}" for x in numbers)  # noqa: PLR0124
        result.add_row(row.benchmark, value, row.peer, peer_value, row.unit, ratio, target)
    return result
