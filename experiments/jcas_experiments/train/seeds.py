"""A run of one training seed, in this process or in a worker's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from jcas_env.checks import require

from ..console import say
from ..files import alone_in
from ..jobs.crew import Answer, Crew, Tell
from .gradient import Run, Told, train_gradient
from .tasks import task


@dataclass(frozen=True)
class SeedRun:
    """What ``jcas train`` is asked for, for one seed."""

    scenario: str
    reward: str
    algo: str
    network: str
    """Of ppo and sac."""
    seed: int
    folder: Path
    steps: int | None
    scenes: int | None
    minutes: float
    stop_after: int | None
    resume: bool

    def train(self, console: Console, tell: Callable[[Told], object] = lambda _: None) -> dict[str, Any]:
        """Train, alone in the folder; returns what goes into the report. Ctrl-C keeps state and policy."""
        with alone_in(self.folder):
            return (self._gradient if self.algo == "gradient" else self._model_free)(console, tell)

    def _gradient(self, console: Console, tell: Callable[[Told], object]) -> dict[str, Any]:
        chosen = task(self.scenario, self.reward)
        recipe = chosen.recipe(seed=self.seed, **({} if self.steps is None else {"steps": self.steps}))
        run = Run(self.folder, chosen, recipe, chosen.scenes if self.scenes is None else self.scenes, self.stop_after)
        again = self._goes_on(run.state_file, console)
        return {"policy": str(run.policy_file), **train_gradient(run, console, resume=again, tell=tell)}

    def _model_free(self, console: Console, tell: Callable[[Told], object]) -> dict[str, Any]:
        """A run of Stable-Baselines3, which knows the sum-rate task alone."""
        from .sb3 import SB3Run, train_sb3

        fits = (self.scenario, self.reward) == ("multicell", "rate")
        got = f"got {self.scenario} for `{self.reward}`"
        require(fits, f"`--algo {self.algo}` trains multicell for `rate`, {got}")
        scenes = 6000 if self.scenes is None else self.scenes
        run = SB3Run(self.folder, self.algo, self.minutes, self.seed, scenes, self.network)
        result = train_sb3(run, console, resume=self._goes_on(run.state_file, console), tell=tell)
        say(
            console,
            f"{self.algo}: {result['over_equal']:.3f} of the equal allocation after {result['steps']} steps and "
            f"{result['cpu_seconds']:.0f} s of CPU time; the constant rule has "
            f"{result['constant_rule_over_equal']:.3f}",
        )
        return result

    def _goes_on(self, state: Path, console: Console) -> bool:
        """Whether to go on with a run; says so where there is none."""
        if self.resume and not state.exists():
            say(console, f"no run to go on with in {state.parent}: a new one begins")
        return self.resume and state.exists()


def train_in_worker(tell: Tell, *, run: SeedRun) -> tuple[dict[str, Any], str]:
    """Train in a worker; returns the report's entry, and what would have been printed."""
    printed = StringIO()
    return run.train(Console(file=printed, width=500), tell), printed.getvalue()


def share_runs(
    crew: Crew, runs: Sequence[SeedRun], console: Console, on_result: Callable[[int, dict[str, Any]], None]
) -> tuple[dict[int, Exception], bool]:
    """Let a crew train, a seed each; calls ``on_result`` with the index and the report of each.

    Returns errors by index, and whether nobody interrupted.
    """
    errors: dict[int, Exception] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bars: dict[int, TaskID] = {}

        def on_told(index: int, told: Told) -> None:
            done, total, words = told
            if index not in bars:
                bars[index] = progress.add_task("", total=total)
            progress.update(bars[index], completed=done, description=f"seed {runs[index].seed}: {words}")

        def on_answer(index: int, found: Answer) -> None:
            if index in bars:
                progress.remove_task(bars.pop(index))
            if found.error is not None:
                errors[index] = found.error
                return
            result, printed = found.value
            for line in printed.splitlines():
                say(console, line)
            on_result(index, result)

        try:
            for index, found in crew.work([partial(train_in_worker, run=run) for run in runs], on_told):
                on_answer(index, found)
        except KeyboardInterrupt:
            return errors, False
    return errors, True
