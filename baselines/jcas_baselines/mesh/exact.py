r"""Optimal share of the count model in closed form (spec mesh 3.4)."""

from __future__ import annotations

from array_api_compat import array_namespace, device

from jcas_env.scenarios.mesh import CountModel
from jcas_env.tree import take
from jcas_env.types import Array

from .counts import CountValue, Frontier, solve_counts
from .cuts import Interval

SHARE_HALVINGS = 60
"""Bisections of the share for the ``log`` objective: to the last bit of a double."""


def candidate_shares(frontier: Frontier, model: CountModel) -> Array:
    r"""Shares among which the optimum of the ``sum`` lies, (n, 3 users + 1), before clipping.

    With k users at the level and every subcarrier used the value is stationary in the share at

    .. math:: 1-\beta = \sqrt{\frac{R^* K_k}{N (1 - b D_k/a)}}, \qquad a = \rho, \; b = (1-\rho)/U

    in units of R_ref; the other candidates are the shares at which the level passes a breakpoint,
    :math:`R^*/(1-\beta) = N/(S_k\pi_k/r_k + K_k)`, and those at which raising it beyond one stops to pay,
    :math:`a\beta = (1-\beta) b (r_{max} S_k - D_k)`. Where a level stays at its breakpoint the value is convex in beta.
    """
    xp = array_namespace(frontier.rate)
    users, total = frontier.rate.shape[-1], float(model.subcarriers)
    a, b = frontier.weight[:, None], (1.0 - frontier.weight[:, None]) / users
    floor = frontier.floor[:, None]
    slack = a - b * frontier.gain
    turning = xp.where(slack > 0, floor * frontier.rest * a / (total * xp.where(slack > 0, slack, 1.0)), 1.0)
    stationary = 1.0 - xp.sqrt(xp.clip(turning, min=0.0, max=1.0))
    need, rest = frontier.need[:, 1:], frontier.rest[:, 1:]
    passing = 1.0 - floor * (need * frontier.information / frontier.rate + rest) / total
    cost = b * (xp.max(frontier.rate, axis=-1, keepdims=True) * need - frontier.gain[:, 1:])
    paying = cost / xp.where(a + cost > 0, a + cost, 1.0)
    return xp.concat([stationary, passing, paying], axis=-1)


def exact_share(frontier: Frontier, model: CountModel, interval: Interval) -> CountValue:
    """Global optimum over share and counts; ``bound`` holds for all shares.

    ``sum``: the best of :func:`candidate_shares` and the ends. ``log``: concave in the share, so its derivative is
    bisected, and the tangents of the last two points bound it.
    """
    xp = array_namespace(frontier.rate)
    low, high = interval.low, interval.high
    if model.objective == "log":
        return _bisected(frontier, model, interval)
    # All candidates of all instances are solved in one call; the value decides, not the formula that gave the share.
    inside = xp.clip(candidate_shares(frontier, model), min=low[:, None], max=high[:, None])
    shares = xp.concat([inside, low[:, None], high[:, None]], axis=-1)
    batch, count = shares.shape
    lane = xp.arange(batch, device=device(shares))
    index = xp.reshape(xp.broadcast_to(lane[:, None], (batch, count)), (-1,))
    found = solve_counts(take(frontier, index), model, xp.reshape(shares, (-1,)))
    best = xp.argmax(xp.reshape(found.value, (batch, count)), axis=-1) + count * lane
    chosen = take(found, best)
    # Beyond the last share that is tried the value can rise by no more than the share does.
    return chosen._replace(
        bound=xp.maximum(chosen.bound, xp.reshape(found.bound, (batch, count))[:, -1] * interval.limit / high)
    )


def _bisected(frontier: Frontier, model: CountModel, interval: Interval) -> CountValue:
    """Share at which the derivative changes sign, or the end that it points to."""
    xp = array_namespace(interval.low)
    low, high = interval.low, interval.high
    falls, rises = solve_counts(frontier, model, low).slope <= 0, solve_counts(frontier, model, high).slope >= 0
    for _ in range(SHARE_HALVINGS):
        middle = 0.5 * (low + high)
        up = solve_counts(frontier, model, middle).slope > 0
        low, high = xp.where(up, middle, low), xp.where(up, high, middle)
    low = xp.where(falls, interval.low, xp.where(rises, interval.high, low))
    high = xp.where(falls, interval.low, xp.where(rises, interval.limit, high))
    found = solve_counts(frontier, model, low)
    # By concavity the tangent at the lower end of the bracket bounds everything above it.
    return found._replace(bound=found.bound + xp.maximum(found.slope, 0.0) * (high - low))
