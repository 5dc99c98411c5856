"""Allocators side by side on the same random scenes: what is measured, and its table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from traceback import extract_tb, format_exception
from typing import Any

from jcas_agents import Evaluation, decision_time, evaluate
from jcas_agents.evaluation import finite_mean
from jcas_baselines import BestGrouping
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from jcas_env.scenarios.scenario import Scenario

from ..allocators import Roster
from ..files import write_json
from ..statistics import half_width, mean_interval, number, paired_ratio, percent, span
from .latency import Latency
from .regret import Watch, Yardstick, columns, measure
from .views import VIEWS, Column


def refuses(error: Exception) -> bool:
    """Whether an error says that a problem is not for this allocator, as opposed to a fault.

    A refusal is a ``TypeError`` or ``ValueError`` that somebody raised; a ``LinAlgError``, which is a ``ValueError``
    as well, or arrays that do not fit together are none.
    """
    raised = (extract_tb(error.__traceback__)[-1].line or "").startswith("raise")
    return raised and type(error) in (TypeError, ValueError)


@dataclass
class Comparison:
    """What has been measured so far; rows appear as allocators finish."""

    name: str
    scenario: Scenario
    seed: int
    episodes: int
    roster: Roster
    """Allocators of the task."""
    regret_scenes: int = 0
    """Episodes whose first slot is also searched and bounded; 0: no yardstick."""
    latency: Latency | None = None
    """Clock by which decisions come late; None: they take no time."""
    evaluations: dict[str, Evaluation] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    late: dict[str, Evaluation] = field(default_factory=dict)
    """The same episodes with late decisions."""
    refused: dict[str, str] = field(default_factory=dict)
    """What allocators said that cannot work on such a problem."""
    failed: dict[str, Exception] = field(default_factory=dict)
    """Errors of allocators, or of the yardstick, that are faults: nobody raised them to refuse the problem."""
    regrouping: set[str] = field(default_factory=set)
    """Allocators that choose the groups, for which no yardstick holds."""
    yardstick: Yardstick | None = None
    """What could be earned in the first slots."""

    def run(self, allocators: Sequence[str], console: Console) -> None:
        """Evaluate allocators one after the other; on Ctrl-C the finished ones stay.

        One that refuses the problem is left out, see ``refused``, one that breaks has no numbers, see ``failed``; the
        others go on.
        """
        ready = {name: self.roster.make(name) for name in allocators}
        self.regrouping = {name for name, allocator in ready.items() if isinstance(allocator, BestGrouping)}
        bar = (
            TextColumn("{task.description:12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeRemainingColumn(),
        )
        with Progress(*bar, console=console, transient=True) as progress:
            for name, allocator in ready.items():
                task = progress.add_task(name, total=self.episodes * self.scenario.horizon, unit="slots")
                try:
                    self._play(name, allocator, progress, task)
                except ModuleNotFoundError:
                    raise
                except Exception as error:  # told at the end, with its traceback
                    if refuses(error) and not progress.tasks[-1].completed:
                        self.refused[name] = str(error)
                    else:
                        self.failed[name] = error
                progress.remove_task(task)
            self._measure(progress)

    def _measure(self, progress: Progress) -> None:
        """Search and bound the first slots, where the task has a yardstick and somebody to hold it to."""
        scenes = min(self.regret_scenes, self.episodes)
        known = self.roster.for_task(self.scenario.config).yardstick is not None
        if not (known and scenes and set(self.evaluations) - self.regrouping):
            return
        task = progress.add_task("yardstick", total=scenes, unit="scenes")
        watch = Watch(scenes, partial(progress.console.print, style="dim", markup=False, highlight=False))

        def on_scene(count: int) -> None:
            progress.advance(task, count)
            watch.advance(count)

        try:
            self.yardstick = measure(self.name, self.scenario, seed=self.seed, scenes=scenes, on_scene=on_scene)
        except Exception as error:  # told at the end, with its traceback
            self.failed["yardstick"] = error

    def _play(self, name: str, allocator: Any, progress: Progress, task: TaskID) -> None:
        """Evaluate one allocator, and its late decisions where a clock runs."""
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

    @property
    def reference(self) -> str:
        """Allocator to which utilities are related."""
        return self.roster.reference

    @property
    def columns(self) -> list[Column]:
        """Columns that this task reports."""
        reported = [result.metrics for result in self.evaluations.values()]
        return [column for column in VIEWS[self.name].columns if all(column.metric in names for names in reported)]

    @property
    def _related(self) -> str:
        """Key of the ratios to it."""
        return f"ratio_to_{self.reference.replace('-', '_')}"

    def rows(self) -> list[dict[str, Any]]:
        """One row per finished allocator; units are in the names of the columns, times in ms."""
        reference = self.evaluations.get(self.reference)
        view, related, rows = VIEWS[self.name], self._related, []
        logarithmic = view.logarithmic(self.scenario.config)
        first = {name: result.slot_utility[0] for name, result in self.evaluations.items()}
        regret = columns(self.yardstick, first, logarithmic=logarithmic, regrouping=self.regrouping)
        for name, result in self.evaluations.items():
            ratio, ratio_ci = paired_ratio(
                result.utility, None if reference is None else reference.utility, logarithmic=logarithmic
            )
            metrics = {column.key: column.mean(result.metrics) for column in self.columns}
            rows.append(
                {
                    "allocator": name,
                    "utility": float(result.utility.mean()),
                    "utility_ci95": mean_interval(result.utility),
                    related: ratio,
                    f"{related}_ci95": ratio_ci,
                    **regret[name],
                    **metrics,
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
            **({} if self.yardstick is None else {"yardstick": self.yardstick.report()}),
            **({"failed": {name: repr(error) for name, error in self.failed.items()}} if self.failed else {}),
            "rows": self.rows(),
        }

    def write_json(self, path: Path) -> None:
        """Write :meth:`report` atomically."""
        write_json(path, self.report())

    def tracebacks(self) -> str:
        """What went wrong with those that failed, in full."""
        return "\n".join(f"{name}: {''.join(format_exception(error))}" for name, error in self.failed.items())

    def print(self, console: Console) -> None:
        """Print the table, and what its columns mean."""
        titles = self._titles(wide=console.width >= 110)
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("allocator", no_wrap=True)
        for title in titles:
            table.add_column(title, justify="right", no_wrap=True)
        table.add_column("status", overflow="fold", min_width=12)
        for row in self.rows():
            status = ", ".join(f"{count} {key.lower()}" for key, count in row["status"].items())
            table.add_row(row["allocator"], *(cell(row) for cell in titles.values()), status)
        for name in set(self.failed) - {"yardstick"}:
            table.add_row(name, *("-" for _ in titles), f"FAILED: {type(self.failed[name]).__name__}")
        console.print(table)
        console.print(self._legend(), style="dim", markup=False, highlight=False)

    def _titles(self, *, wide: bool) -> dict[str, Callable[[dict[str, Any]], str]]:
        """Headings of the numbers, and how each is read off a row."""
        related = self._related
        titles: dict[str, Callable[[dict[str, Any]], str]] = {
            "utility": lambda row: f"{row['utility']:.2f}",
            "±95 %": lambda row: half_width(row["utility_ci95"]),
            f"/{self.reference.upper()}": lambda row: "-" if row[related] is None else f"{row[related]:.3f}",
        }
        if wide:
            titles["95 % interval"] = lambda row: span(row[f"{related}_ci95"])
        if self.yardstick is not None:
            titles["regret"] = lambda row: percent(row["regret_to_best_found"])
            titles["within"] = lambda row: percent(row["within_of_bound"])
        for column in self.columns:
            titles[column.title] = lambda row, column=column: format(row[column.key], column.format)  # type: ignore[misc]
        titles["relaxed"] = lambda row: number(row["relaxed_objective"])
        titles["ms"] = lambda row: f"{row['decision_ms']:.1f}"
        if self.latency is not None:
            titles["slots"] = lambda row: f"{row['delay_slots']}"
            titles["late"] = lambda row: f"{row['late_utility']:.2f}"
        return titles

    def _legend(self) -> str:
        """What the columns mean."""
        view = VIEWS[self.name]
        parts = [
            f"utility: reward on the true channel [{view.unit(self.scenario.config)}], mean over {self.episodes} "
            f"episodes of {self.scenario.horizon} slots, paired scenes."
        ]
        if self.yardstick is not None:
            parts.append(
                "regret: what is missing [%] to the best allocation found by who knows the true channel; within: to "
                f"what no allocation with the same beams and groups can exceed ({self.yardstick.scenes} first slots)."
            )
            if self.regrouping & set(self.evaluations):
                parts.append("- : chooses groups of its own; both yardsticks hold for those of the environment.")
        if view.logarithmic(self.scenario.config):
            parts.append(f"/{self.reference.upper()}: exp of the difference, as the utility is a mean of logarithms.")
        elif all(result.utility.mean() < 0 for result in self.evaluations.values()):
            parts.append(f"/{self.reference.upper()}: a ratio of costs, less is better.")
        parts += [view.legend, *(column.note for column in self.columns if column.note)]
        parts += ["relaxed: what the allocator's own model promises. ms: median time of one decision."]
        if self.latency is not None:
            parts.append(
                f"slots: whole slots of {1e3 * self.latency.slot:g} ms by which its decisions come late; "
                "late: utility when they do."
            )
        return " ".join(parts)
