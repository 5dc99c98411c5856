"""``jcas score``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jcas_env.checks import require

from ..console import fail, standard_output


def score(
    policies: Annotated[
        list[str] | None, typer.Argument(help="Policy files, or names of shipped ones; several: training seeds.")
    ] = None,
    sets: Annotated[str | None, typer.Option(help="Evaluation sets, separated by commas; without: all.")] = None,
    scenes: Annotated[int, typer.Option(min=2, help="Scenes of each set.")] = 200,
    best: Annotated[bool, typer.Option("--best", help="Beside the best found, too (seconds a scene).")] = False,
    card: Annotated[bool, typer.Option("--card", help="Write the scores into the card of the first policy.")] = False,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the numbers as JSON.")] = None,
) -> None:
    """Score trained policies on the frozen evaluation sets, beside optimisers and yardsticks.

    Ratios of mean true utilities (of geometric-mean rates for a fair policy) on the same scenes.
    """
    from jcas_agents.data.evaluation_sets import SETS, VERSION

    from ..files import require_writable, write_json
    from .scores import scores, table, write_card

    console = standard_output(150)
    names = policies or ["multicell-rate"]
    chosen = list(SETS) if sets is None else [name.strip() for name in sets.split(",") if name.strip()]
    found, complete = [], True
    try:
        require(bool(chosen), f"`--sets` is empty; known: {', '.join(SETS)}")
        require_writable("--json", json)
        with console.status("scoring ..."):
            for row in scores(names, chosen, scenes, best=best):
                found.append(row)
    except KeyboardInterrupt:
        complete = False
        console.print(f"interrupted: {len(found)} of the ratios finished")
    except (ValueError, OSError) as error:
        fail(error)
    console.print(table(found))
    console.print(
        f"true utility on {scenes} scenes of each set, test-{VERSION}; several policies: mean and half the range.",
        style="dim",
        markup=False,
        highlight=False,
    )
    if json is not None:
        write_json(json, {"policies": names, "scenes": scenes, "rows": [row.report() for row in found]})
        console.print(f"numbers: {json}")
    if card and found and complete:
        console.print(f"card: {write_card(names[0], found, scenes, len(names))}", highlight=False)
    if not complete:
        raise typer.Exit(130)
