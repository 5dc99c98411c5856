"""A comparison whose episodes are shared by a crew: pieces of consecutive seeds, of every allocator."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from jcas_agents import decision_time
from jcas_agents.evaluation import LANES, join_records, records_of, summary
from jcas_baselines import BestGrouping

from ..allocators import refuses
from ..jobs.crew import Answer, Crew, Task, Tell, portions
from .comparison import Played, Setting
from .refusal import RefusedError


def records_piece(tell: Tell, **arguments: Any) -> Any:
    """Records of some episodes, in a worker; see :func:`jcas_agents.evaluation.records_of`."""
    slots: list[int] = []

    def on_slot(count: int) -> None:
        slots.append(count)
        tell(count)

    return _refusal_told(lambda: records_of(**arguments, on_slot=on_slot), lambda: not slots)


def timed(_: Tell, setting_scenario: Any, allocator: Any, seed: int) -> float:
    """Time of one decision [s], in a worker."""
    return _refusal_told(lambda: decision_time(setting_scenario, allocator, seed=seed), lambda: True)


def _refusal_told(work: Callable[[], Any], new: Callable[[], bool]) -> Any:
    """Tell a refusal from a fault here, where the traceback of the error is.

    Who has played a slot knows the problem: what it raises later is a fault.
    """
    try:
        return work()
    except Exception as error:
        if refuses(error) and new():
            raise RefusedError(str(error)) from None
        raise


@dataclass
class _Row:
    """An allocator, and the answers to its tasks so far."""

    allocator: Any
    prompt: dict[int, Any] = field(default_factory=dict)
    late: dict[int, Any] = field(default_factory=dict)
    """Records by the first episode of their piece."""
    seconds: float | None = None
    delay: int = 0
    error: Exception | None = None
    waits: int = 0
    """Tasks without an answer."""


class SharedPlay:
    """What is given to the crew, and what becomes of its answers."""

    def __init__(self, setting: Setting, allocators: Mapping[str, Any]) -> None:
        self.setting = setting
        self.rows = {name: _Row(allocator) for name, allocator in allocators.items()}
        self.tasks: list[Task] = []
        self.of: list[tuple[str, str, int]] = []
        """Of each task: allocator, and what it finds (``prompt``, ``late``, ``seconds``) from which episode on."""
        for name, row in self.rows.items():
            self._add(name, "seconds", 0, partial(timed, setting_scenario=setting.scenario, allocator=row.allocator,
                                                  seed=setting.seed))  # fmt: skip
            self._add_pieces(name, "prompt", 0)

    def results(self, crew: Crew, on_slot: Callable[[str, str, int], None]) -> Iterator[tuple[str, Played | Exception]]:
        """Each allocator with what it has earned, or its error, when it has finished.

        ``on_slot`` is called with the allocator, ``prompt`` or ``late``, and how many episodes moved on by a slot.
        """
        for index, found in crew.work(self.tasks, lambda index, count: on_slot(*self.of[index][:2], count)):
            name, what, begin = self.of[index]
            row = self.rows[name]
            self._take(row, what, begin, found)
            if row.waits:
                continue
            if row.error is None and not row.late:
                self._add_late(name, row)
            if not row.waits:
                yield name, row.error or self._played(row, crew.size)

    def _add(self, name: str, what: str, begin: int, task: Task) -> None:
        self.rows[name].waits += 1
        self.of.append((name, what, begin))
        self.tasks.append(task)

    def _add_pieces(self, name: str, what: str, delay: int) -> None:
        """Play all episodes, with decisions that come late by some slots."""
        setting = self.setting
        who = {"scenario": setting.scenario, "allocator": self.rows[name].allocator, "delay": delay}
        for some in portions(setting.episodes, LANES):
            piece = {**who, "episodes": len(some), "seed": setting.seed + some[0]}
            self._add(name, what, some[0], partial(records_piece, **piece))

    def _add_late(self, name: str, row: _Row) -> None:
        if self.setting.latency is not None:
            assert row.seconds is not None
            row.delay = self.setting.latency.delay(name, row.seconds)
            if row.delay:
                self._add_pieces(name, "late", row.delay)

    @staticmethod
    def _take(row: _Row, what: str, begin: int, found: Answer) -> None:
        row.waits -= 1
        if found.error is not None:
            row.error = row.error or found.error
        elif what == "seconds":
            row.seconds = found.value
        else:
            getattr(row, what)[begin] = found.value

    def _played(self, row: _Row, processes: int) -> Played:
        prompt, late = (
            summary(join_records([records[begin] for begin in sorted(records)])) if records else None
            for records in (row.prompt, row.late)
        )
        assert prompt is not None
        assert row.seconds is not None
        if self.setting.latency is not None and late is None:
            late = prompt
        return Played(prompt, row.seconds, late, row.delay, isinstance(row.allocator, BestGrouping), processes)
