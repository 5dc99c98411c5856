r"""Best-first branch and bound over many trees at once.

A tree asks for the largest :math:`w\,(\varphi_g(p) - \mu \mathbf 1^T p - \nu)` over its groups g, over
:math:`\omega = \ln w` of an interval and over power densities :math:`\ln p \in [l - \omega, \bar l - \omega]`. A node
is a group, an interval of :math:`\omega` and an interval of each user's logarithmic SINR. Every tree splits its most
promising nodes in each round; the rounds of all trees are evaluated in one batch.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jcas_env.compiled.dispatch import compiled
from jcas_env.tree import take, tree_map

from .relaxation import Box, Group, Relaxed, paying, propagate, softplus, solve_relaxation, true_value

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
    """(items, users): the largest."""
    omega: np.ndarray
    """(items, 2): interval of ln w."""


class Nodes(NamedTuple):
    """A set of nodes with their bounds and where they will be split."""

    item: np.ndarray
    """(nodes,) integer: group."""
    omega: np.ndarray
    """(nodes, 2): interval of ln w."""
    least: np.ndarray
    """(nodes, users): least logarithmic SINR."""
    most: np.ndarray
    """(nodes, users): the largest."""
    bound: np.ndarray
    """(nodes,): certified upper bound; -inf where the node holds no point."""
    point: np.ndarray
    """(nodes, users): y, at the lower end of the interval of omega."""
    worth: np.ndarray
    """(nodes,): true value there, a lower bound on the tree's optimum."""
    user: np.ndarray
    """(nodes,) integer: user to be split at ``cut``; -1: split omega."""
    cut: np.ndarray
    """(nodes,): logarithmic SINR at which the user's interval is split."""


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
    """A tree with as many nodes splits no more."""
    tolerance: np.ndarray
    """(trees,): gap at which a tree is done."""
    width: int = 48
    """Nodes that a tree splits in a round."""


def _joined(first: Nodes, second: Nodes) -> Nodes:
    return tree_map(lambda *parts: np.concatenate(parts), first, second)


class _Line(NamedTuple):
    r"""A bound :math:`e^\omega (a + b\,\omega)` on the nodes, (nodes,) each."""

    level: np.ndarray
    slope: np.ndarray

    def at(self, omega: np.ndarray) -> np.ndarray:
        """The bound at omega, (..., nodes)."""
        return np.exp(omega) * (self.level + self.slope * omega)


def _over_omega(line: _Line, omega: np.ndarray) -> np.ndarray:
    """Largest value of a line over each interval: at an end, or at :math:`-1 - a/b` where b < 0."""
    falls = line.slope < 0
    inner = np.where(falls, -1.0 - line.level / np.where(falls, line.slope, 1.0), omega[:, 0])
    return line.at(np.stack([omega[:, 0], omega[:, 1], np.clip(inner, omega[:, 0], omega[:, 1])])).max(axis=0)


@compiled("bounding.nodes")
def evaluate(items: Items, nodes: Nodes, target: np.ndarray) -> Nodes:
    r"""Bound nodes whose intervals and start ``point`` are set; ``bound`` holds the parent's.

    A child's bound is the least of its parent's, of the tangent of its relaxation, and of what is known of its group.
    Where omega is one number it bounds the best points of a group alone (:func:`.relaxation.paying`).
    """
    group = take(items.data, nodes.item)
    price, band_price = items.power_price[nodes.item], items.band_price[nodes.item]
    low, high = items.low[nodes.item], items.high[nodes.item]
    first, last = nodes.omega[:, :1], nodes.omega[:, 1:]
    # Densities at any omega of the interval; propagation may shrink them.
    box, empty = propagate(group, Box(low - last, high - first, nodes.least, nodes.most))
    fixed = (first == last)[:, 0]
    best = paying(group, price, box)
    box, nothing = propagate(group, box._replace(high=np.where(fixed[:, None], best.high, box.high)))
    empty |= nothing
    # Where omega has an interval no bound on phi alone is good enough.
    enough = np.where(fixed, np.exp(-first[:, 0]) * target[nodes.item] + band_price, -np.inf)
    found = solve_relaxation(group, price, _at_lower_end(box, low - first), nodes.point, enough)
    ends = _Ends(low, high, low - first >= box.low, high - first <= box.high)
    tangent = _tangent_over_box(group, box, found, ends, band_price)
    capped = items.ceiling[nodes.item] - band_price
    bound = np.minimum(nodes.bound, _over_omega(tangent, nodes.omega))
    bound = np.minimum(bound, _over_omega(_Line(capped, np.zeros_like(capped)), nodes.omega))
    worth = np.exp(first[:, 0]) * (true_value(group, price, found.point) - band_price)
    user, cut = _cut(box, found)
    # Omega is split where its interval, not the envelope at its lower end, makes up most of the gap.
    wide = (bound - tangent.at(first[:, 0]) > 0.5 * (bound - worth)) & (nodes.omega[:, 1] - nodes.omega[:, 0] > 1e-3)
    return nodes._replace(
        least=box.least,
        most=box.most,
        bound=np.where(empty, -np.inf, bound),
        point=found.point,
        worth=np.where(empty, -np.inf, worth),
        user=np.where(wide, -1, user),
        cut=cut,
    )


def _at_lower_end(box: Box, low: np.ndarray) -> Box:
    """Densities at the lower end of omega, whose least are ``low``; rounding may not turn an interval round."""
    box = box._replace(low=np.maximum(box.low, low))
    return box._replace(high=np.maximum(box.high, box.low))


class _Ends(NamedTuple):
    r"""Ends of the intervals of :math:`\ln p`, (nodes, users) each."""

    low: np.ndarray
    """At omega = 0; at omega it is this less omega where it slides."""
    high: np.ndarray
    low_slides: np.ndarray
    """bool: whether the interval slides with omega; propagation has not made it tighter than that."""
    high_slides: np.ndarray


def _tangent_over_box(group: Group, box: Box, found: Relaxed, ends: _Ends, band_price: np.ndarray) -> _Line:
    r"""Largest value of the tangent over the box, :math:`F + \sum_k \max_{y_k} G_k (y_k - \hat y_k) - \nu`.

    An end :math:`l_k - \omega` that slides makes it fall by :math:`G_k` with omega.
    """
    falls = found.slope < 0
    slides = np.where(falls, ends.low_slides, ends.high_slides)
    end = np.where(falls, np.where(slides, ends.low, box.low), np.where(slides, ends.high, box.high))
    terms = np.where(group.present, found.slope * (end - found.point), 0.0)
    slope = -np.where(group.present & slides, found.slope, 0.0).sum(axis=-1)
    size = np.abs(found.value) + np.abs(terms).sum(axis=-1) + np.abs(band_price)
    return _Line(found.value + terms.sum(axis=-1) - band_price + ROUNDING * (1.0 + size), slope)


def _cut(box: Box, found: Relaxed) -> tuple[np.ndarray, np.ndarray]:
    r"""User whose interval is split, and the SINR at which, (nodes,) each.

    The user is the one whose envelope gives most away, times the width of its interval. The cut is half way between the
    relaxation's own SINR, though not above 2 where the interval reaches down to where the softplus is curved, and where
    the chord of slope s is furthest above the softplus, :math:`\ln(s / (1 - s))`. Each half keeps a fifth of the
    interval, so that it shrinks whatever the relaxation says.
    """
    width = box.most - box.least
    user = (found.envelope * np.where(np.isfinite(width), width, 0.0)).argmax(axis=-1)
    pick = np.arange(len(user)), user
    least, most, room = box.least[pick], box.most[pick], width[pick]
    own = np.where(least < 1.0, np.minimum(found.sinr[pick], 2.0), found.sinr[pick])
    slope = np.clip((softplus(most) - softplus(least)) / np.maximum(room, 1e-9), 1e-9, 1.0 - 1e-9)
    cut = 0.5 * (own + np.log(slope / (1.0 - slope)))
    return user, np.clip(cut, least + 0.2 * room, most - 0.2 * room)


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
    return _joined(*halves)


def _roots(items: Items) -> Nodes:
    """One node an item, that holds everything."""
    count, users = items.low.shape
    none = np.zeros(count)
    return Nodes(
        item=np.arange(count),
        omega=items.omega,
        least=np.full((count, users), -np.inf),
        most=np.full((count, users), np.inf),
        bound=np.full(count, np.inf),
        point=(items.low + items.high) / 2.0 - items.omega[:, :1],
        worth=none,
        user=none.astype(int),
        cut=none,
    )


def branch_and_bound(items: Items, trees: int, effort: Effort) -> Forest:
    """Grow every tree until its gap is closed or it has enough nodes.

    A tree's bound is the largest of its nodes that were put aside or are still open: valid whenever it stops.
    """
    best = _Champions(np.full(trees, -np.inf), np.zeros(trees, dtype=int), np.zeros((trees, items.low.shape[1])))
    spent = np.zeros(trees, dtype=int)
    settled = np.full(len(items.tree), -np.inf)  # best bound among an item's nodes that were put aside
    fresh, leaves = evaluate(items, _roots(items), settled), None
    while True:
        np.add.at(spent, items.tree[fresh.item], 1)
        best = _challenged(best, fresh, items.tree[fresh.item])
        leaves = fresh if leaves is None else _joined(leaves, fresh)
        # Nodes within the tolerance of the best value found cannot hold one that matters: their bound is final.
        target = best.value + effort.tolerance
        close = leaves.bound <= target[items.tree[leaves.item]]
        np.maximum.at(settled, leaves.item[close], leaves.bound[close])
        leaves = take(leaves, ~close)
        tree = items.tree[leaves.item]
        chosen = (spent[tree] < effort.nodes) & (_rank(tree, leaves.bound) < effort.width)
        if not chosen.any():
            break
        fresh = evaluate(items, _children(take(leaves, chosen)), target[items.tree])
        leaves = take(leaves, ~chosen)
    np.maximum.at(settled, leaves.item, leaves.bound)
    bound = np.full(trees, -np.inf)
    np.maximum.at(bound, items.tree, settled)
    return Forest(bound, settled, *best, spent)


class _Champions(NamedTuple):
    """The best points found: value (trees,), item (trees,), logarithmic power densities (trees, users)."""

    value: np.ndarray
    item: np.ndarray
    point: np.ndarray


def _challenged(best: _Champions, fresh: Nodes, tree: np.ndarray) -> _Champions:
    """The champions after new nodes, which belong to ``tree``; earlier points stay where nothing is better."""
    order = np.argsort(fresh.worth)
    found, node = np.full(len(best.value), -np.inf), np.full(len(best.value), -1)
    found[tree[order]], node[tree[order]] = fresh.worth[order], order  # of equal indices the last, best one counts
    better = found > best.value
    return _Champions(
        np.where(better, found, best.value),
        np.where(better, fresh.item[node], best.item),
        np.where(better[:, None], fresh.point[node], best.point),
    )


def _rank(tree: np.ndarray, bound: np.ndarray) -> np.ndarray:
    """Place of every node among those of its tree, the best bound first."""
    order = np.lexsort((-bound, tree))
    # Nodes of a tree stand together; a rank counts from where its tree begins.
    begins = np.r_[True, np.diff(tree[order]) != 0] if len(tree) else np.zeros(0, dtype=bool)
    position = np.arange(len(tree))
    first = np.maximum.accumulate(np.where(begins, position, 0))
    rank = np.empty(len(tree), dtype=int)
    rank[order] = position - first
    return rank
