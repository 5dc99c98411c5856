"""``jcas reproduce``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jcas_env.checks import require, suggest

from ..console import fail, standard_output
from ..files import require_writable
from .figure import Effort
from .registry import FIGURES
from .run import compute, report, write_reports

FIGURES_AND_EXAMPLES = (
    "[bold]Figures[/bold]\n\n"
    + "\n\n".join(f"[bold]{name}[/bold]: {recipe.title}" for name, recipe in FIGURES.items())
    + "\n\n[bold]Examples[/bold]\n\njcas reproduce luo-fig8 --quick\n\njcas reproduce all --json results/figures.json"
)
"""What stands under the options in ``jcas reproduce --help``."""


def reproduce(
    figure: Annotated[str, typer.Argument(help="Name of a figure, see below, or `all`.")],
    quick: Annotated[bool, typer.Option("--quick", help="Fewer scenes and points; under a minute a figure.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Scene i is drawn with seed + i.")] = 0,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the numbers as JSON.")] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for FIGURE.png and FIGURE.csv.")] = Path("results"),
) -> None:
    """Compute a figure of the papers anew, and say what of its claims is found.

    Finished points are in the CSV file at once; Ctrl-C keeps them.
    """
    console = standard_output()
    try:
        require(figure in ("all", *FIGURES), f"unknown figure {figure!r}: {suggest(figure, ['all', *FIGURES])}")
        require_writable("--out", out / f"{figure}.csv")
        require_writable("--json", json)
    except ValueError as error:
        fail(error)
    effort, reports, complete = Effort(seed, quick), [], True
    for name in FIGURES if figure == "all" else [figure]:
        recipe = FIGURES[name]
        table, complete = compute(name, recipe, effort, out, console)
        content = report(name, recipe, effort, table, complete)
        reports.append(content)
        console.print(f"[bold]{name}[/bold]: {recipe.title}")
        for line in content["verdict"]:
            console.print(f"  * {line}", markup=False, highlight=False)
        console.print(f"  {out / name}.png, {out / name}.csv" if table.rows else "  nothing finished", highlight=False)
        if json is not None:
            write_reports(json, reports)
        if not complete:
            if json is not None:
                console.print(f"numbers: {json}")
            console.print(f"interrupted: {len(table.rows)} of {recipe.size(effort)} points finished")
            raise typer.Exit(130)
    if json is not None:
        console.print(f"numbers: {json}")
