"""What every scenario is: an MDP written as pure functions on arrays with leading batch axes.

    State --problem()--> Problem --solve() / policy--> Allocation --outcome(truth)--> reward
    State --transition(allocation, innovation)--> State

Adapters (Gymnasium, vector, ...) contain no physics; they call these functions. Randomness enters through
``draw_initial`` and ``draw`` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..types import Array


class ArraySpec(NamedTuple):
    """Shape and bounds of one entry of an observation."""

    shape: tuple[int, ...]
    low: float
    high: float


class Problem(Protocol):
    """What an allocator may know in a slot, or (the truth) what the air does in it."""

    def utility(self, allocation: Any) -> Array:
        """Configured reward of an allocation, (...,)."""
        ...

    def violation(self, allocation: Any) -> Array:
        """Largest relative violation of the constraints, (...,); zero where feasible."""
        ...


class Outcome(Protocol):
    """What an allocation earns on the truth: the reward, and what goes into ``info``."""

    @property
    def utility(self) -> Array:
        """Reward, (...,)."""
        ...


class Scenario(Protocol):
    """The functions that an adapter calls; all are batched over leading axes except the two draws."""

    name: str
    config: Any

    @property
    def horizon(self) -> int:
        """Slots in an episode."""
        ...

    @property
    def action_size(self) -> int:
        """Length of an action vector in [-1, 1]."""
        ...

    @property
    def observation_spec(self) -> ArraySpec | Mapping[str, ArraySpec]:
        """Shapes and finite bounds of the observation."""
        ...

    def draw_initial(self, rng: np.random.Generator) -> Any:
        """All randomness of a reset, for one lane."""
        ...

    def draw(self, rng: np.random.Generator, state: Any) -> Any:
        """All randomness of a slot, for one lane."""
        ...

    def initial(self, draws: Any) -> Any:
        """First state of an episode."""
        ...

    def transition(self, state: Any, allocation: Any, innovation: Any) -> Any:
        """State of the next slot."""
        ...

    def observation(self, state: Any) -> Array | dict[str, Array]:
        """What a policy sees."""
        ...

    def problem(self, state: Any) -> Any:
        """What an allocator may know."""
        ...

    def truth(self, state: Any) -> Any:
        """The same problem, filled with what the air does in the slot in which the allocation acts."""
        ...

    def outcome(self, state: Any, allocation: Any) -> Any:
        """Rates, utility and violation of an allocation on the truth."""
        ...

    def reward(self, state: Any, allocation: Any) -> Array:
        """Utility of an allocation on the truth, (...,)."""
        ...

    def info(self, outcome: Any) -> dict[str, Array]:
        """What the adapters report beside the reward."""
        ...

    def decode(self, action: Array, problem: Any) -> Any:
        """Allocation of an action; feasible by construction."""
        ...

    def encode_allocation(self, allocation: Any, problem: Any) -> Array:
        """Action whose decoding is nearest to an allocation."""
        ...

    def fallback(self, problem: Any) -> Any:
        """What to play where a solver reports that no allocation is feasible."""
        ...

    def check_allocation(self, allocation: Any, problem: Any) -> Any:
        """Return an allocation as arrays of the right shape, or raise ``ValueError``."""
        ...
