"""Computing a figure row by row: what is finished is on disk, and stays there when the work is interrupted."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from jcas_agents.files import write_file
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from jcas_env.checks import require

from ..figures import new_figure, save_figure
from ..files import write_json
from ..kept import Kept, is_number, refusing, rows_file
from .figure import Effort, FigureRecipe, Table


def compute(
    name: str, recipe: FigureRecipe, effort: Effort, folder: Path, console: Console, *, resume: bool = False
) -> tuple[Table, bool]:
    """Compute the rows of a figure; writes ``folder/NAME.csv`` after each row and ``folder/NAME.png`` at the end.

    With ``resume`` the rows in ``folder/NAME.rows.json`` are not computed again; ``ValueError`` where they were made
    with another effort. Returns the table of finished rows, and whether all are there (False: Ctrl-C).
    """
    path = folder / f"{name}.csv"
    made_by = {"figure": name, "columns": list(recipe.all_columns), "effort": effort._asdict()}
    check = partial(_check, recipe)
    kept = Kept.begin(rows_file(path), made_by, resume=resume, check=check)
    rows = [tuple(row) for row in kept.rows.values()]
    if rows:
        with refusing(f"{kept.path} holds no rows of this figure"):
            _try_out(recipe, effort, kept.rows)
    columns = (TextColumn("{task.description:14}"), BarColumn(), MofNCompleteColumn(), TextColumn("points"))
    complete = True
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        task = progress.add_task(name, total=recipe.size(effort), completed=len(rows))
        try:
            for row in recipe.compute(effort._replace(done=len(rows))):
                rows.append(tuple(_number(row[column]) for column in recipe.all_columns))
                kept.add(str(len(rows)), rows[-1])
                write_csv(path, Table(recipe.all_columns, tuple(rows)))
                progress.advance(task)
        except KeyboardInterrupt:
            complete = False
    table = Table(recipe.all_columns, tuple(rows))
    if kept.unwritten:
        raise kept.unwritten[0]
    if rows:
        write_picture(recipe, table, folder / f"{name}.png")
    return table, complete


def _check(recipe: FigureRecipe, _: str, row: Any) -> None:
    """Raise an error where a row of a file cannot be one of a figure."""
    require(len(row) == len(recipe.all_columns), f"it must have {len(recipe.all_columns)} entries")
    known = isinstance(row, list) and all(isinstance(entry, str | bool) or is_number(entry) for entry in row)
    require(known, "its entries must be numbers or texts")


def _try_out(recipe: FigureRecipe, effort: Effort, rows: Mapping[str, Any]) -> None:
    """Raise an error where rows of a file do not follow one another, or cannot be drawn and judged."""
    size = recipe.size(effort)
    require(list(rows) == [str(k + 1) for k in range(len(rows))], "rows must be numbered from 1 without a gap")
    require(len(rows) <= size, f"the figure has {size} rows, not {len(rows)}")
    table = Table(recipe.all_columns, tuple(map(tuple, rows.values())))
    recipe.draw(new_figure(11.0, 4.8), table)
    if len(rows) == size:
        recipe.verdict(table)


def _number(value: Any) -> Any:
    """A NumPy scalar as Python's own."""
    return value.item() if isinstance(value, np.generic) else value


def report(name: str, recipe: FigureRecipe, effort: Effort, table: Table, complete: bool) -> dict[str, Any]:
    """What ``--json`` writes: ``figure``, ``columns`` and ``rows`` first, then how they came about."""
    content: dict[str, Any] = {"figure": name, "columns": recipe.columns, "rows": table.only(recipe.columns).rows}
    if recipe.extra:
        content["extra"] = {"columns": recipe.extra, "rows": table.only(recipe.extra).rows}
    content |= {"title": recipe.title, "seed": effort.seed, "quick": effort.quick, "complete": complete}
    content["verdict"] = recipe.verdict(table) if complete else []
    return content


def write_csv(path: Path, table: Table) -> None:
    """Write a table whole, with a heading."""
    text = StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(table.columns)
    writer.writerows(table.rows)
    write_file(path, text.getvalue().encode())


def write_picture(recipe: FigureRecipe, table: Table, path: Path) -> None:
    """Draw the rows into a PNG file."""
    figure = new_figure(11.0, 4.8)
    recipe.draw(figure, table)
    figure.suptitle(recipe.title, fontsize=11)
    save_figure(figure, path)


def write_reports(path: Path, reports: list[dict[str, Any]]) -> None:
    """Write one report as it is, several as ``{"figures": [...]}``."""
    write_json(path, reports[0] if len(reports) == 1 else {"figures": reports})
