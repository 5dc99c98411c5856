"""Helpers of :mod:`.nodes`: intervals, lines and the interior-point method of one node.

Formulas and their constants are those of ``jcas_baselines.bounding.relaxation`` and ``.interior_point``, which tests
hold. Vectors are (users,), what belongs to the three lines is (3, users). Users that are absent are at the end, and are
left out.
"""

from __future__ import annotations

from math import exp, inf, log, log1p

from ..waves import helper

STEEP, CANCELLATION, EMPTY = 6.0, 1e-12, 1e-7
INTERIOR_STEPS, FIRST_COMPLEMENTARITY, NEXT_COMPLEMENTARITY = 8, 0.1, 0.1
FRACTION, LONGEST, LEAST_MULTIPLIER, LEAST_WAY = 0.95, 3.0, 1e-9, 1e-6
NODE_ACCURACY, COARSE = 1e-3, 0.05


@helper
def softplus(z):  # type: ignore[no-untyped-def]
    """``ln(1 + e^z)``."""
    return z + log1p(exp(-z)) if z > 0 else log1p(exp(z))


@helper
def levels_of(n, cross, noise, y, power, level):  # type: ignore[no-untyped-def]
    """What each user hears at logarithmic powers y, and the powers."""
    for u in range(n):
        power[u] = exp(y[u])
    for u in range(n):
        total = 0.0
        for k in range(n):
            total += cross[u, k] * power[k]
        level[u] = total + noise[u]


@helper
def propagated(n, cross, noise, box, scratch):  # type: ignore[no-untyped-def]
    """Shrink the box (low, high, least, most) as ``propagate`` does; True where it holds no point."""
    low, high, least, most = box
    power, quiet, log_quiet, loud, budget, other = scratch
    levels_of(n, cross, noise, high, power, loud)
    levels_of(n, cross, noise, low, power, quiet)
    for u in range(n):
        log_quiet[u], loud[u] = log(quiet[u]), log(loud[u])
        most[u] = min(most[u], high[u] - log_quiet[u])
        least[u] = max(least[u], low[u] - loud[u])
        other[u] = exp(least[u])
    for u in range(n):
        both = 0.0
        for k in range(n):
            both = max(both, cross[u, k] * cross[k, u] * other[k])
        most[u] = min(most[u], -log(both))
        low[u] = max(low[u], least[u] + log_quiet[u])
        high[u] = min(high[u], most[u] + loud[u])
        budget[u] = exp(high[u] - least[u])
    empty = False
    for k in range(n):
        cap = inf
        for u in range(n):
            if cross[u, k] > 0:
                room = budget[u] - quiet[u] + cross[u, k] * power[k] + CANCELLATION * (budget[u] + quiet[u])
                cap = min(cap, max(room, 0.0) / cross[u, k])
        high[k] = min(high[k], log(cap))
        empty = empty or high[k] < low[k] - EMPTY or most[k] < least[k] - EMPTY
        high[k], most[k] = max(high[k], low[k]), max(most[k], least[k])
    return empty


@helper
def paid(n, cross, noise, worth, price, box, scratch):  # type: ignore[no-untyped-def]
    """Shrink the box as ``paying`` does."""
    low, high, least, _ = box
    power, quiet, _, loud, harm, _ = scratch
    levels_of(n, cross, noise, high, power, loud)
    levels_of(n, cross, noise, low, power, quiet)
    for u in range(n):
        harm[u] = worth[u] * exp(-softplus(-least[u]) - min(log(loud[u]), high[u] - least[u]))
    for k in range(n):
        spent = 0.0
        for u in range(n):
            spent += cross[u, k] * harm[u]
        level = worth[k] / (price + spent)
        cap = level - quiet[k] + CANCELLATION * (level + quiet[k])
        high[k] = min(high[k], log(max(cap, power[k])))


@helper
def lines_of(n, least, most, slope, intercept):  # type: ignore[no-untyped-def]
    """Slopes and intercepts of the steep line, the chord and the level of the right end."""
    for u in range(n):
        left, right, width = softplus(least[u]), softplus(most[u]), most[u] - least[u]
        chord = (right - left) / width if width > 1e-9 else 1.0 / (1.0 + exp(-least[u]))
        lift = max(right - (left + chord * width), 0.0)
        slope[0, u], slope[1, u], slope[2, u] = STEEP, chord, 0.0
        intercept[0, u] = left - STEEP * least[u]
        intercept[1, u] = left + lift - chord * least[u]
        intercept[2, u] = right


@helper
def shares_of(n, cross, noise, y, z, share, power):  # type: ignore[no-untyped-def]
    """SINR, shares of the interferers and powers, as ``log_sinr`` has them."""
    for u in range(n):
        power[u] = exp(y[u])
    for u in range(n):
        level = 0.0
        for k in range(n):
            share[u, k] = cross[u, k] * power[k]
            level += share[u, k]
        level += noise[u]
        inverse = 1.0 / level
        for k in range(n):
            share[u, k] *= inverse
        z[u] = y[u] - log(level)


@helper
def started(n, goal, y, state, z, line):  # type: ignore[no-untyped-def]
    """Primal and dual variables of the first iterate."""
    _, _, _, _, slope, intercept, width = goal
    top, below, above, slack, theta = state
    for u in range(n):
        least = inf
        for i in range(3):
            line[i, u] = slope[i, u] * z[u] + intercept[i, u]
            least = min(least, line[i, u])
        top[u] = least - FIRST_COMPLEMENTARITY
        total = 0.0
        for i in range(3):
            slack[i, u] = line[i, u] - top[u]
            theta[i, u] = 1.0 / slack[i, u]
            total += theta[i, u]
        for i in range(3):
            theta[i, u] /= total
        below[u], above[u] = FIRST_COMPLEMENTARITY / y[u], FIRST_COMPLEMENTARITY / (width[u] - y[u])


@helper
def slopes_of(n, goal, y, theta, at, share):  # type: ignore[no-untyped-def]
    """Values of the lines and slopes of the relaxation; the tangent's bound, and what the relaxation earns."""
    _, _, worth, price, slope, intercept, width = goal
    z, power, pull, drained, spent, gradient, line = at
    bound, earned = 0.0, 0.0
    for u in range(n):
        rise, value, least = 0.0, 0.0, inf
        for i in range(3):
            line[i, u] = slope[i, u] * z[u] + intercept[i, u]
            rise += theta[i, u] * slope[i, u]
            value += theta[i, u] * line[i, u]
            least = min(least, line[i, u])
        pull[u], spent[u], drained[u] = worth[u] * rise, price[u] * power[u], 0.0
        bound += worth[u] * value - spent[u]
        earned += worth[u] * least - spent[u]
    for u in range(n):
        for k in range(n):
            drained[k] += pull[u] * share[u, k]
    for u in range(n):
        gradient[u] = pull[u] - drained[u] - spent[u]
        bound += max(-gradient[u] * y[u], gradient[u] * (width[u] - y[u]))
    return bound, earned


@helper
def solve_definite(n, matrix, x, inverse):  # type: ignore[no-untyped-def]
    """Solve a positive definite system, of which the lower triangle is overwritten, in place of its right side x."""
    for k in range(n):
        inverse[k] = 1.0 / matrix[k, k]
        for i in range(k + 1, n):
            factor = matrix[i, k] * inverse[k]
            for j in range(k + 1, i + 1):
                matrix[i, j] -= factor * matrix[j, k]
            x[i] -= factor * x[k]
    for k in range(n - 1, -1, -1):
        x[k] *= inverse[k]
        for i in range(k + 1, n):
            x[k] -= matrix[i, k] * inverse[k] * x[i]
