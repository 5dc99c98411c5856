"""A measurement beside its peer, and the clock."""

from __future__ import annotations

from collections.abc import Callable
from time import process_time
from typing import Any, NamedTuple


class Row(NamedTuple):
    """One measurement and its peer."""

    benchmark: str
    value: float
    peer: str
    peer_value: float | None
    unit: str
    ratio: float | None
    """How many times better than the peer."""
    target: float
    """Ratio that is asked for; NaN where none is."""


SECONDS = {"s": 1.0, "ms": 1e3, "us": 1e6}
"""How many of a unit make a second."""


def duration(benchmark: str, seconds: float, peer: str, peer_seconds: float, target: float, unit: str = "ms") -> Row:
    """Row of two durations [s], shown in ``unit``: one of ``SECONDS``, possibly per something (``us/link``)."""
    scale = SECONDS[unit.partition("/")[0]]
    return Row(benchmark, scale * seconds, peer, scale * peer_seconds, unit, peer_seconds / seconds, target)


def cpu_seconds(work: Callable[[], Any], *, least: float = 0.3, rounds: int = 3) -> float:
    """CPU time of one call: the best of several rounds of at least ``least`` seconds, after a warm-up [s]."""
    work()
    times = []
    for _ in range(rounds):
        calls, begin = 0, process_time()
        while (spent := process_time() - begin) < least or calls == 0:
            work()
            calls += 1
        times.append(spent / calls)
    return min(times)
