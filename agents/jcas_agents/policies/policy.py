"""What every policy answers, whatever the scenario."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from torch import nn

LOGIT_SCALE = 5.0
"""Logits per unit of action that policies are made for, the environments' default [-]."""


class Policy(nn.Module, ABC):
    """A network that decides for one scenario: from an observation, or from the known problem it is made of.

    Both give the same decision; ``act`` as an action, ``decide`` as an allocation.
    """

    scenario: ClassVar[str]
    """Scenario that the policy is for."""
    problem_type: ClassVar[Any]
    """Type of the scenario's problems."""
    shape_type: ClassVar[Any]
    """Frozen dataclass of a network's size; a network is made from one, and a card records it."""
    shape: Any
    """Size of this network."""

    @abstractmethod
    def features(self) -> str:
        """Names of what the policy reads, as its card states them; a file with other ones is refused."""

    @abstractmethod
    def act(self, observation: Mapping[str, Any]) -> np.ndarray:
        """Action in [-1, 1], (..., action_size), for a structured observation in NumPy arrays."""

    @abstractmethod
    def decide(self, problem: Any) -> Any:
        """Allocation of the scenario's type for a known problem in NumPy arrays, (...) as the problem."""
