"""The picture of a comparison."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..figures import new_figure, save
from .comparison import Comparison
from .views import VIEWS

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw(comparison: Comparison, path: Path) -> None:
    """Picture of a comparison: the trade-off of the two services, and the distribution of the users' rates."""
    import matplotlib as mpl
    from matplotlib.ticker import FuncFormatter

    view = VIEWS[comparison.name]
    across, up = (view.column(key) for key in view.axes)
    figure = new_figure(11.0, 4.6)
    trade, spread = figure.subplots(1, 2)
    colours, markers, lines = mpl.color_sequences["tab10"], "os^vDPX*", ("-", "--", "-.", ":")
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    smallest, largest = np.inf, 0.0
    for index, (name, result) in enumerate(comparison.evaluations.items()):
        colour = colours[index % len(colours)]
        x, y = (column.scale * result.metrics[column.metric] for column in (across, up))
        trade.scatter(x, y, s=12, color=colour, alpha=0.25, linewidths=0)
        # Hollow, in sizes that shrink: allocators that coincide stay visible inside one another.
        size = max(260.0 * 0.72**index, 24.0)
        trade.scatter(
            x.mean(), y.mean(), s=size, marker=markers[index % len(markers)], facecolors="none", edgecolors=colour,
            linewidths=2.2, zorder=3, label=name,
        )  # fmt: skip
        rates = view.rate_unit[0] * np.sort(result.user_rates.reshape(-1))
        style = lines[index % len(lines)]
        spread.plot(
            rates, np.linspace(0.0, 1.0, rates.size), style, color=colour, label=name, lw=max(1.2, 3.4 - 0.5 * index)
        )
        smallest, largest = min(smallest, float(np.quantile(rates, 0.005))), max(largest, float(rates[-1]))
    trade.set(xlabel=view.labels[0], ylabel=view.labels[1], title="Trade-off: episodes and their mean")
    for axis, log, column in zip("xy", view.log, (across, up), strict=True):
        if log and any((result.metrics[column.metric] > 0).any() for result in comparison.evaluations.values()):
            trade.set(**{f"{axis}scale": "log"})
            # Where all values lie within a decade, minor ticks carry the labels: numbers, no powers of ten.
            scaled = trade.xaxis if axis == "x" else trade.yaxis
            scaled.set_major_formatter(plain)
            if _decades(trade, axis) < 1:
                scaled.set_minor_formatter(plain)
    spread.set(
        xlabel=f"data rate of a user in a slot [{view.rate_unit[1]}]",
        ylabel="share of users and slots at or below",
        title="Distribution over users",
        ylim=(0.0, 1.0),
    )
    if largest > 0:
        spread.set_xscale("log")
        left = max(smallest, 1e-3)
        spread.set_xlim(left, max(1.2 * largest, 10.0 * left))
        spread.xaxis.set_major_formatter(plain)
    trade.legend(frameon=False, loc="best", markerscale=0.8)
    config = comparison.scenario.config
    figure.suptitle(
        f"{comparison.name}: {view.describe(config)}, {comparison.episodes} episodes x {config.horizon} slots"
    )
    save(figure, path)


def _decades(axes: Axes, axis: str) -> float:
    """Powers of ten that a logarithmic axis spans."""
    low, high = axes.get_xlim() if axis == "x" else axes.get_ylim()
    return float(np.log10(high / low))
