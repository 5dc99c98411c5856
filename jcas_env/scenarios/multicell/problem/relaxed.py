"""The relaxed problem of one cell and one service, on which luo2023 Algorithm 3 works, and the way there and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from array_api_compat import array_namespace, device

from ....checks import first_bad_entry, require
from ....physics.rates import Noise, in_group_interference, saturated_ratio, spectral_efficiency
from ....types import COMMUNICATION, POSITIONING, Array, is_array

if TYPE_CHECKING:
    from .problem import MultiCellProblem


class RelaxedAllocation(NamedTuple):
    """Point of the two simplices of a relaxed problem."""

    power: Array
    """(..., users): share p of the service's power budget; sums to one [-]."""
    bandwidth: Array
    """(..., users): share b of the service's band that the user's group gets, repeated over its members;
    sums to one over groups [-]."""


@dataclass(frozen=True, eq=False)
class RelaxedProblem:
    r"""Allocation of normalised power and band with the interference frozen.

    .. math:: \max_{p, b} f = \sum_u a_u\, b_{g(u)} \log_2(1 + c_u p_u)
              \qquad\text{or}\qquad \sum_u a_u\, b_{g(u)} \log_2\!\big(1 + c_u p_u / b_{g(u)}\big)

    subject to :math:`\sum_u p_u = 1`, :math:`\sum_g b_g = 1`, :math:`p \ge \underline p`,
    :math:`b \ge \underline b`: the constant-noise form on the left, the per-hertz form on the right. Which of
    them holds is the solver's statement (``Exact(noise=...)``), because the coefficients differ as well.
    Leading axes are batch: cells, services, slots (luo2023 eq. 32, spec multicell 4.1). Raises
    ``ValueError`` for wrong shapes and for weights, coefficients or floors that are negative or not finite.
    """

    weight: Array
    """(..., users): user weights a [-]."""
    coefficient: Array
    """(..., users): signal to interference ratio c at full power [-]."""
    group: Array
    """(..., users) integer: group label; -1 marks an absent user (padding of smaller cells)."""
    power_floor: Array | float
    """scalar or (...,): least share of power of a user [-]."""
    band_floor: Array | float
    """scalar or (...,): least share of band of a group [-]."""

    def __post_init__(self) -> None:
        for name in ("weight", "coefficient", "group", "power_floor", "band_floor"):
            value = getattr(self, name)
            if not is_array(value):
                object.__setattr__(self, name, np.asarray(value, dtype=None if name == "group" else float))
        xp = array_namespace(self.weight, self.coefficient, self.group)
        users = self.coefficient.shape[-1:]
        for name in ("weight", "coefficient", "group"):
            shape = tuple(getattr(self, name).shape)
            require(shape[-1:] == users, f"`{name}` must have {users} users on its last axis, got shape {shape}")
        require(xp.isdtype(self.group.dtype, "integral"), f"`group` must hold integers, got {self.group.dtype}")
        for name in ("weight", "coefficient", "power_floor", "band_floor"):
            value = getattr(self, name)
            space = array_namespace(value)
            bad = ~space.isfinite(value) | (value < 0)
            if space.any(bad):
                index, entry = first_bad_entry(value, bad)
                raise ValueError(f"`{name}` must be finite and at least 0, got {name}{list(index)} = {entry}")

    @property
    def present(self) -> Array:
        """(..., users) bool: which users exist."""
        return self.group >= 0

    def efficiency(self, allocation: RelaxedAllocation, noise: Noise = "constant") -> Array:
        """Each user's term of the objective without its weight, ``b log2(1 + c p [/ b])``, (..., users) [-]."""
        xp = array_namespace(self.coefficient, allocation.power)
        power, band = allocation
        snr = self.coefficient * power
        if noise == "per_hertz":
            snr = xp.where(band > 0, snr / xp.where(band > 0, band, xp.ones_like(band)), xp.zeros_like(snr))
        return band * spectral_efficiency(snr)

    def objective(self, allocation: RelaxedAllocation, noise: Noise = "constant") -> Array:
        """Relaxed objective f of normalised power and band, (...,) [-] (spec multicell 4.1)."""
        xp = array_namespace(self.coefficient, allocation.power)
        value = self.weight * self.efficiency(allocation, noise)
        return xp.sum(xp.where(self.present, value, xp.zeros_like(value)), axis=-1)


class Seating(NamedTuple):
    """Users gathered by cell: index maps between ``(..., users)`` and ``(..., cells, seats)``."""

    seat: Array
    """(..., cells * seats) integer: user in each seat; an empty seat repeats user 0."""
    taken: Array
    """(..., cells, seats) bool: whether the seat holds a user."""
    place: Array
    """(..., users) integer: flat seat of each user."""

    def gather(self, value: Array) -> Array:
        """``(..., users)`` by cell, ``(..., cells, seats)``."""
        xp = array_namespace(value)
        batch = np.broadcast_shapes(value.shape[:-1], self.seat.shape[:-1])
        value = xp.broadcast_to(value, (*batch, value.shape[-1]))
        rows = xp.take_along_axis(value, xp.broadcast_to(self.seat, (*batch, self.seat.shape[-1])), axis=-1)
        return xp.reshape(rows, (*batch, *self.taken.shape[-2:]))

    def scatter(self, value: Array) -> Array:
        """``(..., cells, seats)`` back to the users, ``(..., users)``."""
        xp = array_namespace(value)
        *batch, cells, seats = value.shape
        place = xp.broadcast_to(self.place, (*batch, self.place.shape[-1]))
        return xp.take_along_axis(xp.reshape(value, (*batch, cells * seats)), place, axis=-1)


def seat_users(cell: Array, cells: int) -> Seating:
    """Give the users of each cell, in index order, the seats of a row of their own."""
    xp = array_namespace(cell)
    index = xp.arange(cell.shape[-1], dtype=cell.dtype, device=device(cell))
    same = cell[..., :, None] == cell[..., None, :]
    rank = xp.sum(xp.astype(same & (index[None, :] < index[:, None]), cell.dtype), axis=-1)
    seats = int(xp.max(rank)) + 1
    place = cell * seats + rank
    sits = place[..., None, :] == xp.arange(cells * seats, dtype=cell.dtype, device=device(cell))[:, None]
    seat = xp.sum(xp.where(sits, index, xp.zeros_like(index)), axis=-1)
    taken = xp.any(sits, axis=-1)
    return Seating(seat, xp.reshape(taken, (*taken.shape[:-1], cells, seats)), place)


def relax(problem: MultiCellProblem, share: Array, noise: Noise) -> RelaxedProblem:
    r"""Freeze the interference of a problem and separate its cells and services.

    With :math:`I_j^0 = \frac{P_s}{N_i} \sum_{k \in g, k \ne j} G_{jk}` (equal power) and :math:`k_I` = C - 1
    as printed or 1 as a valid bound,

    .. math:: c_j = \frac{\kappa_j^s G_{jj} P_s}{k_I \lambda_j^2 P_{\max} + N_0 B_{\max} + I_j^0}
              \qquad\text{or}\qquad
              \frac{\kappa_j^s G_{jj} P_s}{B_s [N_0 + k_I \lambda_j^2 P_{\max}/B_{\max} + I_j^0 G_i/B_s]}

    for ``noise`` constant and per hertz.

    Parameters
    ----------
    problem : MultiCellProblem
    share : Array, shape (..., cells)
        Positioning share; leading axes beyond the problem's are candidates.
    noise : {"constant", "per_hertz"}

    Returns
    -------
    RelaxedProblem
        Batch axes (..., cells, 2); users are the seats of a cell (luo2023 eq. 14, 32, spec multicell 4.1).
    """
    xp = array_namespace(problem.gain)
    spread = xp.stack([problem.of_cell(1.0 - share), problem.of_cell(share)], axis=-2)  # (..., 2, users)
    power_budget = problem.per_user(problem.power_budget)[..., None, :]
    band_budget = problem.per_user(problem.band_budget)[..., None, :]
    noise_density = problem.per_user(problem.noise_density)[..., None, :]
    power = spread * power_budget
    equal = power / problem.crowd[..., None, :]
    mates = in_group_interference(equal, problem.gain, problem.cell, problem.group)
    stations = problem.cells - 1 if problem.intercell == "printed" else 1
    outside = stations * problem.leakage[..., None, :] * power_budget
    if noise == "constant":
        level = outside + noise_density * band_budget + mates
    else:
        level = spread * (outside + noise_density * band_budget) + mates * problem.groups[..., None, :]
    kappa = xp.stack([xp.ones_like(problem.sensing_gain), problem.sensing_gain], axis=-2)
    coefficient = saturated_ratio(kappa * xp.linalg.diagonal(problem.gain)[..., None, :] * power, level)

    seating = problem.seating
    taken = seating.taken[..., None, :]
    seated = xp.stack([seating.gather(coefficient[..., s, :]) for s in (COMMUNICATION, POSITIONING)], axis=-2)
    group = xp.where(taken, seating.gather(problem.group)[..., None, :], -1)
    weight = xp.where(taken, seating.gather(problem.weight)[..., None, :], 0.0)
    services = xp.stack([1.0 - share, share], axis=-1)  # (..., cells, 2)
    power_floor = problem.per_cell(problem.power_floor) / problem.per_cell(problem.power_budget)
    band_floor = problem.per_cell(problem.band_floor) / problem.per_cell(problem.band_budget)
    return RelaxedProblem(
        weight=xp.broadcast_to(weight, seated.shape),
        coefficient=xp.where(taken, seated, 0.0),
        group=xp.broadcast_to(group, seated.shape),
        power_floor=power_floor[..., None] / services,
        band_floor=band_floor[..., None] / services,
    )


def relaxed_rates(
    problem: MultiCellProblem,
    relaxed: RelaxedProblem,
    allocation: RelaxedAllocation,
    share: Array,
    noise: Noise,
) -> tuple[Array, Array]:
    """Data and positioning rates that a relaxed problem promises, two arrays (..., users) [bit/s].

    Arguments as in :func:`relax` and :class:`RelaxedAllocation`, with batch axes (..., cells, 2).
    """
    efficiency = relaxed.efficiency(allocation, noise)
    band = problem.per_cell(problem.band_budget) * problem.duty[..., None]
    communication = efficiency[..., COMMUNICATION, :] * ((1.0 - share) * band)[..., None]
    positioning = 0.5 * efficiency[..., POSITIONING, :] * (share * band)[..., None]
    return problem.seating.scatter(communication), problem.seating.scatter(positioning)
