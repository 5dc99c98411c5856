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
    """(..., users) bool"""


class Box(NamedTuple):
    """Intervals of logarithmic power densities and of logarithmic SINRs, each (..., users)."""

    low: np.ndarray
    high: np.ndarray
    least: np.ndarray
    most: np.ndarray


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
    """What is relaxed, ``phi - mu 1'p``, (...,)."""
    z, _ = log_sinr(group, y)
    return (group.worth * softplus(z)).sum(axis=-1) - price * (group.present * np.exp(y)).sum(axis=-1)


def propagate(group: Group, box: Box) -> tuple[Box, np.ndarray]:
    r"""Shrink intervals that contradict each other, and flag the nodes that hold no point.

    Powers bound SINRs and the reverse; and :math:`x_u x_k \le 1/(A_{uk} A_{ku})` whatever the powers.
    """
    low, high, least, most = box
    with np.errstate(divide="ignore"):
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
        # What u may hear in all, less what it hears at least of the others, is left for k.
        all_heard, others = np.exp(high - least)[..., :, None], quiet_level[..., :, None]
        room = all_heard - others + quiet + CANCELLATION * (all_heard + others)
        with np.errstate(divide="ignore", invalid="ignore"):
            cap = np.where(group.cross > 0, np.log(np.maximum(room, 0.0)) - log_cross, np.inf)
        high = np.minimum(high, cap.min(axis=-2))
    empty = ((high < low - EMPTY) | (most < least - EMPTY)) & group.present
    shut = empty.any(axis=-1)
    high, most = np.maximum(high, low), np.maximum(most, least)
    return Box(low, high, least, most), shut


def _lines(box: Box) -> tuple[np.ndarray, np.ndarray]:
    """Slopes and intercepts of the three lines, (3, ..., users)."""
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


def solve_relaxation(group: Group, price: np.ndarray, box: Box, start: np.ndarray) -> Relaxed:
    """Maximise the relaxation over the box by a barrier method, all nodes at once.

    ``price`` (...,); ``start`` (..., users) is moved into the box.
    """
    slope, intercept = _lines(box)
    width = np.maximum(box.high - box.low, NARROW)
    low, high = box.low, box.low + width
    y = np.clip(start, low + 0.02 * width, high - 0.02 * width)
    unit = group.worth.sum(axis=-1) / np.maximum(group.present.sum(axis=-1), 1)
    unit = np.where(unit > 0, unit, 1.0)
    for barrier, temperature in STAGES:
        y = _newton(group, price, (slope, intercept), (low, high), y, barrier * unit[..., None], temperature)
    z, share = log_sinr(group, y)
    _, theta = _soft_minimum(slope, intercept, z, STAGES[-1][1])
    tangent, offset = (theta * slope).sum(axis=0), (theta * intercept).sum(axis=0)
    power = group.present * np.exp(y)
    pull = group.worth * tangent
    gradient = pull - (pull[..., None, :] @ share)[..., 0, :] - price[..., None] * power
    value = (group.worth * (tangent * z + offset)).sum(axis=-1) - price * power.sum(axis=-1)
    cover = (slope * z + intercept).min(axis=0) - softplus(z)
    return Relaxed(y, value, gradient, z, group.worth * cover)


def _newton(
    group: Group,
    price: np.ndarray,
    lines: tuple[np.ndarray, np.ndarray],
    bounds: tuple[np.ndarray, np.ndarray],
    y: np.ndarray,
    barrier: np.ndarray,
    temperature: float,
) -> np.ndarray:
    """Damped Newton steps on the softened relaxation with a logarithmic barrier for the box; each node stops alone."""
    slope, intercept = lines
    low, high = bounds
    identity = np.eye(y.shape[-1])

    def merit(y: np.ndarray) -> np.ndarray:
        z, _ = log_sinr(group, y)
        soft, _ = _soft_minimum(slope, intercept, z, temperature)
        walls = barrier * (np.log(y - low) + np.log(high - y))
        return (group.worth * soft + walls).sum(axis=-1) - price * (group.present * np.exp(y)).sum(axis=-1)

    now, moving = merit(y), np.ones(y.shape[:-1], dtype=bool)
    for _ in range(NEWTON_STEPS):
        z, share = log_sinr(group, y)
        _, theta = _soft_minimum(slope, intercept, z, temperature)
        tangent = (theta * slope).sum(axis=0)
        bend = ((theta * slope**2).sum(axis=0) - tangent**2) / temperature
        pull, curve = group.worth * tangent, group.worth * bend
        spent = price[..., None] * group.present * np.exp(y)
        below, above = 1.0 / (y - low), 1.0 / (high - y)
        drained = (pull[..., None, :] @ share)[..., 0, :]
        gradient = pull - drained - spent + barrier * (below - above)
        jacobian = identity - share
        hessian = np.swapaxes(jacobian, -1, -2) @ (curve[..., :, None] * jacobian)
        hessian = hessian - np.swapaxes(share, -1, -2) @ (pull[..., :, None] * share)
        diagonal = drained + spent + barrier * (below**2 + above**2)
        step = np.linalg.solve(hessian + diagonal[..., None] * identity, gradient[..., None])[..., 0]
        decrement = (step * gradient).sum(axis=-1)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            room = np.where(step > 0, (high - y) / step, np.where(step < 0, (low - y) / step, np.inf))
        length = np.where(moving, np.minimum(1.0, 0.95 * room.min(axis=-1)), 0.0)
        for _ in range(12):
            trial = merit(y + length[..., None] * step)
            better = trial >= now + 0.1 * length * decrement - 1e-12 * np.abs(now)
            if better.all():
                break
            length = np.where(better, length, 0.4 * length)
        y, now = y + length[..., None] * step, trial
        moving = moving & (decrement > 1e-3 * barrier[..., 0])
        if not moving.any():
            break
    return y
