"""luo2023 Figs. 8 and 9: trade-off of the two services over thresholds and over transmit powers."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from jcas_env.scenarios.multicell import MultiCellConfig

from ...statistics import mean_and_interval
from ..figure import Effort, FigureRecipe, Table, intervals
from .setting import METHODS, SERVICES, at, drawn, totals

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LABELS = {"proposed": "proposed (ADMM)", "eba_pa": "EBA + proposed power", "equal": "EBPA"}
STYLES = {"proposed": "o-", "eba_pa": "s--", "equal": "^:"}

SHARES = (0.15, 0.25, 0.35, 0.45, 0.5, 0.55, 0.65, 0.75, 0.85)
QUICK_SHARES = (0.15, 0.5, 0.85)
"""Shares of band and power for communication, the points of a curve."""


def _trade_off_shares(effort: Effort) -> tuple[float, ...]:
    return QUICK_SHARES if effort.quick else SHARES


def _point(config: MultiCellConfig, effort: Effort, share: float, threshold: float | None = None) -> dict[str, Any]:
    """Both services by all methods at a communication share."""
    row: dict[str, Any] = {"communication_share": share}
    for name, solver in METHODS.items():
        parts = [
            totals(
                at(known, threshold=threshold, communication_share=share),
                at(truth, threshold=threshold, communication_share=share),
                solver,
            )
            for known, truth in drawn(config, effort.pick(100, 16), effort.seed)
        ]
        rates = np.concatenate(parts)
        for service, column in enumerate(SERVICES):
            row[f"{name}_{column}"], row[f"{name}_{column}_ci95"] = mean_and_interval(rates[:, service])
    return row


def _fig8(effort: Effort) -> Iterator[dict[str, Any]]:
    config = MultiCellConfig.preset("luo2023-fig8")
    for threshold, share in effort.left(product((0.35, 0.5), _trade_off_shares(effort))):
        yield {"threshold": threshold, **_point(config, effort, share, threshold)}


def _fig9(effort: Effort) -> Iterator[dict[str, Any]]:
    for power, share in effort.left(product((5.0, 12.0), _trade_off_shares(effort))):
        yield {"power_w": power, **_point(MultiCellConfig.preset("luo2023-fig9", power_budget=power), effort, share)}


def _draw_trade_off(figure: Figure, table: Table, key: str, label: str) -> None:
    axes = figure.subplots()
    for colour, value in enumerate(sorted(set(table[key]))):
        part = table.where(**{key: value})
        for name, style in STYLES.items():
            axes.plot(
                part[f"{name}_rate_mbps"], part[f"{name}_positioning_rate_mbps"], style, color=f"C{colour}",
                ms=9 - 4 * colour, mfc="none", label=f"{LABELS[name]}, {label.format(value)}",
            )  # fmt: skip
    axes.set(xlabel="total data rate [Mbit/s]", ylabel="total positioning rate [Mbit/s]")
    axes.legend(frameon=False, fontsize=8)


def _draw_fig8(figure: Figure, table: Table) -> None:
    _draw_trade_off(figure, table, "threshold", "threshold {:g}")


def _draw_fig9(figure: Figure, table: Table) -> None:
    _draw_trade_off(figure, table, "power_w", "{:g} W")


def _dominates(table: Table) -> tuple[int, int]:
    """At how many of the points the proposed method has both rates above those of both others."""
    wins = np.ones(len(table.rows), dtype=bool)
    for name in ("eba_pa", "equal"):
        for column in SERVICES:
            wins &= table[f"proposed_{column}"] > table[f"{name}_{column}"]
    return int(wins.sum()), len(wins)


def _gain(table: Table, column: str) -> float:
    """Mean gain of the proposed method over EBPA in one service."""
    return float(np.mean(table[f"proposed_{column}"] / table[f"equal_{column}"]) - 1.0)


def _changes(low: Table, high: Table) -> dict[str, list[float]]:
    """Mean gain of each method in both services from one table to another with the same points."""
    return {
        name: [float(np.mean(high[f"{name}_{column}"] / low[f"{name}_{column}"]) - 1.0) for column in SERVICES]
        for name in METHODS
    }


def _fig8_verdict(table: Table) -> list[str]:
    low, high = table.where(threshold=0.35), table.where(threshold=0.5)
    wins, points = _dominates(low)
    changes = _changes(low, high)
    better = [min(change) > 0 for change in changes.values()]
    told = "; ".join(f"{LABELS[name]} {a:+.1%} data, {b:+.1%} positioning" for name, (a, b) in changes.items())
    return [
        f"'The proposed algorithm is the best of three': at threshold 0.35 above both others in both rates at {wins} "
        f"of {points} shares; " + ("reproduced." if wins == points else "not reproduced everywhere."),
        f"Its gain over EBPA: {_gain(low, SERVICES[0]):+.1%} data rate, {_gain(low, SERVICES[1]):+.1%} positioning.",
        f"'A threshold of 0.5 is better than 0.35': {told}; "
        + ("reproduced." if all(better) else "not reproduced for all of them."),
    ]


def _fig9_verdict(table: Table) -> list[str]:
    wins, points = _dominates(table)
    low, high = table.where(power_w=5.0), table.where(power_w=12.0)
    changes = _changes(low, high)
    told = "; ".join(f"{LABELS[name]} {a:+.2%}, {b:+.2%}" for name, (a, b) in changes.items())
    rising = all(min(change) > 0 for change in changes.values())
    return [
        f"'The proposed algorithm is better than the others at the same rate': above both in both rates at {wins} of "
        f"{points} points; " + ("reproduced." if wins == points else "not reproduced everywhere."),
        f"'From 5 to 12 W all algorithms improve': data and positioning rate: {told}; "
        + ("reproduced in direction: interference limits the network." if rising else "not reproduced."),
    ]


_TRADE_OFF = tuple(f"{name}_{column}" for name in METHODS for column in SERVICES)


FIGURES = {
    "luo-fig8": FigureRecipe(
        title="Trade-off of the services for two grouping thresholds (luo2023 Fig. 8)",
        columns=("threshold", "communication_share", *_TRADE_OFF),
        extra=intervals(_TRADE_OFF),
        compute=_fig8,
        size=lambda effort: 2 * len(_trade_off_shares(effort)),
        draw=_draw_fig8,
        verdict=_fig8_verdict,
    ),
    "luo-fig9": FigureRecipe(
        title="Trade-off of the services for two transmit powers (luo2023 Fig. 9)",
        columns=("power_w", "communication_share", *_TRADE_OFF),
        extra=intervals(_TRADE_OFF),
        compute=_fig9,
        size=lambda effort: 2 * len(_trade_off_shares(effort)),
        draw=_draw_fig9,
        verdict=_fig9_verdict,
    ),
}
