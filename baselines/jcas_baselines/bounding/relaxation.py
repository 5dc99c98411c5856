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
STAGES = ((1e-1, 1e-1), (1e-2, 2e-2), (5e-4, 4e-3))
"""Barrier weight, relative to the value of one nat, and temperature of the softened minimum, stage by stage."""
NEWTON_STEPS = 8
"""Most Newton steps of a stage."""
BACKTRACKS = 12
"""Most times that a step is shortened, by 0.4 each."""
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


def _soft_minimum(
    slope: np.ndarray, intercept: np.ndarray, z: np.ndarray, temperature: float
) -> tuple[np.ndarray, np.ndarray]:
    """Softened least line at z, and the weights of the three: (..., users) and (3, ..., users)."""
    line = slope * z + intercept
    least = line.min(axis=0)
    weight = np.exp((least - line) / temperature)
    total = weight.sum(axis=0)
    return least - temperature * np.log(total), weight / total


class _Barrier(NamedTuple):
    """The softened relaxation with logarithmic walls, concave in y."""

    group: Group
    price: np.ndarray
    """(...,)"""
    slope: np.ndarray
    """(3, ..., users): of the lines."""
    intercept: np.ndarray
    """(3, ..., users)"""
    low: np.ndarray
    """(..., users): wall below y."""
    high: np.ndarray
    """(..., users): wall above y."""
    weight: np.ndarray
    """(..., 1): of the walls [Mbit/s]."""
    temperature: float
    """Of the softened minimum."""


def solve_relaxation(group: Group, price: np.ndarray, box: Box, start: np.ndarray) -> Relaxed:
    """Maximise the relaxation over the box by a barrier method, all nodes at once.

    ``price`` (...,) [Mbit/s per unit power density]; ``start`` (..., users) is moved into the box.
    """
    slope, intercept = _lines(box)
    width = np.maximum(box.high - box.low, NARROW)
    low, high = box.low, box.low + width
    y = np.clip(start, low + 0.02 * width, high - 0.02 * width)  # walls have no slope on themselves
    nat = group.worth.sum(axis=-1) / np.maximum(group.present.sum(axis=-1), 1)
    nat = np.where(nat > 0, nat, 1.0)
    for weight, temperature in STAGES:
        y = _climb(_Barrier(group, price, slope, intercept, low, high, weight * nat[..., None], temperature), y)
    return _tangent(group, price, (slope, intercept), y)


def _tangent(group: Group, price: np.ndarray, lines: tuple[np.ndarray, np.ndarray], y: np.ndarray) -> Relaxed:
    """F and its gradient at y, for the combination of the lines that the softened minimum has there."""
    slope, intercept = lines
    z, share = log_sinr(group, y)
    _, theta = _soft_minimum(slope, intercept, z, STAGES[-1][1])
    tangent, offset = (theta * slope).sum(axis=0), (theta * intercept).sum(axis=0)
    power = group.present * np.exp(y)
    pull = group.worth * tangent
    gradient = pull - (pull[..., None, :] @ share)[..., 0, :] - price[..., None] * power
    value = (group.worth * (tangent * z + offset)).sum(axis=-1) - price * power.sum(axis=-1)
    cover = (slope * z + intercept).min(axis=0) - softplus(z)
    return Relaxed(y, value, gradient, z, group.worth * cover)


def _climb(goal: _Barrier, y: np.ndarray) -> np.ndarray:
    """Damped Newton steps from y; each node stops alone."""
    now, moving = _merit(goal, y), np.ones(y.shape[:-1], dtype=bool)
    for _ in range(NEWTON_STEPS):
        step, decrement = _newton(goal, y)
        # 95 % of the way to the nearest wall at most: on it the logarithm has no value.
        length = np.where(moving, np.minimum(1.0, 0.95 * _way_to_walls(goal, y, step)), 0.0)
        for _ in range(BACKTRACKS):
            trial = _merit(goal, y + length[..., None] * step)
            # Near the maximum a gain is smaller than the rounding of the values that are compared.
            better = trial >= now + 0.1 * length * decrement - 1e-12 * np.abs(now)
            if better.all():
                break
            length = np.where(better, length, 0.4 * length)
        y, now = y + length[..., None] * step, trial
        # What is left to gain is far less than what the walls themselves give away.
        moving = moving & (decrement > 1e-3 * goal.weight[..., 0])
        if not moving.any():
            break
    return y


def _merit(goal: _Barrier, y: np.ndarray) -> np.ndarray:
    """Value of the softened relaxation and its walls, (...,)."""
    group = goal.group
    z, _ = log_sinr(group, y)
    soft, _ = _soft_minimum(goal.slope, goal.intercept, z, goal.temperature)
    walls = goal.weight * (np.log(y - goal.low) + np.log(goal.high - y))
    return (group.worth * soft + walls).sum(axis=-1) - goal.price * (group.present * np.exp(y)).sum(axis=-1)


def _newton(goal: _Barrier, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""Newton step (..., users) and its decrement, step times gradient (...,).

    With the shares :math:`s_{uk}` of :func:`log_sinr`, :math:`\partial z / \partial y = I - s` and
    :math:`\nabla^2 z_u = -\mathrm{diag}(s_u) + s_u s_u^T`; pull and curve are the first and (negative) second
    derivative of the softened minimum, times the worth. The negative Hessian is solved with.
    """
    group, slope = goal.group, goal.slope
    z, share = log_sinr(group, y)
    _, theta = _soft_minimum(slope, goal.intercept, z, goal.temperature)
    tangent = (theta * slope).sum(axis=0)
    bend = ((theta * slope**2).sum(axis=0) - tangent**2) / goal.temperature
    pull, curve = group.worth * tangent, group.worth * bend

    spent = goal.price[..., None] * group.present * np.exp(y)
    below, above = 1.0 / (y - goal.low), 1.0 / (goal.high - y)
    drained = (pull[..., None, :] @ share)[..., 0, :]
    gradient = pull - drained - spent + goal.weight * (below - above)

    identity = np.eye(y.shape[-1])
    jacobian = identity - share
    hessian = np.swapaxes(jacobian, -1, -2) @ (curve[..., :, None] * jacobian)
    hessian = hessian - np.swapaxes(share, -1, -2) @ (pull[..., :, None] * share)
    diagonal = drained + spent + goal.weight * (below**2 + above**2)
    step = np.linalg.solve(hessian + diagonal[..., None] * identity, gradient[..., None])[..., 0]
    return step, (step * gradient).sum(axis=-1)


def _way_to_walls(goal: _Barrier, y: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Length of the step at which the first wall is reached, (...,)."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        room = np.where(step > 0, (goal.high - y) / step, np.where(step < 0, (goal.low - y) / step, np.inf))
    return room.min(axis=-1)
