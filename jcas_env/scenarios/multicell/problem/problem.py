"""The allocation problem of a slot: who interferes with whom, what may be spent, what is earned."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device

from ....checks import require, require_all
from ....physics.beamforming import Precoder, beams, constant_modulus, effective_gain
from ....physics.grouping import first_fit_groups
from ....physics.membership import Membership
from ....physics.queues import serve
from ....physics.rates import Noise, data_rate, interference, positioning_rate, sinr
from ....types import COMMUNICATION, POSITIONING, Array, as_array, is_array, rounding
from ....units import MEGA
from ...fields import CheckedFields
from ..config import Intercell, Objective
from . import checks, relaxed
from .allocation import MultiCellAllocation, MultiCellOutcome
from .backlog import backlog_score, slots_of_arrivals
from .checks import Budgets
from .relaxed import RelaxedAllocation, RelaxedProblem
from .subcarriers import whole_subcarriers

LEAST_RATE = 1e-6
"""Rates are floored here before the logarithm of the ``fair`` reward [Mbit/s] (spec multicell 8)."""


@dataclass(frozen=True, eq=False)
class MultiCellProblem(CheckedFields):
    r"""One slot of the multi-cell network, known or true (spec multicell 2.5, 4.1, DESIGN 7.1).

    The same type says what an allocator may know (estimated gains) and what the air does
    (``env.unwrapped.truth``); ``utility`` on the truth is the reward. Constructible from plain arrays.
    Numbers given per cell are a scalar or broadcast to ``(..., cells)``. Raises ``ValueError`` that names
    field, index and value.
    """

    gain: Array
    """(..., users, users): power gain of beam m at user j, receiver first [-]."""
    leakage: Array
    """(..., users): lambda_j^2, what the combiner lets through of the other cells [-]."""
    sensing_gain: Array
    """(..., users): positioning factor kappa [-]."""
    cell: Array
    """(..., users) integer: serving cell."""
    group: Array
    """(..., users) integer: group label inside the cell."""
    last_power: Array
    """(..., 2, users): powers on the air in the last slot [W]; for solvers that take other cells as given."""
    weight: Array
    """(..., users): a_u, summing to one in each cell [-]."""
    service_weight: Array
    """(2,): weights of data rate and positioning rate [-]."""
    power_budget: Array | float
    """Power of a base station [W]; scalar or per cell."""
    band_budget: Array | float
    """Band of a base station [Hz]; scalar or per cell."""
    power_floor: Array | float
    """Least power of each user and service [W]."""
    band_floor: Array | float
    """Least band of each group and service [Hz]; where subcarriers are whole, raised to the next whole number of them,
    at least one."""
    noise_density: Array | float
    """Noise power density at a receiver [W/Hz]."""
    positioning_share: Array | float
    """Share of power and band for positioning [-], scalar or per cell; NaN where the allocator decides."""
    queue: Array
    """(..., users): backlog before the slot [bit]; zero where there are no queues."""

    reward: Objective = "rate"
    """Form of the utility; ``drain``, the squared backlog, is for allocators that plan, see :meth:`score`."""
    noise: Noise = "per_hertz"
    """Noise in the rates: of the group's band, or of the whole band."""
    intercell: Intercell = "printed"
    """Inter-cell term of the relaxed problem."""
    subcarrier_spacing: float = 0.0
    """Spacing of whole subcarriers on the air [Hz]; 0: the band is continuous. A cell with more groups than its band
    has subcarriers is infeasible: :attr:`least_share` and :meth:`violation` say so."""
    precoder: Precoder = "mrt"
    """How beams follow from channels when users are regrouped."""
    analog: bool = False
    """Whether beams have constant modulus."""
    cell_count: int | None = None
    """Number of cells; None: read off the other fields (a cell may be without users)."""
    correlation: Array | None = None
    """(..., users, users): channel correlation, for ``regroup`` [-]."""
    beam_channel: Array | None = None
    """(..., cells, users, antennas) complex: effective channels from which beams are made [-]."""
    air_channel: Array | None = None
    """(..., cells, users, antennas) complex: effective channels through which the beams pass [-]."""
    csi_error: Array | None = None
    """(..., users): expected error of the known serving channel, relative to its power, 0 to 1 [-]."""
    useful_time: Array | float = 1.0
    """Share of the slot that carries data; scalar or (...,). The rest goes to pilots [-]."""
    slot: float = 0.01
    """Slot length [s]; matters where there are queues."""
    arrival_rate: Array | None = None
    """(..., users): mean arrivals [bit/s]; None where there are no queues."""
    arrivals: Array | None = None
    """(..., users): bits that arrive in the slot: their mean in what is known, their number in the truth."""
    waited: Array | None = None
    """(..., users): slots since one that delivered a slot's mean arrivals, or all there was [-]."""

    fit_fields = staticmethod(checks.fit_fields)
    check_fields = staticmethod(checks.check_fields)

    # ---------------------------------------------------------------- sizes and per-cell quantities

    @property
    def batch(self) -> tuple[int, ...]:
        """Leading batch axes."""
        return tuple(self.gain.shape[:-2])

    @property
    def users(self) -> int:
        """Number of users in all cells."""
        return int(self.gain.shape[-1])

    @cached_property
    def cells(self) -> int:
        """Number of cells, see :func:`.checks.count_cells`."""
        return checks.count_cells(vars(self))

    @cached_property
    def membership(self) -> Membership:
        """Who shares cell and group; counts in the precision of the gains."""
        return Membership(self.cell, self.group, self.cells, self.gain.dtype)

    @cached_property
    def budgets(self) -> Budgets:
        """Budgets, floors and noise as arrays."""
        stated = (self.power_budget, self.band_budget, self.power_floor, self.band_floor, self.noise_density)
        xp = array_namespace(self.gain)
        values = (as_array(value, self.gain) for value in stated)
        return Budgets(*(value if value.ndim else xp.reshape(value, (1,)) for value in values))

    def per_cell(self, value: Any) -> Array:
        """Broadcast a scalar or ``(..., cells)`` to the batch and the cells; more leading axes are candidates."""
        xp, shape = array_namespace(self.gain), (*self.batch, self.cells)
        if isinstance(value, float | int):
            return xp.full(shape, value, dtype=self.gain.dtype, device=device(self.gain))
        value = as_array(value, self.gain)
        if value.shape == shape:
            return value
        return xp.broadcast_to(value, np.broadcast_shapes(tuple(value.shape), shape))

    def per_user(self, value: Any) -> Array:
        """A number given per cell, for each user: (..., users), or (1,) where it is the same for all."""
        xp = array_namespace(self.gain)
        if not is_array(value) or value.ndim == 0:
            return xp.full(1, value, dtype=self.gain.dtype, device=device(self.gain))
        return self.of_cell(self.per_cell(value))

    def of_cell(self, value: Array) -> Array:
        """Give each user the number of its cell: :meth:`.Membership.of_cell`."""
        return self.membership.of_cell(value)

    def cell_sum(self, value: Array) -> Array:
        """Sum over the users of each cell: :meth:`.Membership.cell_sum`."""
        return self.membership.cell_sum(value)

    @property
    def crowd(self) -> Array:
        """(..., users): number of users in each user's cell."""
        return self.membership.crowd

    @property
    def same_cell(self) -> Array:
        """(..., users, users) bool: whether two users share the cell."""
        return self.membership.same_cell

    @property
    def mates(self) -> Array:
        """(..., users, users) bool: whether two users share cell and group."""
        return self.membership.mates

    @property
    def group_size(self) -> Array:
        """(..., users): number of users in each user's group."""
        return self.membership.group_size

    @property
    def groups(self) -> Array:
        """(..., users): number of groups in each user's cell."""
        return self.membership.groups

    @cached_property
    def least_share(self) -> Array:
        r"""(..., cells): smallest share a service can have, ``max(N_i P_thr / P_max, G_i B_thr / B_max)``.

        The positioning share must lie in ``[least_share, 1 - least_share]``; a value above one half means
        that no share is feasible (spec multicell 7).
        """
        xp = array_namespace(self.gain)
        return xp.maximum(*self._least_shares)

    @cached_property
    def _least_shares(self) -> tuple[Array, Array]:
        """Shares that the floors of power and those of band need, two arrays (..., cells)."""
        xp = array_namespace(self.gain)
        budgets, users = self.budgets, self.cell_sum(xp.ones_like(self.leakage))
        groups = self.cell_sum(1.0 / self.group_size)
        return users * budgets.power_floor / budgets.power, groups * budgets.band_floor / budgets.band

    @cached_property
    def short_of_subcarriers(self) -> Array:
        """(..., cells) bool: where groups need more whole subcarriers than the band has at any (or at the given) share.

        Never where the band is continuous, and not where floors of power leave no share anyway.
        """
        xp = array_namespace(self.gain)
        power, band = self._least_shares
        if not self.subcarrier_spacing:
            return xp.zeros_like(band, dtype=xp.bool)
        return self._fits(power) & ~self._fits(band)

    @cached_property
    def most_share(self) -> Array:
        """(..., cells): the most that floors may need of both services, one half or what a given share leaves [-]."""
        xp = array_namespace(self.gain)
        return xp.where(self.share_is_free, 0.5, xp.minimum(self.share, 1.0 - self.share))

    @cached_property
    def floors_fit(self) -> Array:
        """(..., cells) bool: whether the floors fit into some share, or into the given one, to :func:`.types.rounding`.

        Where they do not fit in a cell, no allocation of the slot is feasible: every allocator says so by this.
        """
        return self._fits(self.least_share)

    def _fits(self, need: Array) -> Array:
        return need <= self.most_share * (1.0 + rounding(need))

    @property
    def duty(self) -> Array:
        """``useful_time`` as an array, scalar or (...,)."""
        return as_array(self.useful_time, self.gain)

    @cached_property
    def share(self) -> Array:
        """(..., cells): positioning share, NaN where it is free."""
        return self.per_cell(self.positioning_share)

    @cached_property
    def share_is_free(self) -> Array:
        """(..., cells) bool: where the allocator decides the positioning share."""
        xp = array_namespace(self.gain)
        return xp.isnan(self.share)

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
        """The same slot with other groups, (..., users); ZF beams are recomputed from the known channels."""
        xp = array_namespace(self.gain, group)
        if group.shape == self.group.shape and bool(xp.all(group == self.group)):
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

    def assemble(self, allocation: RelaxedAllocation, positioning_share: Array) -> MultiCellAllocation:
        """Physical allocation from normalised ones: (..., cells, 2, seats) and shares (..., cells)."""
        return relaxed.assemble(allocation, positioning_share, membership=self.membership, budgets=self.budgets)
