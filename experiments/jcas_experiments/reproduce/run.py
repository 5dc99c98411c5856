"""Computing a figure row by row: what is finished is on disk, and stays there when the work is interrupted."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

from jcas_agents.files import write_file
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

from jcas_env.checks import require

from ..console import Bars
from ..figures import new_figure, save_figure, small_print
from ..files import write_json
from ..jobs.crew import Crew, LostWorkerError
from ..kept import Kept, is_number, refusing, rows_file
from .figure import Effort, FigureRecipe, Table
from .shared import numbered, share_rows


@dataclass(frozen=True)
class Computed:
    """What there is of a figure."""

    table: Table
    """The rows that are finished."""
    size: int
    """How many there are to be."""
    interrupted: bool
    """Whether somebody ended the work before."""
    lost: dict[int, LostWorkerError]
    """Rows whose workers were lost, by their numbers."""

    @property
    def complete(self) -> bool:
        """Whether all rows are there."""
        return len(self.table.rows) == self.size


def compute(
    name: str,
    recipe: FigureRecipe,
    effort: Effort,
    folder: Path,
    console: Console,
    *,
    resume: bool = False,
    crew: Crew | None = None,
) -> Computed:
    """Compute the rows of a figure; writes ``folder/NAME.csv`` after each row and ``folder/NAME.png`` at the end.

    With ``resume`` the rows in ``folder/NAME.rows.json`` are not computed again; ``ValueError`` where they were made
    with another effort. A crew shares the rows that are not there.
    """
    path, size = folder / f"{name}.csv", recipe.size(effort)
    made_by = {"figure": name, "columns": list(recipe.all_columns), "effort": effort._asdict()}
    check = partial(_check, recipe)
    kept = Kept.begin(rows_file(path), made_by, resume=resume, check=check)
    rows = {int(number): tuple(row) for number, row in kept.rows.items() if number.isdecimal()}
    taken_over = bool(kept.rows)
    if taken_over:
        _try_out(recipe, size, kept)
    columns = (TextColumn("{task.description:14}"), BarColumn(), MofNCompleteColumn(), TextColumn("points"))
    interrupted, lost = False, {}

    def on_row(number: int, row: tuple[Any, ...]) -> None:
        rows[number] = row
        kept.add(str(number), row)
        write_csv(path, _table(recipe, rows))
        progress.update(task, completed=len(rows))

    with Bars(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        task = progress.add_task(name, total=size, completed=len(rows))
        missing = [number for number in range(1, size + 1) if number not in rows]
        try:
            if crew is None:
                for number, row in numbered(recipe, effort, missing):
                    on_row(number, row)
            else:
                lost = share_rows(crew, name, recipe, effort, missing, on_row)
        except KeyboardInterrupt:
            interrupted = True
    if kept.unwritten:
        raise kept.unwritten[0]
    if taken_over:
        _try_out(recipe, size, kept)
    table = _table(recipe, rows)
    if rows:
        write_picture(recipe, table, effort, folder / f"{name}.png")
    return Computed(table, size, interrupted, lost)


def _table(recipe: FigureRecipe, rows: Mapping[int, tuple[Any, ...]]) -> Table:
    """Rows by their numbers as a table."""
    return Table(recipe.all_columns, tuple(rows[number] for number in sorted(rows)))


def _check(recipe: FigureRecipe, _: str, row: Any) -> None:
    """Raise an error where a row of a file cannot be one of a figure."""
    require(len(row) == len(recipe.all_columns), f"it must have {len(recipe.all_columns)} entries")
    known = isinstance(row, list) and all(isinstance(entry, str | bool) or is_number(entry) for entry in row)
    require(known, "its entries must be numbers or texts")


def _try_out(recipe: FigureRecipe, size: int, kept: Kept) -> None:
    """Raise ``ValueError`` where rows of a file have no number of the figure's, or cannot be drawn and judged."""
    known, rows = {str(number) for number in range(1, size + 1)}, kept.rows
    with refusing(f"{kept.path} holds no rows of this figure"):
        require(rows.keys() <= known, f"rows must be numbered from 1 to {size}, got {sorted(rows.keys() - known)}")
        table = _table(recipe, {int(number): tuple(row) for number, row in rows.items()})
        recipe.draw(new_figure(11.0, 4.8), table)
        if len(rows) == size:
            recipe.verdict(table)


def report(name: str, recipe: FigureRecipe, effort: Effort, computed: Computed) -> dict[str, Any]:
    """What ``--json`` writes: ``figure``, ``columns`` and ``rows`` first, then how they came about."""
    table, complete = computed.table, computed.complete
    content: dict[str, Any] = {"figure": name, "columns": recipe.columns, "rows": table.only(recipe.columns).rows}
    if recipe.extra:
        content["extra"] = {"columns": recipe.extra, "rows": table.only(recipe.extra).rows}
    content |= {"title": recipe.title, "seed": effort.seed, "quick": effort.quick, "complete": complete}
    if computed.lost:
        content["lost"] = {str(number): str(error) for number, error in computed.lost.items()}
    content["verdict"] = recipe.verdict(table) if complete else []
    return content


def write_csv(path: Path, table: Table) -> None:
    """Write a table whole, with a heading."""
    text = StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(table.columns)
    writer.writerows(table.rows)
    write_file(path, text.getvalue().encode())


def write_picture(recipe: FigureRecipe, table: Table, effort: Effort, path: Path) -> None:
    """Draw the rows into a PNG file."""
    figure = new_figure(11.0, 4.8)
    recipe.draw(figure, table)
    figure.suptitle(recipe.title, fontsize=11)
    small_print(figure, f"seed {effort.seed}, {'quick' if effort.quick else 'full'}")
    save_figure(figure, path)


def write_reports(path: Path, reports: list[dict[str, Any]]) -> None:
    """Write one report as it is, several as ``{"figures": [...]}``."""
    write_json(path, reports[0] if len(reports) == 1 else {"figures": reports})
