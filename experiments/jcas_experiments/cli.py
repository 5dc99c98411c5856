"""The ``jcas`` command."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from jcas_env import make_scenario
from jcas_env.scenarios import SCENARIOS
from jcas_env.scenarios.scenario import suggest

from . import bench as benchmarks
from .allocators import ROSTERS
from .compare import Comparison, draw
from .files import write_json

app = typer.Typer(
    help="Joint communication and sensing: compare allocators of power, band and service share on the same scenes.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)

HORIZON = 20
"""Slots of an episode in a comparison, unless a preset or an option says otherwise."""


def _names() -> str:
    return "\n\n".join(
        f"[bold]Allocators of {scenario}[/bold]\n\n"
        + "\n\n".join(f"[bold]{name}[/bold]: {text}" for name, (_, text) in roster.allocators.items())
        for scenario, roster in ROSTERS.items()
    )


@app.command(
    epilog=f"{_names()}\n\n[bold]Examples[/bold]\n\n"
    "jcas compare\n\n"
    "jcas compare --preset luo2023-static --set ue_antennas=18 --allocators equal,exact,exact-phys,admm\n\n"
    "jcas compare --set reward=fair --set positioning_share=0.5 --episodes 100 --json results/fair.json"
)
def compare(
    scenario: Annotated[str, typer.Argument(help=f"Scenario: {', '.join(SCENARIOS)}.")] = "multicell",
    allocators: Annotated[
        str | None, typer.Option(help="Names, separated by commas; see below. Without: a selection.")
    ] = None,
    episodes: Annotated[int, typer.Option(min=1, help="Random networks; allocators meet the same ones.")] = 50,
    horizon: Annotated[
        int | None, typer.Option(min=1, help=f"Slots of an episode; {HORIZON}, or what the preset says.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Settings by name, e.g. luo2023-static, luo2023-fig8.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Any config field; repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Episode i is drawn with seed + i.")] = 0,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the numbers as JSON.")] = None,
    figure: Annotated[Path | None, typer.Option(metavar="FILE", help="Picture; results/compare-SCENARIO.png.")] = None,
) -> None:
    """Compare allocators on the same random scenes.

    Every allocator plays the same episodes. The table gives the utility on the TRUE channel (the environment's
    reward) and, apart from it, what the allocator's own relaxed model promised. Ctrl-C keeps finished rows.
    """
    console = _console()
    try:
        built = _scenario(scenario, preset, set_ or [], horizon)
        comparison = Comparison(scenario, built, seed, episodes)
        roster = ROSTERS[scenario]
        names = list(roster.default) if allocators is None else [name for name in _split(allocators) if name]
        for name in names:
            if name not in roster.allocators:
                raise ValueError(f"unknown allocator {name!r}: {suggest(name, list(roster.allocators))}")
        if not names:
            raise ValueError(f"`--allocators` is empty; known: {', '.join(roster.allocators)}")
    except (ValueError, TypeError) as error:
        _fail(error)
    interrupted = False
    try:
        comparison.run(names, console)
    except KeyboardInterrupt:
        interrupted = True
    done = len(comparison.evaluations)
    if interrupted:
        console.print(f"interrupted: {done} of {len(names)} allocators finished")
    if done:
        comparison.print(console)
        picture = figure or Path("results") / f"compare-{scenario}.png"
        draw(comparison, picture)
        console.print(f"figure: {picture}")
        if json is not None:
            comparison.write_json(json)
            console.print(f"numbers: {json}")
    if interrupted:
        raise typer.Exit(130)


@app.command()
def bench(
    cells: Annotated[int, typer.Option(min=2, help="Cells in a batch of the closed forms.")] = 1000,
    cone_cells: Annotated[int, typer.Option(min=1, help="Cells that CVXPY solves, one by one.")] = 20,
    lanes: Annotated[int, typer.Option(min=1, help="Lanes of the vector environment.")] = 64,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the numbers as JSON.")] = None,
) -> None:
    """Measure speed against peers in the same run, in CPU time.

    Ratios are what to look at; times depend on the machine. mobile-env, the environment's peer, comes with
    `python3 dev.py bench` (or `pip install mobile-env==2.1`).
    """
    console = _console()
    rows = benchmarks.run(cells=cells, cone_cells=cone_cells, lanes=lanes, console=console)
    benchmarks.show(rows, console)
    if json is not None:
        write_json(json, {"rows": [row._asdict() for row in rows]})
        console.print(f"numbers: {json}")


def _split(names: str) -> list[str]:
    """Names separated by commas, without the space around them."""
    return [name.strip() for name in names.split(",")]


def _console() -> Console:
    """Standard output; wide enough for a table where it is not a terminal."""
    return Console() if sys.stdout.isatty() else Console(width=140)


def _scenario(name: str, preset: str | None, settings: list[str], horizon: int | None) -> Any:
    """Build a scenario from a preset, the settings on top, and the horizon on top of both."""
    if name not in SCENARIOS:
        raise ValueError(f"unknown scenario {name!r}: {suggest(name, list(SCENARIOS))}")
    fields = dict(_setting(item) for item in settings)
    config_type = SCENARIOS[name][1]
    if preset is None:
        fields = {"horizon": HORIZON, **fields}
        config = config_type()
    else:
        config = config_type.preset(preset)
    if horizon is not None:
        fields["horizon"] = horizon
    return make_scenario(name, config, **fields)


def _setting(item: str) -> tuple[str, Any]:
    """Split FIELD=VALUE; the value is a Python literal, or else text."""
    name, separator, text = item.partition("=")
    if not separator or not name:
        raise ValueError(f"`--set` takes FIELD=VALUE, got {item!r}")
    try:
        return name.strip(), ast.literal_eval(text.strip())
    except (ValueError, SyntaxError):
        return name.strip(), text.strip()


def _fail(error: Exception) -> None:
    """One line on standard error, exit status 2."""
    Console(stderr=True).print(f"[red]error:[/red] {error}", highlight=False, soft_wrap=True)
    raise typer.Exit(2)


def main() -> None:
    """Entry point of the ``jcas`` command."""
    app()


if __name__ == "__main__":
    main()
