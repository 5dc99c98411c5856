"""The training curve of the analytic gradient: a row every so many steps, which the training state holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from jcas_env.checks import require

from .judging import Judgement

LOG_EVERY = 25
"""Steps over which a row is averaged."""
COLUMNS = ("steps", "training_reward", "gradient_norm", "validation_over_equal", "return", "violation")
"""Of a row: updates so far, means since the row before, and a :class:`.judging.Judgement` where there was one."""

Point = tuple[int, float]
"""Step, and the mean training reward of the steps up to it."""


@dataclass
class Curve:
    """The training curve of a run so far; the training state holds it whole."""

    rows: list[list[float | None]] = field(default_factory=list)
    """One of :data:`COLUMNS` every ``LOG_EVERY`` steps."""
    recent: list[tuple[float, float]] = field(default_factory=list)
    """Training rewards and norms of the gradient since the last row."""

    @property
    def points(self) -> list[Point]:
        """Steps and training rewards."""
        return [(int(row[0] or 0), float(row[1] or 0.0)) for row in self.rows]

    def add(self, step: int, gain: float, norm: float) -> bool:
        """Note a step; returns whether a row has become whole."""
        self.recent.append((gain, norm))
        if step % LOG_EVERY:
            return False
        gains, norms = zip(*self.recent, strict=True)
        self.rows.append([step, sum(gains) / len(gains), sum(norms) / len(norms), None, None, None])
        self.recent = []
        return True

    def judged(self, found: Judgement) -> None:
        """Note what the policy of the last row is worth."""
        self.rows[-1][3:] = found

    def latest(self) -> dict[str, float | None]:
        """The last row, as TensorBoard shows it."""
        return {f"jcas/{name}": value for name, value in zip(COLUMNS[1:], self.rows[-1][1:], strict=True)}

    @classmethod
    def from_card(cls, entries: object) -> Curve:
        """The curve that a training state holds; raises ``ValueError`` for what is none."""
        rule = f"`curve` of the state must be `rows` of {len(COLUMNS)} numbers, and `recent` pairs of them"
        require(isinstance(entries, Mapping) and set(entries) == {"rows", "recent"}, rule)
        rows, recent = (entries[name] for name in ("rows", "recent"))  # type: ignore[index]
        require(isinstance(rows, list) and isinstance(recent, list), rule)
        require(all(_numbers(row, len(COLUMNS), least=3) for row in rows), rule)
        require(all(_numbers(pair, 2, least=2) for pair in recent), rule)
        return cls(rows, [(float(gain), float(norm)) for gain, norm in recent])


def _numbers(values: Any, count: int, *, least: int) -> bool:
    """Whether these are so many finite numbers; all but the first ``least`` of them may be None."""
    return (
        isinstance(values, list)
        and len(values) == count
        and all(type(value) in (int, float) and isfinite(value) for value in values[:least])
        and all(value is None or (type(value) in (int, float) and isfinite(value)) for value in values[least:])
    )
