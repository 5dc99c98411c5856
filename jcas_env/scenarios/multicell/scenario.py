"""luo2023 as a Markov decision process: pure functions of arrays with leading batch axes."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace, device

from ...physics.beamforming import effective_channel, effective_gain, leakage
from ...physics.channel import multipath_channel, path_gains
from ...physics.geometry import array_axes, cell_centres, hexagon_point, link_geometry
from ...physics.grouping import assign_cells
from ...physics.motion import autoregressive_fading, gauss_markov, move_in_cell, phase_walk, two_state_chain
from ...physics.propagation import path_loss_umi_db
from ...physics.rates import sensing_gain
from ...tree import tree_map
from ...types import Array
from ..scenario import ArraySpec
from . import action as actions
from . import draws, knowledge, observation
from .allocation import MultiCellAllocation, MultiCellOutcome
from .config import KEEP_OUT, MultiCellConfig
from .constraints import check_allocation
from .problem import MultiCellProblem
from .state import Air, ChannelNoise, Csi, Initial, Innovation, State


class MultiCell:
    """Cells that serve data and position their users with the same power and band (luo2023, spec multicell).

    A frozen configuration and functions of it; nothing changes after construction. Shapes are those of
    :class:`State`, with any leading batch axes. Time: ``state`` holds the knowledge of slot t - 1 and the truth
    of slot t, in which the allocation acts (DESIGN 2).
    """

    name = "multicell"

    def __init__(self, config: MultiCellConfig | None = None) -> None:
        self.config = config = MultiCellConfig() if config is None else config
        self.stations = np.asarray(cell_centres(config.cells, config.radius))
        """Base station positions, (cells, 2) [m]."""
        self.axes = np.asarray(array_axes(config.cells))
        """Azimuth of the base stations' array axes, (cells,) [rad]."""
        self.home = np.repeat(np.arange(config.cells), config.users_per_cell)
        """Hexagon that confines each user, (users,)."""

    # ---------------------------------------------------------------- sizes

    @property
    def horizon(self) -> int:
        """Slots in an episode."""
        return self.config.horizon

    @property
    def action_size(self) -> int:
        """4 logits per user and 1 per cell."""
        return actions.action_size(self.config.users, self.config.cells)

    @property
    def observation_spec(self) -> ArraySpec | dict[str, ArraySpec]:
        """Shapes and finite bounds of the observation."""
        return observation.spec(self.config)

    # ---------------------------------------------------------------- randomness

    def draw_initial(self, rng: np.random.Generator) -> Initial:
        """All randomness of a reset, for one lane, in the configured precision."""
        return self._cast(draws.draw_initial(self.config, rng))

    def draw(self, rng: np.random.Generator, state: State) -> Innovation:  # noqa: ARG002 (Scenario protocol)
        """All randomness of a slot, for one lane, in the configured precision."""
        return self._cast(draws.draw_innovation(self.config, rng))

    def _cast(self, drawn: Any) -> Any:
        if self.config.dtype == "float64":
            return drawn
        kinds = {"f": np.float32, "c": np.complex64}
        return tree_map(lambda leaf: leaf.astype(kinds.get(leaf.dtype.kind, leaf.dtype)), drawn)

    # ---------------------------------------------------------------- dynamics

    def initial(self, draws: Initial) -> State:
        """State at the first decision: slots -1 and 0 are drawn, the first gives the knowledge.

        Without delay of the knowledge the same two slots are drawn, so that a seed means the same channels.
        """
        xp = array_namespace(draws.drop)
        config = self.config
        centre = self._constant(self.stations, draws.drop)[self._constant(self.home, draws.drop)]
        links = draws.los_phase
        air = self._propagate(
            position=centre + hexagon_point(draws.drop, radius=config.radius, keep_out=KEEP_OUT),
            velocity=config.speed / 2.0**0.5 * draws.velocity,
            user_axis=draws.user_axis,
            los_phase=links,
            scatter=draws.scatter,
            blocked=xp.zeros(links.shape, dtype=xp.bool, device=device(links)),
            aod_cos=draws.aod_cos,
            aoa_cos=draws.aoa_cos,
        )
        cell = self._assign(air, draws.noise)
        same = cell[..., :, None] == cell[..., None, :]
        equal = config.power_budget / (2.0 * xp.sum(xp.astype(same, links.dtype), axis=-1))
        first = State(
            slot=xp.full(cell.shape[:-1], -1, dtype=xp.int64, device=device(cell)),
            cell=cell,
            air=air,
            csi=self._know(air, draws.noise, cell),
            last_power=xp.stack([equal, equal], axis=-2),
            queue=xp.zeros_like(equal),
        )
        return self._advance(first, first.last_power, draws.first)

    def transition(self, state: State, allocation: MultiCellAllocation, innovation: Innovation) -> State:
        """Next decision: the channel moves on, and the slot that has just been played becomes the knowledge."""
        return self._advance(state, allocation.power, innovation)

    def _advance(self, state: State, power: Array, innovation: Innovation) -> State:
        config, air = self.config, state.air
        centre = self._constant(self.stations, air.position)[self._constant(self.home, air.position)]
        velocity = gauss_markov(
            air.velocity, innovation.velocity, memory=config.velocity_memory, rms_speed=config.speed
        )
        position, velocity = move_in_cell(
            air.position, velocity, centre, slot=config.slot, radius=config.radius, keep_out=KEEP_OUT
        )
        blocked = air.blocked
        if config.blockage:
            blocked = two_state_chain(
                blocked, innovation.blockage, enter=config.blockage_enter, leave=config.blockage_leave
            )
        rho = config.fading_correlation
        following = self._propagate(
            position=position,
            velocity=velocity,
            user_axis=air.user_axis,
            los_phase=phase_walk(air.los_phase, innovation.los_phase, correlation=rho),
            scatter=autoregressive_fading(air.scatter, innovation.scatter, correlation=rho),
            blocked=blocked,
            aod_cos=air.aod_cos,
            aoa_cos=air.aoa_cos,
        )
        measured = air if config.csi_delay else following
        return State(
            slot=state.slot + 1,
            cell=state.cell,
            air=following,
            csi=self._know(measured, innovation.noise, state.cell),
            last_power=power,
            queue=state.queue,
        )

    def _propagate(
        self,
        *,
        position: Array,
        velocity: Array,
        user_axis: Array,
        los_phase: Array,
        scatter: Array,
        blocked: Array,
        aod_cos: Array,
        aoa_cos: Array,
    ) -> Air:
        """Complete a slot: angles of the lines of sight, path gains and channels follow from the rest."""
        xp = array_namespace(position)
        config = self.config
        distance, departure, arrival = link_geometry(
            position, self._constant(self.stations, position), self._constant(self.axes, position), user_axis
        )
        aod_cos = xp.concat([departure[..., None], aod_cos[..., 1:]], axis=-1)
        aoa_cos = xp.concat([arrival[..., None], aoa_cos[..., 1:]], axis=-1)
        path_loss_db = path_loss_umi_db(xp.clip(distance, min=KEEP_OUT), carrier_hz=config.carrier_hz)
        gains = path_gains(
            los_phase,
            scatter,
            path_loss_db,
            antennas=config.bs_antennas * config.ue_antennas,
            rician_factor=config.rician_factor,
        )
        if config.blockage:
            loss = 10.0 ** (-config.blockage_loss_db / 20.0)
            sight = xp.where(blocked, loss, xp.ones_like(distance))[..., None]
            gains = xp.concat([gains[..., :1] * sight, gains[..., 1:]], axis=-1)
        channel = multipath_channel(
            gains, aoa_cos, aod_cos, rx_antennas=config.ue_antennas, tx_antennas=config.bs_antennas
        )
        return Air(
            position=position,
            velocity=velocity,
            user_axis=user_axis,
            los_phase=los_phase,
            scatter=scatter,
            blocked=blocked,
            path_loss_db=path_loss_db,
            aod_cos=aod_cos,
            aoa_cos=aoa_cos,
            gains=gains,
            channel=channel,
        )

    def _assign(self, air: Air, noise: ChannelNoise) -> Array:
        """Serving cells of an episode, (..., users)."""
        config = self.config
        if config.assignment == "geometric":
            xp = array_namespace(air.position)
            return xp.broadcast_to(self._constant(self.home, air.position), air.position.shape[:-1])
        return assign_cells(
            knowledge.estimate(config, air, noise).channel,
            kind=config.combiner_kind,
            power=config.power_budget,
            noise_power=config.noise_density * config.band_budget,
        )

    def _know(self, air: Air, noise: ChannelNoise, cell: Array) -> Csi:
        """Knowledge that a slot leaves: an estimate, and what the network does with it."""
        known = knowledge.estimate(self.config, air, noise)
        return knowledge.act_on(self.config, known, cell, self._thresholds(cell, air.position))

    def _thresholds(self, cell: Array, like: Array) -> Array:
        """Grouping threshold of each user's cell, (..., users)."""
        threshold = np.zeros(self.config.cells) + self.config.grouping_threshold
        return self._constant(threshold, like)[cell]

    @staticmethod
    def _constant(value: np.ndarray, like: Array, dtype: Any = None) -> Array:
        """A configuration constant as an array of the library, device and (if real) precision of ``like``."""
        xp = array_namespace(like)
        if dtype is None:
            dtype = xp.int64 if value.dtype.kind == "i" else like.dtype
        return xp.asarray(value, dtype=dtype, device=device(like))

    # ---------------------------------------------------------------- what is known, true, seen and paid

    def problem(self, state: State) -> MultiCellProblem:
        """What an allocator may know: estimated gains, groups, budgets, weights."""
        csi = state.csi
        return self._pose(state, csi.gain, csi.leakage, csi.sensing_gain, csi.channel)

    def truth(self, state: State) -> MultiCellProblem:
        """The same problem on the true channel of the slot in which the allocation acts.

        Combiners, beams and groups are those of the knowledge; gains, leakage and positioning factor are true.
        """
        config, csi = self.config, state.csi
        air = effective_channel(state.air.channel, csi.combiner)
        xp = array_namespace(state.cell)
        own = xp.take_along_axis(state.air.aod_cos[..., 0], state.cell[..., None, :], axis=-2)[..., 0, :]
        kappa = sensing_gain(
            own,
            antennas=config.bs_antennas,
            prior_variance=config.prior_variance,
            kind=config.positioning_gain,
        )
        return self._pose(state, effective_gain(air, csi.beam, state.cell), leakage(air, state.cell), kappa, air)

    def _pose(self, state: State, gain: Array, leakage: Array, sensing_gain: Array, air: Array) -> MultiCellProblem:
        xp = array_namespace(gain)
        config = self.config
        same = state.cell[..., :, None] == state.cell[..., None, :]
        return MultiCellProblem(
            gain=gain,
            leakage=leakage,
            sensing_gain=sensing_gain,
            cell=state.cell,
            group=state.csi.group,
            last_power=state.last_power,
            weight=1.0 / xp.sum(xp.astype(same, gain.dtype), axis=-1),
            service_weight=self._constant(np.asarray(config.service_weight, dtype=float), gain),
            power_budget=config.power_budget,
            band_budget=config.band_budget,
            power_floor=config.floor * config.power_budget,
            band_floor=config.floor * config.band_budget,
            noise_density=config.noise_density,
            positioning_share=float("nan") if config.positioning_share is None else config.positioning_share,
            queue=state.queue,
            reward=config.reward,
            noise=config.noise,
            intercell=config.intercell,
            subcarrier_spacing=config.subcarrier_spacing if config.whole_subcarriers else 0.0,
            precoder=config.precoder,
            analog=config.analog,
            cell_count=config.cells,
            correlation=state.csi.correlation,
            beam_channel=state.csi.channel,
            air_channel=air,
        )

    def observation(self, state: State) -> Array | dict[str, Array]:
        """What a policy sees of the known problem (spec learning 1)."""
        problem = self.problem(state)
        if self.config.observation == "flat":
            return observation.flat(problem, observation.most_labels(self.config))
        return observation.structured(problem)

    def outcome(self, state: State, allocation: MultiCellAllocation) -> MultiCellOutcome:
        """Rates, utility and violation of an allocation on the truth."""
        return self.truth(state).outcome(allocation)

    def reward(self, state: State, allocation: MultiCellAllocation) -> Array:
        """``truth(state).utility(allocation)``, (...,)."""
        return self.truth(state).utility(allocation)

    def info(self, outcome: MultiCellOutcome) -> dict[str, Array]:
        """``rate``, ``positioning_rate`` (..., users) [bit/s], ``utility``, ``violation`` (...,)."""
        return outcome._asdict()

    # ---------------------------------------------------------------- actions and allocations

    def decode(self, action: Array, problem: MultiCellProblem) -> MultiCellAllocation:
        """Allocation of an action, (..., action_size); see :func:`.action.decode`."""
        return actions.decode(action, problem, logit_scale=self.config.logit_scale)

    def encode_allocation(self, allocation: MultiCellAllocation, problem: MultiCellProblem) -> Array:
        """Action nearest to an allocation; see :func:`.action.encode_allocation`."""
        return actions.encode_allocation(allocation, problem, logit_scale=self.config.logit_scale)

    def fallback(self, problem: MultiCellProblem) -> MultiCellAllocation:
        """Equal power per user and band per group size at half share, with whatever floors still fit.

        Played where a solver reports INFEASIBLE: there no allocation keeps every floor, and this one spends
        exactly the budgets.
        """
        xp = array_namespace(problem.gain)
        share = xp.where(problem.share_is_free, 0.5, problem.share)
        services = xp.stack([problem.of_cell(1.0 - share), problem.of_cell(share)], axis=-2)
        power = services * (problem.per_user(problem.power_budget) / problem.crowd)[..., None, :]
        band = services * (problem.per_user(problem.band_budget) * problem.group_size / problem.crowd)[..., None, :]
        return MultiCellAllocation(power, band, problem.group)

    def check_allocation(self, allocation: MultiCellAllocation, problem: MultiCellProblem) -> MultiCellAllocation:
        """Return an allocation as arrays; raises ``ValueError`` that names a bad entry."""
        return check_allocation(problem, allocation)
