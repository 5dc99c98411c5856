"""What is known of a slot: who is served with whom, what may be spent, and what the floors leave to decide."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ....physics.beamforming import Precoder
from ....physics.membership import Membership
from ....physics.rates import Noise
from ....types import Array, array_namespace, as_array, device, is_array, rounding
from ...fields import CheckedFields
from ..config import Objective
from ..settings import Intercell
from . import checks
from .checks import Budgets


@dataclass(frozen=True, eq=False)
class MultiCellSlot(CheckedFields):
    """Fields of a :class:`.MultiCellProblem`, and what follows from them before anything is allocated.

    Numbers given per cell are a scalar or broadcast to ``(..., cells)``.
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
    """Form of the utility; ``drain``, the squared backlog, is for allocators that plan, see :func:`.backlog_score`."""
    noise: Noise = "per_hertz"
    """Noise in the rates: of the group's band, or of the whole band."""
    intercell: Intercell = "printed"
    """Inter-cell term of the relaxed problem."""
    subcarrier_spacing: float = 0.0
    """Spacing of whole subcarriers on the air [Hz]; 0: the band is continuous. A cell with more groups than its band
    has subcarriers is infeasible: :attr:`least_share` and the violation say so."""
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
    plausible = staticmethod(checks.plausible)

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
