"""Finished rows of a comparison: what each allocator earned, so that an interrupted comparison can go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from jcas_agents import Evaluation
from jcas_agents.files import NotWrittenError

from ..files import plain
from ..kept import keep, kept, packed, unpacked
from .comparison import Played, Setting
from .regret import Yardstick

NUMBERS = ("utility", "objective", "user_rates", "slot_utility")
"""Fields of an evaluation that are arrays, beside its metrics."""


@dataclass(frozen=True)
class Rows:
    """The finished rows of a comparison, in memory and in a file."""

    path: Path
    made_by: Mapping[str, Any]
    """What all rows have in common."""
    entries: dict[str, Any] = field(default_factory=dict)
    """By allocator: who it was and what it earned, as JSON; ``YARDSTICK``: what could be earned."""
    unwritten: list[OSError] = field(default_factory=list)
    """Why the rows could not be kept last time; the comparison goes on nevertheless."""

    @classmethod
    def begin(cls, path: Path, setting: Setting, *, resume: bool) -> Rows:
        """No rows yet, or those of an interrupted comparison; ``ValueError`` if that was another one."""
        latency = None if setting.latency is None else asdict(setting.latency)
        made_by = plain({
            "scenario": setting.name,
            "config": asdict(setting.scenario.config),
            "scenes": {"seed": setting.seed, "episodes": setting.episodes},
            "clock": latency,
        })  # fmt: skip
        return cls(path, made_by, (kept(path, made_by) or {}) if resume else {})

    def taken_over(self, name: str, allocator: Any) -> Played | None:
        """What an allocator has earned already; None for one that has not finished, or that was another one."""
        entry = self.entries.get(name)
        if entry is None or entry["who"] != identity(allocator):
            return None
        late = entry["late"]
        return Played(
            _evaluation(entry["prompt"]), entry["seconds"], None if late is None else _evaluation(late),
            entry["delay"], entry["regroups"],
        )  # fmt: skip

    def add(self, name: str, allocator: Any, played: Played) -> None:
        """Keep what an allocator has earned."""
        self.entries[name] = {
            "who": identity(allocator),
            "prompt": _entry(played.evaluation),
            "seconds": played.seconds,
            "late": None if played.late is None else _entry(played.late),
            "delay": played.delay,
            "regroups": played.regroups,
        }
        self._keep()

    def yardstick(self, scenes: int) -> Yardstick | None:
        """What could be earned in so many first slots, where it has been found already."""
        entry = self.entries.get(YARDSTICK)
        found = None if entry is None else Yardstick(unpacked(entry["best"]), unpacked(entry["bound"]))
        return found if found is not None and found.scenes == scenes else None

    def add_yardstick(self, found: Yardstick) -> None:
        """Keep what could be earned."""
        self.entries[YARDSTICK] = {"best": packed(found.best), "bound": packed(found.bound)}
        self._keep()

    def _keep(self) -> None:
        self.unwritten.clear()
        try:
            keep(self.path, self.made_by, self.entries)
        except NotWrittenError as error:
            self.unwritten.append(error)


YARDSTICK = "(yardstick)"
"""Name of the yardstick among the rows; no allocator has brackets in its name."""


def identity(allocator: Any) -> str:
    """What an allocator is: its options, or for a policy the hash of its weights."""
    policy = getattr(allocator, "policy", None)
    if policy is None:
        return repr(allocator)
    from jcas_agents.tensor_files import digest

    return digest(policy.state_dict())


def _entry(found: Evaluation) -> dict[str, Any]:
    """An evaluation as JSON."""
    arrays = {name: packed(getattr(found, name)) for name in NUMBERS}
    metrics = {name: packed(value) for name, value in found.metrics.items()}
    return {**arrays, "metrics": metrics, "violation": found.violation, "status": found.status}


def _evaluation(entry: Mapping[str, Any]) -> Evaluation:
    """The evaluation of :func:`_entry`."""
    arrays = {name: unpacked(entry[name]) for name in NUMBERS}
    metrics = {name: unpacked(value) for name, value in entry["metrics"].items()}
    return Evaluation(**arrays, metrics=metrics, violation=entry["violation"], status=entry["status"])
