"""``jcas watch``."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from jcas_env.scenarios import SCENARIOS

from ..allocators import refuse_now
from ..console import fail, say, standard_output
from ..scenarios.registry import roster_of, view_of
from ..settings import build_scenario, with_estimator
from .film import FILMS, require_film, write_film
from .play import Player, episode, players_of
from .screen import screen

SLOTS = 40
"""Slots of an episode that are shown, unless an option or a preset says otherwise."""


def watch(
    scenario: Annotated[str, typer.Argument(help=f"Scenario: {', '.join(SCENARIOS)}.")] = "multicell",
    allocator: Annotated[
        str | None, typer.Option(help="Who decides: a name of `jcas compare --help`, or module:Name of your own.")
    ] = None,
    against: Annotated[str | None, typer.Option(help="Another one beside it, on the same network.")] = None,
    policy: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Policy of `jcas train`, to be named; repeatable.")
    ] = None,
    estimator: Annotated[str | None, typer.Option(help="Channel knowledge of multicell.")] = None,
    preset: Annotated[str | None, typer.Option(help="Settings by name; `jcas presets` lists them.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Any config field; repeatable.")
    ] = None,
    slots: Annotated[int | None, typer.Option(min=1, help=f"Slots of an episode to show; {SLOTS}.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Network of the first episode.")] = 0,
    fps: Annotated[float, typer.Option(min=0.1, max=50.0, help="Slots a second.")] = 5.0,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help=f"Film ({', '.join(FILMS)}), no window.")] = None,
) -> None:
    """Watch a network and what one or two allocators do with it, slot by slot.

    In a window: space pauses, the right arrow shows one more slot, n the next episode, a the other allocator alone.
    With --out a film is written instead, which needs no display.
    """
    try:
        settings = with_estimator(set_ or [], estimator)
        built = build_scenario(scenario, preset, settings, None, default_horizon=max(SLOTS, slots or 0))
        roster = roster_of(scenario).for_task(built.config).with_policies(policy or [])
        names = list(dict.fromkeys(name for name in (allocator or roster.reference, against) if name is not None))
        roster = roster.with_own(",".join(names))
        for name in names:
            roster.require_known(name)
        if out is not None:
            require_film("--out", out)
        view = view_of(scenario)
        refuse_now(built, roster, names, seed=seed)
        players = players_of(built, view, {name: roster.make(name) for name in names})
    except (ValueError, TypeError, OSError) as error:
        fail(error)
    shown, unit = slots or built.horizon, view.unit(built.config)
    sides = cycle([players, *([player] for player in players)] if len(players) > 1 else [players])
    side = next(sides)

    def pictures(number: int) -> Iterator[np.ndarray]:
        """Pictures of an episode."""
        for slot in episode(players, seed + number, shown):
            title = f"{_names(side)}: network {seed + number}, slot {slot}"
            yield screen(side, unit=unit, slots=min(shown, built.horizon), title=title)

    def switch() -> None:
        nonlocal side
        side = next(sides)

    if out is None:
        _show(pictures, switch, fps)
        return
    console = standard_output()
    try:
        with console.status("filming ..."):
            count = write_film(out, pictures(0), fps=fps)
    except OSError as error:
        fail(error, 1)
    say(console, f"film: {out}, {count} pictures")


def _names(players: list[Player]) -> str:
    return " beside ".join(player.name for player in players)


def _show(pictures: object, switch: object, fps: float) -> None:
    """In a window, until it is closed."""
    from .window import Viewer

    try:
        Viewer(pictures, switch, fps=fps).run()  # type: ignore[arg-type]
    except RuntimeError as error:
        fail(error)
