"""A comparison in words: the printed table, and what its columns mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.text import Text

from ..statistics import half_width, number, percent, span
from ..tables import new_table, print_table
from .comparison import INFEASIBLE, Comparison

WIDE = 110
"""Characters of a console that has room for the interval of the ratio."""

Cell = Callable[[dict[str, Any]], str]
"""Reads a cell off a row of :meth:`.comparison.Comparison.rows`."""


def show(comparison: Comparison, console: Console) -> None:
    """Print the table, and what its columns mean."""
    titles, rows = cells(comparison, wide=console.width >= WIDE)
    table = new_table()
    table.add_column("allocator", no_wrap=True)
    for title in titles[1:-1]:
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("status", overflow="fold", min_width=12)
    for row in rows:
        table.add_row(*map(Text, row))
    print_table(console, table)
    console.print(legend(comparison), style="dim", markup=False, highlight=False)


def cells(comparison: Comparison, *, wide: bool = True) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of the table as texts: allocator, numbers, status; those that failed come last."""
    titles = _titles(comparison, wide=wide)
    rows = [[row["allocator"], *(cell(row) for cell in titles.values()), _status(row)] for row in comparison.rows()]
    rows += [
        [name, *("-" for _ in titles), f"FAILED: {type(error).__name__}"]
        for name, error in comparison.failed.items()
        if name != "yardstick"
    ]
    return ["allocator", *titles, "status"], rows


def _status(row: dict[str, Any]) -> str:
    """What the solver claims, decision by decision, and whether it keeps the constraints."""
    status = ", ".join(f"{count} {key.lower()}" for key, count in row["status"].items())
    if row["violation"] > INFEASIBLE:
        return f"NOT FEASIBLE: violates a constraint by {percent(row['violation'])} %; {status}"
    return status


def _titles(comparison: Comparison, *, wide: bool) -> dict[str, Cell]:
    """Headings of the numbers, and how each is read off a row."""
    related = comparison.related
    titles: dict[str, Cell] = {
        "utility": lambda row: f"{row['utility']:.2f}",
        "±95 %": lambda row: half_width(row["utility_ci95"]),
        f"/{comparison.reference.upper()}": lambda row: "-" if row[related] is None else f"{row[related]:.3f}",
    }
    if wide:
        titles["95 % interval"] = lambda row: span(row[f"{related}_ci95"])
    if comparison.yardstick is not None:
        titles["regret"] = lambda row: percent(row["regret_to_best_found"])
        titles["within"] = lambda row: percent(row["within_of_bound"])
    for column in comparison.columns:
        titles[column.title] = lambda row, column=column: format(row[column.key], column.format)  # type: ignore[misc]
    titles["relaxed"] = lambda row: number(row["relaxed_objective"])
    titles["ms"] = lambda row: f"{row['decision_ms']:.1f}"
    if comparison.setting.latency is not None:
        titles["slots"] = lambda row: f"{row['delay_slots']}"
        titles["late"] = lambda row: f"{row['late_utility']:.2f}"
    return titles


def legend(comparison: Comparison) -> str:
    """What the columns mean."""
    setting = comparison.setting
    parts = [
        f"utility: reward on the true channel [{setting.view.unit(setting.scenario.config)}], mean over "
        f"{setting.episodes} episodes of {setting.scenario.horizon} slots, paired scenes."
    ]
    if comparison.yardstick is not None:
        parts.append(
            "regret: what is missing [%] to the best allocation found by who knows the true channel; within: to "
            f"what no allocation with the same beams and groups can exceed ({comparison.yardstick.scenes} first slots)."
        )
        if comparison.regrouping:
            parts.append("- : chooses groups of its own; both yardsticks hold for those of the environment.")
    parts += _meaning_of_ratios(comparison)
    parts += [setting.view.legend, *(column.note for column in comparison.columns if column.note)]
    beside = _beside(comparison)
    parts += [f"relaxed: what the allocator's own model promises. ms: median CPU time of one decision{beside}."]
    if setting.latency is not None:
        parts.append(
            f"slots: whole slots of {1e3 * setting.latency.slot:g} ms by which its decisions come late; "
            "late: utility when they do."
        )
    return " ".join(parts)


def _beside(comparison: Comparison) -> str:
    """By whom the clock was disturbed."""
    processes = max((result.processes for result in comparison.played.values()), default=1)
    return f", up to {processes} processes at work beside each other" if processes > 1 else ""


def _meaning_of_ratios(comparison: Comparison) -> list[str]:
    """What the ratios are where they are not ratios of gains: costs have a mean below zero."""
    reference = comparison.played.get(comparison.reference)
    if comparison.setting.logarithmic:
        return [f"/{comparison.reference.upper()}: exp of the difference, as the utility is a mean of logarithms."]
    if reference is not None and reference.evaluation.utility.mean() < 0:
        return [f"/{comparison.reference.upper()}: a ratio of costs, less is better."]
    return []
