"""luo2023 as a Markov decision process: pure functions of arrays with leading batch axes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...physics.angle_tracking import predict_variance, update_variance
from ...physics.beamforming import passed, serving_link
from ...physics.grouping import assign_cells
from ...physics.information.angle import angle_information
from ...physics.membership import same_label
from ...physics.rates import sensing_gain
from ...randomness import RandomSource
from ...types import POSITIONING, Array, array_namespace, as_array, constant, device
from ..scenario import Later, Observation, ScenarioBase
from .action import action_size, decode, encode_allocation, fallback
from .config import KEEP_OUT, MultiCellConfig
from .knowledge.csi import behind, knowledge_of
from .knowledge.estimate import estimate_links
from .knowledge.positions import Positions
from .network.draws import (
    DRAWN_AT_ONCE,
    draw_initial,
    draw_innovation,
    draw_innovations,
    pilot_numbers,
    work_after,
)
from .network.layout import make_layout
from .network.motion import drop, move
from .network.traffic import arrival_rates, begin_traffic, next_traffic
from .observation import observe, spec
from .problem.allocation import MultiCellAllocation, MultiCellOutcome
from .problem.problem import MultiCellProblem
from .state import Air, ChannelNoise, Csi, Initial, Innovation, Memory, State, Traffic


class MultiCell(ScenarioBase[Initial, Innovation, State, MultiCellProblem, MultiCellAllocation, MultiCellOutcome]):
    """Cells that serve data and position their users with the same power and band (luo2023, spec multicell).

    A frozen configuration and functions of it; nothing changes after construction. Shapes are those of
    :class:`State`, with any leading batch axes. Time: ``state`` holds the knowledge of slot t - 1 and the truth
    of slot t, in which the allocation acts (DESIGN 2).
    """

    name = "multicell"

    def __init__(self, config: MultiCellConfig | None = None) -> None:
        self.config: MultiCellConfig = MultiCellConfig() if config is None else config
        self.action_size = action_size(self.config.users, self.config.cells)
        self.observation_spec = spec(self.config)
        self.layout = make_layout(self.config)
        """Stations, array axes and the users' hexagons."""

    @property
    def lanes_at_once(self) -> int | None:
        """As many as fill 64 MB with the pilots' noise of a slot in which angles are measured."""
        numbers = pilot_numbers(self.config)
        return max(1, DRAWN_AT_ONCE // numbers) if numbers else None

    # ---------------------------------------------------------------- randomness

    def _draw_initial(self, rng: RandomSource) -> Initial:
        return draw_initial(self.config, rng)

    def _draw(self, rng: RandomSource, state: State) -> Innovation:
        return draw_innovation(self.config, rng, work_after(self.config, state.memory.age))

    def _draw_lanes(self, generators: Sequence[np.random.Generator], state: State) -> Innovation:
        return draw_innovations(self.config, generators, work_after(self.config, state.memory.age))

    # ---------------------------------------------------------------- dynamics

    def initial(self, draws: Initial) -> State:
        """State at the first decision: slots -1 and 0 are drawn, the first gives the knowledge.

        Without delay of the knowledge the same two slots are drawn, so that a seed means the same channels.
        """
        xp = array_namespace(draws.drop)
        config = self.config
        before = drop(config, self.layout, draws)
        air = move(config, self.layout, before, draws.first)
        cell = self._assign(before, draws.noise)
        equal = config.power_budget / (2.0 * self._crowds(cell, draws.los_phase))
        measured = before if config.csi_delay else air
        csi, memory = self._update_knowledge(measured, draws.first.noise, cell, None)
        nothing = xp.zeros_like(equal)
        state = State(
            slot=np.zeros(cell.shape[:-1], dtype=np.int64),
            cell=cell,
            air=air,
            csi=csi,
            memory=memory,
            last_power=xp.stack([equal, equal], axis=-2),
            queue=nothing,
            traffic=Traffic(nothing, nothing, nothing),
            angle_variance=self._predict_variance(air.position, cell, nothing + config.prior_variance),
        )
        # What arrives is given relative to what equal allocation delivers, which only a whole state tells.
        if not config.has_queues:
            return state
        rate = arrival_rates(config.load, self.equal_rate(state))
        return state._replace(traffic=begin_traffic(config, rate, draws.first.arrivals))

    def equal_rate(self, state: State) -> Array:
        """Data rate of every user under equal power and band per user, (..., users) [bit/s]: what loads relate to."""
        return self.truth(state).rates(self.fallback(self.problem(state)))[0]

    def transition(
        self,
        state: State,
        allocation: MultiCellAllocation,
        innovation: Innovation,
        truth: MultiCellProblem | None = None,
    ) -> State:
        """Next decision: the channel moves on, and the slot that has just been played becomes the knowledge."""
        config = self.config
        air = move(config, self.layout, state.air, innovation)
        measured = state.air if config.csi_delay else air
        csi, memory = self._update_knowledge(measured, innovation.noise, state.cell, state.memory)
        queue, traffic, variance = state.queue, state.traffic, state.angle_variance
        if config.has_queues or config.kalman:  # nothing else of a slot depends on what was transmitted in it
            truth = self.truth(state) if truth is None else truth
            if config.kalman:
                variance = self._measure_angles(state, truth, allocation)
            if config.has_queues:
                queue, traffic = self._update_queues(traffic, truth, allocation, innovation.arrivals)
        return State(
            slot=state.slot + 1,
            cell=state.cell,
            air=air,
            csi=csi,
            memory=memory,
            last_power=allocation.power,
            queue=queue,
            traffic=traffic,
            angle_variance=self._predict_variance(air.position, state.cell, variance),
        )

    def _update_queues(
        self, traffic: Traffic, truth: MultiCellProblem, allocation: MultiCellAllocation, uniform: Array
    ) -> tuple[Array, Traffic]:
        """Queues after a slot, (..., users) [bit], and the next one's traffic, whose arrivals ``uniform`` draws."""
        queue, served = truth.serve(truth.rates(allocation)[0])
        return queue, next_traffic(self.config, traffic, truth.queue + truth.arrivals, served, uniform)

    def _predict_variance(self, position: Array, cell: Array, variance: Array) -> Array:
        """Variance of the angles before a slot's positioning, (..., users) [rad^2]; constant without the filter."""
        if not self.config.kalman:
            return variance
        xp = array_namespace(variance)
        # Users keep out of this circle; by rounding one may stand a hair inside.
        offset = position - self.layout.like(position).stations[cell]
        distance = xp.clip(xp.hypot(offset[..., 0], offset[..., 1]), min=KEEP_OUT)
        return predict_variance(variance, distance, rms_speed=self.config.speed, slot=self.config.slot)

    def _measure_angles(self, state: State, truth: MultiCellProblem, allocation: MultiCellAllocation) -> Array:
        """Variance of the angles after a slot's positioning, (..., users) [rad^2]."""
        band, sinr = (part[..., POSITIONING, :] for part in truth.received(allocation))
        cosine = _departure(state.air.aod_cos, state.cell, self.config.crowd)
        sensitivity = angle_information(cosine, antennas=self.config.bs_antennas)
        return update_variance(state.angle_variance, sensitivity, sinr, self.config.slot * band)

    def _assign(self, air: Air, noise: ChannelNoise) -> Array:
        """Serving cells of an episode, (..., users): the hexagon of the drop, or the best by channel estimates."""
        config = self.config
        if config.assignment == "geometric":
            xp = array_namespace(air.position)
            return xp.broadcast_to(constant(self.layout.hexagon, air.position), air.position.shape[:-1])
        return assign_cells(
            air.channel if config.knows_paths else estimate_links(config, air, noise, None).estimate.channel,
            kind=config.combiner_kind,
            power=config.power_budget,
            noise_power=config.noise_density * config.band_budget,
        )

    def _update_knowledge(
        self, air: Air, noise: ChannelNoise, cell: Array, memory: Memory | None
    ) -> tuple[Csi, Memory]:
        """Channel state information that the pilots of a slot give, and what is remembered of them."""
        links = estimate_links(self.config, air, noise, memory)
        per_cell = np.zeros(self.config.cells) + self.config.grouping_threshold
        threshold = constant(per_cell, air.position)[cell]
        return knowledge_of(self.config, links, air, cell, threshold), links.memory

    # ---------------------------------------------------------------- what is known, true, seen and paid

    def problem(self, state: State) -> MultiCellProblem:
        """What an allocator may know: estimated gains, groups, budgets, weights."""
        csi, config = state.csi, self.config
        kappa = csi.sensing_gain
        if config.kalman:
            kappa = kappa * (state.angle_variance / config.prior_variance)
        expected = state.traffic.rate * config.slot
        return self._make_problem(state, csi.gain, csi.leakage, kappa, csi.channel, expected)

    def truth(self, state: State) -> MultiCellProblem:
        """The same problem on the true channel of the slot in which the allocation acts.

        Combiners, beams and groups are those of the knowledge; gains, leakage and positioning factor are true.
        """
        config, csi = self.config, state.csi
        air = behind(config, state.air, csi.combiner)
        kappa = sensing_gain(
            _departure(state.air.aod_cos, state.cell, self.config.crowd),
            antennas=config.bs_antennas,
            prior_variance=state.angle_variance,
            kind=config.positioning_gain,
        )
        gain, leakage = passed(air, csi.beam, state.cell, crowd=config.crowd)
        return self._make_problem(state, gain, leakage, kappa, air, state.traffic.arrivals)

    def _make_problem(
        self, state: State, gain: Array, leakage: Array, sensing_gain: Array, air: Array, arrivals: Array
    ) -> MultiCellProblem:
        """The slot's problem with gains, leakage, positioning factor, channels and arrivals as known or as true."""
        config = self.config
        traffic = state.traffic if config.has_queues else None
        weight = 1.0 / self._crowds(state.cell, gain)
        return MultiCellProblem.derived(
            gain=gain,
            leakage=leakage,
            sensing_gain=sensing_gain,
            cell=state.cell,
            group=state.csi.group,
            last_power=state.last_power,
            weight=weight,
            service_weight=constant(np.asarray(config.service_weight, dtype=float), gain),
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
            csi_error=state.csi.error,
            useful_time=self._useful_time(state.memory.age, gain),
            slot=config.slot,
            arrival_rate=None if traffic is None else traffic.rate,
            arrivals=None if traffic is None else arrivals,
            waited=None if traffic is None else traffic.waited,
        )

    def _crowds(self, cell: Array, like: Array) -> Array:
        """Users of each user's cell, (..., users), in the precision of a real array."""
        xp = array_namespace(like)
        if self.config.crowd is not None:
            return xp.full(cell.shape, float(self.config.crowd), dtype=like.dtype, device=device(like))
        return xp.sum(xp.astype(same_label(cell), like.dtype), axis=-1)

    def _useful_time(self, age: Array, like: Array) -> Array | float:
        """Share of a slot that pilots leave, (...,) [-]; one unless their overhead counts (spec estimation 8.10).

        ``age`` (...,) are the slots since angles were measured, which takes more pilots than gains alone.
        In the library, precision and device of a real array ``like``.
        """
        config = self.config
        if not config.pilot_overhead:
            return 1.0
        age = as_array(age, like)
        angles, gains = (1.0 - config.pilot_share(measures_angles=measures) for measures in (True, False))
        return array_namespace(age).where(age == 0, angles + 0.0 * age, gains + 0.0 * age)

    def _observe(self, state: State, problem: MultiCellProblem) -> Observation:  # noqa: ARG002 (the problem tells it all)
        return observe(self.config, problem)

    def outcome(
        self, state: State, allocation: MultiCellAllocation, truth: MultiCellProblem | None = None
    ) -> MultiCellOutcome:
        """Rates, utility and violation of an allocation on the truth, and the error of the known channels."""
        truth = self.truth(state) if truth is None else truth
        return truth.outcome(allocation)._replace(
            nmse=state.csi.nmse,
            angle_variance=self._measure_angles(state, truth, allocation) if self.config.kalman else None,
        )

    def later(self, state: State, last: Later | None = None) -> Positions:
        """Positions of the users as they were last measured, and their errors; in between the same object."""
        sight = state.memory.sight
        if isinstance(last, Positions) and last.follows(sight):
            return last
        return Positions(self.config, self.layout, sight)

    # ---------------------------------------------------------------- actions and allocations

    def decode(self, action: Array, problem: MultiCellProblem) -> MultiCellAllocation:
        """Allocation of an action, (..., action_size); see :func:`.action.decode`."""
        return decode(action, problem, logit_scale=self.config.logit_scale)

    def encode_allocation(self, allocation: MultiCellAllocation, problem: MultiCellProblem) -> Array:
        """Action nearest to an allocation; see :func:`.action.encode_allocation`."""
        return encode_allocation(allocation, problem, logit_scale=self.config.logit_scale)

    fallback = staticmethod(fallback)


def _departure(aod_cos: Array, cell: Array, crowd: int | None) -> Array:
    """Direction cosine of the line of sight from each user's station, (..., users) [-]."""
    return serving_link(aod_cos[..., :1], cell, crowd)[..., 0]
