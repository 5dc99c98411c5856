"""Watches a run of Stable-Baselines3: stops it after a time, judges it, and tells TensorBoard."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import monotonic, process_time
from typing import Any

from rich.progress import Progress
from stable_baselines3.common.callbacks import BaseCallback

from .gradient import Told
from .judging import Judge

SAVE_EVERY = 30.0
"""Seconds between two checkpoints."""
COLUMNS = ("steps", "cpu_seconds", "validation_over_equal", "return", "violation", "gradient_norm")
"""Of a row of the curve: transitions and CPU time so far, a :class:`.judging.Judgement`, and the mean norm of the
actor's gradient since the row before, None where there was none."""


class GradientNorms:
    """Norms of the gradients of some weights, before they are clipped: one for each step of an optimiser."""

    def __init__(self, weights: Iterable[Any], optimiser: Any) -> None:
        self.squares, self.norms = 0.0, list[float]()
        for weight in weights:
            weight.register_post_accumulate_grad_hook(self._add)
        optimiser.register_step_pre_hook(self._close)

    def _add(self, weight: Any) -> None:
        self.squares += float(weight.grad.square().sum())

    def _close(self, *_: Any) -> None:
        self.norms.append(self.squares**0.5)
        self.squares = 0.0

    def mean(self) -> float | None:
        """Mean norm since it was last asked for; None where there was no step."""
        norms, self.norms = self.norms, []
        return sum(norms) / len(norms) if norms else None


class Watch(BaseCallback):
    """Stops after a time, moves the bar, judges and saves now and then."""

    def __init__(
        self,
        progress: Progress,
        judge: Judge,
        save: Callable[[float, list[tuple[float | None, ...]]], None],
        *,
        limit: float,
        peak: float,
        spent: float,
        curve: Iterable[tuple[float | None, ...]],
        tell: Callable[[Told], object] = lambda _: None,
    ) -> None:
        super().__init__()
        self.tell = tell
        self.progress, self.judge, self.save = progress, judge, save
        self.limit, self.peak = limit, peak
        self.task = progress.add_task("training", total=limit)
        self.begin, self.saved = process_time() - spent, monotonic()
        self.curve = list(curve)

    def _init_callback(self) -> None:
        actor = getattr(self.model, "actor", self.model.policy)
        optimiser = actor.optimizer
        self.norms = GradientNorms(actor.parameters(), optimiser)

    @property
    def spent(self) -> float:
        """CPU time of the run so far [s], that before a resumption included."""
        return process_time() - self.begin

    def rate(self, _: float) -> float:
        """Learning rate, which falls linearly with the time that is left, to a twentieth."""
        return float(self.peak * max(0.05, 1.0 - self.spent / self.limit))

    def note(self) -> None:
        """Judge the policy, tell TensorBoard, save."""
        found = self.judge.judge(self.model)
        row = (self.num_timesteps, self.spent, *found, self.norms.mean())
        self.curve.append(row)
        for name, value in zip(COLUMNS[2:], row[2:], strict=True):
            if value is not None:
                self.logger.record(f"jcas/{name}", value)
        self.logger.dump(self.num_timesteps)
        self.progress.update(self.task, description=f"over equal {found.over_equal:6.3f}")
        self.save(self.spent, self.curve)
        self.saved = monotonic()

    def _on_step(self) -> bool:
        self.progress.update(self.task, completed=self.spent)
        self.tell((self.spent, self.limit, "training"))
        if monotonic() - self.saved > SAVE_EVERY:
            self.note()
        return self.spent < self.limit
