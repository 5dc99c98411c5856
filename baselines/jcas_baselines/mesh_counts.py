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

from array_api_compat import array_namespace

from jcas_env.scenarios.mesh import CountModel
from jcas_env.types import Array

ALMOST = 1.0 + 1e-12
"""Breakpoints this close to a level count as reached."""


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
    floor: Array
    """(n,): R* over R_ref [-]."""
    weight: Array
    """(n,): rho or mu [-]."""


class CountAnswer(NamedTuple):
    """Solution at a share."""

    share: Array
    """(n,): beta."""
    counts: Array
    """(n, users): subcarriers, in the users' own order."""


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
    """Sort the users of flattened instances, (...,) -> (n,)."""
    xp = array_namespace(model.rate)
    users = model.rate.shape[-1]
    scale = xp.reshape(model.rate_scale, (-1, 1))
    information = xp.reshape(model.information, (-1, users))
    rate = xp.reshape(model.rate, (-1, users)) / scale
    order = xp.argsort(information / rate, axis=-1, stable=True)
    information, rate = (xp.take_along_axis(part, order, axis=-1) for part in (information, rate))

    def running(value: Array) -> Array:
        return xp.cumulative_sum(value, axis=-1, include_initial=True)

    slowness = running(1.0 / rate)
    return Frontier(
        order,
        information,
        rate,
        running(1.0 / information),
        running(rate / information),
        slowness[..., -1:] - slowness,
        xp.reshape(model.rate_floor, (-1,)) / scale[:, 0],
        xp.reshape(model.positioning_weight, (-1,)),
    )


def best_level(frontier: Frontier, model: CountModel, share: Array) -> tuple[Array, Array, Array]:
    """Positioning level t that maximises the objective at shares (n,), its segment k, and whether N binds.

    Returns t (n,), k (n,) integer from 1 to users: the users up to k reach t exactly or are at their breakpoint, and a
    bool (n,).
    """
    xp = array_namespace(share)
    users = frontier.rate.shape[-1]
    total = float(model.subcarriers)
    floor = (frontier.floor / (1.0 - share))[:, None]
    best_rate = xp.max(frontier.rate, axis=-1, keepdims=True)
    reached = floor * frontier.information / frontier.rate  # tau_1 .. tau_U
    used = reached * frontier.need[:, 1:] + floor * frontier.rest[:, 1:]
    full = xp.clip(xp.sum(xp.astype(used <= total * ALMOST, xp.int64), axis=-1, keepdims=True), min=1)
    need, rest = (xp.take_along_axis(part, full, axis=-1) for part in (frontier.need, frontier.rest))
    top = xp.maximum((total - floor * rest) / need, reached[:, :1])
    decline = frontier.gain - best_rate * frontier.need  # dR/dt of each segment, not positive
    if model.objective == "sum":
        a, b = sum_weights(frontier, share)
        pays = a[:, None] + b[:, None] * decline > 0
        stop = xp.clip(xp.sum(xp.astype(pays, xp.int64), axis=-1, keepdims=True), min=1)
        ends = xp.concat([reached, xp.full_like(reached[:, :1], inf)], axis=-1)  # tau_1 .. tau_U, infinity
        level = xp.minimum(top, xp.take_along_axis(ends, stop - 1, axis=-1))
    else:
        weight = frontier.weight[:, None]
        index = xp.arange(users + 1, dtype=share.dtype)
        base = floor * (users - index) + best_rate * (total - floor * frontier.rest)
        falls = decline < 0
        begin = xp.concat([reached[:, :1], reached], axis=-1)
        end = xp.concat([reached, xp.full_like(reached[:, :1], inf)], axis=-1)
        still = xp.where(falls, -weight * base / xp.where(falls, decline, -1.0), inf)
        candidate = xp.minimum(xp.clip(still, min=begin, max=end), top)
        earned = _logarithms(weight, candidate, base + decline * candidate)
        chosen = xp.argmax(xp.where(begin <= top * ALMOST, earned, -inf), axis=-1)
        level = xp.take_along_axis(candidate, chosen[:, None], axis=-1)
    segment = xp.clip(xp.sum(xp.astype(reached <= level * ALMOST, xp.int64), axis=-1), min=1)
    binds = level >= top / ALMOST
    segment = xp.where(binds[:, 0], full[:, 0], segment)
    return level[:, 0], segment, binds[:, 0]


def _logarithms(weight: Array, positioning: Array, rate: Array) -> Array:
    xp = array_namespace(rate)
    return weight * xp.log(xp.clip(positioning, min=1e-300)) + (1.0 - weight) * xp.log(xp.clip(rate, min=1e-300))


def sum_weights(frontier: Frontier, share: Array) -> tuple[Array, Array]:
    """Worth of P and of the total rate (in units of R_ref) in the ``sum`` objective, two arrays (n,)."""
    users = frontier.rate.shape[-1]
    return frontier.weight * share, (1.0 - frontier.weight) * (1.0 - share) / users


def duals(frontier: Frontier, segment: Array, binds: Array, worth: tuple[Array, Array]) -> CountDuals:
    r"""Multipliers for given worths (a, b) of P and of the total rate.

    A subcarrier costs :math:`\psi = (a + b D_k)/S_k` where all are used at the level, else :math:`b\,r_{max}`.
    Users before the k-th pay with :math:`\nu_u = (\psi - b r_u)/\pi_u`, the k-th has the rest of
    :math:`\sum \nu_u = a`, and :math:`\sigma_u = (\psi - \nu_u \pi_u)/r_u - b`.
    """
    xp = array_namespace(segment)
    a, b = (part[:, None] for part in worth)
    k = segment[:, None]
    need, gain = (xp.take_along_axis(part, k, axis=-1) for part in (frontier.need, frontier.gain))
    best_rate = xp.max(frontier.rate, axis=-1, keepdims=True)
    price = xp.where(binds[:, None], (a + b * gain) / need, b * best_rate)
    place = xp.arange(1, frontier.rate.shape[-1] + 1, dtype=segment.dtype)
    full = xp.clip((price - b * frontier.rate) / frontier.information, min=0.0)
    before = xp.where(place < k, full, 0.0)
    last = xp.clip(a - xp.sum(before, axis=-1, keepdims=True), min=0.0)
    level = xp.where(place == k, last, before)
    floor = xp.clip((price - level * frontier.information) / frontier.rate - b, min=0.0)
    return CountDuals(level, floor)


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
    users, total = frontier.rate.shape[-1], float(model.subcarriers)
    level, segment, binds = best_level(frontier, model, share)
    floor = frontier.floor / (1.0 - share)
    counts = xp.maximum(level[:, None] / frontier.information, floor[:, None] / frontier.rate)
    best = xp.argmax(frontier.rate, axis=-1)[:, None] == xp.arange(users)
    spare = xp.clip(total - xp.sum(counts, axis=-1, keepdims=True), min=0.0)
    counts = counts + xp.where(best, spare, 0.0)
    positioning = xp.min(frontier.information * counts, axis=-1)
    rate = xp.sum(frontier.rate * counts, axis=-1)
    weight = frontier.weight
    if model.objective == "sum":
        worth = sum_weights(frontier, share)
        value = worth[0] * positioning + worth[1] * rate
    else:
        worth = weight / xp.clip(positioning, min=1e-300), (1.0 - weight) / rate
        value = _logarithms(weight, share * positioning, (1.0 - share) * rate / users)
    nu, sigma = duals(frontier, segment, binds, worth)
    spend = xp.max(nu * frontier.information + (worth[1][:, None] + sigma) * frontier.rate, axis=-1)
    price = xp.sum(sigma, axis=-1)
    excess = total * spend - floor * price - (worth[0] * positioning + worth[1] * rate)
    if model.objective == "sum":
        rise = weight * positioning - (1.0 - weight) / users * rate
    else:
        rise = weight / share - (1.0 - weight) / (1.0 - share)
    back = xp.argsort(frontier.order, axis=-1)
    return CountValue(
        CountAnswer(share, xp.take_along_axis(counts, back, axis=-1)),
        value,
        value + xp.clip(excess, min=0.0),
        price,
        rise - price * floor / (1.0 - share),
    )


def select(frontier: Frontier, index: Array) -> Frontier:
    """The instances of an index array, in its order and with its repetitions."""
    return Frontier(*(part[index] for part in frontier))
