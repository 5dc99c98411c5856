"""Training of the small policies on one bank of frames or episodes."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from torch import Tensor

from jcas_env.checks import require

from ..policies.policy import Policy
from .trainer import Trainer, TrainingRecipe


class FrameTrainer(Trainer):
    """A trainer whose batches are entries of one bank; subclasses say what an entry earns."""

    def __init__(self, policy: Policy, size: int, recipe: TrainingRecipe) -> None:
        require(size > 0, "there is nothing to train on")
        super().__init__(policy, recipe)
        self.size = size

    @abstractmethod
    def earned(self, index: np.ndarray) -> Tensor:
        """Training reward of some entries of the bank, (entries,)."""

    def batch(self, step: int) -> np.ndarray:
        """Entries of a step, (batch,) integer."""
        return np.random.default_rng([self.recipe.seed, step]).integers(self.size, size=self.recipe.batch)

    def update(self) -> float:
        """One step; returns the mean training reward. Raises :class:`BadGradientError`."""
        gain = self.earned(self.batch(self.step)).mean()
        self.descend(-gain)
        return float(gain.detach())

    def batch_record(self) -> dict[str, Any]:
        """Entries of the bank."""
        return {"entries": self.batch(self.step).tolist()}
