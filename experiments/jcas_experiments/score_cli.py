"""``jcas score``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


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
    from jcas_agents.evaluation_sets import SETS, VERSION

    from .files import write_json
    from .score import scores, table, write_card

    console = Console(width=150)
    names = policies or ["multicell-rate"]
    chosen = list(SETS) if sets is None else [name.strip() for name in sets.split(",") if name.strip()]
    found = []
    try:
        with console.status("scoring ..."):
            for row in scores(names, chosen, scenes, best=best):
                found.append(row)
    except KeyboardInterrupt:
        console.print("interrupted")
    except (ValueError, OSError) as error:
        Console(stderr=True).print(f"[red]error:[/red] {error}", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None
    console.print(table(found))
    console.print(
        f"true utility on {scenes} scenes of each set, test-{VERSION}; several policies: mean and half the range.",
        style="dim",
        markup=False,
        highlight=False,
    )
    if json is not None:
        write_json(json, {"policies": names, "scenes": scenes, "rows": [row.report() for row in found]})
    if card and found:
        console.print(f"card: {write_card(names[0], found, scenes, len(names))}", highlight=False)
