"""``jcas reproduce``."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from jcas_env.checks import require, suggest

from ..console import complain, fail, say, standard_output
from ..files import require_apart, require_writable
from ..jobs.crew import Crew
from ..jobs.options import Jobs, RayAddress, crew_of
from .figure import Effort
from .registry import FIGURES
from .run import Computed, compute, report, write_reports

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
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of FIGURE.png and FIGURE.csv; results or results/quick.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Compute only the points that are not there yet.")] = False,
    jobs: Jobs = None,
    ray: RayAddress = None,
) -> None:
    """Compute a figure of the papers anew, and say what of its claims is found.

    Finished points are in the CSV file at once; Ctrl-C keeps them, --resume goes on from FIGURE.rows.json beside it.
    """
    console = standard_output()
    folder = out or Path("results/quick" if quick else "results")
    try:
        require(figure in ("all", *FIGURES), f"unknown figure {figure!r}: {suggest(figure, ['all', *FIGURES])}")
        names = list(FIGURES) if figure == "all" else [figure]
        require_writable("--out", folder / f"{figure}.csv")
        require_writable("--json", json)
        files = [f"{name}{end}" for name in names for end in (".csv", ".png", ".rows.json")]
        require_apart({"--json": json, **{f"{file}:": folder / file for file in files}})
        crew = crew_of(jobs, ray)
    except ValueError as error:
        fail(error)
    try:
        with crew or nullcontext():
            last, lost, told = _figures(names, Effort(seed, quick), folder, json, console, resume=resume, crew=crew)
    except ValueError as error:
        fail(error)
    except OSError as error:
        fail(error, 1)
    if json is not None and told:
        say(console, f"numbers: {json}")
    for line in lost:
        complain(f"{line}; --resume tries again")
    if last.interrupted:
        say(console, f"interrupted: {len(last.table.rows)} of {last.size} points finished; go on with --resume")
        raise typer.Exit(130)
    if lost:
        raise typer.Exit(1)


def _figures(
    names: list[str], effort: Effort, out: Path, json: Path | None, console: Console, *, resume: bool, crew: Crew | None
) -> tuple[Computed, list[str], int]:
    """Compute figures and report on them; returns the last one, a line for every row that was lost, and the reports."""
    reports, lost = [], []
    for name in names:
        recipe = FIGURES[name]
        computed = compute(name, recipe, effort, out, console, resume=resume, crew=crew)
        if computed.table.rows:
            reports.append(report(name, recipe, effort, computed))
            if json is not None:
                write_reports(json, reports)
        verdict = reports[-1]["verdict"] if computed.table.rows else []
        files = f"{out / name}.png, {out / name}.csv" if computed.table.rows else "nothing finished"
        _tell(console, f"{name}: {recipe.title}", verdict, files)
        lost += [f"{name}: row {number}: LOST, {error}" for number, error in computed.lost.items()]
        if computed.interrupted:
            break
    return computed, lost, len(reports)


def _tell(console: Console, title: str, verdict: list[str], files: str) -> None:
    """What has become of a figure."""
    say(console, title)
    for line in verdict:
        console.print(f"  * {line}", markup=False, highlight=False)
    say(console, f"  {files}")
