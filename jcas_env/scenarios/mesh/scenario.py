"""lu2022 as a Markov decision process: pure functions of arrays with leading batch axes."""

from __future__ import annotations

from collections.abc import Sequence
from math import pi, radians, sqrt

import numpy as np

from ...physics.motion import gauss_markov
from ...randomness import RandomSource
from ...types import Array, array_namespace
from ..scenario import Observation, ScenarioBase, standard_normals
from .action import action_size, decode, decode_combs, encode_allocation, fallback
from .allocation import MeshAllocation, MeshOutcome
from .config import MeshConfig
from .motion import fold_into_sector, reflect
from .observation import observe, spec
from .problem import MeshProblem
from .state import Initial, Innovation, State


class Mesh(ScenarioBase[Initial, Innovation, State, MeshProblem, MeshAllocation, MeshOutcome]):
    """An anchor that positions users and serves them with data on the same subcarriers (lu2022, spec mesh 6).

    A frozen configuration and functions of it; shapes are those of :class:`State`, with any leading batch axes. The
    allocation acts on the users where they are observed; then they move. Frames do not couple through the action, so
    the optimum of every frame is the optimum of the episode.
    """

    name = "mesh"
    truth_is_known = True

    def __init__(self, config: MeshConfig | None = None) -> None:
        self.config: MeshConfig = MeshConfig() if config is None else config
        self.action_size = action_size(self.config.users)
        self.observation_spec = spec(self.config)

    @property
    def sector(self) -> tuple[float, float]:
        """Range of the angles of departure and arrival [rad]."""
        least = radians(self.config.angle_min_deg)
        return least, pi - least

    # ---------------------------------------------------------------- randomness

    def _draw_initial(self, rng: RandomSource) -> Initial:
        """Randomness of a reset.

        Distances (uniform in area), angles of departure, angles of arrival, in this order: with
        ``numpy.random.default_rng(seed)`` and 30 users these are the numbered instances of spec mesh 2.
        """
        config, users = self.config, self.config.users
        low, high = self.sector
        area = rng.uniform(config.distance_min**2, config.distance_max**2, users)
        return Initial(
            distance=array_namespace(area).sqrt(area),
            aod=rng.uniform(low, high, users),
            aoa=rng.uniform(low, high, users),
            velocity=rng.standard_normal((users, 2)),
        )

    def _draw(self, rng: RandomSource, state: State) -> Innovation:  # noqa: ARG002 (every slot draws the same)
        return self._innovation(rng.standard_normal(3 * self.config.users))

    def _draw_lanes(self, generators: Sequence[np.random.Generator], state: State) -> Innovation:  # noqa: ARG002
        return self._innovation(standard_normals(generators, 3 * self.config.users))

    def _innovation(self, normals: Array) -> Innovation:
        """Innovation of normals (..., 3 users)."""
        users = self.config.users
        return Innovation(normals[..., : 2 * users].reshape(*normals.shape[:-1], users, 2), normals[..., 2 * users :])

    # ---------------------------------------------------------------- dynamics

    def initial(self, draws: Initial) -> State:
        """State of the first frame: users where they are drawn, velocities from the stationary distribution."""
        xp = array_namespace(draws.distance)
        state = State(
            slot=np.zeros(draws.distance.shape[:-1], dtype=np.int64),
            position=draws.distance[..., None] * xp.stack([xp.cos(draws.aod), xp.sin(draws.aod)], axis=-1),
            velocity=self.config.speed * draws.velocity,
            orientation=pi + draws.aod - draws.aoa,
            reference_error=draws.distance[..., 0],
            reference_rate=draws.distance[..., 0],
        )
        return self._refer(state)

    def transition(
        self,
        state: State,
        allocation: MeshAllocation,  # noqa: ARG002 (frames do not couple)
        innovation: Innovation,
        truth: MeshProblem | None = None,  # noqa: ARG002
    ) -> State:
        """Next frame: users move, turn, and turn back at the edge of the sector; the allocation changes nothing."""
        config = self.config
        velocity = gauss_markov(
            state.velocity, innovation.velocity, memory=config.velocity_memory, rms_speed=sqrt(2.0) * config.speed
        )
        position, velocity, aod = fold_into_sector(
            state.position + velocity * config.interval,
            velocity,
            distances=(config.distance_min, config.distance_max),
            angles=self.sector,
        )
        turned = state.orientation + radians(config.turn_deg) * innovation.turn
        aoa, _ = reflect(pi + aod - turned, *self.sector)
        moved = state._replace(slot=state.slot + 1, position=position, velocity=velocity, orientation=pi + aod - aoa)
        return moved if config.references == "reset" else self._refer(moved)

    def _refer(self, state: State) -> State:
        """The state with the normalisers of its own geometry."""
        problem = self._make_problem(state, None, None)
        return state._replace(reference_error=problem.error_scale, reference_rate=problem.rate_scale)

    # ---------------------------------------------------------------- what is known, true, seen and paid

    def problem(self, state: State) -> MeshProblem:
        """The frame's problem: geometry, ratios of signal to noise, rate floor."""
        return self._make_problem(state, state.reference_error, state.reference_rate)

    def truth(self, state: State) -> MeshProblem:
        """The same as :meth:`problem`: users are observed where the allocation finds them (spec mesh 6)."""
        return self.problem(state)

    def _make_problem(self, state: State, reference_error: Array | None, reference_rate: Array | None) -> MeshProblem:
        xp = array_namespace(state.position)
        config = self.config
        distance = xp.hypot(state.position[..., 0], state.position[..., 1])
        aod = xp.atan2(state.position[..., 1], state.position[..., 0])
        return MeshProblem.derived(
            distance=distance,
            aod=aod,
            aoa=pi + aod - state.orientation,
            snr=config.snr(distance),
            subcarriers=config.subcarriers,
            reference_error=reference_error,
            reference_rate=reference_rate,
            **{name: getattr(config, name) for name in _SHARED},
        )

    def _observe(self, state: State, problem: MeshProblem) -> Observation:  # noqa: ARG002 (the problem tells it all)
        return observe(self.config, problem)

    # ---------------------------------------------------------------- actions and allocations

    def decode(self, action: Array, problem: MeshProblem) -> MeshAllocation:
        """Allocation of an action, (..., action_size); see :func:`.action.decode`."""
        return decode(action, problem, logit_scale=self.config.logit_scale)

    def decode_for_air(self, action: Array, problem: MeshProblem) -> MeshAllocation:
        """The allocation of an action; its combs are left to whoever wants to see them."""
        return decode_combs(action, problem, logit_scale=self.config.logit_scale)

    def encode_allocation(self, allocation: MeshAllocation, problem: MeshProblem) -> Array:
        """Action nearest to an allocation; see :func:`.action.encode_allocation`."""
        return encode_allocation(allocation, problem, logit_scale=self.config.logit_scale)

    fallback = staticmethod(fallback)


_SHARED = (
    "subcarrier_spacing",
    "tx_antennas",
    "rx_antennas",
    "rate_floor",
    "positioning_weight",
    "objective",
    "frame",
    "networking_time",
    "beam_split",
    "uniformity",
    "share_min",
    "least_subcarriers",
    "penalty",
)
"""Fields that a problem takes from the configuration as they are."""
