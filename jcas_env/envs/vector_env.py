"""Many networks in one call: the same functions on arrays with a leading axis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from ..batching import joined
from ..checks import require
from ..scenarios import make_scenario
from ..scenarios.configuration import Configuration
from ..scenarios.scenario import Allocation, Observation, Outcome, Scenario
from ..tree import put, take
from ..types import Array
from .horizon import episode_slots
from .info import LazyInfo
from .inputs import check_options
from .lanes import Lanes, check_render_mode
from .place import Host
from .spaces import action_space, observation_space


class JCASVectorEnv(Lanes, VectorEnv):
    """Native vector environment; lane i seeded with s follows ``JCASEnv`` seeded with s + i.

    Parameters
    ----------
    scenario : str or Scenario
        Name of a scenario, or one that is already built.
    num_envs : int
        Number of lanes.
    config, **fields
        As for ``JCASEnv``.
    autoreset_mode : AutoresetMode or str
        ``NEXT_STEP`` (default): the step after an episode's end resets the lane and ignores its action.
        ``SAME_STEP``: the lane is reset at once, and ``info["final_obs"]``, ``info["final_info"]`` keep the last
        step. ``DISABLED``: reset finished lanes with ``reset(options={"reset_mask": mask})``.
    max_episode_steps : int, optional
        Cuts episodes before the scenario's horizon, as ``gymnasium.make`` does; the horizon stays what it is.
    device : str or torch.device, optional
        Where all lanes live as PyTorch tensors, ``"cuda"`` or ``"cpu"``; None: NumPy.
    render_mode : {None, "rgb_array"}

    Notes
    -----
    Observations, ``info`` keys, their ``_key`` masks and the final entries are those of ``SyncVectorEnv`` over
    ``JCASEnv``: a lane that has been reset has what ``JCASEnv.reset`` says.

    On a device the scenario's functions are the same, and observations, rewards, ends and ``info`` are tensors there:

    * One generator of the device draws for all lanes. A seed repeats the same numbers on the same device with the same
      number of lanes, and means other networks than in NumPy; ``seed`` is one integer, and a partial reset takes none.
    * Rewards are in the precision of the scenario. Actions are tensors, or what becomes one; gradients stop at them.
    * ``final_obs`` and ``final_info`` hold tensors of all lanes, and say by their masks which lanes they are of.
    * Clocks, and so the lanes that end, are the host's, and values are not checked: with the true channel no slot waits
      for the device. Estimators, the mesh's subcarriers, whole subcarriers and the arrivals of queues ask it what to
      compute.

    Raises ``ValueError`` for a device that this machine does not have, ``ImportError`` without PyTorch.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 (Gymnasium's type)

    def __init__(
        self,
        scenario: str | Scenario = "multicell",
        *,
        num_envs: int = 1,
        config: Configuration | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        max_episode_steps: int | None = None,
        device: Any = None,
        render_mode: str | None = None,
        **fields: Any,
    ) -> None:
        super().__init__()
        require(num_envs >= 1, f"`num_envs` must be at least 1, got {num_envs!r}")
        self.scenario = scenario = make_scenario(scenario, config, **fields)
        self._slots = episode_slots(scenario.horizon, max_episode_steps)
        self.num_envs = num_envs
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        check_render_mode(render_mode, self.metadata)
        self.render_mode = render_mode
        self.metadata = {**type(self).metadata, "autoreset_mode": self.autoreset_mode}
        self.single_observation_space = observation_space(scenario)
        self.single_action_space = action_space(scenario)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._place = _place(scenario, num_envs, device)
        self._finished = np.zeros(num_envs, dtype=bool)

    # ---------------------------------------------------------------- Gymnasium

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Reset all lanes, or those of ``options["reset_mask"]`` ((num_envs,) bool, at least one true)."""
        mask = self._reset_mask(check_options(options))
        self._place.seed(mask, seed)
        with self._place.working():
            self._restart(mask)
            return self._observe(), self._begun(mask)

    def step(self, actions: Any) -> tuple[Observation, Array, Array, Array, dict[str, Any]]:
        """Decode actions, (num_envs, action_size), transmit, and move on by one slot."""
        self._require_running()
        actions = self._place.actions(actions)
        lanes = tuple(actions.shape)[:1]
        require(lanes == (self.num_envs,), f"`action` must have {self.num_envs} lanes, got {tuple(actions.shape)}")
        if self._finished.any():
            actions[self._finished] = 0  # what is sent to a lane that is about to be reset is nobody's action
        with self._place.working():
            return self._transmit(self.scenario.decode_for_air(actions, self._known()))

    def step_allocation(self, allocation: Allocation) -> tuple[Observation, Array, Array, Array, dict[str, Any]]:
        """Transmit allocations in physical units with a leading (num_envs,) axis; see ``JCASEnv``."""
        self._require_running()
        scenario, active = self.scenario, ~self._finished
        allocation = self._taken(allocation, self._place.taken)
        if self._finished.any():  # these lanes are reset in place of a step; what a caller has for them may be NaN
            allocation = put(scenario.fallback(self._known()), active, take(allocation, active))
        with self._place.working():
            return self._transmit(scenario.check_allocation(allocation, self._known()))

    def _transmit(self, allocation: Allocation) -> tuple[Observation, Array, Array, Array, dict[str, Any]]:
        """Step with allocations that are valid: checked, or decoded from actions."""
        scenario, state, copy = self.scenario, self.state, self._place.copy
        restart, active = self._finished, ~self._finished
        outcome = scenario.outcome(state, allocation, self._true())
        self._later = scenario.later(state, self._later)
        if active.any():
            state = self._moved(state, allocation, outcome, active)
        self._enter(state)
        truncated = active & (np.asarray(state.slot) >= self._slots)
        reward = self._place.reward(outcome.utility if active.all() else self._place.only(active, outcome.utility))
        self._allocation = allocation
        info = self._info(outcome, self._later, copy)
        final: dict[str, Any] = {}
        if self.autoreset_mode is AutoresetMode.SAME_STEP and truncated.any():
            final = self._final(truncated, info)
            restart = truncated
        else:
            self._finished = truncated
        if restart.any():
            self._restart(restart)
            info = self._begun(restart, info)
        else:
            info = self._with_masks(info, active)
        if final:  # a plain dictionary: who looks for last observations in it maps functions over trees of them
            info = {**info, **final}
        return self._observe(), reward, copy(np.zeros_like(truncated)), copy(truncated), info

    def render(self) -> tuple[np.ndarray, ...] | None:
        """A map for every lane, (height, width, 3) uint8 each, with what it last transmitted in its episode.

        None without a render mode.
        """
        if self.render_mode is None:
            return None
        from ..render import frame

        last, one = self._allocation, self._place.one
        began = np.asarray(self.state.slot) == 0  # nothing has been transmitted since
        return tuple(
            frame(self.scenario, one(self.state, lane), None if last is None or began[lane] else one(last, lane))
            for lane in range(self.num_envs)
        )

    def __len__(self) -> int:
        """Number of lanes."""
        return self.num_envs

    # ---------------------------------------------------------------- generators

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[Any, ...]:  # type: ignore[override]
        """Generator of every lane; on a device the state of the one that draws for all of them."""
        return self._place.generators()

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """Seed of every lane, which on a device is that of all; -1 where it is unknown."""
        return self._place.seeds()

    # ---------------------------------------------------------------- internals

    def _random_generators(self) -> tuple[Any, ...]:
        return self._place.generators()

    def _generator_kind(self) -> tuple[int, type]:
        return self._place.generator_kind()

    def _use_generators(self, generators: tuple[Any, ...]) -> None:
        self._place.use_generators(generators)

    def _moved(self, state: Any, allocation: Allocation, outcome: Outcome, active: np.ndarray) -> Any:
        """State of the next slot in the lanes that are active, and the same in the others."""
        scenario, place = self.scenario, self._place
        parts = place.parts(active)
        if len(parts) == 1 and active.all():
            return scenario.transition_given(state, allocation, place.innovation(state, active), self._true(), outcome)
        # The truth at hand is that of all lanes, those of a part need their own.
        moved = joined(
            [
                scenario.transition(take(state, some), take(allocation, some), place.innovation(state, some))
                for some in parts
            ]
        )
        return moved if active.all() else put(state, active, moved)

    def _restart(self, mask: np.ndarray) -> None:
        """Draw new networks for the lanes of a mask, in which nothing has been transmitted."""
        fresh, everybody = joined([self._place.first(some) for some in self._place.parts(mask)]), bool(mask.all())
        self._enter(fresh if everybody else put(self.state, mask, fresh))
        self._allocation = None if everybody else self._allocation
        self._finished = self._finished & ~mask

    def _begun(self, lanes: np.ndarray, played: Mapping[str, Array] | None = None) -> dict[str, Any]:
        """``info`` of lanes that have been reset, made when somebody reads it; elsewhere ``played``, or zeros.

        In Gymnasium's form, with a mask for each key that says which lanes have it.
        """
        start, place = self._start(), self._place
        everybody = np.ones_like(lanes)

        def make() -> dict[str, Any]:
            with place.working():
                first = {name: place.copy(value) for name, value in start.entries().items()}
                if lanes.all():
                    return first
                if played is None:
                    return {name: place.only(lanes, value) for name, value in first.items()}
                return {name: place.merged(lanes, value, played[name]) for name, value in first.items()}

        names = self._entries or ()
        masks = {f"_{name}": place.copy(lanes if played is None else everybody) for name in names}
        return LazyInfo(masks, names, make)

    def _final(self, lanes: np.ndarray, info: Mapping[str, Array]) -> dict[str, Any]:
        """Last observation and info of finished lanes in Gymnasium's form; on a device tensors stay whole."""
        place, observation = self._place, self._observe()
        last: Any = observation
        if isinstance(place.copy(lanes), np.ndarray):
            last = np.full(self.num_envs, None, dtype=object)
            for lane in np.flatnonzero(lanes).tolist():
                seen = observation
                last[lane] = {name: part[lane] for name, part in seen.items()} if isinstance(seen, dict) else seen[lane]
        masks = {f"_{name}": place.copy(lanes) for name in info}
        told = LazyInfo(masks, tuple(info), lambda: {name: place.only(lanes, part) for name, part in info.items()})
        return {"final_obs": last, "final_info": told} | {f"_final_{it}": place.copy(lanes) for it in ("obs", "info")}

    def _with_masks(self, info: dict[str, Any], lanes: np.ndarray) -> dict[str, Any]:
        """``info`` of some lanes in Gymnasium's form, a mask beside each entry."""
        for name in tuple(info):
            info[f"_{name}"] = self._place.copy(lanes)
        return info

    def _reset_mask(self, options: dict[str, Any]) -> np.ndarray:
        """Lanes to reset; everything unless ``options`` say otherwise."""
        if "reset_mask" not in options:
            return np.ones(self.num_envs, dtype=bool)
        mask = options["reset_mask"]
        ok = isinstance(mask, np.ndarray) and mask.shape == (self.num_envs,) and mask.dtype == np.bool_
        require(
            ok and bool(mask.any()),
            f"`options['reset_mask']` must be a bool array of shape ({self.num_envs},) with at least one True, "
            f"got {mask!r}",
        )
        require(bool(mask.all()) or self._state is not None, "the first `reset` must reset every lane")
        return mask

    def _require_running(self) -> None:
        if self._state is None:
            raise gym.error.ResetNeeded("call `reset` before the first step")
        if self.autoreset_mode is AutoresetMode.DISABLED and self._finished.any():
            lanes = np.flatnonzero(self._finished).tolist()
            raise gym.error.ResetNeeded(
                f"the episode ended in lanes {lanes}: call `reset(options={{'reset_mask': mask}})` before the next step"
            )


def _place(scenario: Scenario, lanes: int, device: Any) -> Host:
    """Where lanes live: in NumPy, or on a device."""
    if device is None:
        return Host(scenario, lanes)
    from .device import Device

    return Device(scenario, lanes, device)
