r"""Prices of power and band that separate the groups of a service, and the bound that they give.

For a service with power budget P and band W, both relative to the cell's, and any prices :math:`\mu, \nu \ge 0`,

.. math:: \max \sum_g w_g \varphi_g(P_g / w_g) \;\le\; \mu P + \nu W + \sum_g V_g, \qquad
          V_g = \max_{w, p} w\,\big(\varphi_g(p) - \mu \mathbf 1^T p - \nu\big)

over :math:`\underline b \le w \le w_{\max} = W - (G-1) \underline b` and
:math:`\underline P / w \le p \le P_{\mathrm{cap}} / w`, :math:`P_{\mathrm{cap}} = P - \underline P (N_i - n_g)`. The
rate is homogeneous of degree one, so with :math:`\nu` at the largest :math:`\varphi_g(p) - \mu \mathbf 1^T p` of any
group over the widest box, all V are at most 0; what the others lose on their floors is searched for in a second
forest, in which :math:`\omega = \ln w` is branched on (spec bound 3 R3, prices).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .relaxation import Group
from .tree import Effort, Forest, Items, branch_and_bound
from .units import Units

SILENCE = 1e-5
"""Where powers have no floor they get one so small that no user's noise rises by more than this share; the noise is
lowered by as much beforehand and the power is granted, so that the bound holds."""
FIRST_PRICE = 0.03
"""First price of power: this share of a nat's worth, over the budget."""
PRICE_ACCURACY = 1e-3
"""Logarithmic mismatch of demand and budget at which the price search of its unit ends."""
PROBE_WIDTH = 4
"""Nodes that a probe splits in a round."""
LOSER_NODES = 60
"""Most nodes of a tree for what a group loses on its floor."""


class Setting(NamedTuple):
    """How hard a bound is worked for."""

    price_steps: int
    """Most prices of power that are tried for a service of a cell."""
    probe: int
    """Most nodes of its tree at each of them."""
    nodes: int
    """Most nodes of its tree at the final price."""
    tolerance: float
    """Gap at which its tree is done, relative to the worth of one nat."""


class UnitShares(NamedTuple):
    """Share of its cell's power and band that a unit has, (units,) each [-]."""

    tuned: np.ndarray
    """What prices are tuned to."""
    widest: np.ndarray
    """The largest for which the bound must hold."""


class UnitPrices(NamedTuple):
    """A bound ``power P + band W + rest`` [Mbit/s] on every unit, valid up to the widest shares P = W."""

    power: np.ndarray
    """(units,): mu [Mbit/s per cell's power budget]."""
    band: np.ndarray
    """(units,): nu [Mbit/s per cell's band budget]."""
    rest: np.ndarray
    """(units,): sum of the V_g, at most 0 [Mbit/s]."""
    nodes: np.ndarray
    """(units,) integer: nodes evaluated."""


class Room(NamedTuple):
    """What the floors of the other groups leave for a group, (groups,), relative to the cell's budgets."""

    band: np.ndarray
    """Largest band, w_max."""
    power: np.ndarray
    """Largest power of all its users together, P_cap."""


def room(units: Units, share: np.ndarray) -> Room:
    """Band and power left for each group by the floors of the others at shares (units,), never below its own floors."""
    own = units.unit
    band = share[own] - (units.groups[own] - 1) * units.band_floor[own]
    power = share[own] - (units.users[own] - units.size) * units.power_floor[own]
    return Room(np.maximum(band, units.band_floor[own]), np.maximum(power, units.size * units.power_floor[own]))


class FlooredGroups(NamedTuple):
    """Groups in which every user has a least power density, so that its logarithm is bounded."""

    data: Group
    """Noise is lowered where a floor of zero was replaced by silence."""
    density: np.ndarray
    """(groups, users): least power density at w = w_max."""
    granted: np.ndarray
    """(groups,): power density that no price may charge."""


def with_floors(units: Units, widest: Room) -> FlooredGroups:
    r"""Least power densities of all groups: their floors over the widest band, or silence where these are zero.

    Silence s is granted for nothing and the noise is lowered by what it causes, :math:`j_u - s \sum_k A_{uk}`, so
    that no allocation loses by it (spec bound 3).
    """
    data, own = units.data, units.unit
    floor = (units.power_floor[own] / widest.band)[:, None]
    hears = data.cross.sum(axis=-1)
    # Density of the others at which the noise of the user that hears most of them doubles.
    quiet = np.where(hears > 0, data.noise / np.where(hears > 0, hears, 1.0), 1.0).min(axis=-1)
    silent = np.where(units.power_floor[own] > 0, 0.0, SILENCE * np.minimum(quiet, 1.0))[:, None]
    density = np.where(data.present, np.maximum(floor, silent), 1.0)
    noise = data.noise - (data.cross * (silent * data.present)[:, None, :]).sum(axis=-1)
    return FlooredGroups(data._replace(noise=noise), density, (silent * data.present).sum(axis=-1))


def _largest_density(data: Group, price: np.ndarray, limit: np.ndarray) -> np.ndarray:
    r"""Power densities above which a group earns less than nothing, or ``limit`` if less, (groups, users).

    :math:`h \ln(1 + p/j) - \mu p \le M_u(\mu)`, its maximum over p; and at most
    :math:`M_u(\mu/2) - (\mu/2) p`, which outweighs the other users' maxima beyond
    :math:`2 (M_u(\mu/2) + \sum_{k \ne u} M_k(\mu)) / \mu`.
    """

    def most(price: np.ndarray) -> np.ndarray:
        """M, 0 where no power pays its price."""
        price = price[:, None]
        ratio = data.worth / (data.noise * price)
        useful = np.where(ratio > 1.0, ratio, 1.0)
        return np.where(ratio > 1.0, data.worth * (np.log(useful) - 1.0) + price * data.noise, 0.0)

    full, half = most(price), most(price / 2.0)
    beyond = 2.0 * (half + full.sum(axis=-1, keepdims=True) - full) / price[:, None]
    return np.minimum(limit[:, None], beyond)


def best_surplus(units: Units, base: FlooredGroups, widest: Room, price: np.ndarray, effort: Effort) -> Forest:
    r"""Largest :math:`\varphi_g(p) - \mu \mathbf 1^T p` over the groups of each unit at prices (units,), at any band.

    As the band's price it makes every V at most 0. One tree a unit.
    """
    own, data = units.unit, base.data
    floor = units.band_floor[own]
    limit = np.where(floor > 0, widest.power / np.where(floor > 0, floor, 1.0), np.inf)
    high = np.maximum(_largest_density(data, price[own], limit), base.density)
    items = Items(
        data=data,
        tree=own,
        power_price=price[own],
        band_price=np.zeros(len(own)),
        ceiling=np.full(len(own), np.inf),
        low=np.log(base.density),
        high=np.log(np.where(data.present, high, np.e)),
        omega=np.zeros((len(own), 2)),  # phi is per band: w = 1
    )
    forest = branch_and_bound(items, len(price), effort)
    grant = price[own] * base.granted
    # At least 0: what is left out above the largest densities earns no more, and band prices are not negative.
    item_bound = np.maximum(forest.item_bound + grant, 0.0)
    return forest._replace(bound=units.most(item_bound), item_bound=item_bound)


def losses(
    units: Units, base: FlooredGroups, widest: Room, price: np.ndarray, best: Forest, tolerance: np.ndarray
) -> Forest:
    r"""The :math:`V_g` of all groups, at most 0, where ``best`` set the price of the band; one tree a group."""
    own = units.unit
    price, band_price = price[own], best.bound[own]
    floored = units.band_floor[own] > 0
    # ln w lies between the group's own floor and what the other groups leave.
    first = np.where(floored, np.log(np.where(floored, units.band_floor[own], 1.0)), np.log(widest.band))
    last = np.log(widest.band)
    high = np.where(base.data.present, np.log(widest.power)[:, None], 1.0)
    # A power floor weighs the more, the narrower the band; silence is a density.
    slides = np.where(units.power_floor[own] > 0, last, first)
    low = np.log(base.density) + slides[:, None] * base.data.present
    items = Items(
        data=base.data,
        tree=np.arange(len(own)),
        power_price=price,
        band_price=band_price - price * base.granted,
        ceiling=best.item_bound - price * base.granted,
        low=low,
        high=np.maximum(high, low),
        omega=np.stack([first, last], axis=-1),
    )
    # The best group pays its price and no tree is needed; without a floor the band can be zero, and nothing is lost.
    needed = floored & (np.arange(len(own)) != best.item[own])
    forest = branch_and_bound(items, len(own), Effort(LOSER_NODES, np.where(needed, tolerance[own], 1e300)))
    return forest._replace(bound=np.where(needed, np.minimum(forest.bound, 0.0), 0.0))


class Market(NamedTuple):
    """Units with their prices of power, before their band's price is certified."""

    units: Units
    base: FlooredGroups
    widest: Room
    price: np.ndarray
    """(units,): mu [Mbit/s per cell's power budget]."""
    value: np.ndarray
    """(units,): dual value at the tuned share with the largest surplus that was found [Mbit/s]; certifies nothing."""
    nodes: np.ndarray
    """(units,) integer: nodes evaluated."""


def open_market(units: Units, shares: UnitShares, setting: Setting) -> Market:
    r"""Find prices of power for every unit: :math:`\mu` clears the market at the tuned share."""
    widest = room(units, shares.widest)
    base = with_floors(units, widest)
    probe = Effort(setting.probe, setting.tolerance * worth_of_a_nat(units), PROBE_WIDTH)
    return clear_market(units, base, shares, widest, steps=setting.price_steps, probe=probe)


def price_band(market: Market, shares: UnitShares, tolerance: np.ndarray, setting: Setting) -> UnitPrices:
    r"""The bound on every unit at its market's prices of power, sought up to a ``tolerance`` (units,) of the surplus.

    :math:`\nu` is the certified largest surplus, and the rest is what groups lose on their floors.
    """
    units, base, widest, power = market.units, market.base, market.widest, market.price
    best = best_surplus(units, base, widest, power, Effort(setting.nodes, tolerance))
    # Losses are small beside the surplus: a tenth of the tolerance is of the same weight.
    lost = losses(units, base, widest, power, best, 0.1 * tolerance * shares.widest)
    nodes = market.nodes + best.nodes + units.total(lost.nodes).astype(int)
    return UnitPrices(power, best.bound, units.total(lost.bound), nodes)


def worth_of_a_nat(units: Units) -> np.ndarray:
    """What one nat for every user of a group in the whole band is worth at most, (units,) [Mbit/s]."""
    return units.most(units.data.worth.sum(axis=-1))


def clear_market(
    units: Units, base: FlooredGroups, shares: UnitShares, widest: Room, *, steps: int, probe: Effort
) -> Market:
    """Price of power at which the best group asks for about what is left for it; with what it is worth there.

    A secant-free search on the logarithm: the price moves by the mismatch of demand and budget, inside a bracket
    that bisection keeps, until its unit's market clears. The price with the least dual value seen is returned.
    """
    count = len(shares.tuned)
    tuned = room(units, shares.tuned)
    # Where nobody is worth anything a price must still be positive.
    log_price = np.log(np.maximum(FIRST_PRICE * worth_of_a_nat(units), 1e-12) / shares.tuned)
    low, high = np.full(count, -np.inf), np.full(count, np.inf)
    best, least, nodes = log_price, np.full(count, np.inf), np.zeros(count, dtype=int)
    open_units = np.ones(count, dtype=bool)
    for _ in range(steps):
        price = np.exp(log_price)
        forest = best_surplus(units, base, widest, price, probe)
        nodes = nodes + np.where(open_units, forest.nodes, 0)
        supply, band = tuned.power[forest.item], tuned.band[forest.item]
        present = units.data.present[forest.item]
        # The champion's band and power against what is left for it at the tuned share.
        demand = band * np.where(present, np.exp(forest.point), 0.0).sum(axis=-1)
        dual = price * supply + forest.value * band
        better = open_units & (dual < least)
        best, least = np.where(better, log_price, best), np.where(better, dual, least)
        mismatch = np.log(demand / supply)
        low, high = np.where(mismatch > 0, log_price, low), np.where(mismatch <= 0, log_price, high)
        open_units = open_units & (np.abs(mismatch) >= PRICE_ACCURACY)
        if not open_units.any():
            break
        # Demand falls about as the price rises; far from clearing it may jump, so a step is at most e^2.
        move = log_price + np.clip(mismatch, -2.0, 2.0)
        bracketed = np.isfinite(low) & np.isfinite(high)
        middle = np.where(bracketed, (low + high) / 2.0, move)
        log_price = np.where((move > low) & (move < high), move, middle)
    return Market(units, base, widest, np.exp(best), least, nodes)
