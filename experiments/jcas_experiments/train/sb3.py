"""Training with Stable-Baselines3 on a frozen bank of scenes: the model-free yardstick of the analytic gradient."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from time import monotonic, process_time
from typing import Any, Literal

import numpy as np
from jcas_agents.checkpoint import save_policy
from jcas_agents.data.scene_env import SceneVectorEnv
from jcas_agents.sb3.adapter import RECIPES, ROLLOUT_LANES, SB3VectorAdapter
from jcas_agents.sb3.policy import trained_policy
from jcas_baselines import ConstantRule
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from stable_baselines3.common.callbacks import BaseCallback

from jcas_env.scenarios.multicell import MultiCellConfig

from ..files import replacing, write_json

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
        """The model in Stable-Baselines3's own format, which unpickles on loading: load none but your own."""
        return self.folder / f"multicell-rate-{self.algo}.zip"

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

    def __init__(self, run: SB3Run, progress: Progress, held_out: HeldOut) -> None:
        super().__init__()
        self.run_, self.progress, self.held_out = run, progress, held_out
        self.task = progress.add_task("training", total=60.0 * run.minutes)
        self.peak = RECIPES[run.algo, run.network][2]["learning_rate"]
        self.begin, self.saved = process_time(), monotonic()
        self.curve: list[tuple[int, float, float]] = []

    @property
    def spent(self) -> float:
        """CPU time so far [s]."""
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
        save(self.run_, self.model, self.curve)
        self.saved = monotonic()

    def _on_step(self) -> bool:
        self.progress.update(self.task, completed=self.spent)
        if monotonic() - self.saved > SAVE_EVERY:
            self.note()
        return self.spent < 60.0 * self.run_.minutes


def save(run: SB3Run, model: Any, curve: list[tuple[int, float, float]]) -> None:
    """Model and card, each atomically."""
    with replacing(run.model_file) as temporary:
        model.save(temporary, exclude=["lr_schedule"])  # bound to the clock of this run
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


def train_sb3(run: SB3Run, console: Console, *, resume: bool = False) -> dict[str, Any]:
    """Train for a time, or go on; returns what the policy earns. Ctrl-C keeps model and curve."""
    kind, policy, recipe = RECIPES[run.algo, run.network]
    with console.status("drawing scenes ..."):
        env = SB3VectorAdapter(SceneVectorEnv(run.config, scenes=run.scenes, num_envs=ROLLOUT_LANES[run.algo]))
        held_out = HeldOut(run.config, min(HELD_OUT, run.scenes))
    keep = {"seed": run.seed, "device": "cpu", "tensorboard_log": str(run.folder / "tensorboard")}
    model = kind.load(run.model_file, env=env, device="cpu") if resume else kind(policy, env, **recipe, **keep)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    complete = True
    with Progress(*columns, console=console, transient=True) as progress:
        watch = Watch(run, progress, held_out)
        model.lr_schedule = watch.rate
        try:
            model.learn(10**9, callback=watch, reset_num_timesteps=not resume)
        except KeyboardInterrupt:
            complete = False
            console.print(f"interrupted after {model.num_timesteps} steps; go on with --resume")
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
