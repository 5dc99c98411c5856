"""Loop of ``jcas_baselines.bounding.tree.evaluate``: the nodes of a branch and bound, one after the other.

A node is a group's box; its relaxation has a handful of users, and all of it stays in the cache.
"""

from __future__ import annotations

from math import exp, inf, log
from typing import Any

import numpy as np

from ..dispatch import Loop, in_order
from ..waves import helper
from .newton import interior_point
from .relaxations import lines_of, paid, propagated, shares_of, softplus

START_MARGIN, NARROW, WIDEST, DEAREST, ROUNDING = 0.1, 1e-7, 40.0, 1e9, 1e-11
"""As in ``jcas_baselines.bounding``."""


def evaluate_loop(items: Any, nodes: Any, target: np.ndarray) -> Any:
    """Bounds, points and cuts of nodes whose intervals and start ``point`` are set; ``bound`` holds the parent's."""
    data = items.data
    groups = in_order(data.cross, data.noise, data.worth, items.low, items.high)
    numbers = np.stack([items.power_price, items.band_price, items.ceiling, target], axis=-1)
    least, most, point = nodes.least.copy(), nodes.most.copy(), nodes.point.copy()
    results = np.stack([nodes.bound, np.zeros_like(nodes.bound), np.zeros_like(nodes.bound)], axis=-1)
    user = np.zeros(len(nodes.item), dtype=np.int64)
    size = data.present.sum(axis=-1)
    _nodes(*groups, size, numbers, *in_order(nodes.item, nodes.omega), least, most, point, results, user)
    bound, worth, cut = np.ascontiguousarray(results.T)
    return nodes._replace(least=least, most=most, bound=bound, point=point, worth=worth, user=user, cut=cut)


@helper
def _program(n, group, price, y, box, start, room, cross_of):  # type: ignore[no-untyped-def]
    """The node's ``Program``, counted from its lower walls, with worth in nats; its start y; and the size of a nat."""
    cross, noise, worth = group
    low, high, least, most = box
    heard, gain, cost, reach, shift = room[0], room[1], room[2], room[3], room[4]
    slope, intercept, moved = room[5:8], room[8:11], room[11:14]
    lines_of(n, least, most, slope, intercept)
    nat = 0.0
    for u in range(n):
        nat += worth[u]
        shift[u] = exp(low[u])
    nat = nat / n if nat > 0 else 1.0
    for u in range(n):
        quiet = 0.0
        for k in range(n):
            cross_of[u, k] = cross[u, k] * shift[k]
            quiet += cross_of[u, k]
        quiet += noise[u]
        for k in range(n):
            cross_of[u, k] /= quiet
        heard[u], gain[u], cost[u] = noise[u] / quiet, worth[u] / nat, min(price / nat * shift[u], DEAREST)
        reach[u] = min(max(high[u] - low[u], NARROW), WIDEST)
        y[u] = min(max(start[u] - low[u], START_MARGIN * reach[u]), (1.0 - START_MARGIN) * reach[u])
        for i in range(3):
            moved[i, u] = slope[i, u] * (low[u] - log(quiet)) + intercept[i, u]
    return (cross_of, heard, gain, cost, slope, moved, reach), (slope, intercept), nat


@helper
def _certified(n, group, price, lines, best, point, room, share):  # type: ignore[no-untyped-def]
    """F and (in ``room``) z, G and what the envelope gives away at a point; and the true value there."""
    cross, noise, worth = group
    slope, intercept = lines
    z, gradient, envelope, pull, power = room[0], room[1], room[2], room[3], room[4]
    shares_of(n, cross, noise, point, z, share, power)
    value, true = 0.0, 0.0
    for u in range(n):
        total, rise, mixed, least = 0.0, 0.0, 0.0, inf
        for i in range(3):
            total += max(best[1 + i, u], 0.0)
        for i in range(3):
            weight = max(best[1 + i, u], 0.0) / total
            line = slope[i, u] * z[u] + intercept[i, u]
            rise += weight * slope[i, u]
            mixed += weight * line
            least = min(least, line)
        soft = softplus(z[u])
        pull[u] = worth[u] * rise
        gradient[u] = pull[u] - price * power[u]
        envelope[u] = worth[u] * (least - soft)
        value += worth[u] * mixed - price * power[u]
        true += worth[u] * soft - price * power[u]
    for u in range(n):
        for k in range(n):
            gradient[k] -= pull[u] * share[u, k]
    return value, true


@helper
def _tangent(n, ends, box, omega, point, value, gradient, band_price):  # type: ignore[no-untyped-def]
    """Level and slope of the line in omega that bounds the node, as ``_tangent_over_box`` has them."""
    low, high, _, _ = box
    level, slope, size = value, 0.0, 1.0 + abs(value) + abs(band_price)
    for u in range(n):
        first, last = ends[0][u], ends[1][u]
        falls = gradient[u] < 0
        slides = first - omega >= low[u] if falls else last - omega <= high[u]
        end = (first if slides else low[u]) if falls else (last if slides else high[u])
        term = gradient[u] * (end - point[u])
        level += term
        size += abs(term)
        slope -= gradient[u] if slides else 0.0
    return level - band_price + ROUNDING * size, slope


@helper
def _over_omega(level, slope, first, last):  # type: ignore[no-untyped-def]
    """Largest ``e^omega (level + slope omega)`` of an interval."""
    most = max(exp(first) * (level + slope * first), exp(last) * (level + slope * last))
    inner = min(max(-1.0 - level / slope if slope < 0 else first, first), last)
    return max(most, exp(inner) * (level + slope * inner))


@helper
def _cut(n, box, z, envelope):  # type: ignore[no-untyped-def]
    """User whose interval is split, and where."""
    _, _, least, most = box
    user, largest = 0, -inf
    for u in range(n):
        width = most[u] - least[u]
        score = envelope[u] * (width if width < inf else 0.0)
        if score > largest:
            user, largest = u, score
    room = most[user] - least[user]
    own = min(z[user], 2.0) if least[user] < 1.0 else z[user]
    slope = (softplus(most[user]) - softplus(least[user])) / max(room, 1e-9)
    slope = min(max(slope, 1e-9), 1.0 - 1e-9)
    cut = 0.5 * (own + log(slope / (1.0 - slope)))
    return user, min(max(cut, least[user] + 0.2 * room), most[user] - 0.2 * room)


def nodes_of_groups(  # type: ignore[no-untyped-def]
    cross, noise, worth, lowest, highest, size, numbers, item, omega, least, most, point, results, user
):
    """Shrink ``least`` and ``most``, move ``point``, and write (bound, worth, cut) and the user to be split."""
    users = lowest.shape[1]
    room, matrices, best = np.empty((64, users)), np.empty((3, users, users)), np.empty((4, users))
    low, high, y = room[0], room[1], room[2]
    scratch = room[3], room[4], room[5], room[6], room[7], room[8]
    for node in range(len(item)):
        g = item[node]
        n, group = size[g], (cross[g], noise[g], worth[g])
        price, band_price, ceiling, target = numbers[g]
        first, last = omega[node]
        for u in range(n):
            low[u], high[u] = lowest[g, u] - last, highest[g, u] - first
        box = low, high, least[node], most[node]
        empty = False
        for sweep in range(2):
            if sweep == 1 and first == last and not empty:
                paid(n, group[0], group[1], group[2], price, box, scratch)
            empty = empty or propagated(n, group[0], group[1], box, scratch)
        if empty:
            results[node] = -inf
            continue
        at_first = room[9], room[10], least[node], most[node]
        for u in range(n):
            room[9, u] = max(low[u], lowest[g, u] - first)
            room[10, u] = max(high[u], room[9, u])
        goal, lines, nat = _program(n, group, price, y, at_first, point[node], room[11:25], matrices[2])
        enough = exp(-first) * target + band_price if first == last else -inf
        interior_point(n, goal, min(enough / nat, DEAREST), y, best, room[25:], matrices)
        for u in range(n):
            point[node, u] = min(max(best[0, u], 0.0), max(room[10, u] - room[9, u], NARROW)) + room[9, u]
        value, true = _certified(n, group, price, lines, best, point[node], room[25:30], matrices[0])
        ends = lowest[g], highest[g]
        level, slope = _tangent(n, ends, box, first, point[node], value, room[26], band_price)
        known = min(_over_omega(ceiling - band_price, 0.0, first, last), results[node, 0])
        bound = min(known, _over_omega(level, slope, first, last))
        true = exp(first) * (true - band_price)
        split, cut = _cut(n, box, room[25], room[27])
        wide = bound - exp(first) * (level + slope * first) > 0.5 * (bound - true) and last - first > 1e-3
        user[node] = -1 if wide else split
        results[node, 0], results[node, 1], results[node, 2] = bound, true, cut


_nodes = Loop(nodes_of_groups, "d3 d2 d2 d2 d2 i1 d2 i1 d2 D2 D2 D2 D2 I1")
