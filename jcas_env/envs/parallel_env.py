"""The multi-cell scenario as a PettingZoo ``ParallelEnv``: base stations that decide each for its cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np

from ..checks import require
from ..scenarios.configuration import Configuration
from ..scenarios.multicell import MultiCell, MultiCellConfig
from ..scenarios.multicell.action import ENTRIES
from ..scenarios.multicell.observation import FEATURES, LIMIT
from .env import JCASEnv
from .info import part_of_info

try:
    from pettingzoo import ParallelEnv
except ModuleNotFoundError as error:
    raise ImportError("JCASParallelEnv needs PettingZoo: pip install 'jcas-env[pettingzoo]'") from error

LEAKAGE_OUT = FEATURES.index("leakage_out")
"""Column of ``users`` that tells what a beam does in other cells: their users measure it."""


class JCASParallelEnv(ParallelEnv):
    """One agent a base station, ``station_0``, ``station_1``, ...; their joint action is that of :class:`JCASEnv`.

    Parameters
    ----------
    config : MultiCellConfig, optional
        Whole configuration; keywords replace its fields.
    own_reward : bool
        Whether an agent gets its cell's reward; else all get the network's, which is the mean of the cells'.
    render_mode : {None, "rgb_array"}
    **fields
        Any field of the configuration, e.g. ``users_per_cell=6``, ``observation="flat"``.

    Notes
    -----
    With n users in a cell and C cells, an agent's action is in [-1, 1], (4 n + 1,): its users' logits and the
    positioning share of its cell. What an agent sees of slot t, parts by name or all of them in one vector:

    ``gains``, ``group`` (n, n), ``users`` (n, features), ``station`` (3,)
        The rows and columns of its own cell in ``JCASEnv``'s observation of slot t (gains, group, users, cells), which
        the station and its users measure; but the column ``leakage_out``, which users of other cells measure, is that
        of slot t - 1.
    ``reports`` (C - 1, features + 3)
        What each other station reports, in the order of cells counted on from the agent's own: the mean of its users'
        features and its row of ``cells`` in slot t - 1.

    Reports reach others one slot later: in the first slot of an episode they, and ``leakage_out``, are zero. All agents
    have spaces of the same shapes, so that they may share weights. ``state()`` is the whole network's observation of
    slot t in one vector. A seed means the network that it means for :class:`JCASEnv`. ``info`` holds the entries of
    ``JCASEnv``'s, those by user for the users of the cell alone.

    Raises ``ValueError`` where scenes decide who is served where (``assignment="svd"``): agents would change shape.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 (PettingZoo's type)
        **JCASEnv.metadata,
        "name": "jcas_multicell_v0",
        "is_parallelizable": True,
    }

    def __init__(
        self,
        *,
        config: Configuration | None = None,
        own_reward: bool = False,
        render_mode: str | None = None,
        **fields: Any,
    ) -> None:
        given = MultiCellConfig() if config is None else config
        kind = type(given).__name__
        require(isinstance(given, MultiCellConfig), f"`config` must be a MultiCellConfig, got {kind}")
        assert isinstance(given, MultiCellConfig)
        chosen = given.with_fields(fields)
        require(isinstance(own_reward, bool), f"`own_reward` must be True or False, got {own_reward!r}")
        require(
            chosen.assignment == "geometric",
            f"`assignment` must be 'geometric', where a station keeps its users, got {chosen.assignment!r}",
        )
        self.own_reward, self.render_mode = own_reward, render_mode
        self.env = JCASEnv(MultiCell(replace(chosen, observation="dict")), render_mode=render_mode)
        """The network, with all stations decided by one."""
        self.crowd, self.cells = chosen.users_per_cell, chosen.cells
        self.possible_agents = [f"station_{cell}" for cell in range(chosen.cells)]
        self.agents: list[str] = []
        self._flat = chosen.observation == "flat"
        whole = self.env.observation_space
        assert isinstance(whole, gym.spaces.Dict)
        size = sum(int(np.prod(space.shape)) for space in whole.values() if space.shape is not None)
        self.state_space = gym.spaces.Box(-LIMIT, LIMIT, (size,), np.float32)
        features = whole["users"].shape[-1]  # type: ignore[index]
        self.observation_spaces = {agent: self._observation_space(features) for agent in self.possible_agents}
        self.action_spaces = {
            agent: gym.spaces.Box(-1.0, 1.0, (len(ENTRIES) * self.crowd + 1,), np.float32)
            for agent in self.possible_agents
        }

    # ---------------------------------------------------------------- PettingZoo

    def observation_space(self, agent: str) -> gym.spaces.Space:
        """Space of what an agent sees."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> gym.spaces.Space:
        """Space of what an agent decides."""
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Draw a new network, in which nobody has reported yet."""
        self._whole, info = self.env.reset(seed=seed, options=options)
        self._before = {name: np.zeros_like(part) for name, part in self._whole.items()}
        self.agents = list(self.possible_agents)
        return self._views(), self._infos(info)

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """Transmit what all agents have decided, and move on by one slot; all agents end together."""
        joint = self.joint_action(actions)
        truth: Any = self.env.truth if self.own_reward and self.agents else None
        before = self._whole if self.agents else None
        self._whole, reward, _, truncated, info = self.env.step(joint)
        assert before is not None
        self._before = before
        earned = [reward] * self.cells
        if truth is not None:
            earned = truth.score(info["rate"], info["positioning_rate"]).tolist()
        played, self.agents = self.possible_agents, [] if truncated else self.agents
        nobody, everybody = dict.fromkeys(played, False), dict.fromkeys(played, truncated)
        return self._views(), dict(zip(played, earned, strict=True)), nobody, everybody, self._infos(info)

    def joint_action(self, actions: Mapping[str, Any]) -> np.ndarray:
        """Action of :class:`JCASEnv` that the agents' actions make together, (4 users + cells,).

        Raises ``ValueError`` that names the agent whose action is missing, of another shape, or nobody's.
        """
        known = self.possible_agents
        wrong = sorted(set(known) ^ set(actions))
        require(
            not wrong, f"`actions` must hold one action for each of {', '.join(known)}; missing or unknown: {wrong}"
        )
        parts = [np.asarray(actions[agent]) for agent in known]
        for agent, part in zip(known, parts, strict=True):
            shape = self.action_spaces[agent].shape
            require(part.shape == shape, f"`actions[{agent!r}]` must have shape {shape}, got {part.shape}")
        return np.concatenate([*(part[:-1] for part in parts), np.stack([part[-1] for part in parts])])

    def state(self) -> np.ndarray:
        """Observation of the whole network in this slot, part after part in one vector: for critics in training."""
        return np.concatenate([part.ravel() for part in self._whole.values()])

    def render(self) -> np.ndarray | None:
        """Map of the network, as of :class:`JCASEnv`."""
        return self.env.render()

    def close(self) -> None:
        """Close the environment."""
        self.env.close()

    # ---------------------------------------------------------------- internals

    def _observation_space(self, features: int) -> gym.spaces.Space:
        crowd, size = self.crowd, (self.cells - 1, features + 3)
        shapes = {"gains": (crowd, crowd), "group": (crowd, crowd), "users": (crowd, features), "station": (3,)}
        low = {name: 0.0 if name in ("group", "station") else -LIMIT for name in shapes}
        high = {name: 1.0 if name in ("group", "station") else LIMIT for name in shapes}
        boxes: dict[str, gym.spaces.Space] = {
            name: gym.spaces.Box(low[name], high[name], shape, np.float32) for name, shape in shapes.items()
        }
        if self.cells > 1:
            boxes["reports"] = gym.spaces.Box(-LIMIT, LIMIT, size, np.float32)
        if not self._flat:
            return gym.spaces.Dict(boxes)
        entries = sum(int(np.prod(box.shape)) for box in boxes.values() if box.shape is not None)
        return gym.spaces.Box(-LIMIT, LIMIT, (entries,), np.float32)

    def _rows(self, cell: int) -> slice:
        """Users of a cell, who are numbered cell by cell."""
        return slice(cell * self.crowd, (cell + 1) * self.crowd)

    def _reports(self) -> np.ndarray:
        """What the stations told of the last slot, (cells, features + 3)."""
        users = self._before["users"].reshape(self.cells, self.crowd, -1)
        return np.concatenate([users.mean(axis=1), self._before["cells"]], axis=-1)

    def _views(self) -> dict[str, Any]:
        reports = self._reports()
        return {agent: self._view(cell, reports) for cell, agent in enumerate(self.possible_agents)}

    def _view(self, cell: int, reports: np.ndarray) -> Any:
        """What an agent sees; its keys are in the order of its space, which Gymnasium sorts by name."""
        rows, whole = self._rows(cell), self._whole
        users = whole["users"][rows].copy()
        users[:, LEAKAGE_OUT] = self._before["users"][rows, LEAKAGE_OUT]
        parts = {
            "gains": whole["gains"][rows, rows].copy(),
            "group": whole["group"][rows, rows].copy(),
            "reports": np.roll(reports, -cell, axis=0)[1:],
            "station": whole["cells"][cell].copy(),
            "users": users,
        }
        if self.cells == 1:
            del parts["reports"]
        return np.concatenate([part.ravel() for part in parts.values()]) if self._flat else parts

    def _infos(self, info: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """``info`` of the network for each agent."""
        users = self.crowd * self.cells

        def of_cell(rows: slice) -> dict[str, Any]:
            return part_of_info(
                info, info, lambda value: value[rows].copy() if np.shape(value)[:1] == (users,) else value
            )

        return {agent: of_cell(self._rows(cell)) for cell, agent in enumerate(self.possible_agents)}
