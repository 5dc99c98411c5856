"""``jcas score``."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from jcas_env.checks import require

from ..console import complain, fail, say, standard_output
from ..jobs.crew import LostWorkerError
from ..jobs.options import Jobs, RayAddress, crew_of


def score(
    policies: Annotated[
        list[str] | None, typer.Argument(help="Policy files, or names of shipped ones; several: training seeds.")
    ] = None,
    sets: Annotated[str | None, typer.Option(help="Evaluation sets, separated by commas; without: all.")] = None,
    scenes: Annotated[int, typer.Option(min=2, help="Scenes of each set.")] = 200,
    best: Annotated[bool, typer.Option("--best", help="Beside the best found, too (seconds a scene).")] = False,
    card: Annotated[bool, typer.Option("--card", help="Write the scores into the card of the first policy.")] = False,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the numbers as JSON.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Take over the ratios that have finished already.")] = False,
    jobs: Jobs = None,
    ray: RayAddress = None,
) -> None:
    """Score trained policies on the frozen evaluation sets, beside optimisers and yardsticks.

    Ratios of mean true utilities (of geometric-mean rates for a fair policy) on the same scenes. Ctrl-C keeps finished
    ratios; they lie in results/score.rows.json, or beside FILE, from where --resume takes them over.
    """
    from jcas_agents.checkpoint import policy_file
    from jcas_agents.data.evaluation_sets import SETS, VERSION

    from ..files import require_apart, require_writable, write_all, write_json
    from ..kept import Kept, rows_file
    from ..tables import print_table
    from .scores import RIVAL_ORDER, Score, check_row, policy_hashes, scores, table, write_card

    console = standard_output(150)
    names = policies or ["multicell-rate"]
    chosen = list(SETS) if sets is None else [name.strip() for name in sets.split(",") if name.strip()]
    rows = rows_file(json or Path("results") / "score.json")
    found, complete, lost = [], True, None
    try:
        require(bool(chosen), f"`--sets` is empty; known: {', '.join(SETS)}")
        require_writable("--json", json)
        require_writable("rows:", rows)
        files, hashes = policy_hashes(names)
        require_apart({"--json": json, "rows:": rows}, files)
        made_by = {"policies": hashes, "scenes": {"count": scenes, "version": VERSION}}
        check = partial(check_row, policies=len(names))
        kept = Kept.begin(rows, made_by, resume=resume, check=check)
        crew = crew_of(jobs, ray)
        done = [Score(**row) for row in kept.rows.values()]
    except (ValueError, OSError) as error:
        fail(error)
    try:
        with crew or nullcontext(), console.status("scoring ..."):
            for row in scores(names, chosen, scenes, best=best, done=done, crew=crew):
                found.append(row)
                kept.add(f"{row.set} {row.rival}", row._asdict())
    except KeyboardInterrupt:
        complete = False
    except LostWorkerError as error:
        lost = error
    except (ValueError, OSError) as error:
        fail(error)
    found.sort(key=lambda row: (chosen.index(row.set), RIVAL_ORDER.index(row.rival)))
    report = {"policies": names, "scenes": scenes, "rows": [row.report() for row in found]}
    report |= {"lost": str(lost)} if lost else {}
    beside = policy_file(names[0]).with_suffix(".json") if card and found and complete and not lost else None
    lines, unwritten = write_all([
        ("numbers", json if found else None, lambda path: write_json(path, report)),
        ("card", beside, lambda _: write_card(names[0], found, scenes, len(names))),
    ])  # fmt: skip
    if not complete:
        say(console, f"interrupted: {len(found)} of the ratios finished; go on with --resume")
    print_table(console, table(found))
    console.print(
        f"true utility on {scenes} scenes of each set, test-{VERSION}; several policies: mean and half the range.",
        style="dim",
        markup=False,
        highlight=False,
    )
    for line in lines:
        say(console, line)
    faults = [*unwritten, *kept.unwritten, *([lost] if lost else [])]
    for fault in faults:
        complain(fault)
    if not complete or faults:
        raise typer.Exit(1 if complete else 130)
