"""Finished rows of a comparison: what each allocator earned, so that an interrupted comparison can go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from jcas_agents import Evaluation

from jcas_env.checks import require

from ..allocators import identity
from ..files import plain
from ..kept import Kept, is_number, packed, unpacked
from .comparison import Played, Setting
from .regret import Yardstick

NUMBERS = ("utility", "objective", "user_rates", "slot_utility")
"""Fields of an evaluation that are arrays, beside its metrics."""


YARDSTICK = "(yardstick)"
"""Name of the yardstick among the rows; no allocator has brackets in its name."""


def finished_rows(path: Path, setting: Setting, *, resume: bool) -> Kept:
    """No rows yet, or those of an interrupted comparison; ``ValueError`` if that was another one."""
    return Kept.begin(path, made_by(setting), resume=resume, check=partial(_check, setting))


def last_picture(folder: Path, kind: str, setting: Setting) -> Path | None:
    """Picture of the last comparison in a folder, of those named after a kind and their time, with the same setting.

    None where there are none; ``ValueError`` where all have other settings, which says what differs in the last one.
    """
    different: ValueError | None = None
    for path in sorted(folder.glob(f"{kind}-[0-9]*.rows.json"), reverse=True):
        try:
            Kept.begin(path, made_by(setting), resume=True, check=partial(_check, setting))
        except ValueError as error:
            different = different or error
        else:
            return path.with_name(path.name.removesuffix(".rows.json") + ".png")
    if different is not None:
        raise different
    return None


def made_by(setting: Setting) -> dict[str, Any]:
    """What the rows of a comparison have in common."""
    content = {
        "scenario": setting.name,
        "config": asdict(setting.scenario.config),
        "scenes": {"seed": setting.seed, "episodes": setting.episodes},
        "clock": None if setting.latency is None else asdict(setting.latency),
    }
    return plain(content)


def _check(setting: Setting, name: str, entry: Any) -> None:
    """Raise an error where a row is not what :func:`keep` or :func:`keep_yardstick` have written."""
    if name == YARDSTICK:
        best, bound = (unpacked(entry[part]) for part in ("best", "bound"))
        require(best.shape == bound.shape == (len(best),) and len(best) > 0, "`best` and `bound` must be alike")
        return
    played = _played(entry)
    texts, numbers = [entry["who"], name], [played.seconds]
    for found in (played.evaluation, played.late):
        if found is not None:
            _require_shapes(found, setting)
            texts += [*found.status, *found.metrics]
            numbers += [found.violation, *found.status.values()]
    require(all(isinstance(text, str) for text in texts), "names must be texts")
    require(all(map(is_number, numbers)), "times, violations and counts must be numbers")
    counted = isinstance(played.delay, int) and isinstance(played.regroups, bool) and type(played.processes) is int
    require(counted, "`delay` and `processes` must be integers and `regroups` a boolean")


def _require_shapes(found: Evaluation, setting: Setting) -> None:
    """Raise ``ValueError`` that names an array which is not one of these episodes and slots."""
    episodes, slots = setting.episodes, setting.scenario.horizon
    shapes = dict.fromkeys(("utility", "objective"), (episodes,)) | {"slot_utility": (slots, episodes)}
    arrays = {name: getattr(found, name) for name in shapes} | {"user_rates": found.user_rates[..., 0]}
    shapes |= {"user_rates": (slots, episodes)} | dict.fromkeys(found.metrics, (episodes,))
    for name, array in (arrays | found.metrics).items():
        require(array.shape == shapes[name], f"`{name}` must have shape {shapes[name]}, got {array.shape}")


def keep(rows: Kept, name: str, allocator: Any, played: Played) -> None:
    """Keep what an allocator has earned."""
    entry = {
        "who": identity(allocator),
        "prompt": _entry(played.evaluation),
        "seconds": played.seconds,
        "late": None if played.late is None else _entry(played.late),
        "delay": played.delay,
        "regroups": played.regroups,
        "processes": played.processes,
    }
    rows.add(name, entry)


def taken_over(rows: Kept, name: str, allocator: Any) -> Played | None:
    """What an allocator has earned already; None for one that has not finished, or that was another one."""
    entry = rows.rows.get(name)
    if entry is None or entry["who"] != identity(allocator):
        return None
    return _played(entry)


def _played(entry: Mapping[str, Any]) -> Played:
    """What :func:`keep` has written."""
    late = None if entry["late"] is None else _evaluation(entry["late"])
    prompt, counts = _evaluation(entry["prompt"]), (entry["delay"], entry["regroups"], entry["processes"])
    return Played(prompt, entry["seconds"], late, *counts)


def keep_yardstick(rows: Kept, found: Yardstick) -> None:
    """Keep what could be earned."""
    rows.add(YARDSTICK, {"best": packed(found.best), "bound": packed(found.bound)})


def yardstick_taken_over(rows: Kept, scenes: int) -> Yardstick | None:
    """What could be earned in so many first slots, where it has been found already."""
    entry = rows.rows.get(YARDSTICK)
    found = None if entry is None else Yardstick(unpacked(entry["best"]), unpacked(entry["bound"]))
    return found if found is not None and found.scenes == scenes else None


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
