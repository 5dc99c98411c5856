"""luo2023 Figs. 6 to 9: user grouping and resource allocation, in the readings of spec multicell 10.2, 10.4, 10.8.

The proposed algorithm is ADMM in closed form. Rates are true rates on perfect channel knowledge, summed over the users
of a network, mean over networks. Every point of a figure sees the same networks.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

import numpy as np
from jcas_baselines import ADMM, EqualAllocation

from jcas_env.scenarios.multicell import MultiCellConfig

from ...statistics import mean_and_interval
from ..figure import Effort, FigureRecipe, Table
from .networks import at, problems, totals

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METHODS = {"proposed": ADMM(), "eba_pa": EqualAllocation(power="proposed"), "equal": EqualAllocation()}
"""The three allocators of Figs. 8 and 9."""
LABELS = {"proposed": "proposed (ADMM)", "eba_pa": "EBA + proposed power", "equal": "EBPA"}
STYLES = {"proposed": "o-", "eba_pa": "s--", "equal": "^:"}
SERVICES = ("rate_mbps", "positioning_rate_mbps")

# ---------------------------------------------------------------- Fig. 6: the grouping threshold

THRESHOLDS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.01)
QUICK_THRESHOLDS = (0.02, 0.2, 0.4, 0.8, 1.01)
CROWDS = (6, 9, 12, 15)


def _fig6_thresholds(plan: Effort) -> tuple[float, ...]:
    return QUICK_THRESHOLDS if plan.quick else THRESHOLDS


def _fig6(plan: Effort) -> Iterator[dict[str, Any]]:
    for crowd in CROWDS:
        config = MultiCellConfig.preset("luo2023-fig6", users_per_cell=crowd)
        batches = list(problems(config, plan.pick(100, 16), plan.seed))
        for threshold in _fig6_thresholds(plan):
            rates: dict[str, list[np.ndarray]] = {"equal": [], "proposed": []}
            groups = []
            for pair in batches:
                known, truth = (at(problem, threshold=threshold, communication_share=0.9) for problem in pair)
                groups.append(known.cell_sum(1.0 / known.group_size).mean())
                for name, parts in rates.items():
                    parts.append(totals(known, truth, METHODS[name])[:, 0])
            row: dict[str, Any] = {"users_per_cell": crowd, "threshold": threshold, "groups": float(np.mean(groups))}
            for name, parts in rates.items():
                row[f"{name}_mbps"], row[f"{name}_mbps_ci95"] = mean_and_interval(np.concatenate(parts))
            yield row


def _draw_fig6(figure: Figure, table: Table) -> None:
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


def _fig6_verdict(table: Table) -> list[str]:
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


# ---------------------------------------------------------------- Fig. 7: power and antennas

POWERS = (5.0, 15.0, 25.0, 35.0, 45.0, 55.0)
ANTENNAS = (4, 8, 16)
FIG7_PRECODERS = ("mrt", "zf")


def _fig7(plan: Effort) -> Iterator[dict[str, Any]]:
    powers = POWERS[:: plan.pick(1, 5)]
    for precoder, antennas, power in product(FIG7_PRECODERS, ANTENNAS, powers):
        config = MultiCellConfig.preset("luo2023-fig7", ue_antennas=antennas, power_budget=power, precoder=precoder)
        parts = [totals(*pair, METHODS["proposed"]) for pair in problems(config, plan.pick(60, 12), plan.seed)]
        rates = np.concatenate(parts)
        row: dict[str, Any] = {"precoder": precoder, "ue_antennas": antennas, "power_w": power}
        for service, name in enumerate(SERVICES):
            row[name], row[f"{name}_ci95"] = mean_and_interval(rates[:, service])
        yield row


def _draw_fig7(figure: Figure, table: Table) -> None:
    titles = ("total data rate [Mbit/s]", "total positioning rate [Mbit/s]")
    for axes, name, title in zip(figure.subplots(1, 2), SERVICES, titles, strict=True):
        for precoder, style in (("mrt", "o-"), ("zf", "s--")):
            for colour, antennas in enumerate(ANTENNAS):
                part = table.where(precoder=precoder, ue_antennas=antennas)
                axes.errorbar(
                    part["power_w"], part[name], part[f"{name}_ci95"], fmt=style, color=f"C{colour}", ms=4, capsize=2,
                    label=f"{precoder.upper()}, N = {antennas}",
                )  # fmt: skip
        axes.set(xlabel="power of a base station [W]", ylabel=title)
        axes.set_ylim(0, 1.3 * axes.get_ylim()[1])
        axes.legend(frameon=False, fontsize=8, ncols=2, loc="upper left")


def _fig7_verdict(table: Table) -> list[str]:
    mrt = table.where(precoder="mrt")
    means = {name: [mrt.where(ue_antennas=n)[name].mean() for n in ANTENNAS] for name in SERVICES}
    steps = {name: [b / a - 1 for a, b in pairwise(values)] for name, values in means.items()}
    data, positioning = (", ".join(f"{step:+.1%}" for step in steps[name]) for name in SERVICES)
    rises = {}
    for precoder in FIG7_PRECODERS:
        part = table.where(precoder=precoder, ue_antennas=16)
        rises[precoder] = [part[name][-1] / part[name][0] - 1 for name in SERVICES]
    rising = [all(rise[service] > 0 for rise in rises.values()) for service in range(2)]
    return [
        f"'More receive antennas bring 10 to 20 % data rate': MRT, N = 4 to 8 to 16: {data}; "
        + _judge(steps[SERVICES[0]], 0.10, 0.20, slack=0.05),
        f"'... and 8 to 10 % positioning rate': {positioning}; " + _judge(steps[SERVICES[1]], 0.08, 0.10, slack=0.02),
        f"'The data rate rises with power': 5 to 55 W at N = 16: MRT {rises['mrt'][0]:+.1%} (interference limited), "
        f"ZF {rises['zf'][0]:+.1%}; " + ("reproduced in direction." if rising[0] else "not reproduced."),
        f"'The positioning rate falls with power': MRT {rises['mrt'][1]:+.1%}, ZF {rises['zf'][1]:+.1%}; "
        + (
            "not reproduced: a rate as in luo2023 eq. 19 rises with power; only an error bound falls."
            if rising[1]
            else "reproduced."
        ),
    ]


def _judge(steps: list[float], low: float, high: float, *, slack: float) -> str:
    """Verdict on gains that a paper puts between ``low`` and ``high``."""
    mean = float(np.mean(steps))
    if all(low <= step <= high for step in steps):
        return "reproduced."
    if all(low - slack <= step <= high + slack for step in steps):
        return f"reproduced within {100 * slack:.0f} points."
    if low - slack <= mean <= high + slack:
        return f"on average only ({mean:+.1%}), within {100 * slack:.0f} points."
    return "not reproduced."


# ---------------------------------------------------------------- Figs. 8 and 9: the trade-off

SHARES = (0.15, 0.25, 0.35, 0.45, 0.5, 0.55, 0.65, 0.75, 0.85)
QUICK_SHARES = (0.15, 0.5, 0.85)


def _trade_off_shares(plan: Effort) -> tuple[float, ...]:
    return QUICK_SHARES if plan.quick else SHARES


def _trade_off(
    batches: list[Any], plan: Effort, key: str, value: float, threshold: float | None = None
) -> Iterator[dict[str, Any]]:
    """Rows of one curve family: a point for every communication share."""
    for share in _trade_off_shares(plan):
        row: dict[str, Any] = {key: value, "communication_share": share}
        for name, solver in METHODS.items():
            parts = [
                totals(
                    at(known, threshold=threshold, communication_share=share),
                    at(truth, threshold=threshold, communication_share=share),
                    solver,
                )
                for known, truth in batches
            ]
            rates = np.concatenate(parts)
            for service, column in enumerate(SERVICES):
                row[f"{name}_{column}"], row[f"{name}_{column}_ci95"] = mean_and_interval(rates[:, service])
        yield row


def _fig8(plan: Effort) -> Iterator[dict[str, Any]]:
    batches = list(problems(MultiCellConfig.preset("luo2023-fig8"), plan.pick(100, 16), plan.seed))
    for threshold in (0.35, 0.5):
        yield from _trade_off(batches, plan, "threshold", threshold, threshold)


def _fig9(plan: Effort) -> Iterator[dict[str, Any]]:
    for power in (5.0, 12.0):
        config = MultiCellConfig.preset("luo2023-fig9", power_budget=power)
        batches = list(problems(config, plan.pick(100, 16), plan.seed))
        yield from _trade_off(batches, plan, "power_w", power)


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


def _with_intervals(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{name}_ci95" for name in names)


_FIG6 = ("equal_mbps", "proposed_mbps")
_TRADE_OFF = tuple(f"{name}_{column}" for name in METHODS for column in SERVICES)

FIGURES = {
    "luo-fig6": FigureRecipe(
        title="Total data rate against the grouping threshold (luo2023 Fig. 6)",
        columns=("users_per_cell", "threshold", "groups", *_FIG6),
        extra=_with_intervals(_FIG6),
        compute=_fig6,
        size=lambda plan: len(CROWDS) * len(_fig6_thresholds(plan)),
        draw=_draw_fig6,
        verdict=_fig6_verdict,
    ),
    "luo-fig7": FigureRecipe(
        title="Total rates against power and receive antennas (luo2023 Fig. 7)",
        columns=("precoder", "ue_antennas", "power_w", *SERVICES),
        extra=_with_intervals(SERVICES),
        compute=_fig7,
        size=lambda plan: len(FIG7_PRECODERS) * len(ANTENNAS) * len(POWERS[:: plan.pick(1, 5)]),
        draw=_draw_fig7,
        verdict=_fig7_verdict,
    ),
    "luo-fig8": FigureRecipe(
        title="Trade-off of the services for two grouping thresholds (luo2023 Fig. 8)",
        columns=("threshold", "communication_share", *_TRADE_OFF),
        extra=_with_intervals(_TRADE_OFF),
        compute=_fig8,
        size=lambda plan: 2 * len(_trade_off_shares(plan)),
        draw=_draw_fig8,
        verdict=_fig8_verdict,
    ),
    "luo-fig9": FigureRecipe(
        title="Trade-off of the services for two transmit powers (luo2023 Fig. 9)",
        columns=("power_w", "communication_share", *_TRADE_OFF),
        extra=_with_intervals(_TRADE_OFF),
        compute=_fig9,
        size=lambda plan: 2 * len(_trade_off_shares(plan)),
        draw=_draw_fig9,
        verdict=_fig9_verdict,
    ),
}
