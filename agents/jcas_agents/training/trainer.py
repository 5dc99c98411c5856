"""What all trainers share: recipe, optimiser, schedule, and a state that can be saved and put back."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from math import cos, pi
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from jcas_env.checks import require

from ..checkpoint import save_training, write_atomically
from ..policies.policy import Policy

P = TypeVar("P", bound=Policy)


@dataclass(frozen=True, kw_only=True)
class TrainingRecipe:
    """How a policy is trained; recorded in its card."""

    steps: int = 6000
    """Updates."""
    batch: int = 64
    """Scenes or frames of an update; of scenes with more than 36 users fewer, in proportion to their pairs."""
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
        r"""Learning rate of a step: linear warm-up, then a cosine.

        .. math:: \eta \min\Big(1, \frac{t + 1}{t_0}\Big) \Big(f + (1 - f) \frac{1 + \cos(\pi t/T)}{2}\Big)

        with the largest rate eta, the last one over it f, T steps and :math:`t_0` of them to warm up.
        """
        warm = max(1, min(self.warm_up, self.steps // 10))
        wave = 0.5 * (1.0 + cos(pi * step / self.steps))
        return self.rate * min(1.0, (step + 1) / warm) * (self.final_rate + (1.0 - self.final_rate) * wave)


class BadGradientError(RuntimeError):
    """A gradient or an objective is not finite; the message says where step and batch were saved."""


def finite(output: Tensor) -> Tensor:
    """The same output of a policy; raises :class:`BadGradientError` unless all of it is finite.

    Decoders and problems refuse such numbers too, but as a user's mistake: here it is the training that has failed.
    """
    if not torch.isfinite(output).all():
        raise BadGradientError("what the policy gives is not finite")
    return output


def new_policy(kind: type[P], shape: Any, seed: int) -> P:
    """A policy whose weights follow from the seed alone; torch's own generator is left as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return kind(shape)


class Trainer(ABC):
    """Trains a policy by AdamW along a recipe. Subclasses hold the data and say what a step costs.

    The batch of a step is a function of seed and step alone, so that a run that was saved and put back goes on as if
    it had never stopped.
    """

    policy: Any
    """Kind of :class:`.policy.Policy` that the subclass trains."""

    def __init__(self, policy: Policy, recipe: TrainingRecipe) -> None:
        self.policy, self.recipe, self.step = policy, recipe, 0
        self.optimiser = torch.optim.AdamW(policy.parameters(), lr=recipe.rate)

    @abstractmethod
    def update(self) -> float:
        """One step, by :meth:`descend`; returns its training reward. Raises :class:`BadGradientError`."""

    @abstractmethod
    def batch_record(self) -> dict[str, Any]:
        """What the batch of the current step consists of, in what JSON can hold."""

    def descend(self, cost: Tensor) -> None:
        """One step of the optimiser down a cost; raises :class:`BadGradientError` where it is not finite.

        Weights and step are then still those from before, for :meth:`save_bad_batch`.
        """
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
        ours = json.loads(json.dumps(asdict(self.recipe)))  # as a file holds it: tuples have become lists
        require(card["recipe"] == ours, f"the run was started with another recipe: {card['recipe']}")
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
        """Write step and batch of the current step as JSON, and the training state beside it; returns the former."""
        self.save(folder / "bad-step.safetensors")
        path = folder / "bad-batch.json"
        write_atomically(path, json.dumps({"step": self.step, **self.batch_record()}).encode())
        return path
