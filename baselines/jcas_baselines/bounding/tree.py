r"""Best-first branch and bound over many trees at once.

A tree asks for the largest :math:`w\,(\varphi_g(p) - \mu \mathbf 1^T p - \nu)` over its groups g, over
:math:`\omega = \ln w` of an interval and over power densities :math:`\ln p \in [l - \omega, \bar l - \omega]`. A node
is a group, an interval of :math:`\omega` and an interval of each user's logarithmic SINR. Every tree splits its most
promising nodes in each round; the rounds of all trees are evaluated in one batch.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .relaxation import Box, Group, propagate, solve_relaxation, true_value

ROUNDING = 1e-11
"""Added to a node's bound, relative to the sum of its terms' magnitudes, for what rounding may have lost."""


class Items(NamedTuple):
    """The groups of a forest and what they pay."""

    data: Group
    """(items, ...)"""
    tree: np.ndarray
    """(items,) integer: tree of each item."""
    power_price: np.ndarray
    """(items,): mu."""
    band_price: np.ndarray
    """(items,): nu."""
    ceiling: np.ndarray
    """(items,): known bound on phi - mu 1'p, or inf."""
    low: np.ndarray
    """(items, users): l, least logarithmic power at w = 1."""
    high: np.ndarray
    """(items, users)"""
    omega: np.ndarray
    """(items, 2): interval of ln w."""


class Nodes(NamedTuple):
    """A set of nodes with their bounds and where they will be split."""

    item: np.ndarray
    omega: np.ndarray
    """(nodes, 2)"""
    least: np.ndarray
    """(nodes, users)"""
    most: np.ndarray
    """(nodes, users)"""
    bound: np.ndarray
    point: np.ndarray
    """(nodes, users): y, at the lower end of the interval of omega."""
    worth: np.ndarray
    """(nodes,): true value there, a lower bound on the tree's optimum."""
    user: np.ndarray
    """(nodes,) integer: user to be split at ``cut``; -1: split omega."""
    cut: np.ndarray

    def take(self, index: np.ndarray) -> Nodes:
        """Some of the nodes."""
        return Nodes(*(part[index] for part in self))

    def join(self, other: Nodes) -> Nodes:
        """These and others."""
        return Nodes(*(np.concatenate(pair) for pair in zip(self, other, strict=True)))


class Forest(NamedTuple):
    """What a search has established."""

    bound: np.ndarray
    """(trees,): certified upper bound on the optimum."""
    item_bound: np.ndarray
    """(items,): the same for each item."""
    value: np.ndarray
    """(trees,): largest value found."""
    item: np.ndarray
    """(trees,) integer: where."""
    point: np.ndarray
    """(trees, users): logarithmic power densities there."""
    nodes: np.ndarray
    """(trees,) integer: nodes evaluated."""


class Effort(NamedTuple):
    """When a search stops."""

    nodes: int
    """Most nodes of a tree; roots are always evaluated."""
    tolerance: np.ndarray
    """(trees,): gap at which a tree is done."""
    width: int = 24
    """Nodes that a tree splits in a round."""


def _rows(part: tuple, index: np.ndarray) -> list:
    return [value[index] for value in part]


def _over_omega(level: np.ndarray, slope: np.ndarray, omega: np.ndarray) -> np.ndarray:
    r"""Largest :math:`e^\omega (a + b\,\omega)` over each interval: at an end, or at :math:`-1 - a/b` where b < 0."""
    inner = np.where(slope < 0, -1.0 - level / np.where(slope < 0, slope, 1.0), omega[:, 0])
    candidates = np.stack([omega[:, 0], omega[:, 1], np.clip(inner, omega[:, 0], omega[:, 1])])
    return (np.exp(candidates) * (level + slope * candidates)).max(axis=0)


def evaluate(items: Items, nodes: Nodes) -> Nodes:
    """Bound nodes whose intervals and start ``point`` are set; ``bound`` holds the parent's."""
    group = Group(*_rows(items.data, nodes.item))
    price, band_price = items.power_price[nodes.item], items.band_price[nodes.item]
    low, high = items.low[nodes.item], items.high[nodes.item]
    first, last = nodes.omega[:, :1], nodes.omega[:, 1:]
    box, empty = propagate(group, Box(low - last, high - first, nodes.least, nodes.most))
    here = box._replace(low=np.maximum(box.low, low - first))
    here = here._replace(high=np.maximum(here.high, here.low))
    found = solve_relaxation(group, price, here, nodes.point)
    # The tangent's largest value over the box, which slides with omega unless propagation has tightened it.
    falls = found.slope < 0
    slides = np.where(falls, low - first >= box.low, high - first <= box.high)
    end = np.where(falls, np.where(slides, low, box.low), np.where(slides, high, box.high))
    terms = np.where(group.present, found.slope * (end - found.point), 0.0)
    slope = -np.where(group.present & slides, found.slope, 0.0).sum(axis=-1)
    size = np.abs(found.value) + np.abs(terms).sum(axis=-1) + np.abs(band_price)
    level = found.value + terms.sum(axis=-1) - band_price + ROUNDING * (1.0 + size)
    bound = np.minimum(nodes.bound, _over_omega(level, slope, nodes.omega))
    capped = items.ceiling[nodes.item] - band_price
    bound = np.minimum(bound, _over_omega(capped, np.zeros_like(capped), nodes.omega))
    scale = np.exp(first[:, 0])
    worth = scale * (true_value(group, price, found.point) - band_price)
    user = found.envelope.argmax(axis=-1)
    pick = np.arange(len(user)), user
    cut = np.where(box.least[pick] < 1.0, np.minimum(found.sinr[pick], 2.0), found.sinr[pick])
    room = box.most[pick] - box.least[pick]
    cut = np.clip(cut, box.least[pick] + 0.2 * room, box.most[pick] - 0.2 * room)
    at_first = scale * (level + slope * first[:, 0])
    wide = (bound - at_first > 0.5 * (bound - worth)) & (nodes.omega[:, 1] - nodes.omega[:, 0] > 1e-3)
    return Nodes(
        nodes.item,
        nodes.omega,
        box.least,
        box.most,
        np.where(empty, -np.inf, bound),
        found.point,
        np.where(empty, -np.inf, worth),
        np.where(wide, -1, user),
        cut,
    )


def _children(parents: Nodes) -> Nodes:
    """Split every node in two; bounds and points are inherited."""
    halves = []
    rows = np.arange(len(parents.item))
    sinr, user = parents.user >= 0, np.maximum(parents.user, 0)
    middle = parents.omega.mean(axis=1)
    for lower in (True, False):
        omega, least, most = parents.omega.copy(), parents.least.copy(), parents.most.copy()
        side = most if lower else least
        side[rows[sinr], user[sinr]] = parents.cut[sinr]
        omega[~sinr, 1 if lower else 0] = middle[~sinr]
        halves.append(parents._replace(omega=omega, least=least, most=most))
    return halves[0].join(halves[1])


def _roots(items: Items) -> Nodes:
    count, users = items.low.shape
    middle = (items.low + items.high) / 2.0 - items.omega[:, :1]
    none = np.zeros(count)
    return Nodes(
        np.arange(count),
        items.omega,
        np.full((count, users), -np.inf),
        np.full((count, users), np.inf),
        np.full(count, np.inf),
        middle,
        none,
        none.astype(int),
        none,
    )


def search(items: Items, trees: int, effort: Effort) -> Forest:
    """Grow every tree until its gap is closed or it has enough nodes."""
    users = items.low.shape[1]
    value, where = np.full(trees, -np.inf), np.zeros(trees, dtype=int)
    point, spent = np.zeros((trees, users)), np.zeros(trees, dtype=int)
    settled = np.full(len(items.tree), -np.inf)  # best bound among an item's nodes that were put aside
    fresh, leaves = evaluate(items, _roots(items)), None
    while True:
        tree = items.tree[fresh.item]
        np.add.at(spent, tree, 1)
        order = np.argsort(fresh.worth)
        found = np.full(trees, -np.inf)
        champion = np.full(trees, -1)
        found[tree[order]], champion[tree[order]] = fresh.worth[order], order
        better = found > value
        value = np.where(better, found, value)
        where[better], point[better] = fresh.item[champion[better]], fresh.point[champion[better]]

        leaves = fresh if leaves is None else leaves.join(fresh)
        tree = items.tree[leaves.item]
        close = leaves.bound <= (value + effort.tolerance)[tree]
        np.maximum.at(settled, leaves.item[close], leaves.bound[close])
        leaves, tree = leaves.take(~close), tree[~close]
        open_tree = spent[tree] < effort.nodes
        rank = _rank(tree, leaves.bound)
        chosen = open_tree & (rank < effort.width)
        if not chosen.any():
            break
        # At most as many splits as the allowance has left, two nodes each.
        fresh = evaluate(items, _children(leaves.take(chosen)))
        leaves = leaves.take(~chosen)
    np.maximum.at(settled, leaves.item, leaves.bound)
    bound = np.full(trees, -np.inf)
    np.maximum.at(bound, items.tree, settled)
    return Forest(bound, settled, value, where, point, spent)


def _rank(tree: np.ndarray, bound: np.ndarray) -> np.ndarray:
    """Place of every node among those of its tree, the best bound first."""
    order = np.lexsort((-bound, tree))
    begins = np.r_[True, np.diff(tree[order]) != 0] if len(tree) else np.zeros(0, dtype=bool)
    position = np.arange(len(tree))
    first = np.maximum.accumulate(np.where(begins, position, 0))
    rank = np.empty(len(tree), dtype=int)
    rank[order] = position - first
    return rank
