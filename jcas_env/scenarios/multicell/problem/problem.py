"""The allocation problem of a slot: what an allocation earns and breaks, other groupings, the relaxed problem."""

from __future__ import annotations

from dataclasses import dataclass

from ....checks import require, require_all
from ....physics.beamforming import beams, constant_modulus, effective_gain
from ....physics.grouping import first_fit_groups
from ....physics.queues import serve
from ....physics.rates import Noise, data_rate, interference, positioning_rate, sinr
from ....types import COMMUNICATION, POSITIONING, Array, array_namespace, at_hand
from ....units import MEGA
from . import checks, relaxed
from .allocation import MultiCellAllocation, MultiCellOutcome
from .backlog import backlog_score, slots_of_arrivals
from .relaxed import RelaxedAllocation, RelaxedProblem
from .slot import MultiCellSlot
from .subcarriers import whole_subcarriers

LEAST_RATE = 1e-6
"""Rates are floored here before the logarithm of the ``fair`` reward [Mbit/s] (spec multicell 8)."""


@dataclass(frozen=True, eq=False)
class MultiCellProblem(MultiCellSlot):
    r"""One slot of the multi-cell network, known or true (spec multicell 2.5, 4.1, DESIGN 7.1).

    The same type says what an allocator may know (estimated gains) and what the air does
    (``env.unwrapped.truth``); ``utility`` on the truth is the reward. Constructible from plain arrays; the fields are
    those of :class:`.MultiCellSlot`. Raises ``ValueError`` that names field, index and value.
    """

    # ---------------------------------------------------------------- what an allocation earns

    def rates(self, allocation: MultiCellAllocation) -> tuple[Array, Array]:
        """Data rate and positioning rate of every user, two arrays (..., users) [bit/s].

        With the powers, bands and grouping of the allocation itself, in all cells (spec multicell 2.5). ZF
        beams follow the allocation's grouping where the problem carries the channels.
        """
        bandwidth, x = self.received(allocation)
        return (
            data_rate(bandwidth[..., COMMUNICATION, :], x[..., COMMUNICATION, :]),
            positioning_rate(bandwidth[..., POSITIONING, :], x[..., POSITIONING, :], self.sensing_gain),
        )

    def received(self, allocation: MultiCellAllocation) -> tuple[Array, Array]:
        """Band that carries symbols, pilots' time taken off [Hz], and SINR [-]: two arrays (..., 2, users)."""
        allocation = self.on_air(allocation)
        gain = self.gain if self._keeps_beams else self.regrouped(allocation.group).gain
        level = interference(
            allocation.power,
            allocation.bandwidth,
            gain,
            self.cell,
            allocation.group,
            noise_density=self.per_user(self.noise_density),
            band_budget=self.per_user(self.band_budget),
            noise=self.noise,
        )
        return allocation.bandwidth * self.duty[..., None, None], sinr(allocation.power, gain, level)

    def serve(self, rate: Array) -> tuple[Array, Array]:
        """Backlog after the slot and what it delivered at data rates (..., users) [bit/s]: :func:`.queues.serve`."""
        return serve(self.queue, self.arrivals, rate, slot=self.slot)

    @property
    def mean_arrivals(self) -> Array:
        r"""(..., users): :math:`\lambda_u \Delta t`; ``ValueError`` where there are no queues [bit]."""
        if self.arrival_rate is None:
            raise ValueError("this problem has no queues: `arrival_rate` is None")
        return self.arrival_rate * self.slot

    def backlog(self, allocation: MultiCellAllocation) -> Array:
        """Backlog after the slot, (..., users) [bit]; ``ValueError`` where there are no queues."""
        require(self.arrivals is not None, "this problem has no queues: `arrivals` is None")
        return self.serve(self.rates(allocation)[0])[0]

    def on_air(self, allocation: MultiCellAllocation) -> MultiCellAllocation:
        """The allocation as it is transmitted: bands rounded where subcarriers are whole, never beyond the band."""
        if not self.subcarrier_spacing:
            return allocation
        bandwidth = whole_subcarriers(
            allocation.bandwidth,
            self.cell,
            allocation.group,
            spacing=self.subcarrier_spacing,
            floor=self.per_user(self.band_floor),
        )
        return allocation._replace(bandwidth=bandwidth)

    def score(self, rate: Array, positioning: Array) -> Array:
        r"""Reward of each cell for given rates [bit/s], (..., cells).

        ``rate``: :math:`\sum_u a_u (w_C R_u^C + w_O R_u^O)` in Mbit/s; ``fair``: the same with
        :math:`\ln R` in place of R, rates floored at 1e-6 Mbit/s; ``delay`` and ``drain``:
        :func:`.backlog_score` (spec multicell 8).
        """
        if self.reward in ("delay", "drain"):
            slots = slots_of_arrivals(self.serve(rate)[0], self.mean_arrivals)
            return backlog_score(slots, membership=self.membership, reward=self.reward)
        xp = array_namespace(rate, positioning)
        services = [rate / MEGA, positioning / MEGA]
        if self.reward == "fair":
            services = [xp.log(xp.clip(value, min=LEAST_RATE)) for value in services]
        mixed = self.service_weight[0] * services[0] + self.service_weight[1] * services[1]
        return self.cell_sum(self.weight * mixed)

    def outcome(self, allocation: MultiCellAllocation) -> MultiCellOutcome:
        """Rates, utility and violation of an allocation."""
        xp = array_namespace(self.gain)
        rate, positioning = self.rates(allocation)
        utility = xp.mean(self.score(rate, positioning), axis=-1)
        outcome = MultiCellOutcome(rate, positioning, utility, self.violation(allocation))
        if self.arrival_rate is None:
            return outcome
        backlog, served = self.serve(rate)
        waiting_ms = 1e3 * self.slot * slots_of_arrivals(backlog, self.mean_arrivals)
        return outcome._replace(backlog_ms=waiting_ms, arrived=self.arrivals, served=served)

    def utility(self, allocation: MultiCellAllocation) -> Array:
        r"""Configured reward, the mean over cells of :meth:`score`, (...,).

        Evaluated on the truth this is the environment's reward: one function, never two.
        """
        xp = array_namespace(self.gain)
        return xp.mean(self.score(*self.rates(allocation)), axis=-1)

    def violation(self, allocation: MultiCellAllocation) -> Array:
        """Largest violation of a constraint relative to the budgets, (...,): see :func:`.worst_violation`."""
        return checks.worst_violation(
            allocation,
            self.on_air(allocation).bandwidth,
            self.share,
            membership=self.membership.regrouped(allocation.group),
            budgets=self.budgets,
        )

    def check_allocation(self, allocation: MultiCellAllocation) -> MultiCellAllocation:
        """An allocation as arrays of this problem's kind and batch; raises ``ValueError`` that names a bad entry."""
        return checks.check_allocation(allocation, gain=self.gain)

    # ---------------------------------------------------------------- other groupings

    @property
    def _keeps_beams(self) -> bool:
        """Whether the gains are the same for every grouping."""
        return self.precoder == "mrt" or self.beam_channel is None or self.air_channel is None

    def regrouped(self, group: Array) -> MultiCellProblem:
        """The same slot with other groups, (..., users); ZF beams are recomputed from the known channels.

        Raises ``ValueError`` for a wrong shape, for labels that are no integers, and for a negative one: in the relaxed
        problem -1 would mark an absent user.
        """
        xp = array_namespace(self.gain, group)
        checks.check_user_field("group", group, self.users)
        if group is self.group:
            return self
        if at_hand(group) and group.shape == self.group.shape and bool(xp.all(group == self.group)):
            return self
        if self._keeps_beams:
            return self.changed(group=group)
        beam = beams(self.beam_channel, self.cell, group, precoder=self.precoder)
        beam = constant_modulus(beam) if self.analog else beam
        return self.changed(group=group, gain=effective_gain(self.air_channel, beam, self.cell))

    def regroup(self, threshold: Array | float) -> MultiCellProblem:
        """Group by another correlation threshold (scalar or (..., cells)) and return the new problem.

        Raises ``ValueError`` for a problem that carries no correlations, or a threshold that is not positive.
        """
        require(self.correlation is not None, "`regroup` needs `correlation`, which this problem does not carry")
        xp = array_namespace(self.gain)
        per_cell = self.per_cell(threshold)
        require(bool(xp.all(per_cell > 0)), f"`threshold` must be positive, got {threshold}")
        return self.regrouped(first_fit_groups(self.correlation, self.cell, self.of_cell(per_cell)))

    # ---------------------------------------------------------------- the relaxed problem and the way back

    def relaxed(self, *, positioning_share: Array | float | None = None, noise: Noise = "constant") -> RelaxedProblem:
        """Freeze the interference and separate cells and services: see :func:`.relax`.

        ``positioning_share`` in (0, 1), scalar or (..., cells), is required where the problem leaves the share free;
        more leading axes than the problem has are candidates. Raises ``ValueError`` if it is missing or outside.
        """
        xp = array_namespace(self.gain)
        share = self.per_cell(self.positioning_share if positioning_share is None else positioning_share)
        missing = bool(xp.any(xp.isnan(share)))
        require(not missing, "`positioning_share` is free in this problem: give the share to relax at, got NaN")
        require_all("positioning_share", share, (share > 0) & (share < 1), "in (0, 1)")
        return relaxed.relax(
            share,
            gain=self.gain,
            leakage=self.leakage,
            sensing_gain=self.sensing_gain,
            weight=self.weight,
            membership=self.membership,
            budgets=self.budgets,
            noise=noise,
            intercell=self.intercell,
        )

    def relaxed_rates(self, efficiency: Array, positioning_share: Array) -> tuple[Array, Array]:
        """Rates that a relaxed problem promises at shares (..., cells): see :func:`.relaxed_rates`."""
        band = self.budgets.band * self.duty[..., None]
        return relaxed.relaxed_rates(efficiency, positioning_share, band=band, membership=self.membership)

    def assemble(self, allocation: RelaxedAllocation, positioning_share: Array | float) -> MultiCellAllocation:
        """Physical allocation from normalised ones: (..., cells, 2, seats) and shares, a number or (..., cells)."""
        return relaxed.assemble(allocation, positioning_share, membership=self.membership, budgets=self.budgets)
