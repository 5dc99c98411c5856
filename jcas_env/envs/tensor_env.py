"""Many networks on a device: PyTorch tensors from the draws to the rewards."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..checks import require
from ..randomness import TensorGenerator
from ..scenarios.scenario import EpisodeState, Observation, Outcome
from ..tree import take, tree_map
from ..types import Array
from .vector_env import JCASVectorEnv

try:
    import torch
except ImportError as error:  # pragma: no cover (the tests have it)
    raise ImportError('lanes on a device need PyTorch: pip install "jcas-env[train]"') from error


class TensorVectorEnv(JCASVectorEnv):
    """What ``JCASVectorEnv(..., device=...)`` makes: observations, rewards, ends and ``info`` are tensors there.

    The scenario's functions are those of NumPy. What differs from a vector environment in NumPy:

    * One generator of the device draws for all lanes. A seed repeats the same numbers on the same device with the same
      number of lanes, and means other networks than in NumPy; ``seed`` is one integer, and a partial reset takes none.
    * Rewards are in the precision of the scenario. Actions are tensors, or what becomes one; gradients stop at them.
    * ``final_obs`` and ``final_info`` hold tensors of all lanes, and say by their masks which lanes they are of.
    * Clocks, and so the lanes that end, are the host's, and values are not checked: with the true channel no slot waits
      for the device. Estimators, whole subcarriers and the arrivals of queues ask it what to compute.

    Raises ``ValueError`` for a device that this machine does not have, ``ImportError`` without PyTorch.
    """

    def __init__(self, scenario: Any = "multicell", *, device: str | torch.device, **options: Any) -> None:
        self.device = _device(device)
        super().__init__(scenario, **options)
        self.dtype: torch.dtype = getattr(torch, self.scenario.config.dtype)
        self.generator = torch.Generator(self.device)
        """Draws for all lanes."""
        self._seed = -1

    # ---------------------------------------------------------------- where the lanes live

    @torch.no_grad()
    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Reset all lanes, or those of ``options["reset_mask"]`` ((num_envs,) bool, at least one true)."""
        return super().reset(seed=seed, options=options)

    @torch.no_grad()
    def step(self, actions: Any) -> tuple[Observation, Array, Array, Array, dict[str, Any]]:
        """Decode actions, (num_envs, action_size), transmit, and move on by one slot."""
        return super().step(actions)

    @torch.no_grad()
    def step_allocation(self, allocation: Any) -> tuple[Observation, Array, Array, Array, dict[str, Any]]:
        """Transmit allocations in physical units, tensors with a leading (num_envs,) axis; see ``JCASEnv``."""
        return super().step_allocation(allocation)

    def _seed_lanes(self, mask: np.ndarray, seed: Any) -> None:
        require(seed is None or isinstance(seed, int | np.integer), f"`seed` must be one integer or None, got {seed!r}")
        if seed is not None:
            require(bool(mask.all()), "`seed` is that of all lanes on a device: a partial reset takes none")
            self._seed = int(seed)
        elif self._seed == -1:
            self._seed = int(np.random.SeedSequence().generate_state(1, np.uint32)[0])
        else:
            return
        self.generator.manual_seed(self._seed)

    def _source(self, lanes: int) -> TensorGenerator:
        return TensorGenerator(self.generator, lanes, self.dtype)

    def _sample(self, mask: np.ndarray) -> EpisodeState:
        return self.scenario.initial(self.scenario.draw_initial(self._source(int(mask.sum()))))

    def _draw(self, state: EpisodeState, active: np.ndarray) -> Any:
        return self.scenario.draw(self._source(int(active.sum())), state)

    def _actions(self, actions: Any) -> Array:
        return torch.as_tensor(actions, device=self.device).detach().clone()

    def _flags(self, mask: np.ndarray) -> Array:
        return torch.from_numpy(mask.copy()).to(self.device, non_blocking=True)

    def _reward(self, utility: Array, active: np.ndarray) -> Array:
        if active.all():
            return utility.clone()
        return torch.where(self._flags(active), utility, torch.zeros_like(utility))

    def _info(self, outcome: Outcome) -> dict[str, Array]:
        return {name: torch.as_tensor(v, device=self.device).clone() for name, v in self.scenario.info(outcome).items()}

    def _only(self, lanes: np.ndarray, value: Array) -> Array:
        mask = self._flags(lanes).reshape(-1, *(1,) * (value.ndim - 1))
        return torch.where(mask, value, torch.zeros_like(value))

    def _final(self, lanes: np.ndarray, info: dict[str, Array]) -> dict[str, Any]:
        mask = self._flags(lanes)
        return {
            "final_obs": self._observe(),
            "_final_obs": mask,
            "final_info": self._masked(info, lanes),
            "_final_info": mask,
        }

    def _lane(self, tree: Any, lane: int) -> Any:
        return tree_map(lambda leaf: leaf.cpu().numpy() if isinstance(leaf, torch.Tensor) else leaf, take(tree, lane))

    def _settled(self, leaf: Array) -> Array:
        return leaf.contiguous() if isinstance(leaf, torch.Tensor) else super()._settled(leaf)

    # ---------------------------------------------------------------- generators

    @property  # type: ignore[misc]
    def np_random(self) -> Any:
        """Raises ``AttributeError``: lanes on a device draw from :attr:`generator`."""
        raise AttributeError("lanes on a device have no NumPy generators; `generator` draws for all of them")

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """The one seed, for each lane; -1 before the first reset."""
        return (self._seed,) * self.num_envs

    def _random_generators(self) -> tuple[Any, ...]:
        return (self.generator.get_state(),)

    def _use_generators(self, generators: tuple[Any, ...]) -> None:
        self.generator.set_state(generators[0])


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
