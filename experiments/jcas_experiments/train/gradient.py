"""Training runs: progress, checkpoints, resumption and the card of what comes out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from time import monotonic
from typing import Any

from jcas_agents.checkpoint import save_policy
from jcas_agents.learned import LearnedAllocator
from jcas_agents.runs import require_same_run
from jcas_agents.tensor_files import read
from jcas_agents.training.curves import TensorBoard
from jcas_agents.training.trainer import BadGradientError, Trainer, TrainingRecipe
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from ..console import Bars, say
from ..files import write_json
from .curve import COLUMNS, LOG_EVERY, Curve, Point
from .judging import EpisodeJudge
from .progress import FILE as PROGRESS
from .progress import write_progress
from .setups import built_setup
from .tasks import Task

SAVE_EVERY = 5.0
"""Seconds between two checkpoints."""
Told = tuple[float, float, str]
"""What a bar shows: done, of how much, words."""


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
    def judged_every(self) -> int:
        """Steps between two judgements, about twenty in a run: a multiple of those over which the curve is averaged."""
        return LOG_EVERY * -(-self.recipe.steps // (20 * LOG_EVERY))

    @property
    def state_file(self) -> Path:
        """Training state, written every few seconds."""
        return self.folder / "state.safetensors"

    @property
    def policy_file(self) -> Path:
        """The policy; its card lies beside it."""
        return self.folder / f"{self.task.name}.safetensors"

    @property
    def files(self) -> tuple[Path, ...]:
        """All that a run writes, the events of TensorBoard by any name."""
        names = ("curve.json", PROGRESS, "tensorboard/events")
        card = self.policy_file.with_suffix(".json")
        return (self.state_file, self.policy_file, card, *map(self.folder.joinpath, names))

    @property
    def made_by(self) -> dict[str, Any]:
        """What makes this run the run that it is, beside recipe and policy; ``--resume`` refuses another one."""
        task = {"scenario": self.task.scenario, "reward": self.task.reward}
        return {"task": task, "data": {"scenes": self.scenes, **self.task.data(self.scenes)}}

    @property
    def command(self) -> str:
        """Command that makes the policy."""
        what = f"jcas train {self.task.scenario} --algo gradient --reward {self.task.reward}"
        what += " --local" if self.task.local else ""
        size = f"--steps {self.recipe.steps} --scenes {self.scenes} --seed {self.recipe.seed}"
        return f"{what} {size}" + (f" --stop-after {self.last}" if self.last else "")

    def card(self, curve: list[Point]) -> dict[str, Any]:
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


def train_gradient(
    run: Run, console: Console, *, resume: bool = False, tell: Callable[[Told], object] = lambda _: None
) -> dict[str, Any]:
    """Train, or go on with a run; returns whether it is complete, its card and its curve.

    ``tell`` is called with what the bar shows. Ctrl-C saves the state and the policy so far. Raises
    :class:`BadGradientError` after saving step and batch.
    """
    trainer, curve = _prepare(run, console, resume)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    saved = monotonic()
    judge: EpisodeJudge | None = None
    board = TensorBoard(run.folder / "tensorboard", trainer.step + 1 if resume else 0)
    with closing(board), Bars(*columns, console=console, transient=True) as progress:
        task = progress.add_task("training", total=run.end, completed=trainer.step)
        try:
            for gain in trainer.run(until=run.end):
                whole = curve.add(trainer.step, gain, trainer.gradient_norm)
                if whole and trainer.step % run.judged_every == 0:
                    judge = judge or EpisodeJudge(built_setup(run.task.scenario, run.task.reward))
                    curve.judged(judge.judge(LearnedAllocator(trainer.policy)))
                if whole:
                    board.add(trainer.step, curve.latest())
                    board.flush()
                progress.update(task, completed=trainer.step, description=f"reward {gain:6.3f}")
                tell((trainer.step, run.end, f"reward {gain:6.3f}"))
                if monotonic() - saved > SAVE_EVERY:
                    _save(run, trainer, curve)
                    saved = monotonic()
        except KeyboardInterrupt:
            say(console, f"interrupted after step {trainer.step}; go on with --resume")
        except BadGradientError as error:
            raise BadGradientError(f"{error}; saved in {trainer.save_bad_batch(run.folder)}") from None
    card = _save(run, trainer, curve)
    return {"complete": trainer.step >= run.end, "card": card, "curve": curve.points}


def _prepare(run: Run, console: Console, resume: bool) -> tuple[Trainer, Curve]:
    """Scenes and trainer, continued from the saved state on request."""
    state = read(run.state_file) if resume else None
    if state is not None:
        require_same_run(state[1], run.made_by)  # before the scenes, which take a while
    with Bars(TextColumn("drawing scenes"), BarColumn(), console=console, transient=True) as progress:
        task = progress.add_task("scenes", total=run.scenes * run.task.each())
        trainer = run.task.trainer(run.recipe, run.scenes, lambda count: progress.advance(task, count))
    if state is None:
        return trainer, Curve()
    trainer.load(*state, run.made_by)
    return trainer, Curve.from_card(state[1].get("curve"))


def _save(run: Run, trainer: Trainer, curve: Curve) -> dict[str, Any]:
    """Curve, policy and last the state, each whole; returns the policy's card."""
    write_json(run.folder / "curve.json", curve.points)
    write_progress(run.folder, COLUMNS, curve.rows)
    card = save_policy(run.policy_file, trainer.policy, run.card(curve.points))
    trainer.save(run.state_file, {**run.made_by, "curve": asdict(curve)})
    return card
