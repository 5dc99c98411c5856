"""Stable-Baselines3 on the native vector environment: adapter, reward scaling, recipes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.vec_env import VecEnv

from jcas_env import JCASVectorEnv
from jcas_env.checks import require
from jcas_env.envs.info import part_of_info

from ..data.relative import relative_reward
from ..data.scene_env import SceneVectorEnv
from .policy import EquivariantActorCritic, EquivariantSACPolicy

_MLP_PPO: dict[str, Any] = {
    "n_steps": 8,
    "batch_size": 512,
    "n_epochs": 5,
    "gamma": 0.0,
    "gae_lambda": 1.0,
    "learning_rate": 1e-3,
    "ent_coef": 0.0,
    "policy_kwargs": {"net_arch": [256, 256], "log_std_init": -1.0},
}

_EQUIVARIANT_PPO: dict[str, Any] = {
    **_MLP_PPO,
    "n_steps": 4,
    "n_epochs": 4,
    "policy_kwargs": {"log_std_init": -1.5, "features_extractor_kwargs": {"width": 16, "layers": 1, "heads": 1}},
}
_MLP_SAC: dict[str, Any] = {
    "learning_rate": 3e-4,
    "buffer_size": 100_000,
    "batch_size": 256,
    "learning_starts": 2_000,
    "gamma": 0.0,
    "train_freq": 1,
    "gradient_steps": 4,
    "policy_kwargs": {"net_arch": [256, 256]},
}
_EQUIVARIANT_SAC: dict[str, Any] = {
    **_MLP_SAC,
    "learning_rate": 1e-3,
    "gradient_steps": 2,
    "policy_kwargs": {"log_std_init": -1.5, "features_extractor_kwargs": {"width": 16, "layers": 1, "heads": 1}},
}

RECIPES: dict[tuple[str, str], tuple[Any, Any, dict[str, Any]]] = {
    ("ppo", "equivariant"): (PPO, EquivariantActorCritic, _EQUIVARIANT_PPO),
    ("ppo", "mlp"): (PPO, "MlpPolicy", _MLP_PPO),
    ("sac", "equivariant"): (SAC, EquivariantSACPolicy, _EQUIVARIANT_SAC),
    ("sac", "mlp"): (SAC, "MlpPolicy", _MLP_SAC),
}
"""Class, policy and keywords by algorithm and network, for the one-step task (spec learning 7.5) with as many lanes as
:data:`ROLLOUT_LANES` says.

The equivariant network reads the dict observation, the MLP the flat one. An MLP needs wide exploration, 1.8 logits at
the environment's own scale; weights that all users share learn from 1.1.
"""
ROLLOUT_LANES = {"ppo": 256, "sac": 16}
"""Lanes of the vector environment."""


class SB3VectorAdapter(VecEnv):
    r"""A native :class:`JCASVectorEnv`, or a bank of scenes, as an SB3 ``VecEnv``: no environment per lane.

    With ``relative=True`` the reward is :func:`.relative.relative_reward`, :math:`5 (r/r_\mathrm{equal} - 1)` where
    rewards are rates and :math:`5 (r - r_\mathrm{equal})` elsewhere, r_equal what the scenario's zero action earns in
    the same slot: positive where an action beats that, and only there. The environment's own reward stays physical and
    is in ``infos[i]["reward"]``. With the ``delay`` reward only ``relative=False`` makes sense: compared slot by slot,
    a longer queue leaves more to gain. ``ValueError`` for the relative reward of queues.

    Every autoreset mode: a lane that ends is reset in the same step, as SB3 asks. ``infos[i]`` holds every entry of the
    environment's ``info`` for lane i, of the last slot where an episode has ended.
    """

    def __init__(self, env: JCASVectorEnv | SceneVectorEnv, *, relative: bool = True) -> None:
        self.env, self.relative = env, relative
        self.mode = env.metadata["autoreset_mode"]
        queues = relative and getattr(env.scenario.config, "reward", None) == "delay"
        require(not queues, "`relative` must be False with the delay reward, got True")
        self._seed: int | None = None
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)
        self.metadata = env.metadata

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seed of the next reset: lane i gets ``seed + i``, all of them what nobody knows where it is None."""
        self._seed = seed
        return [None if seed is None else seed + lane for lane in range(self.num_envs)]

    def reset(self) -> Any:
        """First observations; what the environment says beside them is in ``reset_infos``."""
        observation, info = self.env.reset(seed=self._seed)
        self._seed = None
        self.reset_infos = [lane_info(info, lane) for lane in range(self.num_envs)]
        return observation

    def step_async(self, actions: np.ndarray) -> None:
        """Keep the actions for :meth:`step_wait`."""
        self._actions = actions

    def _baseline(self) -> np.ndarray:
        """Utility of the zero action in the slot that comes."""
        if isinstance(self.env, SceneVectorEnv):
            return self.env.equal_utility
        scenario = self.env.scenario
        zero = np.zeros((self.num_envs, scenario.action_size))
        return np.asarray(self.env.truth.utility(scenario.decode(zero, self.env.problem)))

    def step_wait(self) -> tuple[Any, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Step all lanes; SB3 wants the next episode's observation and the last one in ``infos``."""
        equal = self._baseline() if self.relative else None
        observation, earned, terminated, truncated, info = self.env.step(self._actions)
        done = terminated | truncated
        ended = np.flatnonzero(done).tolist()
        if self.mode is AutoresetMode.SAME_STEP:
            last = {lane: info["final_obs"][lane] for lane in ended}
        else:
            last = {lane: _lane(observation, lane) for lane in ended}
        infos = [self._step_info(info, lane, ended=lane in last) for lane in range(self.num_envs)]
        for lane, value in enumerate(earned):
            infos[lane]["reward"] = float(value)
        for lane, seen in last.items():
            cut = bool(truncated[lane] and not terminated[lane])
            infos[lane].update({"terminal_observation": seen, "TimeLimit.truncated": cut})
        if ended and self.mode is not AutoresetMode.SAME_STEP:
            observation, _ = self.env.reset(options={"reset_mask": done})
        ratio = getattr(self.env.scenario.config, "ratio_scale", False)
        reward = earned if equal is None else relative_reward(earned, equal, ratio=ratio)
        return observation, np.asarray(reward, dtype=np.float32), done, infos

    def _step_info(self, info: dict[str, Any], lane: int, *, ended: bool) -> dict[str, Any]:
        """Entries of a lane's slot; of a lane that was reset in this step they stand in ``final_info``."""
        return lane_info(info.get("final_info", {}) if ended and "final_obs" in info else info, lane)

    def close(self) -> None:
        """Close the environment."""
        self.env.close()

    def get_images(self) -> Sequence[np.ndarray | None]:
        """A map for every lane, (height, width, 3) uint8; None without a render mode."""
        images: Any = self.env.render()
        return [None] * self.num_envs if self.render_mode is None else images

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Attribute of the environment, once per lane; spaces are those of a lane."""
        single = f"single_{attr_name}" if attr_name in ("observation_space", "action_space") else attr_name
        return [getattr(self.env, single)] * len(self._chosen(indices))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set an attribute of the environment, which all lanes share; ``ValueError`` for some of them alone."""
        self._require_all(f"`{attr_name}`", indices)
        setattr(self.env, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Call a method of the environment, which all lanes share, once; its result is given for each of them.

        ``render`` gives each lane its image, and ``get_wrapper_attr`` reads: these take ``indices``. ``ValueError`` for
        some lanes alone of another method.
        """
        lanes = self._chosen(indices)
        if method_name == "render":
            images = self.get_images()
            return [images[lane] for lane in lanes]
        if method_name == "get_wrapper_attr":
            (name,) = (*args, *kwargs.values())
            return self.get_attr(name, lanes)
        self._require_all(f"`{method_name}`", indices)
        return [getattr(self.env, method_name)(*args, **kwargs)] * len(lanes)

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:  # noqa: ARG002
        """No lane is wrapped."""
        return [False] * len(self._chosen(indices))

    def _chosen(self, indices: Any) -> list[int]:
        """Lanes that ``indices`` name; ``ValueError`` for one that does not exist."""
        lanes = [int(lane) for lane in self._get_indices(indices)]
        wrong = [lane for lane in lanes if not -self.num_envs <= lane < self.num_envs]
        require(not wrong, f"`indices` must be lanes from 0 to {self.num_envs - 1}, got {wrong}")
        return lanes

    def _require_all(self, what: str, indices: Any) -> None:
        everybody = {lane % self.num_envs for lane in self._chosen(indices)} == set(range(self.num_envs))
        require(everybody, f"`indices` must be None or all lanes, which share one environment and its {what}, "
                           f"got {indices!r}")  # fmt: skip


def lane_info(info: dict[str, Any], lane: int) -> dict[str, Any]:
    """A vector environment's ``info`` for one lane, without masks and what belongs to ends of episodes."""
    names = [name for name in info if not name.startswith("_") and name not in ("final_obs", "final_info")]
    return part_of_info(info, names, lambda value: value[lane])


def _lane(observation: Any, lane: int) -> Any:
    """Observation of one lane, copied."""
    if isinstance(observation, dict):
        return {name: value[lane].copy() for name, value in observation.items()}
    return observation[lane].copy()
