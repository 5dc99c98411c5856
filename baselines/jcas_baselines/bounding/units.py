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
from jcas_env.tree import take, tree_map
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
            take(self.data, here),
        )

    def repeated(self, times: int) -> Units:
        """All units ``times`` over, one after the other."""
        count = len(self.users)
        again = tree_map(lambda part: np.concatenate([part] * times), self)
        return again._replace(unit=again.unit + np.repeat(count * np.arange(times), len(self.unit)))


class Slots(NamedTuple):
    """A problem in NumPy and double precision, its batch flattened to (elements,)."""

    gain: np.ndarray
    """(elements, users, users) [receiver, beam] [-]."""
    cell: np.ndarray
    """(elements, users) integer."""
    group: np.ndarray
    """(elements, users) integer."""
    kappa: np.ndarray
    """(elements, users): sensing gain [-]."""
    weight: np.ndarray
    """(elements, users) [-]."""
    power: np.ndarray
    """(elements, cells): power budget [W]."""
    band: np.ndarray
    """(elements, cells): band budget [Hz]."""
    power_floor: np.ndarray
    """(elements, cells) [W]."""
    band_floor: np.ndarray
    """(elements, cells) [Hz]."""
    noise: np.ndarray
    """(elements, cells): noise density [W/Hz]."""
    duty: np.ndarray
    """(elements, 1): share of the time that carries data [-]."""
    nat: np.ndarray
    """(2,): utility of one nat per second at unit weight, of communication and of positioning [Mbit/s / (nat/s)]."""

    def of_cell(self, value: np.ndarray) -> np.ndarray:
        """A number of each cell for each of its users, (elements, cells) -> (elements, users)."""
        return np.take_along_axis(value, self.cell, axis=-1)


def numpy_of(value: Any) -> np.ndarray:
    """Any library's array as NumPy's, reals in double precision."""
    array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def slots_of(problem: MultiCellProblem) -> Slots:
    """Flatten the batch of a problem, fields that all elements share repeated."""

    def flat(value: Any, *trailing: int) -> np.ndarray:
        return np.broadcast_to(numpy_of(value), (*problem.batch, *trailing)).reshape(-1, *trailing)

    users, cells = problem.users, problem.cells
    # Nats to Mbit, the mean over the cells; the positioning rate is half a logarithm.
    nat = numpy_of(problem.service_weight) / (MEGA * log(2.0) * cells)

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
        nat=np.stack([nat[COMMUNICATION], 0.5 * nat[POSITIONING]]),
    )


class ShareRange(NamedTuple):
    """Positioning shares that a problem allows."""

    low: np.ndarray
    """(elements, cells) [-]."""
    high: np.ndarray
    """(elements, cells) [-]."""
    free: bool
    """Whether any cell of any element may choose; else low and high are the same."""


def share_range(problem: MultiCellProblem) -> ShareRange:
    """Shares that the floors leave where they are free, [n, 1 - n] with n the least share; elsewhere the given one."""
    free = numpy_of(problem.share_is_free)
    # Floors that do not fit into any share leave the even one, so that the element can be computed.
    share, least = numpy_of(problem.share), np.minimum(numpy_of(problem.least_share), 0.5)
    low, high = np.where(free, least, share), np.where(free, 1.0 - least, share)
    cells = (-1, problem.cells)
    return ShareRange(low.reshape(cells), high.reshape(cells), bool(free.any()))


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
    # What a cell may send to whomever it likes, as a density.
    slack = np.maximum(slots.power - 2.0 * slots.power_floor * member.sum(axis=1), 0.0) / slots.band

    def heard(density: np.ndarray) -> np.ndarray:
        """Sum over the other cells, (elements, users, cells) -> (elements, users)."""
        return np.where(member, 0.0, density).sum(axis=-1)

    def extreme(outside: float, reduce: np.ufunc) -> np.ndarray:
        """Density where the slack goes to the member of each cell that a user hears least or most."""
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
    """Groups of one service: ``density`` is heard [W/Hz], ``factor`` scales the SINR, (elements, users) each.

    ``value`` is what one nat per second is worth [Mbit/s / (nat/s)].
    """
    present = rows.user >= 0
    own = np.diagonal(slots.gain, axis1=-2, axis2=-1)
    bandwidth = slots.of_cell(slots.band)
    noise = density * bandwidth / slots.of_cell(slots.power)  # over unit gain
    worth = value * slots.weight * slots.duty * bandwidth
    signal = (own * factor)[rows.element, rows.user]
    # Users that nothing is heard of or that are worth nothing stay in their group, for their power floor is heard.
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


def units_of(slots: Slots, *, spend_all: bool) -> Units:
    """Units and groups of all elements, with the interference of other cells at its least value (spec bound 3 R3)."""
    cells = slots.power.shape[-1]
    rows = seat_groups(Membership(slots.cell, slots.group, cells, slots.gain.dtype))
    density = intercell_range(slots, spend_all=spend_all).least + slots.of_cell(slots.noise)
    data = (
        _service(slots, rows, density, np.ones_like(slots.kappa), slots.nat[COMMUNICATION]),
        _service(slots, rows, density, slots.kappa, slots.nat[POSITIONING]),
    )
    crowd = (slots.cell[..., None] == np.arange(cells)).sum(axis=1).ravel()
    size = (rows.user >= 0).sum(axis=-1)
    return Units(
        power_floor=np.repeat(slots.power_floor / slots.power, 2),
        band_floor=np.repeat(slots.band_floor / slots.band, 2),
        users=np.repeat(crowd, 2),
        groups=np.repeat(np.bincount(rows.place, minlength=crowd.size), 2),
        unit=np.concatenate([2 * rows.place, 2 * rows.place + 1]),
        size=np.concatenate([size, size]),
        data=tree_map(lambda *parts: np.concatenate(parts), *data),
    )
