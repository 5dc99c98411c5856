r"""The slots of a batch taken apart for the bound: services of cells, and their groups.

All numbers are relative to the cell's budgets: powers to P_max, bands to B_max. A *unit* is one service of one cell
of one element of the batch; units with the interference of the other cells at its least value share nothing but
the positioning share (spec bound 2, 3 R3).
"""

from __future__ import annotations

from math import log
from typing import NamedTuple

import numpy as np

from jcas_env.scenarios.multicell import MultiCellProblem
from jcas_env.types import COMMUNICATION, POSITIONING
from jcas_env.units import MEGA

from .bound_relaxation import Group


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


def numpy_of(value: object) -> np.ndarray:
    """Any library's array as NumPy's, reals in double precision."""
    array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def least_intercell_density(problem: MultiCellProblem, *, spend_all: bool) -> np.ndarray:
    r"""Least power density that a user can hear of the other cells, whatever these allocate.

    .. math:: \sum_{n \ne i} \frac{2 \underline P \sum_{m \in n} G_{jm}
              + (P_{\max} - 2 N_n \underline P) \min_{m \in n} G_{jm}}{B_{\max}}

    The second term holds only where every cell radiates its whole budget (``spend_all``), as every decoded
    action does; an allocation may also spend less. Returns (elements, users) [W/Hz] (spec bound 2).
    """
    gain, cell, power, band, floor = (
        numpy_of(part)
        for part in (
            problem.gain,
            problem.cell,
            problem.per_cell(problem.power_budget),
            problem.per_cell(problem.band_budget),
            problem.per_cell(problem.power_floor),
        )
    )
    users, cells = problem.users, problem.cells
    gain, cell = gain.reshape(-1, users, users), np.broadcast_to(cell, (*problem.batch, users)).reshape(-1, users)
    power, band, floor = (part.reshape(-1, cells) for part in (power, band, floor))
    member = cell[:, :, None] == np.arange(cells)  # (elements, users, cells)
    heard = gain @ member * (2.0 * floor / band)[:, None, :]
    if spend_all:
        weakest = np.where(member[:, None], gain[..., None], np.inf).min(axis=-2)
        slack = np.maximum(power - 2.0 * floor * member.sum(axis=1), 0.0) / band
        heard = heard + np.where(member.any(axis=1), slack, 0.0)[:, None, :] * np.where(
            np.isfinite(weakest), weakest, 0.0
        )
    return np.where(member, 0.0, heard).sum(axis=-1)


def take_apart(problem: MultiCellProblem, *, spend_all: bool) -> Units:
    """Units and groups of a problem, flattened over its batch."""
    users, cells = problem.users, problem.cells
    flat = {
        name: np.broadcast_to(numpy_of(value), (*problem.batch, *numpy_of(value).shape[-trailing:])).reshape(
            -1, *numpy_of(value).shape[-trailing:]
        )
        for name, value, trailing in (
            ("gain", problem.gain, 2),
            ("cell", problem.cell, 1),
            ("group", problem.group, 1),
            ("kappa", problem.sensing_gain, 1),
            ("weight", problem.weight, 1),
            ("power", problem.per_cell(problem.power_budget), 1),
            ("band", problem.per_cell(problem.band_budget), 1),
            ("power_floor", problem.per_cell(problem.power_floor), 1),
            ("band_floor", problem.per_cell(problem.band_floor), 1),
            ("noise", problem.per_cell(problem.noise_density), 1),
        )
    }
    elements = np.arange(flat["gain"].shape[0])[:, None]
    cell = flat["cell"]
    own = np.diagonal(flat["gain"], axis1=-2, axis2=-1)
    density = least_intercell_density(problem, spend_all=spend_all) + flat["noise"][elements, cell]
    bandwidth = flat["band"][elements, cell]
    noise = density * bandwidth / flat["power"][elements, cell]  # over unit gain
    worth = flat["weight"] * bandwidth / (MEGA * log(2.0) * cells)

    # Users of each group in a row of their own, padded by -1.
    key = (elements * cells + cell) * users + _relabel(cell, flat["group"])
    names, label = np.unique(key, return_inverse=True)
    label = label.reshape(-1)
    order = np.argsort(label, kind="stable")
    size = np.bincount(label)
    rank = np.arange(label.size) - np.repeat(np.cumsum(size) - size, size)
    row = np.full((len(names), size.max()), -1)
    row[label[order], rank] = order % users
    element = (names // (users * cells))[:, None]
    place = names // users  # (element, cell) of each group
    present = row >= 0

    crowd = (cell[..., None] == np.arange(cells)).sum(axis=1).reshape(-1)
    count = np.bincount(place, minlength=crowd.size)
    services = []
    service_weight = numpy_of(problem.service_weight)
    for service in (COMMUNICATION, POSITIONING):
        factor = np.ones_like(own) if service == COMMUNICATION else flat["kappa"]
        value = service_weight[service] * (1.0 if service == COMMUNICATION else 0.5)
        signal = (own * factor)[element, row]
        alive = present & (signal > 0) & (value > 0)
        divisor = np.where(alive, signal, 1.0)
        cross = flat["gain"][element[..., None], row[:, :, None], row[:, None, :]] / divisor[..., None]
        off = alive[:, :, None] & present[:, None, :] & ~np.eye(row.shape[1], dtype=bool)
        services.append(
            Group(
                np.where(off, cross, 0.0),
                np.where(alive, noise[element, row] / divisor, 1.0),
                np.where(alive, value * worth[element, row], 0.0),
                present,
            )
        )
    data = Group(*(np.concatenate(parts) for parts in zip(*services, strict=True)))
    floors = [np.repeat((flat[f"{name}_floor"] / flat[name]).reshape(-1), 2) for name in ("power", "band")]
    return Units(
        floors[0],
        floors[1],
        np.repeat(crowd, 2),
        np.repeat(count, 2),
        np.concatenate([2 * place, 2 * place + 1]),
        np.concatenate([size, size]),
        data,
    )


def _relabel(cell: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Label each group by its first user, so that labels stay below the number of users."""
    mates = (cell[:, :, None] == cell[:, None, :]) & (group[:, :, None] == group[:, None, :])
    return mates.argmax(axis=-1)
