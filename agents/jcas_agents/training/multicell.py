r"""Analytic policy gradient: maximise the true utility through the physics' own functions on torch (spec learning 4).

.. math:: \max_\theta\ \mathbb{E}\Big[\frac{1}{n} \sum_i 5 \Big(\frac{r_i(\pi_\theta(\text{known}_i))}
          {r_i(\text{equal})} - 1\Big)\Big]

For logarithms the difference instead, :func:`.relative.relative_reward`.
The policy reads the known (stale, noisy) channel; the gradient passes through the decoder and the utility of the
true one. Nothing is copied from the environment: ``problem.utility`` is the reward.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from math import cos, pi
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jcas_env.checks import require
from jcas_env.scenarios.multicell import MultiCellConfig
from jcas_env.scenarios.multicell.action import action_size, decode

from ..checkpoint import save_training, write_atomically
from ..data.scenes import Scenes, draw_scenes, join
from ..policies.equivariant import LOGIT_SCALE
from ..policies.multicell import EquivariantPolicy, PolicyShape
from ..relative import relative_reward


@dataclass(frozen=True, kw_only=True)
class TrainingRecipe:
    """How a policy is trained; recorded in its card."""

    steps: int = 6000
    """Updates."""
    batch: int = 64
    """Scenes of an update with up to 36 users; fewer where a scene has more, in proportion to its pairs."""
    rate: float = 3e-3
    """Largest learning rate of AdamW."""
    final_rate: float = 0.02
    """Learning rate of the last step over the largest one; a cosine leads there."""
    warm_up: int = 100
    """Steps in which the rate grows linearly, at most a tenth of all."""
    clip: float = 1.0
    """Largest norm of a gradient."""
    seed: int = 0
    """Seed of the weights and of the order of the scenes."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "rate", "clip"):
            require(getattr(self, name) > 0, f"`{name}` must be positive, got {getattr(self, name)!r}")

    def learning_rate(self, step: int) -> float:
        """Learning rate of a step: linear warm-up, then a cosine."""
        warm = max(1, min(self.warm_up, self.steps // 10))
        wave = 0.5 * (1.0 + cos(pi * step / self.steps))
        return self.rate * min(1.0, (step + 1) / warm) * (self.final_rate + (1.0 - self.final_rate) * wave)


class BadGradientError(RuntimeError):
    """A gradient or an objective is not finite; the message says where step and batch were saved."""


def mixed_configs(**fields: Any) -> list[MultiCellConfig]:
    """The mixture of spec learning 4 at fixed shares, and 12 users per cell with the environment's free share."""
    knowledge: list[dict[str, Any]] = [{}, {"csi_nmse": 0.1}, {"csi_delay": 1}]
    fixed = [
        MultiCellConfig.preset(
            "luo2023-static", users_per_cell=users, ue_antennas=antennas, power_budget=watt, **csi, **fields
        )
        for users in (6, 9, 12, 24)
        for antennas in (2, 3, 4)
        for watt in (0.01, 1.0, 10.0)
        for csi in knowledge
    ]
    free = {"positioning_share": None, "service_weight": (1.0, 1.5)}
    return fixed + [
        MultiCellConfig.preset("luo2023-static", ue_antennas=antennas, **free, **csi, **fields)
        for antennas in (2, 3, 4)
        for csi in knowledge
    ]


def draw_bank(
    configs: Sequence[MultiCellConfig],
    count: int,
    *,
    split: str = "train",
    progress: Callable[[int], None] | None = None,
) -> list[Scenes]:
    """Scenes of several configurations, one bank per number of users and pair of service weights, float64 tensors.

    ``count`` scenes each. A fixed positioning share is redrawn uniformly in [0.15, 0.85], clipped to what the floors
    allow; ``progress`` is called with the number of scenes that are new.
    """
    kinds: dict[Any, list[Scenes]] = {}
    for index, config in enumerate(configs):
        scenes = draw_scenes(config, count, split=split, first=index * count)
        kinds.setdefault((config.users, config.service_weight), []).append(
            _with_shares(scenes, np.random.default_rng(index))
        )
        if progress is not None:
            progress(count)
    return [join(parts).torch() for parts in kinds.values()]


def _with_shares(scenes: Scenes, rng: np.random.Generator) -> Scenes:
    """Draw the positioning share of every scene where it is fixed."""
    if np.all(np.isnan(scenes.known.positioning_share)):
        return scenes
    least = 1.02 * np.max(np.maximum(scenes.known.least_share, scenes.truth.least_share), axis=-1, keepdims=True)
    least = np.minimum(least, 0.5)
    share = np.clip(rng.uniform(0.15, 0.85, least.shape), least, 1.0 - least)
    return Scenes(*(replace(side, positioning_share=share) for side in (scenes.known, scenes.truth)))


def utility_of(policy: EquivariantPolicy, scenes: Scenes) -> Tensor:
    """True utility of the policy's allocations, (scenes,); raises :class:`BadGradientError` for NaN weights."""
    action = policy.of_problem(scenes.known)
    if not torch.isfinite(action).all():
        raise BadGradientError("the policy's action is not finite")
    allocation = decode(action, scenes.known, logit_scale=LOGIT_SCALE)
    return scenes.truth.utility(allocation)


def equal_utility(scenes: Scenes) -> Tensor:
    """True utility of the zero action, (scenes,): the scale of the training reward."""
    zero = torch.zeros(
        (len(scenes), action_size(scenes.known.users, scenes.known.cells)), dtype=scenes.known.gain.dtype
    )
    with torch.no_grad():
        return scenes.truth.utility(decode(zero, scenes.known, logit_scale=LOGIT_SCALE))


def training_reward(utility: Tensor, equal: Tensor, reward: str) -> Tensor:
    """:func:`.relative.relative_reward` of the ``rate`` or the ``fair`` utility."""
    return relative_reward(utility, equal, ratio=reward == "rate")


class GradientTrainer:
    """Trains a policy on banks of scenes; its whole state can be saved and put back."""

    def __init__(self, banks: Sequence[Scenes], recipe: TrainingRecipe, shape: PolicyShape | None = None) -> None:
        require(bool(banks), "`banks` is empty: there are no scenes to train on")
        self.recipe, self.banks = recipe, list(banks)
        self.equal = [equal_utility(bank) for bank in self.banks]
        with torch.random.fork_rng():
            torch.manual_seed(recipe.seed)
            self.policy = EquivariantPolicy(shape)
        self.optimiser = torch.optim.AdamW(self.policy.parameters(), lr=recipe.rate)
        self.step = 0

    def batch(self, step: int) -> tuple[int, np.ndarray]:
        """Bank and scenes of a step: a function of seed and step alone, so that a resumed run sees the same."""
        rng = np.random.default_rng([self.recipe.seed, step])
        sizes = np.array([len(bank) for bank in self.banks], dtype=float)
        bank = int(rng.choice(len(sizes), p=sizes / sizes.sum()))
        pairs = (self.banks[bank].known.users / 36) ** 2
        return bank, rng.integers(len(self.banks[bank]), size=max(1, round(self.recipe.batch / max(1.0, pairs))))

    def update(self) -> float:
        """One step; returns the mean training reward. Raises :class:`BadGradientError`."""
        which, index = self.batch(self.step)
        scenes = self.banks[which].take(index)
        utility = utility_of(self.policy, scenes)
        gain = training_reward(utility, self.equal[which][index], scenes.truth.reward).mean()
        self.descend(-gain)
        return float(gain.detach())

    def descend(self, cost: Tensor) -> None:
        """One step of the optimiser down a cost; raises :class:`BadGradientError` where it is not finite."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.learning_rate(self.step)
        self.optimiser.zero_grad()
        cost.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.recipe.clip)
        if not (torch.isfinite(norm) and torch.isfinite(cost)):
            raise BadGradientError(
                f"step {self.step}: objective {-float(cost.detach())}, norm of the gradient {float(norm)}"
            )
        self.optimiser.step()
        self.step += 1

    def run(self, *, until: int | None = None) -> Iterator[float]:
        """Train up to a step, the recipe's last by default; yields the training reward of each."""
        while self.step < (self.recipe.steps if until is None else min(until, self.recipe.steps)):
            yield self.update()

    # ---------------------------------------------------------------- saving

    def tensors(self) -> dict[str, Tensor]:
        """Weights and the optimiser's moments, by name."""
        named = {f"policy.{name}": value for name, value in self.policy.state_dict().items()}
        for index, moments in self.optimiser.state_dict()["state"].items():
            named |= {f"optimiser.{index}.{name}": torch.as_tensor(value) for name, value in moments.items()}
        return named

    def save(self, path: Path) -> None:
        """Write the training state atomically."""
        save_training(path, self.tensors(), {"step": self.step, "recipe": asdict(self.recipe)})

    def load(self, tensors: dict[str, Tensor], card: dict[str, Any]) -> None:
        """Continue from a saved state; raises ``ValueError`` if it was made with another recipe."""
        require(card["recipe"] == asdict(self.recipe), f"the run was started with another recipe: {card['recipe']}")
        weights = {name[7:]: value for name, value in tensors.items() if name.startswith("policy.")}
        self.policy.load_state_dict(weights)
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("optimiser."):
                _, index, moment = name.split(".")
                state.setdefault(int(index), {})[moment] = value
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": state, "param_groups": groups})
        self.step = int(card["step"])

    def save_bad_batch(self, folder: Path) -> Path:
        """Write step, bank and scene indices of the current batch as JSON, and the state beside it."""
        which, index = self.batch(self.step)
        self.save(folder / "bad-step.safetensors")
        path = folder / "bad-batch.json"
        write_atomically(path, json.dumps({"step": self.step, "bank": which, "scenes": index.tolist()}).encode())
        return path
