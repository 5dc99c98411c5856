"""Allocators side by side on the same random scenes: statistics, table and picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jcas_agents import Evaluation, decision_time, evaluate
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from scipy import stats

from jcas_env.scenarios.scenario import Scenario
from jcas_env.units import MEGA

from .allocators import make_allocator
from .files import replacing, write_json

REFERENCE = "admm"
"""Allocator to which utilities are related."""


@dataclass
class Comparison:
    """What has been measured so far; rows appear as allocators finish."""

    name: str
    scenario: Scenario
    seed: int
    episodes: int
    evaluations: dict[str, Evaluation] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def run(self, allocators: Sequence[str], console: Console) -> None:
        """Evaluate allocators one after the other; on Ctrl-C the finished ones stay."""
        ready = {name: make_allocator(name) for name in allocators}
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
                result = evaluate(
                    self.scenario,
                    allocator,
                    episodes=self.episodes,
                    seed=self.seed,
                    on_slot=partial(progress.advance, task),
                )
                self.seconds[name] = decision_time(self.scenario, allocator, seed=self.seed)
                self.evaluations[name] = result
                progress.remove_task(task)

    def rows(self) -> list[dict[str, Any]]:
        """One row per finished allocator; rates in Mbit/s, times in ms."""
        reference = self.evaluations.get(REFERENCE)
        rows = []
        for name, result in self.evaluations.items():
            ratio, ratio_ci = ratio_of_means(result.utility, None if reference is None else reference.utility)
            rows.append(
                {
                    "allocator": name,
                    "utility": float(result.utility.mean()),
                    "utility_ci95": mean_interval(result.utility),
                    "ratio_to_admm": ratio,
                    "ratio_to_admm_ci95": ratio_ci,
                    "rate_mbps": float(result.rate.mean()) / MEGA,
                    "positioning_rate_mbps": float(result.positioning_rate.mean()) / MEGA,
                    "p5_rate_mbps": float(result.p5_rate.mean()) / MEGA,
                    "jain": float(result.jain.mean()),
                    "relaxed_objective": float(result.objective.mean()),
                    "violation": result.violation,
                    "decision_ms": 1e3 * self.seconds[name],
                    "status": result.status,
                }
            )
        return rows

    def report(self) -> dict[str, Any]:
        """Everything that ``--json`` writes."""
        return {
            "scenario": self.name,
            "config": asdict(self.scenario.config),
            "seed": self.seed,
            "episodes": self.episodes,
            "rows": self.rows(),
        }

    def write_json(self, path: Path) -> None:
        """Write :meth:`report` atomically."""
        write_json(path, self.report())

    def print(self, console: Console) -> None:
        """Print the table, and what its columns mean."""
        unit = "Mbit/s" if self.scenario.config.reward == "rate" else "ln Mbit/s"
        wide = console.width >= 110
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("allocator", no_wrap=True)
        titles = ["utility", "±95 %", "/ADMM", "R_C", "R_O", "p5", "Jain", "relaxed", "ms"]
        if wide:
            titles.insert(3, "95 % interval")
        for title in titles:
            table.add_column(title, justify="right", no_wrap=True)
        table.add_column("status", overflow="fold")
        for row in self.rows():
            low, high = row["utility_ci95"]
            interval = row["ratio_to_admm_ci95"]
            cells = [
                f"{row['utility']:.2f}",
                "-" if low is None else f"{(high - low) / 2:.2f}",
                "-" if row["ratio_to_admm"] is None else f"{row['ratio_to_admm']:.3f}",
                f"{row['rate_mbps']:.2f}",
                f"{row['positioning_rate_mbps']:.2f}",
                f"{row['p5_rate_mbps']:.2f}",
                f"{row['jain']:.2f}",
                f"{row['relaxed_objective']:.2f}",
                f"{row['decision_ms']:.1f}",
            ]
            if wide:
                cells.insert(3, "-" if interval is None else f"{interval[0]:.3f} .. {interval[1]:.3f}")
            status = ", ".join(f"{count} {key.lower()}" for key, count in row["status"].items())
            table.add_row(row["allocator"], *cells, status)
        console.print(table)
        note = (
            f"utility: reward on the true channel [{unit}], mean over {self.episodes} episodes of "
            f"{self.scenario.horizon} slots, paired scenes. R_C, R_O: data and positioning rate per user [Mbit/s]; "
            "p5, Jain: 5th percentile and fairness of R_C over users. "
            "relaxed: what the allocator's own model promises. ms: median time of one decision."
        )
        console.print(note, style="dim", markup=False, highlight=False)


def mean_interval(values: np.ndarray) -> list[float] | list[None]:
    """95 % Student interval of a mean; nulls for a single value."""
    if len(values) < 2:
        return [None, None]
    low, high = stats.t.interval(0.95, len(values) - 1, loc=values.mean(), scale=stats.sem(values))
    return [float(low), float(high)]


def ratio_of_means(values: np.ndarray, reference: np.ndarray | None) -> tuple[float | None, list[float] | None]:
    """Ratio of two paired means with a 95 % bootstrap interval over episodes."""
    if reference is None:
        return None, None
    ratio = float(values.mean() / reference.mean())
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

    figure = Figure(figsize=(11.0, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    trade, spread = figure.subplots(1, 2)
    colours, markers, lines = mpl.color_sequences["tab10"], "os^vDPX*", ("-", "--", "-.", ":")
    smallest = np.inf
    for index, (name, result) in enumerate(comparison.evaluations.items()):
        colour = colours[index % len(colours)]
        x, y = result.rate / MEGA, result.positioning_rate / MEGA
        trade.scatter(x, y, s=12, color=colour, alpha=0.25, linewidths=0)
        # Hollow, in sizes that shrink: allocators that coincide stay visible inside one another.
        size = 260.0 * 0.72**index
        trade.scatter(
            x.mean(), y.mean(), s=size, marker=markers[index % len(markers)], facecolors="none", edgecolors=colour,
            linewidths=2.2, zorder=3, label=name,
        )  # fmt: skip
        rates = np.sort(result.user_rates.reshape(-1)) / MEGA
        style = lines[index % len(lines)]
        spread.plot(
            rates, np.linspace(0.0, 1.0, rates.size), style, color=colour, label=name, lw=max(1.2, 3.4 - 0.5 * index)
        )
        smallest = min(smallest, float(np.quantile(rates, 0.005)))
    trade.set(
        xlabel="data rate per user [Mbit/s]",
        ylabel="positioning rate per user [Mbit/s]",
        title="Trade-off: episodes and their mean",
    )
    spread.set(
        xlabel="data rate of a user in a slot [Mbit/s]",
        ylabel="share of users and slots at or below",
        title="Distribution over users",
        ylim=(0.0, 1.0),
    )
    spread.set_xscale("log")
    spread.set_xlim(left=max(smallest, 1e-3))
    spread.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    for axes in (trade, spread):
        axes.grid(alpha=0.3, lw=0.5)
        axes.spines[["top", "right"]].set_visible(False)
    trade.legend(frameon=False, loc="best", markerscale=0.8)
    config = comparison.scenario.config
    figure.suptitle(
        f"{comparison.name}: {config.cells} cells x {config.users_per_cell} users, "
        f"{config.bs_antennas} x {config.ue_antennas} antennas, {comparison.episodes} episodes x {config.horizon} slots"
    )
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)
