r"""The certificate of a batch of slots: the less of two upper bounds on their utility (spec bound 3).

1. :func:`separate_bound` knows the interference in groups and sets that of other cells to the least that they can
   cause. Units, services of cells, then share nothing but the positioning share beta (R3, R4).
2. :func:`coupling_bound` leaves out the interference in groups and puts prices on that of other cells (R2 with J a
   variable). It is sought only where an equal split does not show that it cannot be the less.
"""

from __future__ import annotations

import numpy as np

from jcas_env.tree import take

from .coupling import Network, couple, equal_split
from .descent import lowest_bound
from .prices import Setting, UnitShares, open_market, price_band, worth_of_a_nat
from .units import ShareRange, Slots, Units, units_of

SUM_ROUNDING = 1e-9
"""Share by which the bound is raised against rounding in the last sums."""
TUNED_SHARE = 1e-3
"""Prices are not tuned to shares below this one."""
CHUNK = 96
"""Units, services of cells, whose trees grow in one batch: what keeps the memory bounded."""
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


EDGES = (0.0, 0.1, 0.35)
"""Where a unit's interval of shares is cut, from its lower end, over its length: there floors leave ever more room."""


def separate_bound(units: Units, share: ShareRange, setting: Setting) -> tuple[np.ndarray, np.ndarray]:
    r"""Bound with the least interference of other cells [Mbit/s], and number of nodes, (elements,) each.

    """
    cells = share.low.shape[-1]
    count = share.low.size
    per = max(1, CHUNK // 2)
    parts = []
    for begin in range(0, count, per):
        end = min(begin + per, count)
        low, high = share.low.ravel()[begin:end], share.high.ravel()[begin:end]
        parts.append(_cells_bound(units.part(2 * begin, 2 * end), low, high, share.free, setting))
    bound, nodes = (np.concatenate(p).reshape(-1, cells).sum(axis=-1) for p in zip(*parts, strict=True))
    return bound, nodes


def _cells_bound(units, low, high, free, setting):
    """(cells,) each."""
    ends = [service_shares(end, end).reshape(-1, 2) for end in (low, high)]  # (cells, 2) each
    tuned = np.stack([np.maximum(*ends), np.minimum(*ends)][: 2 if free else 1])  # (kinds, cells, 2)
    kinds = len(tuned)
    shares = UnitShares(np.maximum(tuned, TUNED_SHARE).ravel(), np.tile(np.maximum(*ends).ravel(), kinds))
    everything = units.repeated(kinds)
    market = open_market(everything, shares, setting)
    closed = setting.tolerance * worth_of_a_nat(everything)
    def by(v): return v.reshape(kinds, -1, 2)
    def of_line(v): return [by(v)[0], by(v)[0]] if kinds == 1 else [np.stack([by(v)[0][:, 0], by(v)[1][:, 1]], -1), np.stack([by(v)[1][:, 0], by(v)[0][:, 1]], -1)]
    value = [v.sum(-1) for v in of_line(market.value)]
    base = [(v * e).sum(-1) for v, e in zip(of_line(closed), ends)]
    target = np.maximum(value[0] + base[0], value[1] + base[1])
    slack = [target - v for v in value]
    tol = [0.5 * sl[:, None] / np.maximum(e, TUNED_SHARE) for sl, e in zip(slack, ends)]
    if kinds == 2:
        tolerance = np.stack([np.stack([tol[0][:, 0], tol[1][:, 1]], -1), np.stack([tol[1][:, 0], tol[0][:, 1]], -1)]).ravel()
    else:
        tolerance = closed
    tolerance = np.maximum(tolerance, closed)
    prices = price_band(market, shares, tolerance, setting)
    lines = []
    for slope, rest in list(zip(of_line(prices.power + prices.band), of_line(prices.rest)))[:kinds]:
        lines.append([(slope * e + rest).sum(-1) for e in ends])
    return highest_of_lowest(np.asarray(lines)), by(prices.nodes).sum(axis=(0, 2))


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
