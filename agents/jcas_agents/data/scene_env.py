"""A frozen bank of scenes as a native vector environment of one-step episodes (spec learning 7.5)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from jcas_env.checks import require
from jcas_env.envs.spaces import action_space, observation_space
from jcas_env.scenarios.multicell import MultiCell, MultiCellConfig
from jcas_env.scenarios.multicell.observation import observe

from .scenes import Scenes, draw_scenes


class SceneVectorEnv(VectorEnv):
    """Lanes that meet random scenes of a bank, one decision each; channels are computed once, when it is built.

    The reward is the environment's own, the true utility. Every step ends all episodes (``terminated``) and shows the
    next scenes (autoreset mode SAME_STEP); ``final_obs`` repeats what the decision was made on, since nothing follows.

    Parameters
    ----------
    config : MultiCellConfig
        Its horizon is taken as one slot.
    scenes : int
        Scenes of the bank.
    num_envs : int
        Number of lanes.
    split : str
        Where the scenes are from, see :data:`.scenes.SPLITS`.
    """

    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

    def __init__(
        self, config: MultiCellConfig, *, scenes: int = 6000, num_envs: int = 256, split: str = "train"
    ) -> None:
        super().__init__()
        require(scenes >= 1, f"`scenes` must be at least 1, got {scenes!r}")
        require(num_envs >= 1, f"`num_envs` must be at least 1, got {num_envs!r}")
        require(not config.has_queues, "`scenes` freezes single slots: queues need episodes")
        self.scenario = MultiCell(replace(config, horizon=1))
        self.num_envs, self.render_mode = num_envs, None
        self.autoreset_mode = AutoresetMode.SAME_STEP
        self.single_observation_space = observation_space(self.scenario)
        self.single_action_space = action_space(self.scenario)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.bank = draw_scenes(self.scenario.config, scenes, split=split)
        self.views = observe(self.scenario.config, self.bank.known)
        """Observations of the whole bank."""
        zero = np.zeros((scenes, self.scenario.action_size))
        self.bank_equal = np.asarray(self.bank.truth.utility(self.scenario.decode(zero, self.bank.known)))
        """(scenes,): true utility of the zero action."""
        self._index = np.zeros(num_envs, dtype=np.int64)
        self._now: Scenes = self.bank.take(self._index)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:  # noqa: ARG002
        """Draw a scene for every lane; a seed, one number for all lanes, starts the order anew."""
        super().reset(seed=seed)
        self._draw()
        return self._observe(), {}

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Decode actions, (num_envs, action_size), earn the true utility, and show the next scenes."""
        allocation = self.scenario.decode(np.asarray(actions), self._now.known)
        reward = np.asarray(self._now.truth.utility(allocation), dtype=np.float64)
        last = self._observe()
        everyone, nobody = np.ones(self.num_envs, dtype=bool), np.zeros(self.num_envs, dtype=bool)
        final = np.empty(self.num_envs, dtype=object)
        for lane in range(self.num_envs):
            final[lane] = {k: v[lane] for k, v in last.items()} if isinstance(last, dict) else last[lane]
        self._draw()
        return self._observe(), reward, everyone, nobody, {"final_obs": final, "_final_obs": everyone}

    @property
    def equal_utility(self) -> np.ndarray:
        """(num_envs,): true utility of the zero action in the lanes' scenes."""
        return self.bank_equal[self._index]

    def _draw(self) -> None:
        self._index = self.np_random.integers(len(self.bank), size=self.num_envs)
        self._now = self.bank.take(self._index)

    def _observe(self) -> Any:
        if isinstance(self.views, dict):
            return {name: view[self._index] for name, view in self.views.items()}
        return self.views[self._index]
