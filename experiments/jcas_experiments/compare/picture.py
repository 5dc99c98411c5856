"""The picture of a comparison."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jcas_agents import Evaluation

from ..figures import new_figure, save_figure
from ..views import View
from .comparison import Comparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.ticker import Formatter

Results = Mapping[str, Evaluation]
"""Evaluations by allocator."""


class Look(NamedTuple):
    """How an allocator is drawn."""

    colour: Any
    marker: str
    size: float
    """Area of the marker."""
    line: str
    width: float


def draw_comparison(comparison: Comparison, path: Path) -> None:
    """Picture of a comparison: the trade-off of the two services, and the distribution of the users' rates."""
    setting, view = comparison.setting, comparison.setting.view
    results = {name: result.evaluation for name, result in comparison.played.items()}
    figure = new_figure(11.0, 4.6)
    panels = figure.subplots(1, 1 if view.axes is None else 2, squeeze=False)[0]
    if view.axes is not None:
        _trade_off(panels[0], view, view.axes, results)
    _distribution(panels[-1], view, results)
    for label in panels[0].legend(frameon=False, loc="best", markerscale=0.8).get_texts():
        label.set_parse_math(False)  # a name is a name, with dollars in it, too
    size = f"{setting.episodes} episodes x {setting.scenario.horizon} slots"
    figure.suptitle(f"{setting.name}: {view.describe(setting.scenario.config)}, {size}")
    save_figure(figure, path)


def _looks() -> Iterator[Look]:
    """Hollow markers in sizes that shrink, lines likewise: allocators that coincide stay visible inside one another."""
    import matplotlib as mpl

    colours, markers, lines = mpl.color_sequences["tab10"], "os^vDPX*", ("-", "--", "-.", ":")
    for index in count():
        yield Look(
            colours[index % len(colours)],
            markers[index % len(markers)],
            max(260.0 * 0.72**index, 24.0),
            lines[index % len(lines)],
            max(1.2, 3.4 - 0.5 * index),
        )


def _label(name: str) -> str:
    """A name as a label of its own: matplotlib leaves out of a legend what begins with an underscore."""
    return f" {name}" if name.startswith("_") else name


def _plain() -> Formatter:
    """Numbers, no powers of ten."""
    from matplotlib.ticker import FuncFormatter

    return FuncFormatter(lambda value, _: f"{value:g}")


def _trade_off(axes: Axes, view: View, keys: tuple[str, str], results: Results) -> None:
    """Episodes of each allocator as dots, and their mean, in the plane of two columns."""
    columns = [view.column(key) for key in keys]
    for look, (name, result) in zip(_looks(), results.items(), strict=False):
        x, y = (column.scale * result.metrics[column.metric] for column in columns)
        axes.scatter(x, y, s=12, color=look.colour, alpha=0.25, linewidths=0)
        axes.scatter(
            x.mean(), y.mean(), s=look.size, marker=look.marker, facecolors="none", edgecolors=look.colour,
            linewidths=2.2, zorder=3, label=_label(name),
        )  # fmt: skip
    axes.set(xlabel=view.labels[0], ylabel=view.labels[1], title="Trade-off: episodes and their mean")
    for axis, log, column in zip("xy", view.log, columns, strict=True):
        if log and any((result.metrics[column.metric] > 0).any() for result in results.values()):
            axes.set(**{f"{axis}scale": "log"})
            scaled = axes.xaxis if axis == "x" else axes.yaxis
            scaled.set_major_formatter(_plain())
            # Where all values lie within a decade, no major tick may be in sight: minor ones carry the labels.
            if _decades(axes, axis) < 1:
                scaled.set_minor_formatter(_plain())


def _distribution(axes: Axes, view: View, results: Results) -> None:
    """Share of users and slots whose rate, or of slots whose utility, is at most so large."""
    rates = view.rate_unit is not None
    scale, unit = view.rate_unit or (1.0, "")
    smallest, largest = np.inf, 0.0
    for look, (name, result) in zip(_looks(), results.items(), strict=False):
        values = scale * np.sort((result.user_rates if rates else result.slot_utility).reshape(-1))
        shares = np.linspace(0.0, 1.0, values.size)
        axes.plot(values, shares, look.line, color=look.colour, label=_label(name), lw=look.width)
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
        axes.xaxis.set_major_formatter(_plain())


def _decades(axes: Axes, axis: str) -> float:
    """Powers of ten that a logarithmic axis spans."""
    low, high = axes.get_xlim() if axis == "x" else axes.get_ylim()
    return float(np.log10(high / low))
