"""``jcas config`` and ``jcas presets``: what can be set, and what has been set under a name."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from jcas_env.scenarios import SCENARIOS
from jcas_env.scenarios.reference import explanations

from .console import fail, say, standard_output
from .settings import config_of
from .tables import new_table


def config(
    scenario: Annotated[str, typer.Argument(help=f"Scenario: {', '.join(SCENARIOS)}.")] = "multicell",
    preset: Annotated[str | None, typer.Option(help="Settings by name; `jcas presets` lists them.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Any config field; repeatable.")
    ] = None,
) -> None:
    """Every field of a scenario: its value, what it takes, what it means.

    Values are those in force: of the defaults, of --preset and --set. The same for all scenarios, as a page, is
    docs/configuration.md.
    """
    try:
        built = config_of(scenario, preset, set_ or [])
    except (ValueError, TypeError) as error:
        fail(error)
    kinds, meanings, defaults = built.kinds(), explanations(type(built)), asdict(type(built)())  # type: ignore[call-overload]
    table = _table("field", "value", "takes", "meaning")
    for name, value in asdict(built).items():  # type: ignore[call-overload]
        style = "" if value == defaults[name] else "bold"
        cells = (name, repr(value), kinds[name].rule, meanings[name].replace("`", ""))
        table.add_row(*(Text(cell, style) for cell in cells))
    standard_output().print(table)


def presets(
    scenario: Annotated[str | None, typer.Argument(help=f"Scenario: {', '.join(SCENARIOS)}; without: all.")] = None,
) -> None:
    """Settings by name, for `--preset` of the commands and `preset()` of the configurations."""
    console = standard_output()
    try:
        chosen = list(SCENARIOS) if scenario is None else [scenario]
        known = {name: type(config_of(name)).presets() for name in chosen}
    except (ValueError, TypeError) as error:
        fail(error)
    for name, found in known.items():
        if not found:
            say(console, f"{name}: no presets")
            continue
        table = _table(f"preset of {name}", "settings")
        for preset, fields in found.items():
            table.add_row(Text(preset), Text(" ".join(f"{key}={value}" for key, value in fields.items()) or "defaults"))
        console.print(table)


def _table(*titles: str) -> Table:
    """A table whose last column takes what room is left."""
    table = new_table()
    for title in titles:
        table.add_column(title, overflow="fold")
    return table
