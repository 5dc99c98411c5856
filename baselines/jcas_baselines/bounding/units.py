r"""The slots of a batch taken apart for the bound: services of cells, and their groups.

All numbers are relative to the cell's budgets: powers to P_max, bands to B_max. A *unit* is one service of one cell
of one element of the batch; with the interference of the other cells at its least value, units share nothing but
the positioning share (spec bound 2, 3 R3).
"""

from __future__ import annotations

from math import log
from typing import Any, NamedTuple

import numpy as np

from jcas_env.physics.membership import Membership
from jcas_env.scenarios.multicell import MultiCellProblem
from jcas_env.types import COMMUNICATION, POSITIONING
from jcas_env.units import MEGA

from .relaxation import Group


class Units(NamedTuple):
    """Services of cells, flattened over (elements, cells, 2), and their groups, flattened over all units."""

    power_floor: np.ndarray
    """(units,): P_thr / P_max [-]."""
    band_floor: np.ndarray
    """(units,): B_thr / B_max [-]."""
    users: np.ndarray
    """(units,): users of the cell."""
    groups: np.ndarray
    """(units,): groups of the cell."""
    unit: np.ndarray
    """(all groups,) integer: unit of each group."""
    size: np.ndarray
    """(all groups,): users of each group."""
    data: Group
    """(all groups, ...): interference, noise and worth."""

    def total(self, value: np.ndarray) -> np.ndarray:
        """Sum over the groups of each unit, (all groups,) -> (units,)."""
        return np.bincount(self.unit, weights=value, minlength=len(self.users))

    def most(self, value: np.ndarray) -> np.ndarray:
        """Largest value of each unit's groups, at least 0, (all groups,) -> (units,)."""
        most = np.zeros(len(self.users))
        np.maximum.at(most, self.unit, value)
        return most

    def part(self, begin: int, end: int) -> Units:
        """Units ``begin`` to ``end`` alone, with their groups."""
        here = (self.unit >= begin) & (self.unit < end)
        return Units(
            self.power_floor[begin:end],
            self.band_floor[begin:end],
            self.users[begin:end],
            self.groups[begin:end],
            self.unit[here] - begin,
            self.size[here],
            Group(*(value[here] for value in self.data)),
        )


class Slots(NamedTuple):
    """A problem in NumPy and double precision, its batch flattened; (elements, users) or (elements, cells)."""

    gain: np.ndarray
    cell: np.ndarray
    group: np.ndarray
    kappa: np.ndarray
    weight: np.ndarray
    power: np.ndarray
    band: np.ndarray
    power_floor: np.ndarray
    band_floor: np.ndarray
    noise: np.ndarray
    duty: np.ndarray

    def of_cell(self, value: np.ndarray) -> np.ndarray:
        """A number of each cell for each of its users."""
        return np.take_along_axis(value, self.cell, axis=-1)


def numpy_of(value: Any) -> np.ndarray:
    """Any library's array as NumPy's, reals in double precision."""
    array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def slots_of(problem: MultiCellProblem) -> Slots:
    """Flatten the batch of a problem."""

    def flat(value: Any, *trailing: int) -> np.ndarray:
        return np.broadcast_to(numpy_of(value), (*problem.batch, *trailing)).reshape(-1, *trailing)

    users, cells = problem.users, problem.cells

    def per_cell(value: Any) -> np.ndarray:
        return flat(problem.per_cell(value), cells)

    return Slots(
        gain=flat(problem.gain, users, users),
        cell=flat(problem.cell, users),
        group=flat(problem.group, users),
        kappa=flat(problem.sensing_gain, users),
        weight=flat(problem.weight, users),
        power=per_cell(problem.power_budget),
        band=per_cell(problem.band_budget),
        power_floor=per_cell(problem.power_floor),
        band_floor=per_cell(problem.band_floor),
        noise=per_cell(problem.noise_density),
        duty=flat(numpy_of(problem.duty)[..., None], 1),
    )


class InterCellRange(NamedTuple):
    """Power densities that a user can hear of the other cells, (elements, users) [W/Hz] each."""

    floors: np.ndarray
    """All users on their floors."""
    least: np.ndarray
    """The least that an allocation causes."""
    most: np.ndarray
    """The largest."""


def intercell_range(slots: Slots, *, spend_all: bool) -> InterCellRange:
    r"""Range of the power density that a user can hear of the other cells, whatever these allocate.

    .. math:: \sum_{n \ne i} \frac{2 \underline P \sum_{m \in n} G_{jm}
              + (P_{\max} - 2 N_n \underline P) \min_{m \in n} G_{jm}}{B_{\max}}

    at least, and with the largest gain for the least one at most. At the lower end the second term holds only where
    every cell radiates its whole budget (``spend_all``), as every decoded action does; an allocation may also
    spend less (spec bound 2).
    """
    member = slots.cell[:, :, None] == np.arange(slots.power.shape[-1])  # (elements, users, cells)
    slack = np.maximum(slots.power - 2.0 * slots.power_floor * member.sum(axis=1), 0.0) / slots.band

    def heard(density: np.ndarray) -> np.ndarray:
        return np.where(member, 0.0, density).sum(axis=-1)

    def extreme(outside: float, reduce: np.ufunc) -> np.ndarray:
        gain = reduce.reduce(np.where(member[:, None], slots.gain[..., None], outside), axis=-2)
        return slack[:, None, :] * np.where(member.any(axis=1)[:, None, :], gain, 0.0)  # no users: silent

    on_floors = slots.gain @ member * (2.0 * slots.power_floor / slots.band)[:, None, :]
    floors = heard(on_floors)
    least = heard(on_floors + extreme(np.inf, np.minimum)) if spend_all else floors
    return InterCellRange(floors, least, heard(on_floors + extreme(0.0, np.maximum)))


class Rows(NamedTuple):
    """Groups of all elements and cells, a row each."""

    element: np.ndarray
    """(rows, 1) integer"""
    place: np.ndarray
    """(rows,) integer: element * cells + cell."""
    user: np.ndarray
    """(rows, largest group) integer: members, padded by -1."""


def seat_groups(membership: Membership) -> Rows:
    """Give the users of each group, in index order, the places of a row of their own."""
    groups = membership.by_cell
    exists = groups.size > 0
    element, cell, _ = np.nonzero(exists)
    seat = np.broadcast_to(membership.seat[..., None, :], groups.member.shape)[exists]
    present = groups.member[exists]
    # A stable sort moves a group's members to the front of its row of the cell's seats, in their order.
    front = np.argsort(~present, axis=-1, kind="stable")[:, : present.sum(axis=-1).max()]
    user = np.take_along_axis(np.where(present, seat, -1), front, axis=-1)
    return Rows(element[:, None], element * membership.cells + cell, user)


def _service(slots: Slots, rows: Rows, density: np.ndarray, factor: np.ndarray, value: float) -> Group:
    """Groups of one service: ``factor`` (elements, users) scales the SINR, ``value`` the rate [Mbit/s per nat]."""
    present = rows.user >= 0
    own = np.diagonal(slots.gain, axis1=-2, axis2=-1)
    bandwidth = slots.of_cell(slots.band)
    noise = density * bandwidth / slots.of_cell(slots.power)  # over unit gain
    worth = value * slots.weight * slots.duty * bandwidth
    signal = (own * factor)[rows.element, rows.user]
    alive = present & (signal > 0) & (worth[rows.element, rows.user] > 0)
    divisor = np.where(alive, signal, 1.0)
    cross = slots.gain[rows.element[..., None], rows.user[:, :, None], rows.user[:, None, :]] / divisor[..., None]
    hears = alive[:, :, None] & present[:, None, :] & ~np.eye(present.shape[1], dtype=bool)
    return Group(
        np.where(hears, cross, 0.0),
        np.where(alive, noise[rows.element, rows.user] / divisor, 1.0),
        np.where(alive, worth[rows.element, rows.user], 0.0),
        present,
    )


def take_apart(problem: MultiCellProblem, *, spend_all: bool) -> Units:
    """Units and groups of a problem, its batch flattened."""
    slots = slots_of(problem)
    cells = problem.cells
    rows = seat_groups(Membership(slots.cell, slots.group, cells, slots.gain.dtype))
    density = intercell_range(slots, spend_all=spend_all).least + slots.of_cell(slots.noise)
    mean = numpy_of(problem.service_weight) / (MEGA * log(2.0) * cells)
    data = (
        _service(slots, rows, density, np.ones_like(slots.kappa), mean[COMMUNICATION]),
        _service(slots, rows, density, slots.kappa, 0.5 * mean[POSITIONING]),
    )
    crowd = (slots.cell[..., None] == np.arange(cells)).sum(axis=1).ravel()
    size = (rows.user >= 0).sum(axis=-1)
    return Units(
        np.repeat(slots.power_floor / slots.power, 2),
        np.repeat(slots.band_floor / slots.band, 2),
        np.repeat(crowd, 2),
        np.repeat(np.bincount(rows.place, minlength=crowd.size), 2),
        np.concatenate([2 * rows.place, 2 * rows.place + 1]),
        np.concatenate([size, size]),
        Group(*(np.concatenate(parts) for parts in zip(*data, strict=True))),
    )
