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

Newton's method only chooses y and the combination, so its accuracy matters for tightness alone
(spec bound 3, R4).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

STEEP = 6.0
"""Slope of the left line; any value above 1, the largest slope of the softplus, is valid."""
STAGES = ((1e-2, 4e-2), (5e-4, 6e-3))
"""Barrier weight, relative to the value of one nat, and temperature of the softened minimum, stage by stage."""
NEWTON_STEPS = 9
"""Most evaluations of the relaxation of a node."""
CENTRED = 0.3
"""Newton decrement, over the walls' weight, at which the next stage is due."""
MARGIN, TAU0, SIGMA, FRACTION, LONGEST = 0.1, 0.1, 0.1, 0.95, 3.0
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
    line: tuple
    line: tuple


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


def _soft_minimum(
    slope: np.ndarray, intercept: np.ndarray, z: np.ndarray, temperature: float | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Softened least line at z, and the weights of the three: (..., users) and (3, ..., users)."""
    line = slope * z + intercept
    least = line.min(axis=0)
    weight = np.exp((least - line) / temperature)
    total = weight.sum(axis=0)
    return least - temperature * np.log(total), weight / total


class _Program(NamedTuple):
    """A batch of relaxations, nodes on the last axis."""

    cross: np.ndarray
    noise: np.ndarray
    worth: np.ndarray
    price: np.ndarray
    slope: np.ndarray
    intercept: np.ndarray
    low: np.ndarray
    high: np.ndarray
    nat: np.ndarray


class _Pair(NamedTuple):
    y: np.ndarray
    top: np.ndarray
    slack: np.ndarray
    theta: np.ndarray
    below: np.ndarray
    above: np.ndarray


class _Best(NamedTuple):
    bound: np.ndarray
    value: np.ndarray
    y: np.ndarray
    z: np.ndarray
    pull: np.ndarray
    tangent: np.ndarray
    offset: np.ndarray


def solve_relaxation(group: Group, price: np.ndarray, box: Box, start: np.ndarray) -> Relaxed:
    slope, intercept = _lines(box)
    width = np.maximum(box.high - box.low, NARROW)
    low, high = box.low, box.low + width
    y = np.clip(start, low + MARGIN * width, high - MARGIN * width)  # walls have no slope on themselves
    nat = group.worth.sum(axis=-1) / np.maximum(group.present.sum(axis=-1), 1)
    nat = np.where(nat > 0, nat, 1.0)
    parts = []
    for begin in range(0, len(y), BLOCK):
        some = slice(begin, begin + BLOCK)

        def last(value: np.ndarray, some: slice = some) -> np.ndarray:
            return np.ascontiguousarray(np.moveaxis(value[some], 0, -1))

        def lines(value: np.ndarray, some: slice = some) -> np.ndarray:
            return np.ascontiguousarray(np.swapaxes(value[:, some], -1, -2))

        goal = _Program(
            last(group.cross), last(group.noise), last(group.worth), last(price[:, None] * group.present),
            lines(slope), lines(intercept), last(low), last(high), nat[some],
        )
        parts.append(_interior(goal, last(y)))
    b = _Best(*(np.concatenate([np.moveaxis(a, -1, 0) for a in v]) for v in zip(*parts)))
    cover = (slope * b.z + intercept).min(axis=0) - softplus(b.z)
    return Relaxed(b.y, b.value, b.pull, b.z, group.worth * cover, (b.tangent, b.offset))


def _interior(goal: _Program, y: np.ndarray) -> _Best:
    users, nodes = y.shape
    line = goal.slope * _sinr(goal, y)[0] + goal.intercept
    top = line.min(axis=0) - TAU0
    slack = line - top
    theta = 1.0 / slack
    theta = theta / theta.sum(axis=0)
    wall = goal.nat * TAU0
    state = _Pair(y, top, slack, theta, wall / (y - goal.low), wall / (goal.high - y))
    best = None
    for it in range(NEWTON_STEPS + 1):
        z, share, power = _sinr(goal, state.y)
        line = goal.slope * z + goal.intercept
        tangent = (state.theta * goal.slope).sum(axis=0)
        offset = (state.theta * goal.intercept).sum(axis=0)
        pull = goal.worth * tangent
        spent = goal.price * power
        drained = (pull[:, None] * share).sum(axis=0)
        gradient = pull - drained - spent
        to_low, to_high = state.y - goal.low, goal.high - state.y
        value = (goal.worth * (tangent * z + offset) - spent).sum(axis=0)
        bound = value + np.maximum(-gradient * to_low, gradient * to_high).sum(axis=0)
        new = _Best(bound, value, state.y, z, gradient, tangent, offset)
        best = new if best is None else _Best(*(np.where(bound < best.bound, a, b) for a, b in zip(new, best)))
        found = (goal.worth * line.min(axis=0) - spent).sum(axis=0)
        if it == NEWTON_STEPS or (best.bound - found <= 1e-3 * goal.nat).all():
            break
        state = _step(goal, state, share, line, spent, drained, pull, gradient, to_low, to_high)
    return best


def _step(goal, state, share, line, spent, drained, pull, gradient, to_low, to_high):
    users = len(pull)
    mean = ((state.theta * state.slack).sum(axis=(0, 1)) + (state.below * to_low + state.above * to_high).sum(axis=0) / goal.nat) / (5.0 * users)
    tau = SIGMA * mean
    wall = tau * goal.nat
    weight = state.theta / state.slack
    residual = line - state.top - state.slack
    a = tau / state.slack - state.theta - weight * residual
    total = weight.sum(axis=0)
    ws = weight * goal.slope
    s1 = ws.sum(axis=0)
    lack = 1.0 - state.theta.sum(axis=0) - a.sum(axis=0)
    const = goal.worth * ((goal.slope * a).sum(axis=0) + s1 * lack / total)
    curve = goal.worth * np.maximum((ws * goal.slope).sum(axis=0) - s1 * s1 / total, 0.0)
    right = gradient + const - (const[:, None] * share).sum(axis=0) + wall / to_low - wall / to_high
    diagonal = curve + drained + spent + state.below / to_low + state.above / to_high
    weighted = (curve - pull)[:, None] * share
    hessian = np.empty_like(share)
    for k in range(users):
        row = hessian[k, : k + 1]
        np.einsum("un,ukn->kn", share[:, k], weighted[:, : k + 1], out=row)
        row -= curve[k] * share[k, : k + 1] + curve[: k + 1] * share[: k + 1, k]
        row[k] += diagonal[k]
    dy = _solve(hessian, right)
    q = dy - (share * dy).sum(axis=1)
    dtop = (lack + s1 * q) / total
    dslack = residual + goal.slope * q - dtop
    dtheta = tau / state.slack - state.theta - weight * dslack
    dbelow = wall / to_low - state.below - state.below / to_low * dy
    dabove = wall / to_high - state.above + state.above / to_high * dy
    fall = np.maximum((-dslack / state.slack).max(axis=(0, 1)), np.maximum(-dy / to_low, dy / to_high).max(axis=0))
    primal = np.minimum(FRACTION / np.maximum(fall, FRACTION), LONGEST / np.maximum(np.abs(dy).max(axis=0), LONGEST))
    fall = np.maximum((-dtheta / state.theta).max(axis=(0, 1)), np.maximum(-dbelow / state.below, -dabove / state.above).max(axis=0))
    dual = FRACTION / np.maximum(fall, FRACTION)
    theta = state.theta + dual * dtheta
    return _Pair(state.y + primal * dy, state.top + primal * dtop, state.slack + primal * dslack, theta / theta.sum(axis=0), state.below + dual * dbelow, state.above + dual * dabove)


def _sinr(goal, y):
    power = np.exp(y)
    share = goal.cross * power
    level = share.sum(axis=1) + goal.noise
    share *= (1.0 / level)[:, None]
    return y - np.log(level), share, power


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
