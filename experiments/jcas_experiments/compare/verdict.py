"""What a comparison says, in sentences that are computed from its numbers."""

from __future__ import annotations

from itertools import pairwise
from math import log1p
from typing import Any

import numpy as np

from ..statistics import paired_ratio
from .comparison import INFEASIBLE, Comparison

CLOSE = 0.01
"""Share of the best utility within which a faster allocator is worth a sentence [-]."""


def verdict(comparison: Comparison) -> list[str]:
    """Who earns most and by how much, what is certain about the optimum, what cannot be told apart, who is fast."""
    rows = {row["allocator"]: row for row in comparison.rows()}
    fair = {name: row for name, row in rows.items() if row["violation"] <= INFEASIBLE}
    sentences = [
        f"{name} violates a constraint by {100 * row['violation']:.3g} %: its numbers could not be earned."
        for name, row in rows.items()
        if name not in fair
    ]
    if not fair:
        return sentences
    order = sorted(fair, key=lambda name: -fair[name]["utility"])
    first = order[0]
    setting = comparison.setting
    unit = setting.view.unit(setting.scenario.config)
    over = _over_reference(comparison, fair[first])
    sentences.insert(0, f"{first} {_stands(fair[first]['utility'], unit)}{over}.")
    sentences += _certain(comparison, first, fair[first])
    sentences += _together(comparison, order)
    sentences += _fast(first, fair, logarithmic=setting.logarithmic)
    if setting.latency is not None:
        late = max(fair, key=lambda name: fair[name]["late_utility"])
        sentences.append(f"With decisions late by what they take, {late} {_stands(fair[late]['late_utility'], unit)}.")
    return sentences


def _stands(utility: float, unit: str) -> str:
    """First by a gain, or by a cost, whose utility is below zero and whose unit says so."""
    return f"earns most: {utility:.2f} {unit}" if utility >= 0 else f"ranks first: utility {utility:.2f} [{unit}]"


def _over_reference(comparison: Comparison, row: dict[str, Any]) -> str:
    """Ratio to the reference with its interval, where there is one."""
    ratio, interval = row[comparison.related], row[f"{comparison.related}_ci95"]
    if ratio is None or interval is None or row["allocator"] == comparison.reference:
        return ""
    low, high = interval
    reference = comparison.reference
    cost = not comparison.setting.logarithmic and comparison.played[reference].evaluation.utility.mean() < 0
    of = f"the cost of {reference}" if cost else reference
    return f", {ratio:.3f} times {of} (95 %: {low:.3f} to {high:.3f})"


def _certain(comparison: Comparison, name: str, row: dict[str, Any]) -> list[str]:
    """How far from the optimum the best allocator can be at most."""
    within = row.get("within_of_bound")
    if comparison.yardstick is None or within is None:
        return []
    return [
        f"On the first slots of {comparison.yardstick.scenes} networks {name} misses at most {100 * within:.1f} % of "
        "what any allocation with the same beams and groups can earn: certified by an upper bound."
    ]


def _together(comparison: Comparison, order: list[str]) -> list[str]:
    """Neighbours in the ranking whose difference may be none: the interval of their ratio holds 1."""
    sentences = []
    for better, worse in pairwise(order):
        ours, theirs = (comparison.played[name].evaluation.utility for name in (better, worse))
        if np.array_equal(ours, theirs):
            sentences.append(f"{better} and {worse} earn the same in every episode.")
            continue
        interval = paired_ratio(ours, theirs, logarithmic=comparison.setting.logarithmic)[1]
        if interval is not None and interval[0] <= 1.0 <= interval[1]:
            low, high = interval
            sentences.append(f"{better} and {worse} cannot be told apart (ratio, 95 %: {low:.3f} to {high:.3f}).")
    return sentences


def _fast(first: str, rows: dict[str, dict[str, Any]], *, logarithmic: bool) -> list[str]:
    """The fastest allocator that earns nearly as much as the first."""
    best = rows[first]
    # Of logarithms a difference is a ratio.
    close = -log1p(-CLOSE) if logarithmic else CLOSE * abs(best["utility"])
    near = [name for name, row in rows.items() if best["utility"] - row["utility"] <= close]
    fastest = min(near, key=lambda name: rows[name]["decision_ms"])
    speed = best["decision_ms"] / max(rows[fastest]["decision_ms"], 1e-9)
    if fastest == first or speed < 2.0:
        return []
    return [f"{fastest} earns nearly as much and decides {speed:.0f} times faster."]
