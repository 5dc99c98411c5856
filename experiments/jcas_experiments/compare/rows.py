"""Finished rows of a comparison: what each allocator earned, so that an interrupted comparison can go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jcas_agents import Evaluation

from ..files import plain
from ..kept import Kept, packed, unpacked
from .comparison import Played, Setting
from .regret import Yardstick

NUMBERS = ("utility", "objective", "user_rates", "slot_utility")
"""Fields of an evaluation that are arrays, beside its metrics."""


YARDSTICK = "(yardstick)"
"""Name of the yardstick among the rows; no allocator has brackets in its name."""


def finished_rows(path: Path, setting: Setting, *, resume: bool) -> Kept:
    """No rows yet, or those of an interrupted comparison; ``ValueError`` if that was another one."""
    made_by = {
        "scenario": setting.name,
        "config": asdict(setting.scenario.config),
        "scenes": {"seed": setting.seed, "episodes": setting.episodes},
        "clock": None if setting.latency is None else asdict(setting.latency),
    }
    return Kept.begin(path, plain(made_by), resume=resume)


def keep(rows: Kept, name: str, allocator: Any, played: Played) -> None:
    """Keep what an allocator has earned."""
    entry = {
        "who": identity(allocator),
        "prompt": _entry(played.evaluation),
        "seconds": played.seconds,
        "late": None if played.late is None else _entry(played.late),
        "delay": played.delay,
        "regroups": played.regroups,
    }
    rows.add(name, entry)


def taken_over(rows: Kept, name: str, allocator: Any) -> Played | None:
    """What an allocator has earned already; None for one that has not finished, or that was another one."""
    entry = rows.rows.get(name)
    if entry is None or entry["who"] != identity(allocator):
        return None
    late = None if entry["late"] is None else _evaluation(entry["late"])
    return Played(_evaluation(entry["prompt"]), entry["seconds"], late, entry["delay"], entry["regroups"])


def keep_yardstick(rows: Kept, found: Yardstick) -> None:
    """Keep what could be earned."""
    rows.add(YARDSTICK, {"best": packed(found.best), "bound": packed(found.bound)})


def yardstick_taken_over(rows: Kept, scenes: int) -> Yardstick | None:
    """What could be earned in so many first slots, where it has been found already."""
    entry = rows.rows.get(YARDSTICK)
    found = None if entry is None else Yardstick(unpacked(entry["best"]), unpacked(entry["bound"]))
    return found if found is not None and found.scenes == scenes else None


def identity(allocator: Any) -> str:
    """What an allocator is: its options, or for a policy the hash of its weights."""
    policy = getattr(allocator, "policy", None)
    if policy is None:
        return repr(allocator)
    from jcas_agents.tensor_files import tensor_hash

    return tensor_hash(policy.state_dict())


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
