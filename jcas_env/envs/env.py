"""A scenario as a Gymnasium environment: a batch of one, without physics."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from ..scenarios import make_scenario
from ..scenarios.scenario import Scenario
from ..tree import tree_map
from .spaces import action_space, observation_space


class EnvState(NamedTuple):
    """Snapshot of an environment; picklable, and ``set_state`` continues from it bit for bit."""

    state: Any
    """The scenario's State."""
    generators: tuple[np.random.Generator, ...]
    """Random generators, one per lane."""
    finished: np.ndarray
    """Whether an episode is over, bool, per lane in the vector environment."""


class JCASEnv(gym.Env):
    """One network; every step is a slot.

    Parameters
    ----------
    scenario : str or Scenario
        Name of a scenario, or one that is already built.
    config : optional
        Whole configuration; keywords replace its fields.
    render_mode : {None, "rgb_array"}
    **fields
        Any field of the scenario's configuration, e.g. ``users_per_cell=6``.

    Notes
    -----
    Observations are float32 (see the scenario's ``observation_spec``), actions a Box in [-1, 1] in which every
    point is a feasible allocation. The reward is ``truth.utility(allocation)``. Episodes are truncated after
    ``horizon`` slots and never terminate.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 (Gymnasium's type)

    def __init__(
        self,
        scenario: str | Scenario = "multicell",
        *,
        config: Any = None,
        render_mode: str | None = None,
        **fields: Any,
    ) -> None:
        self.scenario: Scenario = make_scenario(scenario, config, **fields) if isinstance(scenario, str) else scenario
        check_render_mode(render_mode, self.metadata)
        self.render_mode = render_mode
        self.observation_space = observation_space(self.scenario)
        self.action_space = action_space(self.scenario)
        self._state: Any = None
        self._allocation: Any = None
        self._finished = False
        self._problem: Any = None

    # ---------------------------------------------------------------- Gymnasium

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Draw a new network; ``info`` is empty, for nothing has been transmitted yet."""
        super().reset(seed=seed, options=options)
        self._enter(self.scenario.initial(self.scenario.draw_initial(self.np_random)))
        self._allocation, self._finished = None, False
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Decode an action, transmit, and move on by one slot."""
        self._require_running()
        return self.step_allocation(self.scenario.decode(action, self.problem))

    def step_allocation(self, allocation: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Transmit an allocation in physical units, as a solver returns it.

        Raises ``ValueError`` for a wrong shape and for NaN, Inf or negative entries. An allocation that breaks a
        constraint is transmitted as it is; ``info["violation"]`` tells by how much.
        """
        self._require_running()
        scenario, state = self.scenario, self.state
        allocation = scenario.check_allocation(allocation, self.problem)
        outcome = scenario.outcome(state, allocation)
        self._enter(scenario.transition(state, allocation, scenario.draw(self.np_random, state)))
        self._allocation = allocation
        self._finished = bool(self._state.slot >= scenario.horizon)
        info = {name: np.array(value) for name, value in scenario.info(outcome).items()}
        info = {name: entry(value) for name, value in info.items()}
        return self._observe(), float(outcome.utility), False, self._finished, info

    def render(self) -> np.ndarray | None:
        """Map of the network and the last allocation, (height, width, 3) uint8; None without a render mode."""
        if self.render_mode is None:
            return None
        from ..render import frame

        return frame(self.scenario, self.state, self._allocation)

    # ---------------------------------------------------------------- for allocators

    @property
    def state(self) -> Any:
        """The scenario's State, without a batch axis."""
        if self._state is None:
            raise RuntimeError("call `reset` first: the environment has no state yet")
        return self._state

    @property
    def problem(self) -> Any:
        """What an allocator may know in this slot."""
        if self._problem is None:
            self._problem = self.scenario.problem(self.state)
        return self._problem

    @property
    def truth(self) -> Any:
        """The same problem, filled with what the air does in this slot."""
        return self.scenario.truth(self.state)

    def get_state(self) -> EnvState:
        """Snapshot, generator included."""
        return deepcopy(EnvState(self.state, (self.np_random,), np.asarray(self._finished)))

    def set_state(self, snapshot: EnvState) -> None:
        """Continue from a snapshot; the snapshot can be used again."""
        snapshot = deepcopy(snapshot)
        self._enter(snapshot.state)
        (self.np_random,) = snapshot.generators
        self._allocation, self._finished = None, bool(snapshot.finished)

    # ---------------------------------------------------------------- internals

    def _enter(self, state: Any) -> None:
        self._state, self._problem = contiguous(state), None

    def _observe(self) -> Any:
        return self.scenario.observation(self.state)

    def _require_running(self) -> None:
        if self._state is None:
            raise gym.error.ResetNeeded("call `reset` before the first step")
        if self._finished:
            raise gym.error.ResetNeeded(
                f"the episode ended after {self.scenario.horizon} slots: call `reset` before the next step"
            )


def contiguous(state: Any) -> Any:
    """State with all arrays in C order, so that one that was pickled continues to the last bit.

    Sums over strided views round differently from those over the copies that a snapshot holds.
    """
    return tree_map(lambda leaf: np.asarray(leaf, order="C"), state)


def entry(value: np.ndarray) -> Any:
    """Entry of ``info``: an array or NumPy scalar, but a flag as Python's, which Gymnasium stacks to bools."""
    if value.ndim:
        return value
    return value.item() if value.dtype == np.bool_ else value[()]


def check_render_mode(mode: str | None, metadata: dict[str, Any]) -> None:
    """Raise ``ValueError`` for a mode that the environment does not have."""
    if mode is not None and mode not in metadata["render_modes"]:
        raise ValueError(f"`render_mode` must be None or one of {metadata['render_modes']}, got {mode!r}")
