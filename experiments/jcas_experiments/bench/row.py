"""A measurement beside its peer, and the clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from time import process_time
from typing import Any, NamedTuple

import numpy as np


class Row(NamedTuple):
    """One measurement and its peer."""

    benchmark: str
    value: float
    """Median over the repetitions, where there are several."""
    peer: str
    peer_value: float | None
    unit: str
    ratio: float | None
    """How many times better than the peer."""
    target: float
    """Ratio that is asked for; NaN where none is."""
    value_spread: tuple[float, float] | None = None
    """Lower and upper quartile of the repetitions; None where one number is kept."""
    ratio_spread: tuple[float, float] | None = None
    """The same of the ratios, each of two repetitions that ran side by side."""
    also: dict[str, float] | None = None
    """The same measurement in other units."""

    @property
    def more_is_better(self) -> bool:
        """Whether it is of something per second or of a utility, not of a time, a gap or a size."""
        return self.unit.endswith("/s")


class Plan(NamedTuple):
    """What is asked of the measurements."""

    quick: bool = False
    """Of a size that takes seconds instead of up to some minutes."""
    seed: int = 0
    only: str = ""
    """Of the rows of environments, loops and memory, those whose name contains this."""
    parent: Path | None = None
    """Another checkout to measure beside this one."""
    device: str = "cpu"
    """Where lanes of tensors live."""


SECONDS = {"s": 1.0, "ms": 1e3, "us": 1e6}
"""How many of a unit make a second."""


def duration(benchmark: str, seconds: float, peer: str, peer_seconds: float, target: float, unit: str = "ms") -> Row:
    """Row of two durations [s], shown in ``unit``: one of ``SECONDS``, possibly per something (``us/link``)."""
    scale = SECONDS[unit.partition("/")[0]]
    return Row(benchmark, scale * seconds, peer, scale * peer_seconds, unit, peer_seconds / seconds, target)


def quartiles(samples: Sequence[float]) -> tuple[float, float]:
    """Lower and upper quartile."""
    low, high = np.quantile(np.asarray(samples), (0.25, 0.75))
    return float(low), float(high)


def repeated(
    benchmark: str, samples: Sequence[float], peer: str, peers: Sequence[float] | None, unit: str, target: float
) -> Row:
    """Row of repeated measurements of which more is better: medians, and the median of the ratios side by side.

    ``peers`` None: there is no peer, for the reason that its name gives.
    """
    value, spread = float(np.median(samples)), quartiles(samples)
    if peers is None:
        return Row(benchmark, value, peer, None, unit, None, target, spread)
    ratios = [ours / theirs for ours, theirs in zip(samples, peers, strict=True)]
    peer_value, ratio = float(np.median(peers)), float(np.median(ratios))
    return Row(benchmark, value, peer, peer_value, unit, ratio, target, spread, quartiles(ratios))


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
