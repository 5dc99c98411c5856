r"""Primal-dual interior-point method for batches of the relaxations of :mod:`.relaxation`, nodes on the last axis.

Over :math:`0 \le y \le` width, with weights :math:`\theta \ge 0` of sum 1 for each user's three lines,

.. math:: \max_{y, t} \; \sum_u h_u t_u - \sum_k \mu_k e^{y_k} \quad \text{where} \quad
          t_u + \sigma_{ui} = a_{ui} z_u(y) + b_{ui}, \; \sigma_{ui} \ge 0

Newton's method on the optimality conditions with :math:`\theta_{ui} \sigma_{ui} = \tau` (likewise for the walls), and
:math:`\tau` a tenth of what it is at every step. Steps need no line search, because what counts is the tangent with the
least bound of all iterates.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np

from jcas_env.tree import tree_map

_T = TypeVar("_T")

INTERIOR_STEPS = 8
"""Most steps of the interior-point method."""
FIRST_COMPLEMENTARITY = 0.1
"""First complementarity [nats]."""
NEXT_COMPLEMENTARITY = 0.1
"""Complementarity that a step aims at, over what there is."""
FRACTION, LONGEST = 0.95, 3.0
"""Part of the way to the nearest wall that a step goes at most, and its length in y."""
LEAST_MULTIPLIER, LEAST_WAY = 1e-9, 1e-6
"""Multipliers and slacks stay above the first, points off the walls by the second, over the box's width."""
COMPACT = 0.25
"""Part of a block's nodes that are done when the others go on without them."""
NODE_ACCURACY, COARSE = 1e-3, 0.05
"""A node is done within so many nats of its relaxation, or this part of its distance from the target."""


class Program(NamedTuple):
    """Relaxations with nodes on the last axis, y counted from the lower walls and worth in units of the mean nat."""

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
    width: np.ndarray
    """(users, nodes): upper wall."""
    target: np.ndarray
    """(nodes,): bound that is good enough."""


class InteriorPoint(NamedTuple):
    """Primal and dual variables, (users, nodes); of the three lines (3, users, nodes)."""

    y: np.ndarray
    top: np.ndarray
    """What a user earns, over the worth; below all lines."""
    slack: np.ndarray
    """From there to the lines."""
    theta: np.ndarray
    """Weights of the lines, of sum 1."""
    below: np.ndarray
    """Multiplier of the lower wall."""
    above: np.ndarray
    """Multiplier of the upper wall."""


class _Slopes(NamedTuple):
    """The relaxation at a point, as a Newton step needs it."""

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
    bound: np.ndarray
    """(nodes,): what the tangent certifies, up to the precision."""
    earned: np.ndarray
    """(nodes,): what the relaxation earns."""


def solve_interior(goal: Program, y: np.ndarray) -> InteriorPoint:
    """The iterate from y whose tangent has the least bound, of each node."""
    z, _, _ = _shares(goal, y)
    line = goal.slope * z + goal.intercept
    top = line.min(axis=0) - FIRST_COMPLEMENTARITY
    theta = 1.0 / (line - top)
    state = InteriorPoint(
        y, top, line - top, theta / _total(theta), FIRST_COMPLEMENTARITY / y, FIRST_COMPLEMENTARITY / (goal.width - y)
    )
    rest, least = np.arange(y.shape[-1]), np.full(y.shape[-1], np.inf, dtype=y.dtype)
    done = np.zeros(y.shape[-1], dtype=bool)
    best = every = tree_map(np.copy, state)
    for step in range(INTERIOR_STEPS + 1):
        at = _slopes(goal, state)
        # A node that is done stays as it is for as long as it is carried along: it does not see who is beside it.
        better = (at.bound < least) & ~done
        least = np.where(better, at.bound, least)
        best = best._replace(y=np.where(better, state.y, best.y), theta=np.where(better, state.theta, best.theta))
        far = np.where(goal.target > -np.inf, at.earned - goal.target, 0.0)
        done = done | (least <= goal.target) | (least - at.earned <= np.maximum(NODE_ACCURACY, COARSE * far))
        if step == INTERIOR_STEPS or done.all():
            every.y[..., rest], every.theta[..., rest] = best.y, best.theta
            break
        if done.mean() > COMPACT:
            ended, left = rest[done], ~done
            every.y[..., ended], every.theta[..., ended] = best.y[..., done], best.theta[..., done]
            rest, least, done = rest[left], least[left], done[left]
            goal, state, best, at = _some(goal, left), _some(state, left), _some(best, left), _some(at, left)
        state = _advance(goal, state, at)
    return every


def _some(tree: _T, left: np.ndarray) -> _T:
    """The nodes that are ``left``."""
    return tree_map(lambda part: part[..., left], tree)


def _shares(goal: Program, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """SINR less the lower wall, the shares of :func:`log_sinr`, and e^y."""
    power = np.exp(y)
    share = goal.cross * power
    level = _total(np.swapaxes(share, 0, 1)) + goal.noise
    share *= (1.0 / level)[:, None]
    return y - np.log(level), share, power


def _slopes(goal: Program, state: InteriorPoint) -> _Slopes:
    """The relaxation at the state's y, and its tangent for the state's weights of the lines."""
    z, share, power = _shares(goal, state.y)
    line = goal.slope * z + goal.intercept
    pull = goal.worth * _total(state.theta * goal.slope)
    spent = goal.price * power
    drained = _total(pull[:, None] * share)
    gradient = pull - drained - spent
    rise = np.maximum(-gradient * state.y, gradient * (goal.width - state.y))
    bound = _total(goal.worth * _total(state.theta * line) - spent + rise)
    earned = _total(goal.worth * line.min(axis=0) - spent)
    return _Slopes(share, line, pull, drained, spent, gradient, bound, earned)


def _advance(goal: Program, state: InteriorPoint, at: _Slopes) -> InteriorPoint:
    r"""One step of Newton's method on the optimality conditions with complementarity :math:`\tau`."""
    to_low, to_high = state.y, goal.width - state.y
    gap = _total(state.theta * state.slack) + state.below * to_low + state.above * to_high
    tau = NEXT_COMPLEMENTARITY * _total(goal.present * gap) / (5.0 * np.maximum(_total(goal.present), 1.0))

    # The lines' multipliers and tops are eliminated: curve is what is left of their curvature in z.
    weight = state.theta / state.slack
    residual = at.line - state.top - state.slack
    centring = tau / state.slack - state.theta - weight * residual
    total, mean = _total(weight), _total(weight * goal.slope)
    lack = 1.0 - _total(state.theta) - _total(centring)
    pushed = goal.worth * (_total(goal.slope * centring) + mean * lack / total)
    curve = goal.worth * _spread(weight, goal.slope) / total

    right = at.gradient + pushed - _total(pushed[:, None] * at.share) + tau / to_low - tau / to_high
    diagonal = curve + at.drained + at.spent + state.below / to_low + state.above / to_high
    y = goal.present * _solve(_curvature(at, curve, diagonal), right)
    z = y - _total(np.swapaxes(at.share * y, 0, 1))
    top = (lack + mean * z) / total
    slack = residual + goal.slope * z - top
    theta = tau / state.slack - state.theta - weight * slack
    below = (tau - state.below * y) / to_low - state.below
    above = (tau + state.above * y) / to_high - state.above

    falls = np.maximum((-slack / state.slack).max(axis=0), np.maximum(-y / to_low, y / to_high))
    falls = np.maximum(falls, np.abs(y) * (FRACTION / LONGEST))
    primal = FRACTION / np.maximum((goal.present * falls).max(axis=0), FRACTION)
    falls = np.maximum((-theta / state.theta).max(axis=0), np.maximum(-below / state.below, -above / state.above))
    dual = FRACTION / np.maximum((goal.present * falls).max(axis=0), FRACTION)
    theta = np.maximum(state.theta + dual * theta, LEAST_MULTIPLIER)
    return InteriorPoint(
        np.clip(state.y + primal * y, LEAST_WAY * goal.width, (1.0 - LEAST_WAY) * goal.width),
        state.top + primal * top,
        np.maximum(state.slack + primal * slack, LEAST_MULTIPLIER),
        theta / _total(theta),
        np.maximum(state.below + dual * below, LEAST_MULTIPLIER),
        np.maximum(state.above + dual * above, LEAST_MULTIPLIER),
    )


def _spread(weight: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Variance of the slopes without cancellation: over pairs, both weights times the squared difference."""
    pairs = ((0, 1), (0, 2), (1, 2))
    return _total(np.stack([weight[a] * weight[b] * (slope[a] - slope[b]) ** 2 for a, b in pairs]))


def _total(terms: np.ndarray) -> np.ndarray:
    """Sum over the first axis, term by term: the order of NumPy's own changes with the number of nodes."""
    total = terms[0].copy()
    for term in terms[1:]:
        total += term
    return total


def _curvature(at: _Slopes, curve: np.ndarray, diagonal: np.ndarray) -> np.ndarray:
    r"""Negative Hessian, (users, users, nodes), its lower triangle.

    With :math:`\partial z / \partial y = I - s` and :math:`\nabla^2 z_u = -\mathrm{diag}(s_u) + s_u s_u^T`, curve c
    and pull p it is :math:`\sum_u (c_u - p_u) s_u s_u^T - C s - s^T C + \mathrm{diag}(\dots)`.
    """
    weighted = (curve - at.pull)[:, None] * at.share
    hessian = np.empty_like(at.share)
    for k in range(len(curve)):
        row = hessian[k, : k + 1]
        row[:] = _total(at.share[:, k, None] * weighted[:, : k + 1])
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
        x[k] *= pivots[k]
        for i in range(k + 1, users):
            x[k] -= matrix[i, k] * pivots[k] * x[i]
    return x
