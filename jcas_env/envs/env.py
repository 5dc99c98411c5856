"""A scenario as a Gymnasium environment: a batch of one, without physics."""

from __future__ import annotations

import logging
from typing import Any

import gymnasium as gym
import numpy as np

from ..scenarios import make_scenario
from ..scenarios.configuration import Configuration
from ..scenarios.scenario import Allocation, Observation, Scenario
from .horizon import episode_slots
from .info import LazyInfo
from .inputs import check_options, on_host, seed_number, seed_of
from .lanes import Lanes, check_render_mode, entry
from .spaces import action_space, observation_space


class JCASEnv(Lanes, gym.Env):
    """One network; every step is a slot.

    Parameters
    ----------
    scenario : str or Scenario
        Name of a scenario, or one that is already built.
    config : optional
        Whole configuration; keywords replace its fields.
    max_episode_steps : int, optional
        Cuts episodes before the scenario's horizon, which stays what it is.
    render_mode : {None, "rgb_array", "human"}
        ``human``: every reset and step is shown in a window; where none can be opened, the log says so and nothing is.
    **fields
        Any field of the scenario's configuration, e.g. ``users_per_cell=6``; with a scenario that is already built, one
        like it with these. Another keyword raises ``TypeError``.

    Notes
    -----
    Observations are float32 (see the scenario's ``observation_spec``), actions a Box in [-1, 1] in which every
    point is a feasible allocation. The reward is ``truth.utility(allocation)``. Episodes are truncated after
    ``horizon`` slots and never terminate.

    ``info`` has the same entries from ``reset`` and ``step``. Of a slot that was played they say what the allocation
    earned in it; ``reset`` says what ``scenario.fallback(problem)`` would earn in the slot that begins. Flags are
    arrays without a dimension, numbers are NumPy's.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array", "human"], "render_fps": 10}  # noqa: RUF012 (Gymnasium's type)

    def __init__(
        self,
        scenario: str | Scenario = "multicell",
        *,
        config: Configuration | None = None,
        max_episode_steps: int | None = None,
        render_mode: str | None = None,
        **fields: Any,
    ) -> None:
        self.scenario = make_scenario(scenario, config, **fields)
        self._slots = episode_slots(self.scenario.horizon, max_episode_steps)
        check_render_mode(render_mode, self.metadata)
        self.render_mode = render_mode
        self.observation_space = observation_space(self.scenario)
        self.action_space = action_space(self.scenario)
        self._finished = np.asarray(False)
        self._window: Any = None

    # ---------------------------------------------------------------- Gymnasium

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Draw a new network; ``info`` says what the fallback would earn in its first slot, when somebody reads it."""
        check_options(options)
        super().reset(seed=seed_number(seed), options=options)
        self._enter(self.scenario.sample(self.np_random))
        self._allocation, self._finished = None, np.asarray(False)
        start = self._start()
        self._show()
        return self._observe(), LazyInfo({}, self._entries or (), lambda: _entries(start.entries()))

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Decode an action, transmit, and move on by one slot."""
        self._require_running()
        return self._transmit(self.scenario.decode_for_air(on_host(action), self._known()))

    def step_allocation(self, allocation: Allocation) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Transmit an allocation in physical units, as a solver returns it.

        Raises ``TypeError`` for what is no allocation of this scenario, ``ValueError`` for a wrong shape, for NaN, Inf
        or negative entries, and for what is no number. Gradients of tensors stop here. An allocation that breaks a
        constraint is transmitted as it is; ``info["violation"]`` tells by how much.
        """
        self._require_running()
        allocation = self._taken(allocation, on_host)
        return self._transmit(self.scenario.check_allocation(allocation, self._known()))

    def _transmit(self, allocation: Allocation) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Step with an allocation that is valid: checked, or decoded from an action."""
        scenario, state = self.scenario, self.state
        outcome = scenario.outcome(state, allocation, self._true())
        self._later = scenario.later(state, self._later)
        innovation = scenario.draw(self.np_random, state)
        self._enter(scenario.transition_given(state, allocation, innovation, self._true(), outcome))
        finished = bool(self.state.slot >= self._slots)
        self._allocation, self._finished = allocation, np.asarray(finished)
        info = self._info(outcome, self._later, lambda value: entry(np.asarray(value)))
        self._show()
        return self._observe(), float(outcome.utility), False, finished, info

    def render(self) -> np.ndarray | None:
        """Map of the network and the last allocation, (height, width, 3) uint8; None without a render mode.

        In the mode ``human`` it is shown, and nothing is returned.
        """
        if self.render_mode is None:
            return None
        from ..render import frame

        if self.render_mode == "human" and self._window is None:
            self._window = self._opened()
        if self._window is False:
            return None
        picture = frame(self.scenario, self.state, self._allocation)
        if self.render_mode == "rgb_array":
            return picture
        self._window.show(picture)
        return None

    def _opened(self) -> Any:
        """A window; False, and a line on the log, where none can be opened."""
        from ..render.window import new_window

        try:
            window = new_window(type(self.scenario).__name__)
            window.appear()
        except RuntimeError as error:
            logging.getLogger("jcas_env").warning("nothing is shown: %s", error)
            return False
        return window

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._window:
            self._window.close()
        self._window = None

    # ---------------------------------------------------------------- internals

    def _show(self) -> None:
        """Show what has happened, where somebody watches."""
        if self.render_mode == "human":
            self.render()

    def _random_generators(self) -> tuple[np.random.Generator, ...]:
        return (self.np_random,)

    def _generator_kind(self) -> tuple[int, type]:
        return 1, np.random.Generator

    def _use_generators(self, generators: tuple[np.random.Generator, ...]) -> None:
        (self.np_random,) = generators
        self._np_random_seed = seed_of(self.np_random)

    def _require_running(self) -> None:
        if self._state is None:
            raise gym.error.ResetNeeded("call `reset` before the first step")
        if self._finished:
            raise gym.error.ResetNeeded(
                f"the episode ended after {self._slots} slots: call `reset` before the next step"
            )


def _entries(stated: dict[str, Any]) -> dict[str, Any]:
    """Entries of ``info`` of one lane."""
    return {name: entry(np.asarray(value)) for name, value in stated.items()}
