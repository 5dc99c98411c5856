"""TorchRL on lanes of a device: what its own wrapper of Gymnasium would carry to NumPy and back stays there."""

from __future__ import annotations

from typing import Any, cast

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode

from jcas_env import JCASVectorEnv  # (registers the environments)
from jcas_env.checks import require_library

require_library("torchrl", "0.14", "0.15", extra="torchrl")

from tensordict import TensorDict, TensorDictBase  # noqa: E402
from torchrl.data import Binary, Bounded, Composite, TensorSpec, Unbounded  # noqa: E402
from torchrl.envs import EnvBase  # noqa: E402


class JCASTorchRLEnv(EnvBase):
    """Lanes of a registered environment, on a device, as a TorchRL environment with batch size (num_envs,).

    Parameters
    ----------
    id : str
        As for ``gymnasium.make_vec``.
    num_envs : int
        Number of lanes.
    device : str or torch.device
        Where they live, ``"cuda"`` or ``"cpu"``.
    **fields
        Keywords of ``JCASVectorEnv``, e.g. ``observation="flat"``, or any field of the scenario's configuration.

    Notes
    -----
    What ``JCASVectorEnv(device=...)`` observes and pays is handed on as it is, and actions likewise. Only which lanes
    are to be reset goes to the host, whose clocks say where episodes end. Rewards are in the scenario's precision.
    Parts of a dict observation are entries of their own, a flat one is ``observation``.

    ``GymWrapper(gymnasium.make_vec(...))`` and ``GymEnv(id)`` serve the lanes in NumPy.
    """

    def __init__(
        self,
        id: str = "jcas/MultiCell-v0",
        num_envs: int = 64,
        *,
        device: str | torch.device = "cpu",
        **fields: Any,
    ) -> None:
        mode: dict[str, Any] = {"autoreset_mode": AutoresetMode.DISABLED, "device": device}
        lanes = gym.make_vec(id, num_envs=num_envs, vectorization_mode="vector_entry_point", **mode, **fields)
        self.lanes = cast(JCASVectorEnv, lanes)
        """The ``JCASVectorEnv``."""
        super().__init__(device=device, batch_size=[num_envs])
        self._seed: int | None = None
        space = self.lanes.observation_space
        parts: dict[str, Any] = space.spaces if isinstance(space, gym.spaces.Dict) else {"observation": space}
        ends = ("done", "terminated", "truncated")
        self.observation_spec = self._composite({name: self._bounded(box) for name, box in parts.items()})
        self.action_spec = self._bounded(self.lanes.action_space)
        precision = getattr(torch, self.lanes.scenario.config.dtype)
        self.reward_spec = Unbounded(shape=(num_envs, 1), dtype=precision, device=self.device)
        flag = {"shape": (num_envs, 1), "dtype": torch.bool, "device": self.device}
        self.done_spec = self._composite({name: Binary(**flag) for name in ends})

    def _bounded(self, box: Any) -> Bounded:
        """Spec of a box."""
        low, high = (torch.as_tensor(bound, device=self.device) for bound in (box.low, box.high))
        return Bounded(low, high, box.shape, dtype=low.dtype, device=self.device)

    def _composite(self, parts: dict[str, TensorSpec]) -> Composite:
        """Specs by name, of all lanes."""
        return Composite(parts, shape=self.batch_size, device=self.device)

    def _reset(self, tensordict: TensorDictBase | None, **_: Any) -> TensorDictBase:
        """Reset all lanes, or those of the entry ``_reset``."""
        mask = None if tensordict is None else tensordict.get("_reset", None)
        chosen = np.ones(self.num_envs, dtype=bool) if mask is None else np.array(mask.flatten().tolist())
        observation, _ = self.lanes.reset(seed=self._seed, options={"reset_mask": chosen})
        self._seed = None
        begun = torch.zeros(self.num_envs, 1, dtype=torch.bool, device=self.device)
        return self._told(observation, done=begun, terminated=begun.clone(), truncated=begun.clone())

    def _step(self, tensordict: TensorDictBase) -> TensorDictBase:
        """One slot of all lanes."""
        observation, reward, terminated, truncated, _ = self.lanes.step(tensordict["action"])
        ends = {"done": terminated | truncated, "terminated": terminated, "truncated": truncated}
        return self._told(observation, reward=reward[:, None], **{name: flag[:, None] for name, flag in ends.items()})

    def _set_seed(self, seed: int | None) -> None:
        """Seed of the next reset of all lanes."""
        self._seed = seed

    def _told(self, observation: Any, **entries: Any) -> TensorDictBase:
        """An observation and other entries, by their names."""
        seen = observation if isinstance(observation, dict) else {"observation": observation}
        return TensorDict({**seen, **entries}, batch_size=self.batch_size, device=self.device)

    @property
    def num_envs(self) -> int:
        """Number of lanes."""
        return int(self.lanes.num_envs)
