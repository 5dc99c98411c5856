"""A fair clock: who thinks longer acts on an older channel."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Any

from jcas_env.checks import require, suggest


@dataclass(frozen=True)
class Latency:
    r"""Delay of each allocator's decisions, in whole slots: :math:`\lfloor \tau / \Delta t \rfloor`.

    The one-slot age of the channel knowledge is the time in which a decision is made, so a decision time
    :math:`\tau` below a slot costs nothing; 300 ms with slots of 10 ms come 30 slots late, and meanwhile the last
    allocation stays in force. The allocator begins its next decision when the last one is done.
    """

    slot: float
    """Length of a slot [s]."""
    declared: dict[str, float] = field(default_factory=dict)
    """Decision times by allocator that replace the measured ones [s]."""

    def __post_init__(self) -> None:
        require(0 < self.slot < inf, f"`--slot-ms` must be positive and finite, got {1e3 * self.slot:g}")

    def delay(self, name: str, measured: float) -> int:
        """Slots by which an allocator's decisions come late, from its measured decision time [s]."""
        return int(self.declared.get(name, measured) / self.slot + 1e-9)


def parse_latency(config: Any, slot_ms: float | None, declared: list[str], allocators: list[str]) -> Latency:
    """Clock from the command line: slot length (that of the configuration by default) and ``NAME=MS`` settings.

    Raises ``ValueError`` for an allocator that is not compared or given twice, a time that is negative or not finite,
    or a scenario without slots.
    """
    slot = getattr(config, "slot", None) if slot_ms is None else 1e-3 * slot_ms
    require(slot is not None, "`--latency` needs `--slot-ms`: this scenario does not state the length of a slot")
    times = {}
    for item in declared:
        name, separator, text = item.partition("=")
        require(name in allocators, f"`--declared-latency {item}`: {suggest(name, allocators)}")
        require(name not in times, f"`--declared-latency {item}`: given twice")
        try:
            times[name] = 1e-3 * float(text)
        except ValueError:
            separator = ""
        good = bool(separator) and 0 <= times.get(name, -1.0) < inf
        require(good, f"`--declared-latency` takes NAME=MS, got {item!r}")
    return Latency(float(slot or 0.0), times)
