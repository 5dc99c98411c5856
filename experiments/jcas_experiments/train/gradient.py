"""Training runs: progress, checkpoints, resumption and the card of what comes out."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from time import monotonic
from typing import Any

from jcas_agents.checkpoint import read, save_policy, write_atomically
from jcas_agents.training.curves import write_tensorboard
from jcas_agents.training.trainer import BadGradientError, Trainer, TrainingRecipe
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .tasks import Task

SAVE_EVERY = 5.0
"""Seconds between two checkpoints."""
LOG_EVERY = 25
"""Steps over which the curve is averaged."""


@dataclass(frozen=True)
class Run:
    """One training run of the analytic policy gradient."""

    folder: Path
    """Where state, curve and policy go."""
    task: Task
    """What is learned."""
    recipe: TrainingRecipe
    """Of the task's kind."""
    scenes: int
    """Scenes of each configuration, or episodes."""
    last: int | None = None
    """Step after which to stop, before the recipe's end; None: at its end."""

    @property
    def end(self) -> int:
        """Step after which the run is complete."""
        return self.recipe.steps if self.last is None else min(self.last, self.recipe.steps)

    @property
    def state_file(self) -> Path:
        """Training state, written every few seconds."""
        return self.folder / "state.safetensors"

    @property
    def policy_file(self) -> Path:
        """The policy; its card lies beside it."""
        return self.folder / f"{self.task.scenario}-{self.task.reward}.safetensors"

    def result(self) -> dict[str, Any]:
        """Card and curve, (step, training reward), of what has been trained so far."""
        curve = json.loads((self.folder / "curve.json").read_text())
        return {"card": read(self.policy_file)[1], "curve": curve}

    @property
    def command(self) -> str:
        """Command that makes the policy."""
        what = f"jcas train {self.task.scenario} --algo gradient --reward {self.task.reward}"
        size = f"--steps {self.recipe.steps} --scenes {self.scenes} --seed {self.recipe.seed}"
        return f"{what} {size}" + (f" --stop-after {self.last}" if self.last else "")

    def card(self, curve: list[tuple[int, float]]) -> dict[str, Any]:
        """What another person needs to make the policy again."""
        return {
            "reward": self.task.reward,
            "training": "analytic policy gradient, spec learning 4",
            "recipe": asdict(self.recipe),
            **self.task.data(self.scenes),
            "split": "train",
            "last_training_reward": curve[-1][1] if curve else None,
            "date": date.today().isoformat(),
            "command": self.command,
        }


def train_gradient(run: Run, console: Console, *, resume: bool = False) -> bool:
    """Train, or go on with a run; returns whether it is complete.

    Ctrl-C saves the state and the policy so far. Raises :class:`BadGradientError` after saving step and batch.
    """
    trainer, curve = _prepare(run, console, resume)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    saved, recent = monotonic(), []
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("training", total=run.end, completed=trainer.step)
        try:
            for gain in trainer.run(until=run.end):
                recent.append(gain)
                if trainer.step % LOG_EVERY == 0:
                    curve.append((trainer.step, sum(recent) / len(recent)))
                    recent = []
                progress.update(task, completed=trainer.step, description=f"reward {gain:6.3f}")
                if monotonic() - saved > SAVE_EVERY:
                    _save(run, trainer, curve)
                    saved = monotonic()
        except KeyboardInterrupt:
            console.print(f"interrupted after step {trainer.step}; go on with --resume")
        except BadGradientError as error:
            raise BadGradientError(f"{error}; saved in {trainer.save_bad_batch(run.folder)}") from None
    _save(run, trainer, curve)
    write_tensorboard(run.folder / "tensorboard", curve)
    return trainer.step >= run.end


def _prepare(run: Run, console: Console, resume: bool) -> tuple[Trainer, list[tuple[int, float]]]:
    """Scenes and trainer, continued from the saved state on request."""
    state = read(run.state_file) if resume else None
    with Progress(TextColumn("drawing scenes"), BarColumn(), console=console, transient=True) as progress:
        task = progress.add_task("scenes", total=run.scenes * run.task.each())
        trainer, curve = run.task.trainer(run.recipe, run.scenes, lambda count: progress.advance(task, count)), []
    if state is not None:
        trainer.load(*state)
        curve = [(int(step), float(gain)) for step, gain in json.loads((run.folder / "curve.json").read_text())]
        curve = [point for point in curve if point[0] <= trainer.step]
    return trainer, curve


def _save(run: Run, trainer: Trainer, curve: list[tuple[int, float]]) -> None:
    """State, curve and policy, each atomically."""
    write_atomically(run.folder / "curve.json", json.dumps(curve).encode())
    save_policy(run.policy_file, trainer.policy, run.card(curve))
    trainer.save(run.state_file)
