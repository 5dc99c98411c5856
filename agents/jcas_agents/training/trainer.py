"""What all trainers share: recipe, optimiser, schedule, and a state that can be saved and put back."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from math import cos, pi
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from jcas_env.checks import require

from .. import tensor_files
from ..files import write_file
from ..policies.policy import Policy
from ..runs import require_same_run

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
        self.gradient_norm = 0.0
        """Norm of the last step's gradient, before it was clipped."""
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
        self.gradient_norm = float(norm)
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

    def expected(self) -> dict[str, Tensor]:
        """Names, shapes and types of what :meth:`tensors` gives once all weights have had a gradient."""
        named = {f"policy.{name}": value for name, value in self.policy.state_dict().items()}
        for index, weight in enumerate(self.policy.parameters()):
            moments = {"exp_avg": weight, "exp_avg_sq": weight, "step": torch.zeros(())}
            named |= {f"optimiser.{index}.{name}": value for name, value in moments.items()}
        return named

    def made_by(self) -> dict[str, Any]:
        """What makes a run the run that it is, apart from its data, as a file holds it."""
        policy = {
            "scenario": self.policy.scenario,
            "shape": asdict(self.policy.shape),
            "features": self.policy.features(),
        }
        return {"recipe": asdict(self.recipe), "policy": policy}

    def save(self, path: Path, run: Mapping[str, Any] | None = None) -> None:
        """Write the training state whole; ``run``: what a caller adds to the card, see :meth:`load`."""
        tensor_files.write(path, self.tensors(), {**(run or {}), "step": self.step, **self.made_by()})

    def load(self, tensors: dict[str, Tensor], card: dict[str, Any], run: Mapping[str, Any] | None = None) -> None:
        """Continue from a saved state.

        Raises ``ValueError`` if it was made with another recipe, another policy or another one of the entries ``run``
        of its card, and for a state that does not hold what it must.
        """
        require_same_run(card, {**(run or {}), **self.made_by()})
        step: Any = card.get("step")
        whole = type(step) is int and 0 <= step <= self.recipe.steps
        require(whole, f"`step` of the state must be a whole number in [0, {self.recipe.steps}], got {step!r:.100}")
        moved = {name.split(".")[1] for name in tensors if name.startswith("optimiser.")}
        expected = {
            name: value
            for name, value in self.expected().items()
            if not name.startswith("optimiser.") or name.split(".")[1] in moved  # a weight without a gradient has none
        }
        tensor_files.require_like("the state", tensors, expected)
        self._restore(tensors)
        self.step = step

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        """Take over tensors that are known to fit."""
        self.policy.load_state_dict({name[7:]: value for name, value in tensors.items() if name.startswith("policy.")})
        tensor_files.restore_optimiser(self.optimiser, tensors, "optimiser.")

    def save_bad_batch(self, folder: Path) -> Path:
        """Write step and batch of the current step as JSON, and the training state beside it; returns the former."""
        self.save(folder / "bad-step.safetensors")
        path = folder / "bad-batch.json"
        write_file(path, json.dumps({"step": self.step, **self.batch_record()}).encode())
        return path
