r"""Concave relaxation of one group's rates in logarithmic powers, with a bound that no solver's accuracy touches.

With :math:`p = P/w` the rate of a group is w times

.. math:: \varphi(p) = \sum_u h_u \ln(1 + e^{z_u}), \qquad
          z_u(y) = y_u - \ln\Big(\sum_{k \ne u} A_{uk} e^{y_k} + j_u\Big), \quad y = \ln p,

and :math:`z_u` is concave in y. On :math:`z \in [z^0, z^1]` the softplus lies below the concave nondecreasing
:math:`c(z)`, the least of three lines: a steep one through the left end, the chord, and the value at the right
end. Any convex combination of the three, with slope B and intercept t, lies above c; hence for prices
:math:`\mu` and any point y of the box the tangent of a concave function bounds the node:

.. math:: \varphi - \mu \mathbf 1^T p \;\le\; F(y) + \sum_k \max\big(G_k (l_k - y_k),\, G_k (\bar l_k - y_k)\big), \quad
          F = \sum_u h_u (B_u z_u + t_u) - \mu \mathbf 1^T e^y, \; G = \nabla F

The interior-point method only chooses y and the combination, so its accuracy matters for tightness alone
(spec bound 3, R4).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jcas_env.tree import tree_map

STEEP = 6.0
"""Slope of the left line; any value above 1, the largest slope of the softplus, is valid."""
NEWTON_STEPS = 8
"""Most steps of the interior-point method."""
MARGIN = 0.1
"""Least distance of a start from the walls, over the box's width."""
FIRST = 0.1
"""First complementarity [nats]."""
CENTRING = 0.1
"""Complementarity that a step aims at, over what there is."""
FRACTION, LONGEST = 0.95, 3.0
"""Part of the way to the nearest wall that a step goes at most, and its length in y."""
LEAST_WEIGHT = 1e-12
"""Multipliers stay positive."""
ACCURACY, COARSE = 1e-3, 0.03
"""A node is done within so many nats of its relaxation, or this part of its distance from the target."""
BLOCK = 256
"""Nodes that are worked on together, so that they fit the cache."""
SWEEPS = 2
"""Sweeps of interval propagation."""
NARROW = 1e-7
"""Least width of a box for the barrier; the tangent holds outside of the box as well."""
CANCELLATION = 1e-12
"""Slack, relative to the minuend, that a difference of nearly equal powers is given against rounding."""
EMPTY = 1e-7
"""An interval that is negative by more than this is empty, and its node holds no point."""


class Group(NamedTuple):
    """Data of a batch of groups; absent users (padding) have ``present`` False, no worth and no interference."""

    cross: np.ndarray
    """(..., users, users): A, interference of k's power density at u over u's own, zero diagonal [-]."""
    noise: np.ndarray
    """(..., users): j, noise and other cells over the own signal at unit power density [-]."""
    worth: np.ndarray
    """(..., users): h, utility of one nat in the whole band [Mbit/s]."""
    present: np.ndarray
    """(..., users) bool: whether the place is taken."""


class Box(NamedTuple):
    """Intervals of logarithmic power densities and of logarithmic SINRs, each (..., users)."""

    low: np.ndarray
    """Least y."""
    high: np.ndarray
    """Largest y."""
    least: np.ndarray
    """Least z."""
    most: np.ndarray
    """Largest z."""


class Relaxed(NamedTuple):
    """Solution of a batch of relaxations: the tangent at ``point`` bounds the node."""

    point: np.ndarray
    """(..., users): y."""
    value: np.ndarray
    """(...,): F at the point."""
    slope: np.ndarray
    """(..., users): G."""
    sinr: np.ndarray
    """(..., users): z at the point."""
    envelope: np.ndarray
    """(..., users): c(z) - ln(1 + e^z), how much the envelope gives away, times the worth."""


def softplus(z: np.ndarray) -> np.ndarray:
    """``ln(1 + e^z)`` without overflow."""
    return np.logaddexp(0.0, z)


def log_sinr(group: Group, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``z(y)`` and the shares ``A_uk e^{y_k} / (sum + j)`` of each interferer, (..., users) and (..., users, users)."""
    heard = group.cross * np.exp(y)[..., None, :]
    level = heard.sum(axis=-1) + group.noise
    return y - np.log(level), heard / level[..., None]


def true_value(group: Group, price: np.ndarray, y: np.ndarray) -> np.ndarray:
    """What is relaxed, ``phi - mu 1'p`` at p = e^y, (...,) [Mbit/s]; ``price`` (...,), ``y`` (..., users)."""
    z, _ = log_sinr(group, y)
    return (group.worth * softplus(z)).sum(axis=-1) - price * (group.present * np.exp(y)).sum(axis=-1)


def propagate(group: Group, box: Box) -> tuple[Box, np.ndarray]:
    r"""Shrink intervals that contradict each other, and flag the nodes that hold no point, (...,) bool.

    Powers bound SINRs and the reverse; and :math:`x_u x_k \le 1/(A_{uk} A_{ku})` whatever the powers, where
    :math:`x = e^z`. Every step keeps all points of the box that are consistent (spec bound 3, R4).
    """
    low, high, least, most = box
    with np.errstate(divide="ignore"):  # users that do not hear one another
        log_cross = np.log(group.cross)
    pair = -(log_cross + np.swapaxes(log_cross, -1, -2))
    for _ in range(SWEEPS):
        quiet = group.cross * np.exp(low)[..., None, :]
        quiet_level = quiet.sum(axis=-1) + group.noise
        loud_level = (group.cross @ np.exp(high)[..., None])[..., 0] + group.noise
        most = np.minimum(most, high - np.log(quiet_level))
        least = np.maximum(least, low - np.log(loud_level))
        most = np.minimum(most, (pair - least[..., None, :]).min(axis=-1))
        low = np.maximum(low, least + np.log(quiet_level))
        high = np.minimum(high, most + np.log(loud_level))
        high = np.minimum(high, _loudest_interferer(group.cross, log_cross, high - least, quiet, quiet_level))
    # Only intervals that are empty beyond rounding prove that there is no point; others shrink to a point.
    empty = ((high < low - EMPTY) | (most < least - EMPTY)) & group.present
    high, most = np.maximum(high, low), np.maximum(most, least)
    return Box(low, high, least, most), empty.any(axis=-1)


def _loudest_interferer(
    cross: np.ndarray, log_cross: np.ndarray, budget: np.ndarray, quiet: np.ndarray, level: np.ndarray
) -> np.ndarray:
    """Largest y of each user that lets all others reach their least SINR, (..., users).

    What u may hear in all, at most e^budget, less what it hears at least of the others (``level`` less its part in
    ``quiet``), is left for k.
    """
    all_heard, others = np.exp(budget)[..., :, None], level[..., :, None]
    room = all_heard - others + quiet + CANCELLATION * (all_heard + others)
    with np.errstate(divide="ignore", invalid="ignore"):
        cap = np.where(cross > 0, np.log(np.maximum(room, 0.0)) - log_cross, np.inf)
    return cap.min(axis=-2)


def _lines(box: Box) -> tuple[np.ndarray, np.ndarray]:
    """Slopes and intercepts of the steep line, the chord and the level of the right end, (3, ..., users) each."""
    left, right = softplus(box.least), softplus(box.most)
    width = box.most - box.least
    middle = 1.0 / (1.0 + np.exp(-box.least))
    chord = np.where(width > 1e-9, (right - left) / np.where(width > 1e-9, width, 1.0), np.maximum(middle, 0.0))
    # On a degenerate interval the chord is a tangent at the left end, lifted to the right end.
    lift = np.maximum(right - (left + chord * width), 0.0)
    slope = np.stack([np.full_like(left, STEEP), chord, np.zeros_like(left)])
    intercept = np.stack([left - STEEP * box.least, left + lift - chord * box.least, right])
    return slope, intercept


class _Program(NamedTuple):
    """A batch of relaxations, nodes on the last axis: what is small is worked on fastest so."""

    cross: np.ndarray
    """(users, users, nodes)"""
    noise: np.ndarray
    """(users, nodes)"""
    worth: np.ndarray
    """(users, nodes)"""
    present: np.ndarray
    """(users, nodes): 1 or 0."""
    price: np.ndarray
    """(users, nodes): of power, 0 for who is absent."""
    slope: np.ndarray
    """(3, users, nodes): of the lines."""
    intercept: np.ndarray
    """(3, users, nodes)"""
    low: np.ndarray
    """(users, nodes): wall below y."""
    high: np.ndarray
    """(users, nodes): wall above y."""
    nat: np.ndarray
    """(nodes,): what a nat of one user is worth [Mbit/s]."""
    target: np.ndarray
    """(nodes,): bound that is good enough [Mbit/s]."""


class _Pair(NamedTuple):
    """Primal and dual variables, (users, nodes); of the three lines (3, users, nodes)."""

    y: np.ndarray
    top: np.ndarray
    """What is earned, over the worth; below all lines."""
    slack: np.ndarray
    """From there to the lines."""
    theta: np.ndarray
    """Weights of the lines, of sum 1."""
    below: np.ndarray
    """Multiplier of the wall below [Mbit/s]."""
    above: np.ndarray


class _Found(NamedTuple):
    """A tangent of every node and the bound that it gives."""

    bound: np.ndarray
    """(nodes,)"""
    value: np.ndarray
    """(nodes,)"""
    y: np.ndarray
    """(users, nodes)"""
    z: np.ndarray
    """(users, nodes)"""
    gradient: np.ndarray
    """(users, nodes)"""


class _Slopes(NamedTuple):
    """What a Newton step is made of, at a point."""

    share: np.ndarray
    """(users, users, nodes): of each interferer, see :func:`log_sinr`."""
    line: np.ndarray
    """(3, users, nodes): the lines' values."""
    pull: np.ndarray
    """(users, nodes): slope in z, times the worth."""
    drained: np.ndarray
    """(users, nodes): s^T pull."""
    spent: np.ndarray
    """(users, nodes): price of the power."""
    gradient: np.ndarray
    """(users, nodes)"""


def solve_relaxation(group: Group, price: np.ndarray, box: Box, start: np.ndarray, target: np.ndarray) -> Relaxed:
    """Maximise the relaxation over the box by a primal-dual interior-point method, all nodes at once.

    ``price`` (nodes,) [Mbit/s per unit power density]; ``start`` (nodes, users) is moved into the box. A node whose
    bound comes down to its ``target`` (nodes,) is worked on no more.
    """
    slope, intercept = _lines(box)
    width = np.maximum(box.high - box.low, NARROW)
    size = group.present.sum(axis=-1)
    nat = group.worth.sum(axis=-1) / np.maximum(size, 1)
    every = _Program(
        group.cross,
        group.noise,
        group.worth,
        group.present.astype(float),
        price[:, None] * group.present,
        np.moveaxis(slope, 0, 1),
        np.moveaxis(intercept, 0, 1),
        box.low,
        box.low + width,
        np.where(nat > 0, nat, 1.0),
        target,
    )
    # On a wall the multipliers have no value.
    y = np.clip(start, every.low + MARGIN * width, every.high - MARGIN * width)
    value, sinr, gradient = np.zeros(len(y)), np.zeros_like(y), np.zeros_like(y)
    order = np.argsort(size, kind="stable")
    for begin in range(0, len(y), BLOCK):
        some = order[begin : begin + BLOCK]
        users = max(int(size[some[-1]]), 1)
        goal = _Program(*(_nodes_last(part[some], users) for part in every))
        found = _interior(goal._replace(cross=goal.cross[:users]), _nodes_last(y[some], users))
        value[some] = found.value
        for part, of_block in ((y, found.y), (sinr, found.z), (gradient, found.gradient)):
            part[some, :users] = of_block.T
    cover = (slope * sinr + intercept).min(axis=0) - softplus(sinr)
    return Relaxed(y, value, gradient, sinr, group.worth * cover)


def _nodes_last(part: np.ndarray, users: int) -> np.ndarray:
    """(nodes, ..., all users) -> (..., users, nodes); what is one number a node stays so."""
    return np.ascontiguousarray(np.moveaxis(part[..., :users], 0, -1)) if part.ndim > 1 else part


def _interior(goal: _Program, y: np.ndarray) -> _Found:
    """The tangent with the least bound of all iterates from y."""
    line = goal.slope * _shares(goal, y)[0] + goal.intercept
    top = line.min(axis=0) - FIRST
    theta = 1.0 / (line - top)
    wall = FIRST * goal.nat
    state = _Pair(y, top, line - top, theta / theta.sum(axis=0), wall / (y - goal.low), wall / (goal.high - y))
    rest = np.arange(y.shape[-1])
    every: _Found | None = None
    best: _Found | None = None
    for step in range(NEWTON_STEPS + 1):
        new, slopes, earned = _tangent(goal, state)
        best = new if best is None else _Found(*(np.where(new.bound < best.bound, a, b) for a, b in zip(new, best, strict=True)))
        every = tree_map(np.copy, best) if every is None else every
        enough = np.maximum(ACCURACY * goal.nat, COARSE * np.where(goal.target > -np.inf, earned - goal.target, 0.0))
        done = (best.bound <= goal.target) | (best.bound - earned <= enough)
        if step == NEWTON_STEPS or done.all():
            done = np.ones_like(done)
        if done.mean() > 0.25:
            for part, of_rest in zip(every, best, strict=True):
                part[..., rest[done]] = of_rest[..., done]
            if done.all():
                break
            left = ~done
            rest = rest[left]
            goal, state, slopes, best = (
                type(part)(*(value[..., left] for value in part)) for part in (goal, state, slopes, best)
            )
        state = _advance(goal, state, slopes)
    return every


def _shares(goal: _Program, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """z, the shares of :func:`log_sinr`, and e^y."""
    power = np.exp(y)
    share = goal.cross * power
    level = share.sum(axis=1) + goal.noise
    share *= (1.0 / level)[:, None]
    return y - np.log(level), share, power


def _tangent(goal: _Program, state: _Pair) -> tuple[_Found, _Slopes, np.ndarray]:
    """Tangent at the state's y for its weights of the lines, its derivatives, and what the relaxation earns there."""
    z, share, power = _shares(goal, state.y)
    line = goal.slope * z + goal.intercept
    pull = goal.worth * (state.theta * goal.slope).sum(axis=0)
    spent = goal.price * power
    drained = (pull[:, None] * share).sum(axis=0)
    gradient = pull - drained - spent
    value = (goal.worth * (state.theta * line).sum(axis=0) - spent).sum(axis=0)
    rise = np.maximum(gradient * (goal.low - state.y), gradient * (goal.high - state.y)).sum(axis=0)
    earned = (goal.worth * line.min(axis=0) - spent).sum(axis=0)
    found = _Found(value + rise, value, state.y, z, gradient)
    return found, _Slopes(share, line, pull, drained, spent, gradient), earned


def _advance(goal: _Program, state: _Pair, at: _Slopes) -> _Pair:
    r"""One step of Newton's method on the optimality conditions with complementarity :math:`\tau`."""
    to_low, to_high = state.y - goal.low, goal.high - state.y
    gap = (state.theta * state.slack).sum(axis=0) + (state.below * to_low + state.above * to_high) / goal.nat
    tau = CENTRING * (goal.present * gap).sum(axis=0) / (5.0 * np.maximum(goal.present.sum(axis=0), 1.0))
    wall = tau * goal.nat

    # The lines' multipliers and tops are eliminated: curve is what is left of their curvature in z.
    weight = state.theta / state.slack
    residual = at.line - state.top - state.slack
    centring = tau / state.slack - state.theta - weight * residual
    steep = weight * goal.slope
    total, mean = weight.sum(axis=0), steep.sum(axis=0)
    lack = 1.0 - state.theta.sum(axis=0) - centring.sum(axis=0)
    pushed = goal.worth * ((goal.slope * centring).sum(axis=0) + mean * lack / total)
    curve = goal.worth * np.maximum((steep * goal.slope).sum(axis=0) - mean * mean / total, 0.0)

    right = at.gradient + pushed - (pushed[:, None] * at.share).sum(axis=0) + wall / to_low - wall / to_high
    diagonal = curve + at.drained + at.spent + state.below / to_low + state.above / to_high
    y = goal.present * _solve(_curvature(at, curve, diagonal), right)
    z = y - (at.share * y).sum(axis=1)
    top = (lack + mean * z) / total
    slack = residual + goal.slope * z - top
    theta = tau / state.slack - state.theta - weight * slack
    below = (wall - state.below * y) / to_low - state.below
    above = (wall + state.above * y) / to_high - state.above

    falls = np.maximum((-slack / state.slack).max(axis=0), np.maximum(-y / to_low, y / to_high))
    fast = np.maximum((goal.present * falls).max(axis=0), np.abs(y).max(axis=0) * (FRACTION / LONGEST))
    primal = FRACTION / np.maximum(fast, FRACTION)
    falls = np.maximum((-theta / state.theta).max(axis=0), np.maximum(-below / state.below, -above / state.above))
    dual = FRACTION / np.maximum((goal.present * falls).max(axis=0), FRACTION)
    weights = np.maximum(state.theta + dual * theta, LEAST_WEIGHT)
    return _Pair(
        state.y + primal * y,
        state.top + primal * top,
        np.maximum(state.slack + primal * slack, LEAST_WEIGHT),
        weights / weights.sum(axis=0),
        np.maximum(state.below + dual * below, 0.0),
        np.maximum(state.above + dual * above, 0.0),
    )


def _curvature(at: _Slopes, curve: np.ndarray, diagonal: np.ndarray) -> np.ndarray:
    r"""Negative Hessian, (users, users, nodes), its lower triangle.

    With :math:`\partial z / \partial y = I - s` and :math:`\nabla^2 z_u = -\mathrm{diag}(s_u) + s_u s_u^T`, curve c
    and pull p it is :math:`\sum_u (c_u - p_u) s_u s_u^T - C s - s^T C + \mathrm{diag}(\dots)`.
    """
    weighted = (curve - at.pull)[:, None] * at.share
    hessian = np.empty_like(at.share)
    for k in range(len(curve)):
        row = hessian[k, : k + 1]
        np.einsum("un,ukn->kn", at.share[:, k], weighted[:, : k + 1], out=row)
        row -= curve[k] * at.share[k, : k + 1] + curve[: k + 1] * at.share[: k + 1, k]
        row[k] += diagonal[k]
    return hessian


def _solve(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solutions of positive definite systems, (users, users, nodes) and (users, nodes), by elimination.

    The lower triangle is read and overwritten. The nodes are on the last axis: users are few.
    """
    users = len(right)
    x = right.copy()
    pivots = []
    for k in range(users):
        inverse = 1.0 / matrix[k, k]
        pivots.append(inverse)
        factor = matrix[k + 1 :, k] * inverse
        for i in range(k + 1, users):
            matrix[i, k + 1 : i + 1] -= factor[i - k - 1] * matrix[k + 1 : i + 1, k]
        x[k + 1 :] -= factor * x[k]
    for k in reversed(range(users)):
        x[k] = x[k] * pivots[k] - ((matrix[k + 1 :, k] * pivots[k]) * x[k + 1 :]).sum(axis=0)
    return x
