"""A scenario as a Gymnasium environment: a batch of one, without physics."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from ..scenarios import make_scenario
from ..scenarios.configuration import Configuration
from ..scenarios.scenario import Allocation, Observation, Scenario
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
        config: Configuration | None = None,
        render_mode: str | None = None,
        **fields: Any,
    ) -> None:
        self.scenario = make_scenario(scenario, config, **fields) if isinstance(scenario, str) else scenario
        check_render_mode(render_mode, self.metadata)
        self.render_mode = render_mode
        self.observation_space = observation_space(self.scenario)
        self.action_space = action_space(self.scenario)
        self._finished = np.asarray(False)

    # ---------------------------------------------------------------- Gymnasium

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Draw a new network; ``info`` is empty, for nothing has been transmitted yet."""
        super().reset(seed=seed, options=options)
        self._enter(self.scenario.sample(self.np_random))
        self._allocation, self._finished = None, np.asarray(False)
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Decode an action, transmit, and move on by one slot."""
        self._require_running()
        return self._transmit(self.scenario.decode_for_air(action, self._known()))

    def step_allocation(self, allocation: Allocation) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Transmit an allocation in physical units, as a solver returns it.

        Raises ``ValueError`` for a wrong shape and for NaN, Inf or negative entries. An allocation that breaks a
        constraint is transmitted as it is; ``info["violation"]`` tells by how much.
        """
        self._require_running()
        return self._transmit(self.scenario.check_allocation(allocation, self._known()))

    def _transmit(self, allocation: Allocation) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Step with an allocation that is valid: checked, or decoded from an action."""
        scenario, state = self.scenario, self.state
        outcome = scenario.outcome(state, allocation, self._true())
        self._later = scenario.later(state, self._later)
        innovation = scenario.draw(self.np_random, state)
        self._enter(scenario.transition_given(state, allocation, innovation, self._true(), outcome))
        finished = bool(self.state.slot >= scenario.horizon)
        self._allocation, self._finished = allocation, np.asarray(finished)
        info = self._info(outcome, self._later, lambda value: entry(np.asarray(value)))
        return self._observe(), float(outcome.utility), False, finished, info

    def render(self) -> np.ndarray | None:
        """Map of the network and the last allocation, (height, width, 3) uint8; None without a render mode."""
        if self.render_mode is None:
            return None
        from ..render import frame

        return frame(self.scenario, self.state, self._allocation)

    # ---------------------------------------------------------------- internals

    def _random_generators(self) -> tuple[np.random.Generator, ...]:
        return (self.np_random,)

    def _use_generators(self, generators: tuple[np.random.Generator, ...]) -> None:
        (self.np_random,) = generators

    def _require_running(self) -> None:
        if self._state is None:
            raise gym.error.ResetNeeded("call `reset` before the first step")
        if self._finished:
            raise gym.error.ResetNeeded(
                f"the episode ended after {self.scenario.horizon} slots: call `reset` before the next step"
            )
