"""What a comparison measures: allocators on the same random scenes, and the statistics of what they earn.

Numbers only: :mod:`.table` puts them into words, :mod:`.picture` draws them, :mod:`.command` moves the bars.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from jcas_agents import Evaluation, decision_time, evaluate
from jcas_agents.evaluation import finite_mean
from jcas_baselines import BestGrouping

from jcas_env.scenarios.scenario import Scenario

from ..allocators import Roster
from ..scenarios.registry import view_of
from ..statistics import mean_interval, paired_ratio
from ..views import Column, View
from .latency import Latency
from .regret import Yardstick, columns

INFEASIBLE = 1e-6
"""Relative violation of a constraint from which an allocator's numbers are marked: others could not earn them."""


@dataclass(frozen=True)
class Setting:
    """What is compared on what."""

    name: str
    """Name of the scenario."""
    scenario: Scenario
    seed: int
    """Episode i is drawn with seed + i."""
    episodes: int
    roster: Roster
    """Allocators of the task."""
    regret_scenes: int = 0
    """Episodes whose first slot is also searched and bounded; 0: no yardstick."""
    latency: Latency | None = None
    """Clock by which decisions come late; None: they take no time."""
    preset: str | None = None
    """Name of the settings that the configuration began with."""

    @property
    def view(self) -> View:
        """How the scenario's results are shown."""
        return view_of(self.name)

    @property
    def logarithmic(self) -> bool:
        """Whether the utility is a mean of logarithms, so that differences count and not ratios."""
        return self.view.logarithmic(self.scenario.config)

    @property
    def small_print(self) -> str:
        """What a picture says about how it was made."""
        config = self.scenario.config
        reward = getattr(config, "reward", getattr(config, "objective", None))
        parts = [f"preset {self.preset or 'default'}", *([f"reward {reward}"] if reward else [])]
        parts += [f"seed {self.seed}", f"{self.episodes} episodes of {self.scenario.horizon} slots"]
        return ", ".join(parts)

    @property
    def searched(self) -> int:
        """Scenes for the yardstick: none where the task has no yardstick."""
        known = self.roster.for_task(self.scenario.config).yardstick is not None
        return min(self.regret_scenes, self.episodes) if known else 0


@dataclass(frozen=True)
class Played:
    """What one allocator did with the scenes."""

    evaluation: Evaluation
    seconds: float
    """Time of one decision [s]."""
    late: Evaluation | None = None
    """The same episodes with late decisions; None without a clock."""
    delay: int = 0
    """Slots by which these come late."""
    regroups: bool = False
    """Whether it chooses the groups, so that no yardstick holds."""
    processes: int = 1
    """Processes that were at work while a decision was timed."""


def play(
    setting: Setting,
    name: str,
    allocator: Any,
    *,
    on_slot: Callable[[int], None],
    on_late: Callable[[], object],
) -> Played:
    """Evaluate one allocator, and its late decisions where a clock runs.

    ``on_slot`` is called with the number of episodes that have moved on by a slot, ``on_late`` before the late ones.
    """
    again = partial(
        evaluate, setting.scenario, allocator, episodes=setting.episodes, seed=setting.seed, on_slot=on_slot
    )
    prompt = again()
    seconds = decision_time(setting.scenario, allocator, seed=setting.seed)
    regroups = isinstance(allocator, BestGrouping)
    if setting.latency is None:
        return Played(prompt, seconds, regroups=regroups)
    delay = setting.latency.delay(name, seconds)
    on_late()
    return Played(prompt, seconds, again(delay=delay) if delay else prompt, delay, regroups)


@dataclass(frozen=True)
class Comparison:
    """What has been measured."""

    setting: Setting
    played: dict[str, Played]
    """By allocator, those that have finished."""
    refused: dict[str, str] = field(default_factory=dict)
    """What allocators said that cannot work on such a problem."""
    failed: dict[str, Exception] = field(default_factory=dict)
    """Errors of allocators, or of the yardstick, that are faults: nobody raised them to refuse the problem."""
    yardstick: Yardstick | None = None
    """What could be earned in the first slots."""

    @property
    def reference(self) -> str:
        """Allocator to which utilities are related."""
        return self.setting.roster.reference

    @property
    def related(self) -> str:
        """Key of the ratios to it in a row."""
        return f"ratio_to_{self.reference.replace('-', '_')}"

    @property
    def columns(self) -> list[Column]:
        """Columns that this task reports."""
        return self.setting.view.reported([result.evaluation.metrics for result in self.played.values()])

    @property
    def regrouping(self) -> set[str]:
        """Allocators that choose the groups."""
        return {name for name, result in self.played.items() if result.regroups}

    def rows(self) -> list[dict[str, Any]]:
        """One row per finished allocator; units are in the names of the columns, times in ms."""
        first = {name: result.evaluation.slot_utility[0] for name, result in self.played.items()}
        regret = columns(self.yardstick, first, logarithmic=self.setting.logarithmic, regrouping=self.regrouping)
        return [self._row(name, result, regret[name]) for name, result in self.played.items()]

    def _row(self, name: str, result: Played, regret: dict[str, Any]) -> dict[str, Any]:
        found, reference = result.evaluation, self.played.get(self.reference)
        ratio, ratio_ci = paired_ratio(
            found.utility,
            None if reference is None else reference.evaluation.utility,
            logarithmic=self.setting.logarithmic,
        )
        return {
            "allocator": name,
            "utility": float(found.utility.mean()),
            "utility_ci95": mean_interval(found.utility),
            self.related: ratio,
            f"{self.related}_ci95": ratio_ci,
            **regret,
            **{column.key: column.mean(found.metrics) for column in self.columns},
            "relaxed_objective": float(finite_mean(found.objective)),
            "violation": found.violation,
            "decision_ms": 1e3 * result.seconds,
            **({} if result.processes == 1 else {"decision_ms_beside_processes": result.processes}),
            **_late_columns(result),
            "status": found.status,
        }

    def report(self) -> dict[str, Any]:
        """Everything that ``--json`` writes."""
        setting = self.setting
        return {
            "scenario": setting.name,
            "config": asdict(setting.scenario.config),
            "seed": setting.seed,
            "episodes": setting.episodes,
            **({} if setting.latency is None else {"slot_ms": 1e3 * setting.latency.slot}),
            **({} if self.yardstick is None else {"yardstick": self.yardstick.report()}),
            **({"failed": {name: repr(error) for name, error in self.failed.items()}} if self.failed else {}),
            "rows": self.rows(),
        }


def _late_columns(result: Played) -> dict[str, Any]:
    """Delay and utility with late decisions, where a clock runs."""
    if result.late is None:
        return {}
    utility = result.late.utility
    return {
        "delay_slots": result.delay,
        "late_utility": float(utility.mean()),
        "late_utility_ci95": mean_interval(utility),
    }
