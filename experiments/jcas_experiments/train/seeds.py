"""A run of one training seed, in this process or in a worker's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn

from jcas_env.checks import require

from ..console import Bars, say
from ..files import alone_in
from ..jobs.crew import Answer, Crew, Tell
from .gradient import Run, Told, train_gradient
from .tasks import task

if TYPE_CHECKING:
    from .sb3 import SB3Run

MINUTES = 8.0
"""CPU time of a run with ppo or sac, unless an option says otherwise [min]."""


@dataclass(frozen=True)
class SeedRun:
    """What ``jcas train`` is asked for, for one seed."""

    scenario: str
    reward: str | None
    algo: str
    network: str | None
    """Of ppo and sac; None: what fits."""
    settings: tuple[str, ...]
    """Of ppo and sac: FIELD=VALUE."""
    local: bool
    """Of the gradient: whether base stations decide, each from what it sees."""
    steps: int | None
    scenes: int | None
    minutes: float | None
    """Of ppo and sac; None: :data:`MINUTES`."""
    stop_after: int | None
    resume: bool
    seed: int
    parent: Path | None
    """Folder of the runs; None: by the task."""

    def planned(self) -> Run | SB3Run:
        """The run, whose files have names by now; raises ``ValueError`` or ``TypeError`` for what cannot be trained."""
        return self._gradient() if self.algo == "gradient" else self._model_free()

    def train(self, console: Console, tell: Callable[[Told], object] = lambda _: None) -> dict[str, Any]:
        """Train, alone in the folder; returns what goes into the report. Ctrl-C keeps state and policy."""
        run = self.planned()
        with alone_in(run.folder):
            resume = self._goes_on(run.state_file, console)
            if isinstance(run, Run):
                return {"policy": str(run.policy_file), **train_gradient(run, console, resume=resume, tell=tell)}
            return _told(run, console, resume=resume, tell=tell)

    def _folder(self, name: str) -> Path:
        return (self.parent or Path("results/train") / name) / f"seed-{self.seed}"

    def _gradient(self) -> Run:
        foreign = {"--set": self.settings, "--policy-network": self.network, "--minutes": self.minutes}
        for option, given in foreign.items():
            require(not given, f"`{option}` is for ppo and sac: the gradient has tasks of its own")
        chosen = task(self.scenario, self.reward, local=self.local)
        recipe = chosen.recipe(seed=self.seed, **({} if self.steps is None else {"steps": self.steps}))
        scenes = chosen.scenes if self.scenes is None else self.scenes
        return Run(self._folder(chosen.name), chosen, recipe, scenes, self.stop_after)

    def _model_free(self) -> SB3Run:
        """A run of Stable-Baselines3."""
        from .arenas import arena
        from .sb3 import SB3Run

        require(not self.local, f"`--local` is trained by gradient, got `--algo {self.algo}`")
        for option, given in (("--steps", self.steps), ("--stop-after", self.stop_after)):
            require(given is None, f"`{option}` is for the gradient: `--algo {self.algo}` learns for `--minutes`")
        played = arena(self.scenario, self.reward, self.network, list(self.settings))
        banked = self.scenes is None or played.one_slot
        require(banked, "`--scenes` is of a bank of frozen scenes: this task plays on lanes")
        folder = self._folder(f"{played.scenario}-{played.reward}-{self.algo}")
        return SB3Run(folder, played, self.algo, self.minutes or MINUTES, self.seed, self.scenes or 6000)

    def _goes_on(self, state: Path, console: Console) -> bool:
        """Whether to go on with a run; says so where there is none."""
        if self.resume and not state.exists():
            say(console, f"no run to go on with in {state.parent}: a new one begins")
        return self.resume and state.exists()


def _told(run: SB3Run, console: Console, *, resume: bool, tell: Callable[[Told], object]) -> dict[str, Any]:
    """Train by Stable-Baselines3, and say what came of it."""
    from .sb3 import train_sb3

    result = train_sb3(run, console, resume=resume, tell=tell)
    rule = result["constant_rule_over_equal"]
    by = "of the equal allocation" if run.arena.built.config.ratio_scale else "more than the equal allocation"
    beside = "" if rule is None else f"; the constant rule has {rule:.3f}"
    say(
        console,
        f"{run.algo}: {result['over_equal']:.3f} {by} after {result['steps']} steps and "
        f"{result['cpu_seconds']:.0f} s of CPU time{beside}",
    )
    return result


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
    with Bars(*columns, console=console, transient=True) as progress:
        bars: dict[int, TaskID] = {}

        def on_told(index: int, told: Told) -> None:
            """Move the bar of a run."""
            done, total, words = told
            if index not in bars:
                bars[index] = progress.add_task("", total=total)
            progress.update(bars[index], completed=done, description=f"seed {runs[index].seed}: {words}")

        def on_answer(index: int, found: Answer) -> None:
            """Say what a run has printed, and hand on its report, or keep its error."""
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
