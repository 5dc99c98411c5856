"""luo2023 Fig. 6: total data rate against the grouping threshold.

Threshold 1.01 is a single group in each cell. Every point sees the same networks.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from jcas_env.scenarios.multicell import MultiCellConfig

from ...statistics import mean_and_interval
from ..figure import Effort, FigureRecipe, Table, intervals
from .setting import METHODS, at, drawn, totals

if TYPE_CHECKING:
    from matplotlib.figure import Figure

THRESHOLDS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.01)
"""Correlation above which users share a group; above 1 all of a cell do."""
QUICK_THRESHOLDS = (0.02, 0.2, 0.4, 0.8, 1.01)
CROWDS = (6, 9, 12, 15)
"""Users per cell."""


def _thresholds(effort: Effort) -> tuple[float, ...]:
    return QUICK_THRESHOLDS if effort.quick else THRESHOLDS


def _compute(effort: Effort) -> Iterator[dict[str, Any]]:
    for crowd, threshold in effort.left(product(CROWDS, _thresholds(effort))):
        rates: dict[str, list[np.ndarray]] = {"equal": [], "proposed": []}
        groups = []
        config = MultiCellConfig.preset("luo2023-fig6", users_per_cell=crowd)
        for pair in drawn(config, effort.pick(100, 16), effort.seed):
            known, truth = (at(problem, threshold=threshold, communication_share=0.9) for problem in pair)
            groups.append(known.cell_sum(1.0 / known.group_size).mean())
            for name, parts in rates.items():
                parts.append(totals(known, truth, METHODS[name])[:, 0])
        row: dict[str, Any] = {"users_per_cell": crowd, "threshold": threshold, "groups": float(np.mean(groups))}
        for name, parts in rates.items():
            row[f"{name}_mbps"], row[f"{name}_mbps_ci95"] = mean_and_interval(np.concatenate(parts))
        yield row


def _draw(figure: Figure, table: Table) -> None:
    titles = {"equal": "all resources equal per user (the paper's reading)", "proposed": "proposed (ADMM)"}
    for axes, (name, title) in zip(figure.subplots(1, 2), titles.items(), strict=True):
        for crowd in sorted(set(table["users_per_cell"])):
            part = table.where(users_per_cell=crowd)
            axes.errorbar(
                part["threshold"], part[f"{name}_mbps"], part[f"{name}_mbps_ci95"], fmt="o-", ms=4, capsize=2,
                label=f"{crowd:.0f} users per cell",
            )  # fmt: skip
        axes.set(xlabel="grouping threshold", ylabel="total data rate [Mbit/s]", title=title)
        axes.legend(frameon=False, fontsize=8)


def _verdict(table: Table) -> list[str]:
    lines = []
    for name, title in (("equal", "EBPA per user"), ("proposed", "proposed")):
        peaks, losses = [], []
        for crowd in CROWDS:
            part = table.where(users_per_cell=crowd)
            rate, best = part[f"{name}_mbps"], int(np.argmax(part[f"{name}_mbps"]))
            peaks.append(float(part["threshold"][best]))
            losses.append(float(1.0 - rate[part["threshold"] == 0.4][0] / rate[best]))
        told = ", ".join(f"{alpha:g} with {crowd}" for alpha, crowd in zip(peaks, CROWDS, strict=True))
        holds = all(0.25 <= alpha <= 0.5 or loss < 0.005 for alpha, loss in zip(peaks, losses, strict=True))
        lines.append(
            f"'The best threshold is about 0.4 whatever the number of users': {title}: best at {told} users per cell; "
            f"0.4 loses at most {max(losses):.1%}; " + ("reproduced." if holds else "not reproduced.")
        )
    equal, proposed = table["equal_mbps"], table["proposed_mbps"]
    at_best = [equal[table["users_per_cell"] == crowd].max() for crowd in CROWDS]
    ends = [table.where(users_per_cell=crowd, threshold=1.01)["equal_mbps"][0] for crowd in CROWDS]
    lines.append(
        f"The threshold is worth {np.mean(np.array(at_best) / np.array(ends)) - 1:+.1%} over a single group (EBPA); "
        f"the proposed allocation adds {np.mean(proposed / equal) - 1:+.1%} on average over all points."
    )
    return lines


_RATES = ("equal_mbps", "proposed_mbps")

FIGURES = {
    "luo-fig6": FigureRecipe(
        title="Total data rate against the grouping threshold (luo2023 Fig. 6)",
        columns=("users_per_cell", "threshold", "groups", *_RATES),
        extra=intervals(_RATES),
        compute=_compute,
        size=lambda effort: len(CROWDS) * len(_thresholds(effort)),
        draw=_draw,
        verdict=_verdict,
    ),
}
