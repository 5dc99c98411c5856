"""Training with Stable-Baselines3: from rewards alone, on every scenario and reward."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from io import BytesIO
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jcas_agents import tensor_files
from jcas_agents.checkpoint import save_policy
from jcas_agents.files import write_file
from jcas_agents.runs import require_same_run
from jcas_agents.sb3.adapter import RECIPES, ROLLOUT_LANES
from jcas_agents.sb3.policy import trained_policy
from jcas_agents.sb3.states import model_tensors, restore_model
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn

from jcas_env.checks import require

from ..console import Bars, say
from ..files import write_json
from .arenas import Arena
from .gradient import Told
from .judging import SceneJudge
from .progress import FILE as PROGRESS
from .progress import write_progress
from .watch import COLUMNS, Watch


@dataclass(frozen=True)
class SB3Run:
    """One training run."""

    folder: Path
    """Where model, card and TensorBoard's events go."""
    arena: Arena
    """What is learned."""
    algo: str
    """``ppo`` or ``sac``."""
    minutes: float
    """CPU time to train for [min]."""
    seed: int
    """Seed of weights, exploration and order of the scenes."""
    scenes: int
    """Scenes of the bank, where there is one."""

    @property
    def model_file(self) -> Path:
        """The model in Stable-Baselines3's own format, which unpickles on loading; no command here loads it."""
        return self.folder / f"{self.arena.scenario}-{self.arena.reward}-{self.algo}.zip"

    @property
    def state_file(self) -> Path:
        """Weights, moments and counters, with which ``--resume`` goes on; reading it unpickles nothing."""
        return self.folder / f"state-{self.algo}.safetensors"

    @property
    def files(self) -> tuple[Path, ...]:
        """All that a run writes, the events of TensorBoard by any name."""
        card = self.model_file.with_suffix(".json")
        events = self.folder / "tensorboard" / "events"
        return (self.state_file, self.model_file, self.policy_file, card, self.folder / PROGRESS, events)

    @property
    def made_by(self) -> dict[str, Any]:
        """What makes this run the run that it is; ``--resume`` refuses another one. Its time may be extended."""
        arena = self.arena
        task = {"scenario": arena.scenario, "reward": arena.reward, "settings": sorted(arena.settings)}
        bank = {"scenes": self.scenes} if arena.one_slot else {}
        return {
            "task": {**task, "algorithm": self.algo, "network": arena.network},
            "recipe": {**self.recipe, "seed": self.seed},
            "data": {**bank, "lanes": ROLLOUT_LANES[self.algo]},
        }

    @property
    def recipe(self) -> dict[str, Any]:
        """Keywords of the algorithm."""
        return {**RECIPES[self.algo, self.arena.network][2], "gamma": self.arena.discount}

    @property
    def policy_file(self) -> Path:
        """The equivariant network alone, as :meth:`.learned.LearnedAllocator.load` reads it."""
        return self.model_file.with_suffix(".safetensors")

    @property
    def command(self) -> str:
        """What reproduces the run."""
        arena = self.arena
        settings = "".join(f" --set {item}" for item in arena.settings)
        return (
            f"jcas train {arena.scenario} --algo {self.algo} --reward {arena.reward}{settings} "
            f"--policy-network {arena.network} --minutes {self.minutes:g}"
            f"{f' --scenes {self.scenes}' if arena.one_slot else ''} --seed {self.seed}"
        )


class Progressed(NamedTuple):
    """How far a run has come."""

    steps: int = 0
    """Transitions."""
    updates: int = 0
    """Gradient updates, as the algorithm counts them."""
    spent: float = 0.0
    """CPU time [s]."""
    curve: tuple[tuple[float | None, ...], ...] = ()
    """Rows of :data:`.watch.COLUMNS`."""

    @classmethod
    def from_card(cls, card: dict[str, Any]) -> Progressed:
        """What a state's card says; raises ``ValueError`` for what no run can have written."""
        steps, updates, spent, curve = (card.get(name) for name in cls._fields)
        counts = all(type(value) is int and value >= 0 for value in (steps, updates))
        wide = len(COLUMNS)
        points = isinstance(curve, list) and all(isinstance(point, list) and len(point) == wide for point in curve)
        require(counts and points, f"`steps`, `updates` and `curve` of the state must be counts and rows of {wide}")
        numbers = [spent, *(value for point in curve for value in point if value is not None)]  # type: ignore[union-attr]
        finite = all(type(value) in (int, float) and isfinite(value) for value in numbers)
        require(finite, "`spent` and `curve` of the state must be finite numbers")
        return cls(steps, updates, spent, tuple(tuple(point) for point in curve))  # type: ignore[arg-type,union-attr]


def save(run: SB3Run, model: Any, spent: float, curve: list[tuple[float | None, ...]]) -> None:
    """Curve, model, card and last the state, each whole."""
    write_progress(run.folder, COLUMNS, curve)
    model_content = BytesIO()
    model.save(model_content, exclude=["lr_schedule"])  # bound to the clock of this run
    write_file(run.model_file, model_content.getvalue())
    card = {
        "algorithm": run.algo,
        "network": run.arena.network,
        "recipe": run.recipe,
        **run.made_by["data"],
        "seed": run.seed,
        "date": date.today().isoformat(),
        "command": run.command,
        "curve_columns": COLUMNS,
        "curve": curve,
    }
    if run.arena.network == "equivariant":
        save_policy(run.policy_file, trained_policy(model), card)
    else:
        write_json(run.model_file.with_suffix(".json"), card)
    so_far = Progressed(model.num_timesteps, model._n_updates, spent, tuple(curve))
    tensor_files.write(run.state_file, model_tensors(model), {**run.made_by, **so_far._asdict()})


def prepare(run: SB3Run, env: Any, state: tuple[dict[str, Any], dict[str, Any]] | None) -> tuple[Any, Progressed]:
    """A model, new or with what a saved state holds, and how far it has come."""
    kind, policy, _ = RECIPES[run.algo, run.arena.network]
    before = Progressed() if state is None else Progressed.from_card(state[1])
    # What is drawn after a resumption must not be what was drawn at the beginning once more.
    seed = run.seed if state is None else int(np.random.SeedSequence([run.seed, before.steps]).generate_state(1)[0])
    keep = {"seed": seed, "device": "cpu", "tensorboard_log": str(run.folder / "tensorboard")}
    model = kind(policy, env, **run.recipe, **keep)
    if state is not None:
        restore_model(model, state[0])
        model.num_timesteps, model._n_updates = before.steps, before.updates
        if run.algo == "sac":  # its replay buffer is empty, and nothing is learned from a handful of transitions
            model.learning_starts += before.steps
    return model, before


def train_sb3(
    run: SB3Run, console: Console, *, resume: bool = False, tell: Callable[[Told], object] = lambda _: None
) -> dict[str, Any]:
    """Train for a time, or go on until it is over; returns what the policy earns. Ctrl-C keeps model and curve.

    ``tell`` is called with what the bar shows.
    """
    state = tensor_files.read(run.state_file) if resume else None
    if state is not None:
        require_same_run(state[1], run.made_by)
    with console.status("drawing scenes ..."):
        env, judge = run.arena.lanes(run.scenes, ROLLOUT_LANES[run.algo]), run.arena.judge(run.scenes)
    model, before = prepare(run, env, state)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    complete = True
    with Bars(*columns, console=console, transient=True) as progress:
        watch = Watch(
            progress, judge, lambda spent, curve: save(run, model, spent, curve), tell=tell,
            limit=60.0 * run.minutes, peak=run.recipe["learning_rate"], spent=before.spent, curve=before.curve,
        )  # fmt: skip
        model.lr_schedule = watch.rate
        try:
            model.learn(10**9, callback=watch, reset_num_timesteps=not resume)
        except KeyboardInterrupt:
            complete = False
            say(console, f"interrupted after {model.num_timesteps} steps; go on with --resume")
        watch.note()
    return {
        "policy": str(run.policy_file if run.arena.network == "equivariant" else run.model_file),
        "complete": complete,
        "steps": model.num_timesteps,
        "cpu_seconds": watch.spent,
        "over_equal": watch.curve[-1][2],
        "constant_rule_over_equal": judge.constant() if isinstance(judge, SceneJudge) else None,
        "curve_columns": COLUMNS,
        "curve": watch.curve,
    }
