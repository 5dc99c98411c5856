"""Lanes on a device: PyTorch tensors from the draws to the rewards."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from ..checks import require
from ..randomness import TensorGenerator
from ..scenarios.scenario import EpisodeState, Scenario
from ..tree import take, tree_map
from ..types import Array
from .inputs import seed_number
from .place import Host

try:
    import torch
except ImportError as error:  # pragma: no cover (the tests have it)
    raise ImportError('lanes on a device need PyTorch: pip install "jcas-env[train]"') from error


class Device(Host):
    """Lanes as tensors of a device, with one generator that draws for all of them.

    Raises ``ValueError`` for a device that this machine does not have, ``ImportError`` without PyTorch.
    """

    def __init__(self, scenario: Scenario, lanes: int, device: str | torch.device) -> None:
        super().__init__(scenario, lanes)
        self.device = _device(device)
        self.dtype: torch.dtype = getattr(torch, scenario.config.dtype)
        self.generator = torch.Generator(self.device)
        self._seeded = False

    def seed(self, mask: np.ndarray, seed: Any) -> None:
        """Seed the generator. Raises ``ValueError`` for more than one seed, and for one that is not for all lanes."""
        seed = seed_number(seed)
        require(seed is None or bool(mask.all()), "`seed` is that of all lanes on a device: a partial reset takes none")
        if seed is None and self._seeded:
            return
        drawn = int(np.random.SeedSequence().generate_state(1, np.uint32)[0])
        self.generator.manual_seed(drawn if seed is None else seed)
        self._seeded = True

    def first(self, mask: np.ndarray) -> EpisodeState:
        """First states of the lanes of a mask."""
        return self.scenario.initial(self.scenario.draw_initial(self._source(mask)))

    def innovation(self, state: EpisodeState, mask: np.ndarray) -> Any:
        """Innovation of the lanes of a mask, after ``state`` of all lanes."""
        return self.scenario.draw(self._source(mask), state)

    def generators(self) -> tuple[Any, ...]:
        """State of the generator."""
        return (self.generator.get_state(),)

    def generator_kind(self) -> tuple[int, type]:
        """One for all lanes, whose state is a tensor."""
        return 1, torch.Tensor

    def use_generators(self, generators: tuple[Any, ...]) -> None:
        """Go on from there."""
        self.generator.set_state(generators[0])
        self._seeded = True

    def seeds(self) -> tuple[int, ...]:
        """The one seed, for each lane; -1 before the first reset."""
        return (self.generator.initial_seed() if self._seeded else -1,) * self.lanes

    def _source(self, mask: np.ndarray) -> TensorGenerator:
        return TensorGenerator(self.generator, int(mask.sum()), self.dtype)

    def working(self) -> AbstractContextManager[Any]:
        """Gradients stop at an environment."""
        return torch.no_grad()

    def actions(self, actions: Any) -> Array:
        """A copy of a caller's actions, on the device."""
        return torch.as_tensor(actions, device=self.device).detach().clone()

    def taken(self, value: Any) -> Any:
        """A part of a caller's allocation, without its gradient."""
        return value.detach() if isinstance(value, torch.Tensor) else value

    def reward(self, utility: Array) -> Array:
        """Rewards in the precision of the scenario."""
        return utility.clone()

    def copy(self, value: Any) -> Array:
        """A tensor for a caller, who may write to it."""
        return torch.as_tensor(value).to(self.device, non_blocking=True, copy=True)

    def only(self, mask: np.ndarray, value: Array) -> Array:
        """The lanes of a mask, zeros elsewhere."""
        return self.merged(mask, value, torch.zeros_like(value))

    def merged(self, mask: np.ndarray, value: Array, other: Array) -> Array:
        """The lanes of a mask from one tensor, and from another elsewhere."""
        return torch.where(self.copy(mask).reshape(-1, *(1,) * (value.ndim - 1)), value, other)

    def one(self, tree: Any, lane: int) -> Any:
        """One lane of a nest of tensors, in NumPy."""
        return tree_map(lambda leaf: leaf.cpu().numpy() if isinstance(leaf, torch.Tensor) else leaf, take(tree, lane))


def _device(device: str | torch.device) -> torch.device:
    """A device of this machine."""
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0]
        expected = "`device` must be one that this machine has, as 'cpu' or 'cuda'"
        raise ValueError(f"{expected}, got {device!r}: {reason}") from None
    return found
