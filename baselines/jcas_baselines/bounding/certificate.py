r"""The certificate of a batch of slots: the less of two upper bounds on their utility (spec bound 3).

1. :func:`separate_bound` knows the interference in groups and sets that of other cells to the least that they can
   cause. Units, services of cells, then share nothing but the positioning share beta (R3, R4).
2. :func:`coupling_bound` leaves out the interference in groups and puts prices on that of other cells (R2 with J a
   variable). It is sought only where an equal split does not show that it cannot be the less.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from jcas_env.tree import take

from .coupling import Network, couple, equal_split
from .descent import lowest_bound
from .prices import Market, Setting, UnitShares, open_market, price_band, worth_of_a_nat
from .units import ShareRange, Slots, Units, units_of

SUM_ROUNDING = 1e-9
"""Share by which the bound is raised against rounding in the last sums."""
TUNED_SHARE = 1e-3
"""Prices are not tuned to shares below this one."""
CHUNK = 96
"""Units, services of cells, whose trees grow in one batch, an even number: what keeps the memory bounded."""
HESSIANS = 4_000_000
"""Most entries of the Hessians of a batch whose prices of interference are sought together."""


def certify(slots: Slots, share: ShareRange, setting: Setting, *, spend_all: bool) -> tuple[np.ndarray, np.ndarray]:
    """Upper bound on the ``rate`` utility of every slot [Mbit/s], and nodes evaluated for it, (elements,) each.

    Holds for every allocation whose positioning shares are in ``share``; with ``spend_all`` only for those
    that radiate every cell's whole budget.
    """
    separate, nodes = separate_bound(units_of(slots, spend_all=spend_all), share, setting)
    network = couple(slots, share.low, share.high, spend_all=spend_all)
    return np.minimum(separate, coupling_bound(network, separate)) * (1.0 + SUM_ROUNDING), nodes


def separate_bound(units: Units, share: ShareRange, setting: Setting) -> tuple[np.ndarray, np.ndarray]:
    r"""Bound with the least interference of other cells [Mbit/s], and number of nodes, (elements,) each.

    With prices tuned to a share the bound on a cell is linear in its :math:`\beta`; where shares are free there are two
    such lines, tuned to both ends, and :func:`highest_of_lowest` is the bound over all shares.
    """
    cells, count = share.low.shape[-1], share.low.size
    ends = np.stack([service_shares(end, end) for end in (share.low.ravel(), share.high.ravel())])
    parts = []
    for begin in range(0, 2 * count, CHUNK):
        end = min(begin + CHUNK, 2 * count)
        parts.append(_bound_cells(units.part(begin, end), ends[:, begin:end], setting, lines=2 if share.free else 1))
    bound, nodes = (np.concatenate(part).reshape(-1, cells).sum(axis=-1) for part in zip(*parts, strict=True))
    return bound, nodes


def _bound_cells(units: Units, ends: np.ndarray, setting: Setting, lines: int) -> tuple[np.ndarray, np.ndarray]:
    """Bound on every cell and its nodes, (cells,); ``ends`` (2, units) are the shares at both ends of the interval."""

    def by_cell(value: np.ndarray) -> np.ndarray:
        """Sum over both services, (lines * units,) -> (lines, cells)."""
        return value.reshape(lines, -1, 2).sum(axis=-1)

    tuned = ends[:lines].ravel()
    shares = UnitShares(np.maximum(tuned, TUNED_SHARE), np.tile(ends.max(axis=0), lines))
    market = open_market(units.repeated(lines), shares, setting)
    prices = price_band(market, shares, _tolerances(market, shares, by_cell, setting), setting)
    at_ends = [by_cell((prices.power + prices.band) * np.tile(end, lines) + prices.rest) for end in ends]
    return highest_of_lowest(np.stack(at_ends, axis=1)), by_cell(prices.nodes).sum(axis=0)


def _tolerances(
    market: Market, shares: UnitShares, by_cell: Callable[[np.ndarray], np.ndarray], setting: Setting
) -> np.ndarray:
    """Gaps at which the units' trees are done, of the surplus of a unit band, (lines * units,) [Mbit/s].

    Of two lines the one that ends lower, by what the market found, need not be known better than it takes to show
    that; and what a small share multiplies need not be known as well as what a large one does.
    """
    closed = setting.tolerance * worth_of_a_nat(market.units)
    value = by_cell(market.value)
    # Where no price was found, as where floors fill the budget beyond rounding, nothing is known and nothing spared.
    known = np.isfinite(value)
    value = np.where(known, value, 0.0)
    spare = np.where(known, (value + by_cell(closed * shares.tuned)).max(axis=0) - value, 0.0)
    return np.maximum(closed, 0.5 * np.repeat(spare.ravel(), 2) / shares.tuned)


def coupling_bound(network: Network, known: np.ndarray) -> np.ndarray:
    """Bound with prices of interference [Mbit/s], or inf where it cannot be less than a ``known`` one, (elements,)."""
    bound = np.full_like(known, np.inf)
    coupled = (network.coupling > 0).any(axis=(-2, -1))
    useful = np.flatnonzero(coupled & (equal_split(network) * network.scale < known))
    prices = 2 * (2 * network.worth.shape[-1] + 2 * network.cell.shape[1])
    count = max(1, HESSIANS // prices**2)
    for begin in range(0, len(useful), count):
        some = useful[begin : begin + count]
        bound[some] = lowest_bound(take(network, some))
    return bound


def service_shares(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Largest shares of both services, interleaved, where the positioning share is in [low, high], (n,) -> (2 n,)."""
    return np.stack([1.0 - low, high], axis=-1).ravel()


def highest_of_lowest(ends: np.ndarray) -> np.ndarray:
    """Largest value between two ends of the least of one or two lines, (lines, 2 ends, ...) -> (...,)."""
    values = [ends[:, 0].min(axis=0), ends[:, 1].min(axis=0)]
    if len(ends) == 2:
        ahead = ends[0] - ends[1]  # (2 ends, ...)
        change = ahead[0] - ahead[1]
        # The least of two lines peaks at an end or where they cross, if they do between the ends.
        crossing = np.where(change != 0, ahead[0] / np.where(change != 0, change, 1.0), 0.0)
        at = np.clip(crossing, 0.0, 1.0)
        values.append((ends[:, 0] + at * (ends[:, 1] - ends[:, 0])).min(axis=0))
    return np.maximum.reduce(values)
