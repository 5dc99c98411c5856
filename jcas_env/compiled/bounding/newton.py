"""Newton's steps of the interior-point method of a node, with the helpers of :mod:`.relaxations`."""

from __future__ import annotations

from math import inf

from ..waves import helper
from .relaxations import (
    COARSE,
    FRACTION,
    INTERIOR_STEPS,
    LEAST_MULTIPLIER,
    LEAST_WAY,
    LONGEST,
    NEXT_COMPLEMENTARITY,
    NODE_ACCURACY,
    shares_of,
    slopes_of,
    solve_definite,
    started,
)


@helper
def _complementarity(n, y, width, state):  # type: ignore[no-untyped-def]
    """The mean of the products of slacks and their multipliers."""
    _, below, above, slack, theta = state
    gap = 0.0
    for u in range(n):
        for i in range(3):
            gap += theta[i, u] * slack[i, u]
        gap += below[u] * y[u] + above[u] * (width[u] - y[u])
    return gap / (5.0 * n)


@helper
def _spread(weight, slope, u):  # type: ignore[no-untyped-def]
    """Variance of a user's slopes without cancellation."""
    spread = 0.0
    for a in range(3):
        for b in range(a):
            spread += weight[a, u] * weight[b, u] * (slope[a, u] - slope[b, u]) ** 2
    return spread


@helper
def _system(n, goal, y, state, at, tau, parts, matrices, dy):  # type: ignore[no-untyped-def]
    """Newton's system without tops and multipliers of the lines: its lower triangle, and the right side dy."""
    _, _, worth, _, slope, _, width = goal
    top, below, above, slack, theta = state
    _, _, pull, drained, spent, gradient, line = at
    curve, pushed, lack, mean, total, weight = parts
    share, hessian = matrices
    for u in range(n):
        total[u], mean[u], lack[u], push = 0.0, 0.0, 1.0, 0.0
        for i in range(3):
            weight[i, u] = theta[i, u] / slack[i, u]
            residual = line[i, u] - top[u] - slack[i, u]
            centring = tau / slack[i, u] - theta[i, u] - weight[i, u] * residual
            total[u] += weight[i, u]
            mean[u] += weight[i, u] * slope[i, u]
            lack[u] -= theta[i, u] + centring
            push += slope[i, u] * centring
        pushed[u] = worth[u] * (push + mean[u] * lack[u] / total[u])
        curve[u] = worth[u] * _spread(weight, slope, u) / total[u]
        dy[u] = gradient[u] + pushed[u] + tau / y[u] - tau / (width[u] - y[u])
        for k in range(n):
            hessian[u, k] = 0.0
    for u in range(n):
        bend, push = curve[u] - pull[u], pushed[u]
        for k in range(n):
            dy[k] -= push * share[u, k]
            factor = bend * share[u, k]
            for j in range(k + 1):
                hessian[k, j] += factor * share[u, j]
    for k in range(n):
        for j in range(k + 1):
            hessian[k, j] -= curve[k] * share[k, j] + curve[j] * share[j, k]
        hessian[k, k] += curve[k] + drained[k] + spent[k] + below[k] / y[k] + above[k] / (width[k] - y[k])


@helper
def _directions(n, goal, y, state, at, tau, parts, share, steps):  # type: ignore[no-untyped-def]
    """The other variables' steps for a step dy, and how far primal and dual ones can go, at most 1."""
    slope, width = goal[4], goal[6]
    top, below, above, slack, theta = state
    line = at[6]
    _, _, lack, mean, total, weight = parts
    dy, dtop, dbelow, dabove, dslack, dtheta = steps
    primal, dual = 0.0, 0.0
    for u in range(n):
        dz = dy[u]
        for k in range(n):
            dz -= share[u, k] * dy[k]
        dtop[u] = (lack[u] + mean[u] * dz) / total[u]
        for i in range(3):
            dslack[i, u] = line[i, u] - top[u] - slack[i, u] + slope[i, u] * dz - dtop[u]
            dtheta[i, u] = tau / slack[i, u] - theta[i, u] - weight[i, u] * dslack[i, u]
            primal = max(primal, -dslack[i, u] / slack[i, u])
            dual = max(dual, -dtheta[i, u] / theta[i, u])
        to_high = width[u] - y[u]
        dbelow[u] = (tau - below[u] * dy[u]) / y[u] - below[u]
        dabove[u] = (tau + above[u] * dy[u]) / to_high - above[u]
        primal = max(primal, -dy[u] / y[u], dy[u] / to_high, abs(dy[u]) * (FRACTION / LONGEST))
        dual = max(dual, -dbelow[u] / below[u], -dabove[u] / above[u])
    return FRACTION / max(primal, FRACTION), FRACTION / max(dual, FRACTION)


@helper
def _move(n, width, y, state, steps, primal, dual):  # type: ignore[no-untyped-def]
    """Go so far along the steps, and stay off all walls."""
    top, below, above, slack, theta = state
    dy, dtop, dbelow, dabove, dslack, dtheta = steps
    for u in range(n):
        y[u] = min(max(y[u] + primal * dy[u], LEAST_WAY * width[u]), (1.0 - LEAST_WAY) * width[u])
        top[u] += primal * dtop[u]
        total = 0.0
        for i in range(3):
            slack[i, u] = max(slack[i, u] + primal * dslack[i, u], LEAST_MULTIPLIER)
            theta[i, u] = max(theta[i, u] + dual * dtheta[i, u], LEAST_MULTIPLIER)
            total += theta[i, u]
        for i in range(3):
            theta[i, u] /= total
        below[u] = max(below[u] + dual * dbelow[u], LEAST_MULTIPLIER)
        above[u] = max(above[u] + dual * dabove[u], LEAST_MULTIPLIER)


@helper
def interior_point(n, goal, target, y, best, room, matrices):  # type: ignore[no-untyped-def]
    """Move y, and put into ``best`` (y, weights of the lines) the iterate whose tangent has the least bound.

    ``goal`` is a ``Program`` (cross, noise, worth, price, slope, intercept, width); ``room`` (41, users) and
    ``matrices``, two of (users, users), are scratch.
    """
    cross, noise, width = goal[0], goal[1], goal[6]
    state = room[0], room[1], room[2], room[3:6], room[6:9]
    at = room[9], room[10], room[11], room[12], room[13], room[14], room[15:18]
    parts = room[18], room[19], room[20], room[21], room[22], room[23:26]
    steps = room[26], room[27], room[28], room[29], room[30:33], room[33:36]
    theta, share, hessian = state[4], matrices[0], matrices[1]
    least = inf
    for step in range(INTERIOR_STEPS + 1):
        shares_of(n, cross, noise, y, at[0], share, at[1])
        if step == 0:
            started(n, goal, y, state, at[0], at[6])
        bound, earned = slopes_of(n, goal, y, theta, at, share)
        if bound < least:
            least = bound
            for u in range(n):
                best[0, u] = y[u]
                for i in range(3):
                    best[1 + i, u] = theta[i, u]
        far = earned - target if target > -inf else 0.0
        if step == INTERIOR_STEPS or least <= target or least - earned <= max(NODE_ACCURACY, COARSE * far):
            break
        tau = NEXT_COMPLEMENTARITY * _complementarity(n, y, width, state)
        _system(n, goal, y, state, at, tau, parts, (share, hessian), steps[0])
        solve_definite(n, hessian, steps[0], room[36])
        primal, dual = _directions(n, goal, y, state, at, tau, parts, share, steps)
        _move(n, width, y, state, steps, primal, dual)
