r"""The mesh at a given share: how many subcarriers each user gets, in closed form, and what they are worth.

Count model (spec mesh 3.4). At share beta every user needs a rate :math:`R_u \ge z = R^*/(1-\beta)`, that is
:math:`z/r_u` subcarriers; a positioning level t needs :math:`t/\pi_u`. Sorted by :math:`\pi_u/r_u` ascending, the first
k users are bound by positioning and the others by their rate as long as t lies between the breakpoints
:math:`\tau_k = z \pi_k / r_k` and :math:`\tau_{k+1}`. What is left over goes to the user with the best rate. With

.. math:: S_k = \sum_{i \le k} 1/\pi_i, \qquad D_k = \sum_{i \le k} r_i/\pi_i, \qquad K_k = \sum_{i > k} 1/r_i

a level uses :math:`t S_k + z K_k` subcarriers and leaves a total rate that is concave and piecewise linear in t:

.. math:: R(t) = t (D_k - r_{max} S_k) + z (U - k) + r_{max} (N - z K_k)

so that both objectives are maximised over one number. All functions work on (n, users), n points of any instances.
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple

from array_api_compat import array_namespace, device

from jcas_env.scenarios.mesh import CountModel
from jcas_env.types import Array

ALMOST = 1.0 + 1e-12
"""Breakpoints this close to a level count as reached."""
LEAST = 1e-300
"""Guard of divisions and logarithms where a user gets no information at all."""


class Frontier(NamedTuple):
    """Instances of the count model with their users sorted by information per rate; nothing depends on the share."""

    order: Array
    """(n, users) integer: user at each place of the sorted list."""
    information: Array
    """(n, users): pi, sorted [-]."""
    rate: Array
    """(n, users): r, sorted, in units of the reference rate R_ref [-]."""
    need: Array
    """(n, users + 1): S_k, k = 0 .. users [-]."""
    gain: Array
    """(n, users + 1): D_k [-]."""
    rest: Array
    """(n, users + 1): K_k [-]."""
    ratio: Array
    """(n, users): pi_k / r_k, breakpoints for z = 1 [-]."""
    usage: Array
    """(n, users): subcarriers that the level of a breakpoint uses, for z = 1: S_k pi_k / r_k + K_k."""
    decline: Array
    """(n, users + 1): dR/dt of each segment, D_k - r_max S_k, not positive."""
    leader: Array
    """(n, users) bool: the user with the best rate, who gets what is left over."""
    best_rate: Array
    """(n,): r_max [-]."""
    floor: Array
    """(n,): R* over R_ref [-]."""
    weight: Array
    """(n,): rho or mu [-]."""


class CountAnswer(NamedTuple):
    """Solution at a share."""

    share: Array
    """(n,): beta."""
    counts: Array
    """(n, users): subcarriers of the sorted users."""


class CountDuals(NamedTuple):
    """Multipliers at a share, users in sorted order."""

    level: Array
    """(n, users): nu_u of :math:`t \\le P_u`."""
    floor: Array
    """(n, users): sigma_u of :math:`R_u \\ge z`, rates in units of R_ref."""


class CountValue(NamedTuple):
    """What a subproblem knows about its share."""

    answer: CountAnswer
    value: Array
    """(n,): objective of the answer."""
    bound: Array
    """(n,): objective that no allocation at this share exceeds, by weak duality at the multipliers."""
    price: Array
    """(n,): S, sum of the multipliers sigma of the rate floors, rates in units of R_ref."""
    slope: Array
    """(n,): derivative of the value with the share (envelope theorem)."""


def frontier_of(model: CountModel) -> Frontier:
    """Sort the users of flattened instances, (...,) -> (n,), by information per rate (spec mesh 3.4)."""
    xp = array_namespace(model.rate)
    users = model.rate.shape[-1]
    scale = xp.reshape(model.rate_scale, (-1, 1))
    information = xp.reshape(model.information, (-1, users))
    rate = xp.reshape(model.rate, (-1, users)) / scale
    order = xp.argsort(information / rate, axis=-1, stable=True)
    information, rate = (xp.take_along_axis(part, order, axis=-1) for part in (information, rate))

    def running(value: Array) -> Array:
        """Sums over the first k users, k = 0 .. users."""
        return xp.cumulative_sum(value, axis=-1, include_initial=True)

    slowness, need, gain = running(1.0 / rate), running(1.0 / information), running(rate / information)
    rest = slowness[..., -1:] - slowness
    ratio, best_rate = information / rate, xp.max(rate, axis=-1)
    return Frontier(
        order=order,
        information=information,
        rate=rate,
        need=need,
        gain=gain,
        rest=rest,
        ratio=ratio,
        usage=need[:, 1:] * ratio + rest[:, 1:],
        decline=gain - best_rate[:, None] * need,
        leader=xp.argmax(rate, axis=-1)[:, None] == xp.arange(users, device=device(rate)),
        best_rate=best_rate,
        floor=xp.reshape(model.rate_floor, (-1,)) / scale[:, 0],
        weight=xp.reshape(model.positioning_weight, (-1,)),
    )


class Level(NamedTuple):
    """Where positioning stands at a share, (n,) each."""

    value: Array
    """Level t."""
    segment: Array
    """k, from 1 to users: the users up to k reach t or are at their breakpoint."""
    full: Array
    """Segment of the level that uses every subcarrier."""
    at_top: Array
    """bool: whether t is that level."""


def best_level(frontier: Frontier, model: CountModel, share: Array) -> Level:
    r"""Positioning level that maximises the objective at shares (n,).

    The ``sum`` rises with the level while :math:`a + b R'(t) > 0`, that is up to a breakpoint, or to the level at which
    every subcarrier is used; the ``log`` has its maximum inside.
    """
    xp = array_namespace(share)
    users, total = frontier.rate.shape[-1], float(model.subcarriers)
    row = xp.arange(share.shape[0], device=device(share))
    floor = frontier.floor / (1.0 - share)
    reached = floor[:, None] * frontier.ratio  # tau_1 .. tau_U
    # The last breakpoint that the band reaches, and the level that uses what is left beyond it.
    full = xp.maximum(xp.sum(floor[:, None] * frontier.usage <= total * ALMOST, axis=-1), 1)
    top = xp.maximum((total - floor * frontier.rest[row, full]) / frontier.need[row, full], reached[:, 0])
    if model.objective == "sum":
        a, b = sum_weights(frontier, share)
        stop = xp.maximum(xp.sum(a[:, None] + b[:, None] * frontier.decline > 0, axis=-1), 1)
        level = xp.where(stop > users, top, xp.minimum(top, reached[row, xp.minimum(stop, users) - 1]))
    else:
        level = _best_logarithm(frontier, floor[:, None], reached, top[:, None], total)
    segment = xp.maximum(xp.sum(reached <= level[:, None] * ALMOST, axis=-1), 1)
    return Level(level, segment, full, level >= top / ALMOST)


def _best_logarithm(frontier: Frontier, floor: Array, reached: Array, top: Array, total: float) -> Array:
    r"""Level (n,) that maximises :math:`\mu\log t + (1-\mu)\log R(t)`: stationary in one segment, or at its ends.

    In segment k :math:`R = R_0 + R' t` with :math:`R' \le 0`, so the level is stationary at
    :math:`t = -\mu R_0 / R'`. All (n, segments), ``floor`` z (n, 1).
    """
    xp = array_namespace(floor)
    users, weight = reached.shape[-1], frontier.weight[:, None]
    bound_by_rate = users - xp.arange(users + 1, dtype=floor.dtype, device=device(floor))
    base = floor * bound_by_rate + frontier.best_rate[:, None] * (total - floor * frontier.rest)
    falls = frontier.decline < 0
    still = xp.where(falls, -weight * base / xp.where(falls, frontier.decline, -1.0), inf)
    begin = xp.concat([reached[:, :1], reached], axis=-1)
    end = xp.concat([reached, xp.full_like(top, inf)], axis=-1)
    candidate = xp.minimum(xp.clip(still, min=begin, max=end), top)
    earned = _logarithms(weight, candidate, base + frontier.decline * candidate)
    chosen = xp.argmax(xp.where(begin <= top * ALMOST, earned, -inf), axis=-1)
    return candidate[xp.arange(candidate.shape[0], device=device(candidate)), chosen]


def _logarithms(weight: Array, positioning: Array, rate: Array) -> Array:
    """The ``log`` objective of P and of the mean or total rate, broadcast."""
    xp = array_namespace(rate)
    return weight * xp.log(xp.maximum(positioning, LEAST)) + (1.0 - weight) * xp.log(xp.maximum(rate, LEAST))


def sum_weights(frontier: Frontier, share: Array) -> tuple[Array, Array]:
    """Worth of P and of the total rate (in units of R_ref) in the ``sum`` objective, two arrays (n,)."""
    users = frontier.rate.shape[-1]
    return frontier.weight * share, (1.0 - frontier.weight) * (1.0 - share) / users


def duals(frontier: Frontier, level: Level, worth: tuple[Array, Array]) -> CountDuals:
    r"""Multipliers for given worths (a, b) of P and of the total rate.

    A subcarrier costs :math:`\psi = (a + b D_k)/S_k` where all are used at the level and the best rate cannot pay more
    for them, else :math:`b\,r_{max}`. Users before the k-th pay with :math:`\nu_u = (\psi - b r_u)/\pi_u`, the k-th has
    the rest of :math:`\sum \nu_u = a`, and :math:`\sigma_u = (\psi - \nu_u \pi_u)/r_u - b`.
    """
    xp = array_namespace(frontier.rate)
    a, b = worth
    row = xp.arange(a.shape[0], device=device(a))
    full = (a + b * frontier.gain[row, level.full]) / frontier.need[row, level.full]
    best = b * frontier.best_rate
    binds = level.at_top & (full > best)
    price, k = xp.where(binds, full, best)[:, None], xp.where(binds, level.full, level.segment)[:, None]
    b = b[:, None]
    place = xp.arange(1, frontier.rate.shape[-1] + 1, dtype=k.dtype, device=device(k))
    # Multipliers must not be negative whatever rounding did: the bound is valid at any others.
    paid = xp.where(place < k, xp.maximum(price - b * frontier.rate, 0.0) / frontier.information, 0.0)
    rest = xp.maximum(a - xp.sum(paid, axis=-1), 0.0)[:, None]
    nu = xp.where(place == k, rest, paid)
    return CountDuals(nu, xp.maximum((price - nu * frontier.information) / frontier.rate - b, 0.0))


def solve_counts(frontier: Frontier, model: CountModel, share: Array) -> CountValue:
    r"""Optimal counts at shares, their value, and a bound by weak duality.

    For any :math:`\nu, \sigma \ge 0` with :math:`\sum \nu_u \ge a` no counts exceed

    .. math:: a P + b \sum_u R_u \le N \max_u\{\nu_u \pi_u + (b + \sigma_u) r_u\} - z \sum_u \sigma_u

    and a concave objective lies below its tangent, whose coefficients are then (a, b).

    Parameters
    ----------
    frontier : Frontier, (n, users)
    model : CountModel
        For its sizes and objective.
    share : Array, shape (n,)
        Between beta_lo and beta_max, below 1.

    Returns
    -------
    CountValue
    """
    xp = array_namespace(share)
    level = best_level(frontier, model, share)
    floor = frontier.floor / (1.0 - share)
    counts = _counts_at(frontier, level.value, floor, float(model.subcarriers))
    positioning = xp.min(frontier.information * counts, axis=-1)
    rate = xp.sum(frontier.rate * counts, axis=-1)
    value, worth, rise = _objective(frontier, model, share, positioning, rate)
    # What the multipliers allow beyond the answer; less than nothing is rounding.
    nu, sigma = duals(frontier, level, worth)
    spend = xp.max(nu * frontier.information + (worth[1][:, None] + sigma) * frontier.rate, axis=-1)
    price = xp.sum(sigma, axis=-1)
    excess = float(model.subcarriers) * spend - floor * price - (worth[0] * positioning + worth[1] * rate)
    return CountValue(
        CountAnswer(share, counts),
        value,
        value + xp.maximum(excess, 0.0),
        price,
        rise - price * floor / (1.0 - share),
    )


def _counts_at(frontier: Frontier, level: Array, floor: Array, total: float) -> Array:
    """Subcarriers (n, users) for a level and the floors z, (n,) each; what is left over goes to the best rate."""
    xp = array_namespace(level)
    counts = xp.maximum(level[:, None] / frontier.information, floor[:, None] / frontier.rate)
    spare = xp.maximum(total - xp.sum(counts, axis=-1, keepdims=True), 0.0)
    return counts + xp.where(frontier.leader, spare, 0.0)


def _objective(
    frontier: Frontier, model: CountModel, share: Array, positioning: Array, rate: Array
) -> tuple[Array, tuple[Array, Array], Array]:
    """Objective of P and of the total rate at a share, its derivatives with both, and that with the share, (n,) each.

    The last is at given counts; the floors, which rise with the share, are left out.
    """
    xp = array_namespace(share)
    users, weight = frontier.rate.shape[-1], frontier.weight
    if model.objective == "sum":
        worth = sum_weights(frontier, share)
        rise = weight * positioning - (1.0 - weight) / users * rate
        return worth[0] * positioning + worth[1] * rate, worth, rise
    value = _logarithms(weight, share * positioning, (1.0 - share) * rate / users)
    worth = weight / xp.maximum(positioning, LEAST), (1.0 - weight) / rate
    return value, worth, weight / share - (1.0 - weight) / (1.0 - share)


def unsorted(frontier: Frontier, values: Array) -> Array:
    """Put values of sorted users, (n, users), into the users' own order."""
    xp = array_namespace(values)
    return xp.take_along_axis(values, xp.argsort(frontier.order, axis=-1), axis=-1)
