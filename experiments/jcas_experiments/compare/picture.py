"""The picture of a comparison: first what it ranks by, then what that costs and whom it serves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..figures import new_figure, save_figure, small_print, tidy
from ..looks import Look, looks
from ..statistics import mean_interval
from ..views import View
from .comparison import INFEASIBLE, Comparison, Played

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import Formatter

Panel = Callable[["Axes", Comparison, "list[Row]"], None]
"""Draws one panel."""
Row = tuple[str, Look, Played]
"""An allocator, how it is drawn, and what it has earned."""


def draw_comparison(comparison: Comparison, path: Path) -> None:
    """Write the picture of a comparison."""
    save_figure(comparison_figure(comparison), path)


def comparison_figure(comparison: Comparison) -> Figure:
    """Picture of a comparison.

    Utility with intervals; utility against decision time; the trade-off of the two services, or the utility over time
    where that accumulates; the distribution of the users' rates.
    """
    setting, view = comparison.setting, comparison.setting.view
    rows = [(name, look, result) for look, (name, result) in zip(looks(), comparison.played.items(), strict=False)]
    panels: list[Panel] = [_utility, _decision_time]
    if view.accumulates(setting.scenario.config):
        panels.append(_over_time)
    elif view.axes is not None:
        panels.append(_trade_off)
    panels.append(_distribution)
    figure = new_figure(12.5, max(8.6, 4.6 + 0.42 * len(rows)))
    axes = figure.subplots(2, 2).reshape(-1)
    for panel, where in zip(panels, axes, strict=False):
        panel(where, comparison, rows)
    for empty in axes[len(panels) :]:
        empty.remove()
    legend = figure.legend(
        handles=[look.line(name) for name, look, _ in rows], loc="outside lower center", ncols=min(8, len(rows)),
        frameon=False, handlelength=3.6,
    )  # fmt: skip
    for label in legend.get_texts():
        label.set_parse_math(False)  # a name is a name, with dollars in it, too
    size = f"{setting.episodes} episodes x {setting.scenario.horizon} slots"
    figure.suptitle(f"{setting.name}: {view.describe(setting.scenario.config)}, {size}")
    small_print(figure, setting.small_print)
    tidy(figure)
    return figure


def _plain() -> Formatter:
    """Numbers, no powers of ten."""
    from matplotlib.ticker import FuncFormatter

    return FuncFormatter(lambda value, _: f"{value:g}")


def _utility(axes: Axes, comparison: Comparison, rows: list[Row]) -> None:
    """Mean utility of each allocator with its 95 % interval, and with late decisions where a clock runs."""
    setting = comparison.setting
    for height, (_, look, result) in enumerate(rows):
        found = result.evaluation.utility
        _interval(axes, (found, height), look, filled=True)
        if result.late is not None and result.delay:
            _interval(axes, (result.late.utility, height + 0.28), look, filled=False)
    names = [
        f"{name}\n(not feasible)" if result.evaluation.violation > INFEASIBLE else name for name, _, result in rows
    ]
    axes.set_yticks(range(len(rows)), names)
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    late = ""
    if setting.latency is not None:
        late = f"; hollow: decisions late by slots of {1e3 * setting.latency.slot:g} ms"
    axes.set(xlabel=_unit(comparison), title=f"Utility: mean and 95 % interval{late}")


def _interval(axes: Axes, place: tuple[np.ndarray, float], look: Look, *, filled: bool) -> None:
    """A mean as a marker, and its interval as a line."""
    values, height = place
    low, high = mean_interval(values)
    if low is not None and high is not None:
        axes.plot([low, high], [height, height], color=look.colour, lw=1.8)
    face = look.colour if filled else "white"
    axes.plot(values.mean(), height, look.marker, color=look.colour, mfc=face, mew=1.6, ms=8)


def _decision_time(axes: Axes, comparison: Comparison, rows: list[Row]) -> None:
    """Mean utility against the time of a decision; what stands high and to the left dominates."""
    for _, look, result in rows:
        x, y = 1e3 * result.seconds, result.evaluation.utility
        low, high = mean_interval(y)
        if low is not None and high is not None:
            axes.plot([x, x], [low, high], color=look.colour, lw=1.2)
        axes.plot(x, y.mean(), look.marker, color=look.colour, mfc="none", mew=1.8, ms=9)
    axes.set_xscale("log")
    _label_decades(axes, "x")
    latency = comparison.setting.latency
    if latency is not None:
        axes.axvline(1e3 * latency.slot, color="0.5", lw=0.8, zorder=0)
        axes.annotate(
            " a slot", (1e3 * latency.slot, 1.0), xycoords=("data", "axes fraction"), va="top", color="0.4", fontsize=8
        )
    axes.set(xlabel="CPU time of a decision [ms]", ylabel=_unit(comparison), title="Utility against decision time")


def _over_time(axes: Axes, comparison: Comparison, rows: list[Row]) -> None:
    """Utility of a slot, mean over the episodes."""
    for _, look, result in rows:
        values = result.evaluation.slot_utility.mean(-1)
        axes.plot(
            np.arange(1, len(values) + 1), values, ls=look.dash, color=look.colour, marker=look.marker, mfc="none",
            markevery=max(1, len(values) // 8), ms=5,
        )  # fmt: skip
    axes.set(xlabel="slot", ylabel=_unit(comparison), title="Utility over time, mean over episodes")


def _trade_off(axes: Axes, comparison: Comparison, rows: list[Row]) -> None:
    """Episodes of each allocator as dots, and their mean, in the plane of two columns."""
    view = comparison.setting.view
    assert view.axes is not None
    columns = [view.column(key) for key in view.axes]
    for _, look, result in rows:
        x, y = (column.scale * result.evaluation.metrics[column.metric] for column in columns)
        axes.scatter(x, y, s=10, color=look.colour, alpha=0.25, linewidths=0)
        axes.plot(x.mean(), y.mean(), look.marker, color=look.colour, mfc="none", mew=2.0, ms=9, zorder=3)
    axes.set(xlabel=view.labels[0], ylabel=view.labels[1], title="Trade-off: episodes and their mean")
    for axis, log, column in zip("xy", view.log, columns, strict=True):
        if log and any((result.evaluation.metrics[column.metric] > 0).any() for *_, result in rows):
            axes.set(**{f"{axis}scale": "log"})
            _label_decades(axes, axis)


def _distribution(axes: Axes, comparison: Comparison, rows: list[Row]) -> None:
    """Share of users and slots whose rate, or of slots whose utility, is at most so large."""
    view: View = comparison.setting.view
    rates = view.rate_unit is not None
    scale, unit = view.rate_unit or (1.0, "")
    smallest, largest = np.inf, 0.0
    for place, (_, look, result) in enumerate(rows):
        found = result.evaluation
        values = scale * np.sort((found.user_rates if rates else found.slot_utility).reshape(-1))
        shares = np.linspace(0.0, 1.0, values.size)
        axes.plot(
            values, shares, ls=look.dash, color=look.colour, lw=1.6, marker=look.marker, mfc="none", ms=6,
            markevery=(0.02 + 0.13 * place / len(rows), 0.13),
        )  # fmt: skip
        smallest, largest = min(smallest, float(np.quantile(values, 0.005))), max(largest, float(values[-1]))
    axes.set(
        xlabel=f"data rate of a user in a slot [{unit}]" if rates else "utility of a slot",
        ylabel=f"share of {'users and slots' if rates else 'slots'} at or below",
        title=f"Distribution over {'users' if rates else 'slots'}",
        ylim=(0.0, 1.0),
    )
    if rates and largest > 0:
        axes.set_xscale("log")
        left = max(smallest, 1e-3)
        axes.set_xlim(left, max(1.2 * largest, 10.0 * left))
        _label_decades(axes, "x")


def _unit(comparison: Comparison) -> str:
    """Label of an axis of utilities."""
    setting = comparison.setting
    return f"utility [{setting.view.unit(setting.scenario.config)}]"


def _label_decades(axes: Axes, axis: str) -> None:
    """Plain numbers along a logarithmic axis; where it spans few decades, minor ticks carry labels, too."""
    from matplotlib.ticker import LogLocator, NullFormatter

    scaled = axes.xaxis if axis == "x" else axes.yaxis
    scaled.set_major_formatter(_plain())
    low, high = axes.get_xlim() if axis == "x" else axes.get_ylim()
    decades = np.log10(high / low)
    if decades >= 0.7:
        scaled.set_minor_locator(LogLocator(subs=(2.0, 5.0)))
    scaled.set_minor_formatter(_plain() if decades < 2.5 else NullFormatter())
