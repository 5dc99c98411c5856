"""``jcas bench``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from ..console import complain, fail, say, standard_output
from ..files import require_apart, require_writable, write_all, write_json
from ..tables import new_table, print_table
from .against import SAME_MACHINE, Change, change_table, changes, differences
from .record import read_run, record
from .row import Plan, Row
from .suites import SUITES, run_suites, select
from .throughput.devices import require_device
from .throughput.processes import require_checkout

MEASUREMENTS = "[bold]Measurements[/bold]\n\n" + "\n\n".join(
    f"[bold]{name}[/bold]: {suite.text}" for name, suite in SUITES.items()
)
"""What stands under the options in ``jcas bench --help``."""


def bench(
    suites: Annotated[list[str] | None, typer.Argument(help="Names of measurements, see below; without: all.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Small sizes: seconds, and rough ratios.")] = False,
    only: Annotated[
        str,
        typer.Option(
            metavar="TEXT", help="Of environments, loops, memory, device, slots: rows whose name contains it."
        ),
    ] = "",
    parent: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Another checkout, measured in turns with this one.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON of an earlier run: what became faster.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where the lanes of `device` live: cpu or cuda.")] = "cpu",
    seed: Annotated[int, typer.Option(min=0, help="Scene i is drawn with seed + i.")] = 0,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the numbers as JSON.")] = None,
) -> None:
    """Measure speed against peers in the same run, in CPU time.

    Ratios are what to look at; times depend on the machine. mobile-env, the environment's peer, comes with
    `python3 dev.py bench` (or `pip install mobile-env==2.1`).
    """
    console = standard_output()
    try:
        require_device(device)
        plan = Plan(quick, seed, only, None if parent is None else require_checkout("--parent", parent), device)
        names = select(suites or [], plan)
        before = None if against is None else read_run(against)
        require_writable("--json", json)
        require_apart({"--against": against, "--json": json})
    except ValueError as error:
        fail(error)
    rows, complete = run_suites(names, console, plan)
    content: dict[str, Any] = {"run": record(names, plan), "rows": [row._asdict() for row in rows]}
    found: list[Change] = []
    if before is not None:
        old, was = before
        found = changes(old, rows, same_machine=not list(differences(was, content["run"], SAME_MACHINE)))
        content["against"] = {
            "differences": list(differences(was, content["run"])),
            "changes": [change._asdict() for change in found],
        }
    written, unwritten = write_all(
        [("numbers", json if rows or complete else None, lambda path: write_json(path, content))]
    )
    if not complete:
        say(console, f"interrupted: {len(rows)} measurements finished")
    print_table(console, row_table(rows))
    if any(row.also for row in rows):
        print_table(console, unit_table(rows))
    if before is not None:
        print_table(console, change_table(found))
        written = [f"differs: {line}" for line in content["against"]["differences"]] + written
    for line in written:
        say(console, line)
    for missing in unwritten:
        complain(missing)
    if not complete or unwritten:
        raise typer.Exit(1 if complete else 130)


def row_table(rows: list[Row]) -> Table:
    """One row per measurement; quartiles behind a ratio."""
    result = new_table()
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
        spread = "" if row.ratio_spread is None else " ({:.3g} to {:.3g})".format(*row.ratio_spread)
        result.add_row(row.benchmark, value, Text(row.peer), peer_value, row.unit, ratio + spread, target)
    return result


def unit_table(rows: list[Row]) -> Table:
    """The same measurements in other units, one row each, whichever peers they had."""
    found = {row.benchmark: row.also for row in rows if row.also}
    units = list(dict.fromkeys(unit for also in found.values() for unit in also))
    result = new_table()
    result.add_column("the same in other units")
    for unit in units:
        result.add_column(unit, justify="right")
    for name, also in found.items():
        result.add_row(name, *(f"{also[unit]:,.4g}" if unit in also else "" for unit in units))
    return result
