"""``jcas compare``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from datetime import datetime
from functools import partial
from pathlib import Path
from traceback import format_exception
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from jcas_env.scenarios import SCENARIOS

from ..allocators import refuse_now, refuses, require_portable
from ..console import Bars, complain, fail, say, standard_output
from ..files import require_apart, require_picture, require_writable, write_all, write_json
from ..jobs.crew import Crew, LostWorkerError
from ..jobs.options import Jobs, RayAddress, crew_of
from ..kept import Kept, rows_file
from ..scenarios.registry import ENTRIES, roster_of
from ..settings import HORIZON, build_scenario, with_estimator
from .comparison import Comparison, Played, Setting, play
from .latency import parse_latency
from .picture import draw_comparison
from .refusal import RefusedError
from .regret import Forecast, Yardstick, measure
from .report import require_page, write_report
from .rows import finished_rows, keep, keep_yardstick, last_picture, taken_over, yardstick_taken_over
from .shared import SharedPlay
from .table import show


class Size(NamedTuple):
    """How much is compared, unless options or a preset say otherwise."""

    episodes: int
    horizon: int
    """Slots of an episode."""
    regret: int
    """Scenes that are searched and bounded."""


FULL, QUICK = Size(50, HORIZON, 8), Size(8, 10, 2)
BAR = (
    TextColumn("{task.description:12}", markup=False),
    BarColumn(),
    MofNCompleteColumn(),
    TextColumn("{task.fields[unit]}"),
    TimeRemainingColumn(),
)
"""Columns of the progress bar."""


def _names() -> str:
    return "\n\n".join(
        f"[bold]Allocators of {scenario}[/bold]\n\n"
        + "\n\n".join(f"[bold]{name}[/bold]: {text}" for name, (_, text) in entry.roster.allocators.items())
        for scenario, entry in ENTRIES.items()
    )


ALLOCATORS_AND_EXAMPLES = (
    f"{_names()}\n\n[bold]Examples[/bold]\n\n"
    "jcas compare\n\n"
    "jcas compare --preset luo2023-static --set ue_antennas=18 --allocators equal,exact,exact-phys,admm\n\n"
    "jcas compare --allocators equal,exact,admm-cvxpy --episodes 4 --latency\n\n"
    "jcas compare --estimator ls --set pilot_power=0.01\n\n"
    "jcas compare --allocators equal,admm,my_module:MyAllocator\n\n"
    "jcas compare --set reward=fair --set positioning_share=0.5 --episodes 100 --json results/fair.json"
)
"""What stands under the options in ``jcas compare --help``."""


def compare(
    scenario: Annotated[str, typer.Argument(help=f"Scenario: {', '.join(SCENARIOS)}.")] = "multicell",
    allocators: Annotated[
        str | None,
        typer.Option(help="Names below, or module:Name of your own, with commas between. Without: a selection."),
    ] = None,
    policy: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Policy of `jcas train`, or a shipped one's name; repeatable."),
    ] = None,
    reference: Annotated[
        str | None, typer.Option(metavar="NAME", help="Allocator to which utilities are related; the task's own.")
    ] = None,
    episodes: Annotated[
        int | None, typer.Option(min=1, help=f"Random networks, the same for all; {FULL.episodes}.")
    ] = None,
    horizon: Annotated[
        int | None, typer.Option(min=1, help=f"Slots of an episode; {FULL.horizon}, or what the preset says.")
    ] = None,
    estimator: Annotated[
        str | None, typer.Option(help="Channel knowledge of multicell: perfect, spomp, crb, omp, mmse, ls, esprit.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Settings by name, e.g. luo2023-static, luo2023-fig8.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Any config field; repeatable.")
    ] = None,
    regret: Annotated[
        int | None,
        typer.Option(min=0, metavar="SCENES", help=f"Scenes that are searched and bounded; {FULL.regret}; 0: none."),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help=f"{QUICK.episodes} networks, {QUICK.horizon} slots, {QUICK.regret} bounded scenes."
        ),
    ] = False,
    latency: Annotated[
        bool, typer.Option("--latency", help="Also score with decisions that come late by the time they take.")
    ] = False,
    slot_ms: Annotated[
        float | None, typer.Option(metavar="MS", help="Slot of this clock; the scenario's own. Implies --latency.")
    ] = None,
    declared_latency: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=MS", help="Decision time instead of the measured one; implies --latency."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Episode i is drawn with seed + i.")] = 0,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the numbers as JSON.")] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Page (.html): verdict, table, pictures, certificates."),
    ] = None,
    figure: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Picture; results/compare-SCENARIO-TIME.png.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Take over the rows that have finished already.")] = False,
    jobs: Jobs = None,
    ray: RayAddress = None,
) -> None:
    """Compare allocators on the same random scenes.

    Every allocator plays the same episodes. The table gives the utility on the TRUE channel (the environment's
    reward) and, apart from it, what the allocator's own relaxed model promised. Ctrl-C keeps finished rows; they lie
    beside the picture in FIGURE.rows.json, from which --resume takes them over; without --figure, from the last
    comparison in results that was made with the same settings.
    """
    console = standard_output()
    try:
        size = QUICK if quick else FULL
        settings = with_estimator(set_ or [], estimator)
        built = build_scenario(scenario, preset, settings, horizon, default_horizon=size.horizon)
        roster = roster_of(scenario).for_task(built.config).with_policies(policy or [])
        roster = roster.with_own(allocators).related_to(reference)
        names = roster.select(allocators)
        require_writable("--json", json)
        require_page("--report", report)
        timed = latency or slot_ms is not None or declared_latency
        clock = parse_latency(built.config, slot_ms, declared_latency or [], names) if timed else None
        count = size.episodes if episodes is None else episodes
        setting = Setting(
            scenario, built, seed, count, roster, size.regret if regret is None else regret, clock, preset
        )
        picture = figure or _new_picture(setting, quick=quick, resume=resume)
        require_picture("--figure", picture)
        require_apart(
            {"--figure": picture, "--json": json, "--report": report, "rows:": rows_file(picture)}, policy or []
        )
        rows = finished_rows(rows_file(picture), setting, resume=resume)
        require_portable(roster, names, shared=jobs is not None or ray is not None)
        crew = crew_of(jobs, ray)
        refuse_now(built, roster, names, seed=seed)
    except (ValueError, TypeError, OSError) as error:
        fail(error)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    with crew or nullcontext():
        comparison, complete = run_comparison(setting, names, console, rows, crew)
    done = len(comparison.played)
    numbers = ("numbers", json, lambda path: write_json(path, comparison.report()))
    drawing = ("figure", picture, lambda path: draw_comparison(comparison, path))
    telling = ("report", report, lambda path: write_report(comparison, path))
    written, unwritten = write_all([numbers, telling, drawing] if done else [])
    if not complete:
        say(console, f"interrupted: {done} of {len(names)} allocators finished; go on with --resume")
    if done:
        show(comparison, console)
    for line in written:
        say(console, line)
    unwritten += rows.unwritten
    for missing in unwritten:
        complain(missing)
    for name, reason in comparison.refused.items():
        complain(f"{name}: {reason}")
    if comparison.failed:
        complain("\n".join(f"{name}: {_told(error)}" for name, error in comparison.failed.items()))
    if not complete or comparison.refused or comparison.failed or unwritten:
        raise typer.Exit(130 if not complete else 1 if comparison.failed or unwritten else 2)


def _told(error: Exception) -> str:
    """An error with its traceback, which says nothing of a worker that was killed."""
    return f"{error}\n" if isinstance(error, LostWorkerError) else "".join(format_exception(error))


def run_comparison(
    setting: Setting,
    allocators: Sequence[str],
    console: Console,
    rows: Kept | None = None,
    crew: Crew | None = None,
) -> tuple[Comparison, bool]:
    """Evaluate allocators; returns what has finished, and whether that is all (False: Ctrl-C).

    ``rows``: those that have finished already, to which the others are added; None keeps none. ``crew``: who shares the
    work; None: this process does it, one allocator after the other.

    One that refuses the problem is left out, see ``refused``, one that breaks has no numbers, see ``failed``; the
    others go on. Then the first slots are searched and bounded, where the task has a yardstick and somebody to hold
    it to.
    """
    ready = {name: setting.roster.make(name) for name in allocators}
    found: dict[str, Played | Exception] = {}
    yardstick, complete = None, True
    with Bars(*BAR, console=console, transient=True) as progress:
        try:
            for name, result in _results(setting, ready, rows, progress, crew):
                found[name] = result
            played = [result for result in found.values() if isinstance(result, Played)]
            if setting.searched and not all(result.regroups for result in played):
                try:
                    yardstick = _search(setting, rows, progress, crew)
                except Exception as error:
                    found["yardstick"] = error
        except KeyboardInterrupt:
            complete = False
    order = [name for name in (*ready, "yardstick") if name in found]
    errors = {name: fault for name in order if isinstance(fault := found[name], Exception)}
    return Comparison(
        setting,
        {name: result for name in order if isinstance(result := found[name], Played)},
        {name: str(error) for name, error in errors.items() if isinstance(error, RefusedError)},
        {name: error for name, error in errors.items() if not isinstance(error, RefusedError)},
        yardstick,
    ), complete


def _results(
    setting: Setting, ready: dict[str, Any], rows: Kept | None, progress: Progress, crew: Crew | None
) -> Iterator[tuple[str, Played | Exception]]:
    """What each allocator earns, or its error, as they finish; finished rows first. New ones are kept."""
    known = {} if rows is None else {name: taken_over(rows, name, allocator) for name, allocator in ready.items()}
    yield from ((name, result) for name, result in known.items() if result is not None)
    left = {name: allocator for name, allocator in ready.items() if known.get(name) is None}
    for name, result in (
        _one_by_one(setting, left, progress) if crew is None else _shared(setting, left, progress, crew)
    ):
        if isinstance(result, ModuleNotFoundError):
            raise result
        if rows is not None and isinstance(result, Played):
            keep(rows, name, left[name], result)
        yield name, result


def _one_by_one(
    setting: Setting, ready: dict[str, Any], progress: Progress
) -> Iterator[tuple[str, Played | Exception]]:
    """Play with one allocator after the other, each with a bar."""
    for name, allocator in ready.items():
        task = progress.add_task(name, total=setting.episodes * setting.scenario.horizon, unit="slots")
        on_slot = partial(progress.advance, task)
        on_late = partial(progress.reset, task, description=f"{name} late")
        try:
            yield name, play(setting, name, allocator, on_slot=on_slot, on_late=on_late)
        except Exception as error:  # told at the end, with its traceback
            # Who has played a slot knows the problem: what it raises later is a fault.
            refused = refuses(error) and not progress.tasks[-1].completed
            yield name, RefusedError(str(error)) if refused else error
        progress.remove_task(task)


def _shared(
    setting: Setting, ready: dict[str, Any], progress: Progress, crew: Crew
) -> Iterator[tuple[str, Played | Exception]]:
    """The same by a crew: a bar for every allocator that somebody plays with."""
    bars: dict[str, TaskID] = {}

    def on_slot(name: str, what: str, count: int) -> None:
        title = f"{name} late" if what == "late" else name
        if title not in bars:
            bars[title] = progress.add_task(title, total=setting.episodes * setting.scenario.horizon, unit="slots")
        progress.advance(bars[title], count)

    for name, result in SharedPlay(setting, ready).results(crew, on_slot):
        for title in {name, f"{name} late"} & set(bars):
            progress.remove_task(bars.pop(title))
        yield name, result


def _search(setting: Setting, rows: Kept | None, progress: Progress, crew: Crew | None) -> Yardstick | None:
    """Search and bound the first slots, with a bar; from the finished rows where that stands there."""
    scenes = setting.searched
    known = None if rows is None else yardstick_taken_over(rows, scenes)
    if known is not None:
        return known
    task = progress.add_task("yardstick", total=scenes, unit="scenes")
    forecast = Forecast(scenes, partial(progress.console.print, style="dim", markup=False, highlight=False))

    def on_scene(count: int) -> None:
        progress.advance(task, count)
        forecast.advance(count)

    found = measure(setting.name, setting.scenario, seed=setting.seed, scenes=scenes, on_scene=on_scene, crew=crew)
    if rows is not None and found is not None:
        keep_yardstick(rows, found)
    return found


def _new_picture(setting: Setting, *, quick: bool, resume: bool) -> Path:
    """A picture that is not there yet, named after scenario and time; to resume, that of the same comparison."""
    folder, kind = Path("results"), f"compare-{setting.name}{'-quick' if quick else ''}"
    last = last_picture(folder, kind, setting) if resume else None
    if last is not None:
        return last
    picture = folder / f"{kind}-{datetime.now():%Y%m%d-%H%M%S}.png"
    taken = picture.exists() or rows_file(picture).exists()
    return picture.with_stem(f"{picture.stem}-{os.getpid()}") if taken else picture
