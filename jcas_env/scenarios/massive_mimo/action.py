"""Between action vectors in [-1, 1] and allocations: every action keeps the power budget (spec mimo 7)."""

from __future__ import annotations

from math import log

from ...physics.information.echo import most_informative_share
from ...physics.water_filling import waterfill
from ...types import Array, array_namespace, as_array
from ..decoding import bounded, check_action, simplex_logits, simplex_share, unit_interval, unit_logit
from .allocation import MassiveMIMOAllocation
from .config import Action
from .problem import MassiveMIMOProblem


def action_size(users: int, kind: Action) -> int:
    """A logit per stream, one for the sensing share, one for the total power; or the sensing share alone."""
    return users + 2 if kind == "full" else 1


def entry_name(entry: int, size: int) -> str:
    """What an entry of an action decides."""
    names = {size - 2: "sensing share", size - 1: "total power"} if size > 1 else {0: "sensing share"}
    return names.get(entry, f"stream of user {entry}")


def floor_powers(problem: MassiveMIMOProblem, slope: Array) -> Array:
    """Stream powers at which every user just has its rate floor, (..., users) [W]; ``slope`` is SINR per power.

    A floor asks for an SINR of at most the root of the largest number, which is out of reach like any larger one.
    """
    xp = array_namespace(slope)
    exponent = problem.rate_floor * (log(2.0) / problem.rate_factor)
    return xp.expm1(xp.clip(exponent, max=0.5 * log(xp.finfo(slope.dtype).max))) / slope


def sinr_slope(problem: MassiveMIMOProblem, total: Array) -> Array:
    r"""SINR per stream power at a given total, :math:`g_k = N_t \xi_k / (\beta_k S + \sigma^2/N_t)`, (..., users).

    ``total`` (...,) is S [W]; pilots count as orthonormal (spec mimo 3).
    """
    n = problem.tx_antennas
    disturbance = problem.large_scale_gain * total[..., None] + problem.noise_power[..., None] / n
    return n * problem.estimate_variance / disturbance


def stream_powers(problem: MassiveMIMOProblem, total: Array, sensing_power: Array) -> Array:
    r"""Best powers of the streams at a given total and sensing power, (..., users) [W].

    .. math:: p_k = \max(f_k, w_k \nu - 1/g_k), \qquad \sum_k p_k = S - T

    At fixed S the denominators are constant and the rates concave in p alone, so the sum rate is water-filled above
    the floors f of :func:`floor_powers` (scaled down where they do not fit); the least rate is largest where all
    SINR are equal, :math:`p_k \propto 1/g_k` (spec mimo 3).

    Parameters
    ----------
    problem : MassiveMIMOProblem
    total, sensing_power : Array, shape (...,)
        S and T [W], with any leading axes of candidates.
    """
    xp = array_namespace(problem.large_scale_gain)
    budget = (total - sensing_power)[..., None]
    slope = sinr_slope(problem, total)
    if problem.objective == "min":
        need = xp.min(slope, axis=-1, keepdims=True) / slope
        return budget * (need / xp.sum(need, axis=-1, keepdims=True))
    floor = floor_powers(problem, slope)
    needed = xp.maximum(xp.sum(floor, axis=-1, keepdims=True), budget)
    floor = floor / xp.where(needed > 0, needed, xp.ones_like(needed))
    weight, slope, floor = xp.broadcast_arrays(problem.weight, slope * budget, floor)
    return budget * waterfill(weight, slope, floor)


def split(problem: MassiveMIMOProblem, sensing_share: Array) -> MassiveMIMOAllocation:
    """Full power with a given sensing share (...,) and water-filled streams; leading axes are candidates."""
    total = problem.largest_total
    sensing = sensing_share * total
    return MassiveMIMOAllocation(stream_powers(problem, total + 0.0 * sensing, sensing), sensing)


def fallback(problem: MassiveMIMOProblem) -> MassiveMIMOAllocation:
    """What is played where the demand is out of reach: full power, split so that the bound is least (spec mimo 3).

    All of it is the beam's if b > a, else the users'.
    """
    return split(problem, most_informative_share(problem.aligned().echo))


def decode(action: Array, problem: MassiveMIMOProblem, *, kind: Action, logit_scale: float) -> MassiveMIMOAllocation:
    r"""Allocation of an action vector.

    .. math:: S = S_{max} h(c\, a_{K+2}), \quad T = h(c\, a_{K+1})\, S, \quad
              p = (S - T)\, \mathrm{softmax}(c\, a_{1..K})

    with h of :func:`unit_interval`. ``kind="share"``: the one entry is a_{K+1}, the rest is :func:`split`.

    Parameters
    ----------
    action : Array, shape (..., users + 2) or (..., 1)
        Finite; values outside [-1, 1] are clipped to the box.
    problem : MassiveMIMOProblem
        Known problem.
    kind : {"full", "share"}
    logit_scale : float
        c, logits per unit of action [-].

    Returns
    -------
    MassiveMIMOAllocation
        Within the budget to rounding. Raises ``ValueError`` for NaN, Inf, a wrong shape or dtype.
    """
    action = as_array(check_action(action, action_size(problem.users, kind), entry_name), problem.large_scale_gain)
    z = logit_scale * bounded(action, -1.0, 1.0)
    if kind == "share":
        return split(problem, unit_interval(z[..., 0], logit_scale))
    parts = unit_interval(z[..., -2:], logit_scale)
    share, total = parts[..., 0], problem.largest_total * parts[..., 1]
    power = ((1.0 - share) * total)[..., None] * simplex_share(z[..., :-2])
    return MassiveMIMOAllocation(power, share * total)


def encode_allocation(
    allocation: MassiveMIMOAllocation, problem: MassiveMIMOProblem, *, kind: Action, logit_scale: float
) -> Array:
    r"""Action whose decoding is nearest to an allocation.

    A stream without power would need a logit of minus infinity and gets the lowest one, which leaves it at most
    :math:`e^{-2c}` of the strongest stream's (4.5e-5 at c = 5). Round trip of a decoded action: exact.

    Returns
    -------
    Array, shape (..., users + 2) or (..., 1)
        In [-1, 1].
    """
    xp = array_namespace(problem.large_scale_gain, allocation.power)
    total = xp.sum(allocation.power, axis=-1) + allocation.sensing_power
    limit = problem.largest_total
    share = allocation.sensing_power / xp.where(total > 0, total, xp.ones_like(total))
    sensing = unit_logit(xp.clip(share, max=1.0), logit_scale)[..., None]
    if kind == "share":
        return xp.clip(sensing / logit_scale, min=-1.0, max=1.0)
    part = xp.clip(total / xp.where(limit > 0, limit, xp.ones_like(limit)), max=1.0)
    action = xp.concat(
        [simplex_logits(allocation.power, logit_scale), sensing, unit_logit(part, logit_scale)[..., None]], axis=-1
    )
    return xp.clip(action / logit_scale, min=-1.0, max=1.0)
