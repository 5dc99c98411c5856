"""Allocators side by side on the same random scenes: statistics, table and picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jcas_agents import Evaluation, decision_time, evaluate
from jcas_agents.agent import finite_mean
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from scipy import stats

from jcas_env.scenarios.scenario import Scenario

from .allocators import ROSTERS
from .files import replacing, write_json
from .latency import Latency
from .views import VIEWS, Column


@dataclass
class Comparison:
    """What has been measured so far; rows appear as allocators finish."""

    name: str
    scenario: Scenario
    seed: int
    episodes: int
    latency: Latency | None = None
    """Clock by which decisions come late; None: they take no time."""
    evaluations: dict[str, Evaluation] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    late: dict[str, Evaluation] = field(default_factory=dict)
    """The same episodes with late decisions."""

    def run(self, allocators: Sequence[str], console: Console) -> None:
        """Evaluate allocators one after the other; on Ctrl-C the finished ones stay."""
        ready = {name: ROSTERS[self.name].make(name) for name in allocators}
        columns = (
            TextColumn("{task.description:12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("slots"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, transient=True) as progress:
            for name, allocator in ready.items():
                task = progress.add_task(name, total=self.episodes * self.scenario.horizon)
                play = partial(
                    evaluate, self.scenario, allocator, episodes=self.episodes, seed=self.seed,
                    on_slot=partial(progress.advance, task),
                )  # fmt: skip
                result = play()
                self.seconds[name] = decision_time(self.scenario, allocator, seed=self.seed)
                if self.latency is not None:
                    delay = self.latency.delay(name, self.seconds[name])
                    progress.reset(task, description=f"{name} late")
                    self.late[name] = play(delay=delay) if delay else result
                self.evaluations[name] = result
                progress.remove_task(task)

    @property
    def reference(self) -> str:
        """Allocator to which utilities are related."""
        return ROSTERS[self.name].for_task(self.scenario.config).reference

    @property
    def columns(self) -> list[Column]:
        """Columns that this task reports."""
        reported = [set(result.metrics) for result in self.evaluations.values()]
        return [column for column in VIEWS[self.name].columns if all(column.metric in names for names in reported)]

    def rows(self) -> list[dict[str, Any]]:
        """One row per finished allocator; units are in the names of the columns, times in ms."""
        reference = self.evaluations.get(self.reference)
        related = f"ratio_to_{self.reference.replace('-', '_')}"
        rows = []
        for name, result in self.evaluations.items():
            ratio, ratio_ci = ratio_of_means(result.utility, None if reference is None else reference.utility)
            columns = {column.key: column.mean(result.metrics) for column in self.columns}
            rows.append(
                {
                    "allocator": name,
                    "utility": float(result.utility.mean()),
                    "utility_ci95": mean_interval(result.utility),
                    related: ratio,
                    f"{related}_ci95": ratio_ci,
                    **columns,
                    "relaxed_objective": float(finite_mean(result.objective)),
                    "violation": result.violation,
                    "decision_ms": 1e3 * self.seconds[name],
                    **self._late_columns(name),
                    "status": result.status,
                }
            )
        return rows

    def _late_columns(self, name: str) -> dict[str, Any]:
        """Delay and utility with late decisions, where a clock runs."""
        if self.latency is None:
            return {}
        utility = self.late[name].utility
        return {
            "delay_slots": self.latency.delay(name, self.seconds[name]),
            "late_utility": float(utility.mean()),
            "late_utility_ci95": mean_interval(utility),
        }

    def report(self) -> dict[str, Any]:
        """Everything that ``--json`` writes."""
        return {
            "scenario": self.name,
            "config": asdict(self.scenario.config),
            "seed": self.seed,
            "episodes": self.episodes,
            **({} if self.latency is None else {"slot_ms": 1e3 * self.latency.slot}),
            "rows": self.rows(),
        }

    def write_json(self, path: Path) -> None:
        """Write :meth:`report` atomically."""
        write_json(path, self.report())

    def print(self, console: Console) -> None:
        """Print the table, and what its columns mean."""
        view = VIEWS[self.name]
        related = f"ratio_to_{self.reference.replace('-', '_')}"
        wide = console.width >= 110
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("allocator", no_wrap=True)
        titles = ["utility", "±95 %", f"/{self.reference.upper()}"]
        titles += ["95 % interval"] if wide else []
        clock = [] if self.latency is None else ["slots", "late"]
        for title in [*titles, *(column.title for column in self.columns), "relaxed", "ms", *clock]:
            table.add_column(title, justify="right", no_wrap=True)
        table.add_column("status", overflow="fold")
        for row in self.rows():
            low, high = row["utility_ci95"]
            interval = row[f"{related}_ci95"]
            cells = [
                f"{row['utility']:.2f}",
                "-" if low is None else f"{(high - low) / 2:.2f}",
                "-" if row[related] is None else f"{row[related]:.3f}",
            ]
            if wide:
                cells.append("-" if interval is None else f"{interval[0]:.3f} .. {interval[1]:.3f}")
            cells += [format(row[column.key], column.format) for column in self.columns]
            cells += [f"{row['relaxed_objective']:.2f}", f"{row['decision_ms']:.1f}"]
            cells += [f"{row['delay_slots']}", f"{row['late_utility']:.2f}"] if clock else []
            status = ", ".join(f"{count} {key.lower()}" for key, count in row["status"].items())
            table.add_row(row["allocator"], *cells, status)
        console.print(table)
        legend = " ".join([view.legend, *(column.note for column in self.columns if column.note)])
        note = (
            f"utility: reward on the true channel [{view.unit(self.scenario.config)}], mean over {self.episodes} "
            f"episodes of {self.scenario.horizon} slots, paired scenes. {legend} "
            "relaxed: what the allocator's own model promises. ms: median time of one decision."
        )
        if self.latency is not None:
            note += (
                f" slots: whole slots of {1e3 * self.latency.slot:g} ms by which its decisions come late; "
                "late: utility when they do."
            )
        console.print(note, style="dim", markup=False, highlight=False)


def mean_interval(values: np.ndarray) -> list[float] | list[None]:
    """95 % Student interval of a mean; nulls for a single value."""
    if len(values) < 2:
        return [None, None]
    if np.ptp(values) == 0:
        return [float(values[0]), float(values[0])]
    low, high = stats.t.interval(0.95, len(values) - 1, loc=values.mean(), scale=stats.sem(values))
    return [float(low), float(high)]


def ratio_of_means(values: np.ndarray, reference: np.ndarray | None) -> tuple[float | None, list[float] | None]:
    """Ratio of two paired means with a 95 % bootstrap interval over episodes.

    None where the reference is zero, as a backlog can be; no interval where it is zero in an episode.
    """
    if reference is None or reference.mean() == 0:
        return None, None
    ratio = float(values.mean() / reference.mean())
    if (reference == 0).any():
        return ratio, None
    if len(values) < 2 or np.array_equal(values, reference):
        return ratio, None if len(values) < 2 else [ratio, ratio]

    def statistic(a: np.ndarray, b: np.ndarray, axis: int = -1) -> np.ndarray:
        return a.mean(axis=axis) / b.mean(axis=axis)

    result = stats.bootstrap(
        (values, reference),
        statistic,
        paired=True,
        vectorized=True,
        n_resamples=2000,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    return ratio, [float(result.confidence_interval.low), float(result.confidence_interval.high)]


def draw(comparison: Comparison, path: Path) -> None:
    """Picture of a comparison: the trade-off of the two services, and the distribution of the users' rates."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    view = VIEWS[comparison.name]
    across, up = (view.column(key) for key in view.axes)
    figure = Figure(figsize=(11.0, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    trade, spread = figure.subplots(1, 2)
    colours, markers, lines = mpl.color_sequences["tab10"], "os^vDPX*", ("-", "--", "-.", ":")
    smallest, largest = np.inf, 0.0
    for index, (name, result) in enumerate(comparison.evaluations.items()):
        colour = colours[index % len(colours)]
        x, y = (column.scale * result.metrics[column.metric] for column in (across, up))
        trade.scatter(x, y, s=12, color=colour, alpha=0.25, linewidths=0)
        # Hollow, in sizes that shrink: allocators that coincide stay visible inside one another.
        size = 260.0 * 0.72**index
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
    spread.set(
        xlabel=f"data rate of a user in a slot [{view.rate_unit[1]}]",
        ylabel="share of users and slots at or below",
        title="Distribution over users",
        ylim=(0.0, 1.0),
    )
    spread.set_xscale("log")
    left = max(smallest, 1e-3)
    spread.set_xlim(left, max(1.2 * largest, 10.0 * left))
    spread.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    for axes in (trade, spread):
        axes.grid(alpha=0.3, lw=0.5)
        axes.spines[["top", "right"]].set_visible(False)
    trade.legend(frameon=False, loc="best", markerscale=0.8)
    config = comparison.scenario.config
    figure.suptitle(
        f"{comparison.name}: {view.describe(config)}, {comparison.episodes} episodes x {config.horizon} slots"
    )
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)
