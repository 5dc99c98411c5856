"""Training with Stable-Baselines3 on a frozen bank of scenes: the model-free yardstick of the analytic gradient."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from io import BytesIO
from math import isfinite
from pathlib import Path
from time import monotonic, process_time
from typing import Any, Literal, NamedTuple

import numpy as np
from jcas_agents import tensor_files
from jcas_agents.checkpoint import save_policy
from jcas_agents.data.scene_env import SceneVectorEnv
from jcas_agents.files import write_file
from jcas_agents.runs import require_same_run
from jcas_agents.sb3.adapter import RECIPES, ROLLOUT_LANES, SB3VectorAdapter
from jcas_agents.sb3.policy import trained_policy
from jcas_agents.sb3.states import model_tensors, restore_model
from jcas_baselines import ConstantRule
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from stable_baselines3.common.callbacks import BaseCallback

from jcas_env.checks import require
from jcas_env.scenarios.multicell import MultiCellConfig

from ..console import say
from ..files import write_json

SAVE_EVERY = 30.0
"""Seconds between two checkpoints."""
HELD_OUT = 200
"""Scenes of the split validation on which a run is judged."""


@dataclass(frozen=True)
class SB3Run:
    """One training run."""

    folder: Path
    """Where model, card and TensorBoard's events go."""
    algo: str
    """``ppo`` or ``sac``."""
    minutes: float
    """CPU time to train for [min]."""
    seed: int
    """Seed of weights, exploration and order of the scenes."""
    scenes: int
    """Scenes of the bank."""
    network: str = "equivariant"
    """``equivariant`` or ``mlp``."""

    @property
    def model_file(self) -> Path:
        """The model in Stable-Baselines3's own format, which unpickles on loading; no command here loads it."""
        return self.folder / f"multicell-rate-{self.algo}.zip"

    @property
    def state_file(self) -> Path:
        """Weights, moments and counters, with which ``--resume`` goes on; reading it unpickles nothing."""
        return self.folder / f"state-{self.algo}.safetensors"

    @property
    def files(self) -> tuple[Path, ...]:
        """All that a run writes, the events of TensorBoard by any name."""
        card = self.model_file.with_suffix(".json")
        return (self.state_file, self.model_file, self.policy_file, card, self.folder / "tensorboard" / "events")

    @property
    def made_by(self) -> dict[str, Any]:
        """What makes this run the run that it is; ``--resume`` refuses another one. Its time may be extended."""
        return {
            "task": {"scenario": "multicell", "reward": "rate", "algorithm": self.algo, "network": self.network},
            "recipe": {**RECIPES[self.algo, self.network][2], "seed": self.seed},
            "data": {"scenes": self.scenes, "lanes": ROLLOUT_LANES[self.algo]},
        }

    @property
    def config(self) -> MultiCellConfig:
        """Task: one slot, share 1/2, the observation that the network reads."""
        return MultiCellConfig.preset("luo2023-static", observation=self.observation)

    @property
    def observation(self) -> Literal["dict", "flat"]:
        """What the network reads."""
        return "flat" if self.network == "mlp" else "dict"

    @property
    def policy_file(self) -> Path:
        """The equivariant network alone, as :meth:`.learned.LearnedAllocator.load` reads it."""
        return self.model_file.with_suffix(".safetensors")

    @property
    def command(self) -> str:
        """What reproduces the run."""
        return (
            f"jcas train multicell --algo {self.algo} --policy-network {self.network} --minutes {self.minutes:g} "
            f"--scenes {self.scenes} --seed {self.seed}"
        )


class Progressed(NamedTuple):
    """How far a run has come."""

    steps: int = 0
    """Transitions."""
    updates: int = 0
    """Gradient updates, as the algorithm counts them."""
    spent: float = 0.0
    """CPU time [s]."""
    curve: tuple[tuple[int, float, float], ...] = ()
    """Steps, CPU time [s], and what the policy earns over the equal allocation."""

    @classmethod
    def from_card(cls, card: dict[str, Any]) -> Progressed:
        """What a state's card says; raises ``ValueError`` for what no run can have written."""
        steps, updates, spent, curve = (card.get(name) for name in cls._fields)
        counts = all(type(value) is int and value >= 0 for value in (steps, updates))
        points = isinstance(curve, list) and all(isinstance(point, list) and len(point) == 3 for point in curve)
        require(counts and points, "`steps`, `updates` and `curve` of the state must be two counts and rows of three")
        numbers = [spent, *(value for point in curve for value in point)]  # type: ignore[union-attr]
        finite = all(type(value) in (int, float) and isfinite(value) for value in numbers)
        require(finite, "`spent` and `curve` of the state must be finite numbers")
        return cls(steps, updates, spent, tuple((int(a), b, c) for a, b, c in curve))  # type: ignore[arg-type,union-attr]


class HeldOut:
    """Scenes of the split validation, and what simple rules earn on them."""

    def __init__(self, config: MultiCellConfig, count: int) -> None:
        self.env = SceneVectorEnv(config, scenes=count, num_envs=1, split="validation")
        self.equal = float(self.env.bank_equal.mean())

    def over_equal(self, model: Any) -> float:
        """Mean true utility of the deterministic policy over that of the equal allocation."""
        action, _ = model.predict(self.env.views, deterministic=True)
        return self._ratio(self.env.scenario.decode(action, self.env.bank.known))

    def constant(self) -> float:
        """The same of the constant rule."""
        return self._ratio(ConstantRule().solve(self.env.bank.known).allocation)

    def _ratio(self, allocation: Any) -> float:
        return float(np.mean(self.env.bank.truth.utility(allocation))) / self.equal


class Watch(BaseCallback):
    """Stops after a time, moves the bar, saves now and then."""

    def __init__(self, run: SB3Run, progress: Progress, held_out: HeldOut, before: Progressed) -> None:
        super().__init__()
        self.run_, self.progress, self.held_out = run, progress, held_out
        self.task = progress.add_task("training", total=60.0 * run.minutes)
        self.peak = RECIPES[run.algo, run.network][2]["learning_rate"]
        self.begin, self.saved = process_time() - before.spent, monotonic()
        self.curve = list(before.curve)

    @property
    def spent(self) -> float:
        """CPU time of the run so far [s], that before a resumption included."""
        return process_time() - self.begin

    def rate(self, _: float) -> float:
        """Learning rate, which falls linearly with the time that is left, to a twentieth."""
        return float(self.peak * max(0.05, 1.0 - self.spent / (60.0 * self.run_.minutes)))

    def note(self) -> None:
        """Judge the policy, log it, save it."""
        ratio = self.held_out.over_equal(self.model)
        self.curve.append((self.num_timesteps, self.spent, ratio))
        self.logger.record("validation over equal", ratio)
        self.progress.update(self.task, description=f"over equal {ratio:6.3f}")
        save(self.run_, self.model, self.spent, self.curve)
        self.saved = monotonic()

    def _on_step(self) -> bool:
        self.progress.update(self.task, completed=self.spent)
        if monotonic() - self.saved > SAVE_EVERY:
            self.note()
        return self.spent < 60.0 * self.run_.minutes


def save(run: SB3Run, model: Any, spent: float, curve: list[tuple[int, float, float]]) -> None:
    """Model, card and last the state, each whole."""
    model_content = BytesIO()
    model.save(model_content, exclude=["lr_schedule"])  # bound to the clock of this run
    write_file(run.model_file, model_content.getvalue())
    card = {
        "algorithm": run.algo,
        "network": run.network,
        "recipe": RECIPES[run.algo, run.network][2],
        "lanes": ROLLOUT_LANES[run.algo],
        "scenes": run.scenes,
        "seed": run.seed,
        "date": date.today().isoformat(),
        "command": run.command,
        "curve_columns": ["steps", "cpu_seconds", "validation_over_equal"],
        "curve": curve,
    }
    if run.network == "equivariant":
        save_policy(run.policy_file, trained_policy(model), card)
    else:
        write_json(run.model_file.with_suffix(".json"), card)
    so_far = Progressed(model.num_timesteps, model._n_updates, spent, tuple(curve))
    tensor_files.write(run.state_file, model_tensors(model), {**run.made_by, **so_far._asdict()})


def prepare(run: SB3Run, env: SB3VectorAdapter, state: tuple[dict[str, Any], dict[str, Any]] | None) -> Any:
    """A model, new or with what a saved state holds, and how far it has come."""
    kind, policy, recipe = RECIPES[run.algo, run.network]
    before = Progressed() if state is None else Progressed.from_card(state[1])
    # What is drawn after a resumption must not be what was drawn at the beginning once more.
    seed = run.seed if state is None else int(np.random.SeedSequence([run.seed, before.steps]).generate_state(1)[0])
    keep = {"seed": seed, "device": "cpu", "tensorboard_log": str(run.folder / "tensorboard")}
    model = kind(policy, env, **recipe, **keep)
    if state is not None:
        restore_model(model, state[0])
        model.num_timesteps, model._n_updates = before.steps, before.updates
        if run.algo == "sac":  # its replay buffer is empty, and nothing is learned from a handful of transitions
            model.learning_starts += before.steps
    return model, before


def train_sb3(run: SB3Run, console: Console, *, resume: bool = False) -> dict[str, Any]:
    """Train for a time, or go on until it is over; returns what the policy earns. Ctrl-C keeps model and curve."""
    state = tensor_files.read(run.state_file) if resume else None
    if state is not None:
        require_same_run(state[1], run.made_by)
    with console.status("drawing scenes ..."):
        env = SB3VectorAdapter(SceneVectorEnv(run.config, scenes=run.scenes, num_envs=ROLLOUT_LANES[run.algo]))
        held_out = HeldOut(run.config, min(HELD_OUT, run.scenes))
    model, before = prepare(run, env, state)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    complete = True
    with Progress(*columns, console=console, transient=True) as progress:
        watch = Watch(run, progress, held_out, before)
        model.lr_schedule = watch.rate
        try:
            model.learn(10**9, callback=watch, reset_num_timesteps=not resume)
        except KeyboardInterrupt:
            complete = False
            say(console, f"interrupted after {model.num_timesteps} steps; go on with --resume")
        watch.note()
    return {
        "policy": str(run.policy_file if run.network == "equivariant" else run.model_file),
        "complete": complete,
        "steps": model.num_timesteps,
        "cpu_seconds": watch.spent,
        "over_equal": watch.curve[-1][2],
        "constant_rule_over_equal": held_out.constant(),
        "curve": watch.curve,
    }
