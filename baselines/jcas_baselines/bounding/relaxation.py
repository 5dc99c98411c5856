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

from .interior_point import Program, solve_interior

STEEP = 6.0
"""Slope of the left line; any value above 1, the largest slope of the softplus, is valid."""
BLOCK = 1024
"""Nodes that are worked on together, so that they fit the cache."""
START_MARGIN = 0.1
"""Least distance of a start from the walls, over the box's width."""
WIDEST, DEAREST = 40.0, 1e9
"""Box and price, of a nat, beyond which the interior-point method does not look."""
SWEEPS = 1
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


def paying(group: Group, price: np.ndarray, box: Box) -> Box:
    r"""Shrink intervals of powers to what a best point can hold, at a fixed width of the band.

    Where :math:`\varphi - \mu \mathbf 1^T p` is largest over the powers of a group, a user k off the lower end of its
    interval would not gain by less power. With :math:`L_u = \sum_{i \ne u} A_{ui} p_i + j_u` that is

    .. math:: \frac{h_k}{L_k + p_k}
              \ge \mu + \sum_{u \ne k} h_u A_{uk} \Big(\frac{1}{L_u} - \frac{1}{L_u + p_u}\Big)
              = \mu + \sum_{u \ne k} \frac{h_u A_{uk}}{L_u} \frac{x_u}{1 + x_u} \ge \mu + C_k, \qquad
              p_k \le \frac{h_k}{\mu + C_k} - L_k

    with the least L_k, and in :math:`C_k` the largest L_u (no more than the most that all can cause, nor than
    p_u / x_u) and the least x_u of the box. Each item's best points are kept, other points may go: bounds stay valid.
    """
    quiet, log_loud = _levels(group, box)
    with np.errstate(divide="ignore"):
        worth = np.log(group.worth)
    harm = np.exp(worth - softplus(-box.least) - np.minimum(log_loud, box.high - box.least))
    spent = price[:, None] + (group.cross * harm[..., None]).sum(axis=-2)
    level = group.worth / spent
    cap = level - quiet + CANCELLATION * (level + quiet)
    return box._replace(high=np.minimum(box.high, np.log(np.maximum(cap, np.exp(box.low)))))


def _levels(group: Group, box: Box) -> tuple[np.ndarray, np.ndarray]:
    """Least of what each user hears, and logarithm of the most, (..., users) each."""
    quiet, loud = (((group.cross @ np.exp(y)[..., None])[..., 0] + group.noise) for y in (box.low, box.high))
    return quiet, np.log(loud)


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


def solve_relaxation(
    group: Group, price: np.ndarray, box: Box, start: np.ndarray, target: np.ndarray | None = None
) -> Relaxed:
    """Maximise the relaxation over the box by a primal-dual interior-point method, all nodes at once.

    ``price`` (nodes,) [Mbit/s per unit power density]; ``start`` (nodes, users) is moved into the box. A node whose
    bound comes down to its ``target`` (nodes,) is worked on no more.
    """
    lines = _lines(box)
    width = np.maximum(box.high - box.low, NARROW)
    size = group.present.sum(axis=-1)
    nat = group.worth.sum(axis=-1) / np.maximum(size, 1)
    nat = np.where(nat > 0, nat, 1.0)
    least = np.exp(box.low)
    # In units of what a user hears at least: levels are at least 1.
    heard = group.cross * least[:, None, :]
    quiet = heard.sum(axis=-1) + group.noise
    every = Program(
        heard / quiet[..., None],
        group.noise / quiet,
        group.worth / nat[:, None],
        group.present,
        np.minimum((price / nat)[:, None] * group.present * least, DEAREST),
        np.moveaxis(lines[0], 0, 1),
        np.moveaxis(lines[0] * (box.low - np.log(quiet)) + lines[1], 0, 1),
        np.minimum(width, WIDEST),
        np.full(len(width), -np.inf) if target is None else np.minimum(target / nat, DEAREST),
    )
    # On a wall multipliers have no value.
    y = np.clip(start - box.low, START_MARGIN * every.width, (1.0 - START_MARGIN) * every.width)
    theta = np.zeros_like(lines[0])
    theta[-1] = 1.0
    order = np.argsort(size, kind="stable")
    for begin in range(0, len(y), BLOCK):
        some = order[begin : begin + BLOCK]
        users = max(int(size[some[-1]]), 1)
        goal = Program(*(_nodes_last(part[some], users) for part in every))
        found = solve_interior(goal._replace(cross=goal.cross[:users]), _nodes_last(y[some], users))
        y[some, :users] = found.y.T
        theta[:, some, :users] = np.swapaxes(found.theta, 1, 2)
    return _certified(group, price, lines, np.clip(y, 0.0, width) + box.low, theta)


def _nodes_last(part: np.ndarray, users: int) -> np.ndarray:
    """(nodes, ..., all users) -> (..., users, nodes); what is one number a node stays so."""
    last = np.moveaxis(part[..., :users], 0, -1) if part.ndim > 1 else part
    return np.ascontiguousarray(last, dtype=np.float64)


def _certified(
    group: Group, price: np.ndarray, lines: tuple[np.ndarray, np.ndarray], y: np.ndarray, theta: np.ndarray
) -> Relaxed:
    """F and its gradient at y, for the combination ``theta`` (3, nodes, users) of the lines."""
    slope, intercept = lines
    theta = np.maximum(theta, 0.0)
    theta = theta / theta.sum(axis=0)
    z, share = log_sinr(group, y)
    power = group.present * np.exp(y)
    pull = group.worth * (theta * slope).sum(axis=0)
    gradient = pull - (pull[:, None, :] @ share)[:, 0] - price[:, None] * power
    line = slope * z + intercept
    value = (group.worth * (theta * line).sum(axis=0)).sum(axis=-1) - price * power.sum(axis=-1)
    return Relaxed(y, value, gradient, z, group.worth * (line.min(axis=0) - softplus(z)))
