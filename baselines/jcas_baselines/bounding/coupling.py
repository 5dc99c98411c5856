r"""Prices of interference: a bound that lets cells hear of one another what they radiate, not the least they could.

In units of the cells' budgets, let :math:`e_m \ge 0` be what user m gets above the power floors, both services
together, and let :math:`t_u \in [0, 1]` say where in its range the power density of the other cells is at user u:
:math:`J_u = J_u^{lo} + t_u (J_u^{hi} - J_u^{lo})`, where
:math:`t_u \ge \sum_m c_{um} e_m - o_u`. In-group interference is left out. With a price for each of these
constraints (:math:`\eta`, once for each service), for power and band above the floors (:math:`\mu, \nu`) and a credit
:math:`\xi` for every power floor, weak duality bounds the utility at any nonnegative prices by

.. math:: \sum_i \max_\beta \sum_s \big[\mu_{is} (\beta_{is} - N_i \underline p_i)
              + \nu_{is} (\beta_{is} - G_i \underline b_i)\big]
          + \sum_{u, s} (\underline p \pi_{us} + o_u \eta_{us})
          + \sum_{g, s} \max_w \Big[\sum_{u \in g} \max_t \big(w \varphi_{us}(\pi_{us}, t) + \eta_{us} t\big)
              - \nu (w - \underline b)\Big]

.. math:: \pi_{us} = \mu_{is} + \sum_k c_{ku} \sum_r \eta_{kr} - \xi_{us}, \qquad
          \varphi(\pi, t) = \max_{p \ge 0} h \ln(1 + p / j_t) - \pi p
                          = h \Big(\ln\frac{h}{\pi j_t} - 1\Big) + \pi j_t \;\; (\pi j_t < h), \text{ else } 0

A rate is convex in J at given power and band, so the inner maximum lies at an end, t = 0 or 1; the sum over users is
then convex in w, so w is the floor or all that the other floors leave; and the first line is linear in the share. At
the best prices this is the relaxation of spec bound 3 R2 with J a variable, or less. Every term is at least 0, so
nothing cancels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jcas_env.physics.membership import same_group, same_label

from .units import Slots, intercell_range

LEAST_ROOM = 1e-6
"""Least room above the floors, relative to the share: budgets are raised to it, so that their prices stay finite."""
LEAST_RANGE = 1e-4
"""A range of interference that is narrower, relative to its upper end, counts as the point at its lower end: that gives
away as many nats at most, and spares the search where nobody hears the other cells."""


class Network(NamedTuple):
    """Data of a batch of slots, (elements, ...); services, if any, on the axis after the elements."""

    worth: np.ndarray
    """(n, 2, users): h, utility of one nat in the whole band over ``scale``; 0 for who is not heard."""
    level: np.ndarray
    """(n, 2, users): j at the least interference, over the own signal at unit power density [-]."""
    loudest: np.ndarray
    """(n, 1, users): j at the largest interference over j at the least."""
    coupling: np.ndarray
    """(n, users, users): c, how much of u's range of interference the whole budget of m's cell covers, sent to m."""
    offset: np.ndarray
    """(n, 1, users): o, what u hears at least beyond the floors, in units of its range."""
    cell: np.ndarray
    """(n, cells, users): 1 where the user is in the cell."""
    group: np.ndarray
    """(n, users, users): 1 in the row of a group's first user for each of its users."""
    power_floor: np.ndarray
    """(n, 1, users): of a user, once for each service."""
    band_floor: np.ndarray
    """(n, 1, users): of the user's group, once for each service."""
    power: np.ndarray
    """(n, 2, 2, cells): power above the floors at both ends of the share's interval (first axis)."""
    band: np.ndarray
    """(n, 2, 2, cells): band likewise."""
    widest: np.ndarray
    """(n, 2, cells): largest band of a group above its floor."""
    scale: np.ndarray
    """(n,): Mbit/s; what one nat of every user of the best groups is worth."""

    @property
    def leader(self) -> np.ndarray:
        """(n, cells, users): 1 where the user is the first of a group of the cell."""
        return self.cell * np.diagonal(self.group, axis1=-2, axis2=-1)[:, None, :]


class Tariff(NamedTuple):
    """Prices in units of ``scale``; any nonnegative ones bound, with ``paid`` positive."""

    power: np.ndarray
    """(n, 2, cells): mu."""
    band: np.ndarray
    """(n, 2, cells): nu."""
    heard: np.ndarray
    """(n, 2, users): eta."""
    paid: np.ndarray
    """(n, 2, users): pi."""


def couple(slots: Slots, low: np.ndarray, high: np.ndarray, *, spend_all: bool) -> Network:
    """Network of slots whose positioning share is in [low, high], (n, cells) each.

    With ``spend_all`` the least interference is that of cells which radiate their whole budgets.
    """
    cells, users = slots.power.shape[-1], slots.cell.shape[-1]
    cell = (slots.cell[:, None, :] == np.arange(cells)[:, None]).astype(float)
    same_cell, same = same_label(slots.cell), same_group(slots.cell, slots.group)
    group = (same & (np.arange(users)[:, None] == same.argmax(axis=-1)[:, None, :])).astype(float)
    heads = np.diagonal(group, axis1=-2, axis2=-1)

    floors, least, most = intercell_range(slots, spend_all=spend_all)
    noise = slots.of_cell(slots.noise)
    wide = most - least > LEAST_RANGE * (most + noise)
    span = np.where(wide, most - least, 1.0)
    density = slots.gain * slots.of_cell(slots.power / slots.band)[:, None, :]
    level, worth = _levels(slots, least + noise)

    share = np.stack([np.stack([1.0 - end, end], axis=1) for end in (low, high)], axis=1)
    largest = share.max(axis=1)
    power_floor, band_floor = slots.power_floor / slots.power, slots.band_floor / slots.band
    of_power = cell.sum(axis=-1) * power_floor
    of_band = (cell @ heads[..., None])[..., 0] * band_floor
    best = ((worth @ np.swapaxes(group, -1, -2))[:, :, None, :] * cell[:, None]).max(axis=-1)
    scale = (largest * best).sum(axis=(-2, -1))
    scale = np.where(scale > 0, scale, 1.0)
    return Network(
        worth=worth / scale[:, None, None],
        level=level,
        loudest=np.where(wide, (most + noise) / (least + noise), 1.0)[:, None, :],
        coupling=np.where(~same_cell & wide[:, :, None], density / span[:, :, None], 0.0),
        offset=np.where(wide, (least - floors) / span, 0.0)[:, None, :],
        cell=cell,
        group=group,
        power_floor=slots.of_cell(power_floor)[:, None, :],
        band_floor=slots.of_cell(band_floor)[:, None, :],
        power=np.maximum(share - of_power[:, None, None, :], LEAST_ROOM * largest[:, None]),
        band=np.maximum(share - of_band[:, None, None, :], LEAST_ROOM * largest[:, None]),
        widest=np.maximum(largest - of_band[:, None, :], LEAST_ROOM * largest),
        scale=scale,
    )


def _levels(slots: Slots, density: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Noise j at a power density (n, users) [W/Hz], and h in Mbit/s per nat, (n, 2, users) each."""
    own, band = np.diagonal(slots.gain, axis1=-2, axis2=-1), slots.of_cell(slots.band)
    signal = np.stack([own, slots.kappa * own], axis=1)
    worth = slots.nat[:, None] * (slots.weight * slots.duty * band)[:, None, :]
    alive = (signal > 0) & (worth > 0)
    noise = (density * band / slots.of_cell(slots.power))[:, None, :]
    return np.where(alive, noise / np.where(alive, signal, 1.0), 1.0), np.where(alive, worth, 0.0)


def charge(network: Network, power: np.ndarray, heard: np.ndarray) -> np.ndarray:
    r"""What a unit of power costs where its floor gives no credit, :math:`\mu_{is} + \sum_k c_{ku} \sum_r \eta_{kr}`.

    ``power`` (n, 2, cells), ``heard`` (n, 2, users); returns (n, 2, users).
    """
    return power @ network.cell + heard.sum(axis=1, keepdims=True) @ network.coupling


def surplus(worth: np.ndarray, level: np.ndarray, paid: np.ndarray) -> np.ndarray:
    """phi: what a user's rate in the whole band is worth above its power, at best; any shape, in units of ``scale``."""
    ahead = advantage(worth, level, paid)
    return worth * (ahead + np.expm1(-ahead))


def advantage(worth: np.ndarray, level: np.ndarray, paid: np.ndarray) -> np.ndarray:
    """``ln(h / (pi j))``, the logarithm of 1 + SINR at the best power, at least 0; any shape."""
    alive = worth > 0
    return np.where(alive, np.maximum(np.log(np.where(alive, worth, 1.0) / level) - np.log(paid), 0.0), 0.0)


def priced_bound(network: Network, tariff: Tariff) -> np.ndarray:
    """The bound of the module's first formula in units of ``scale``, (n,), at any nonnegative prices.

    ``paid`` is cut where it exceeds the charge: the credit of a floor is not negative.
    """
    paid = np.minimum(tariff.paid, charge(network, tariff.power, tariff.heard))
    income = (network.power * tariff.power[:, None] + network.band * tariff.band[:, None]).sum(axis=2).max(axis=1)
    quiet = surplus(network.worth, network.level, paid)
    loud = surplus(network.worth, network.level * network.loudest, paid)
    to_group = np.swapaxes(network.group, -1, -2)

    def group_value(band: np.ndarray) -> np.ndarray:
        """Sum over a group's users at the better end of each user's interference."""
        return np.maximum(band * quiet, band * loud + tariff.heard) @ to_group

    rent = (tariff.band * network.widest) @ network.leader
    wide = group_value(network.widest @ network.cell + network.band_floor) - rent
    value = np.maximum(group_value(network.band_floor), wide)
    rest = network.power_floor * paid + network.offset * tariff.heard
    return income.sum(axis=-1) + (value + rest).sum(axis=(-2, -1))


def equal_split(network: Network) -> np.ndarray:
    """What an equal split of power earns in the relaxation, in units of ``scale``, (n,): no certificate is below it.

    Every user has the same power, the best group of each unit all the band that the floors leave.
    """
    users = np.maximum(network.cell.sum(axis=-1), 1.0)[:, None, None, :]
    above = network.power / users  # (n, ends, 2, cells)
    level = network.level * (1.0 + _heard(network, above[:, 0].sum(axis=1)) * (network.loudest - 1.0))
    to_group = np.swapaxes(network.group, -1, -2)

    def group_rate(band: np.ndarray, power: np.ndarray) -> np.ndarray:
        width = np.where(band > 0, band, 1.0)
        return np.where(band > 0, width * network.worth * np.log1p(power / (width * level)), 0.0) @ to_group

    earned = []
    for end in (0, 1):
        power = above[:, end] @ network.cell + network.power_floor
        narrow = group_rate(network.band_floor + 0.0 * power, power)  # a row for each service
        gain = group_rate(network.band[:, end] @ network.cell + network.band_floor, power) - narrow
        best = (gain[:, :, None, :] * network.leader[:, None]).max(axis=-1)
        earned.append((best + (narrow[:, :, None, :] * network.leader[:, None]).sum(axis=-1)).sum(axis=1))
    return np.maximum(*earned).sum(axis=-1)


def _heard(network: Network, above: np.ndarray) -> np.ndarray:
    """T of all users where each user of a cell gets ``above`` (n, cells) beyond the floors, (n, 1, users)."""
    spent = (above[:, None, :] @ network.cell)[:, 0]
    at = np.clip((network.coupling @ spent[..., None])[..., 0] - network.offset[:, 0], 0.0, 1.0)
    return at[:, None, :]
