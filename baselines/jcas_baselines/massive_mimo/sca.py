r"""Successive convex approximation of the massive MIMO power allocation (nguyen2024 Algorithm 1).

The surrogate of eq. 21 at the current point separates the streams, and the demand on the bound is linear in (P, T), so
each subproblem has a closed form (spec mimo 4); CVXPY solves the paper's conic form as a cross-check.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from array_api_compat import array_namespace

from jcas_env.batching import rows, unrows
from jcas_env.checks import first_bad_entry, require
from jcas_env.scenarios.massive_mimo import MassiveMIMOAllocation, MassiveMIMOProblem
from jcas_env.types import Array, Status, as_array

from ..engines.iterate import iterate
from ..solver import Solution, double_precision
from .closed_form import answer
from .minorant import Iterate, sum_rate

Start = Literal["full", "half", "low"]
"""Starting points: full power with least or with half sensing power, or the demand met with least power."""

FROM_FULL, FROM_ELSEWHERE = 200, 3000
"""Most iterations by starting point: a low one needs about 2 beta SNR_com (spec mimo 4)."""


def first_point(problem: MassiveMIMOProblem, start: Start | MassiveMIMOAllocation) -> MassiveMIMOAllocation:
    r"""Starting point, by name or given.

    ``full``: :math:`S = S_{max}`, T least, equal p_k. ``half``: T half of the power if that is feasible, else as near
    as it may be. ``low``: :math:`P = T = c/(a+b)`, the demand met with equality (``full`` where that exceeds the
    budget or there is no demand). Raises ``ValueError`` for a stream without power: p_k = 0 is a fixed point.
    """
    if isinstance(start, tuple):
        return _checked(problem, start)
    xp = array_namespace(problem.large_scale_gain)
    total, least = problem.largest_total, problem.least_sensing_power()
    a, b, c = linear_demand(problem)
    if start == "full":
        sensing, streams = least, total - least
    elif start == "half":
        most = xp.where(b < a, (a * total - c) / xp.where(b < a, a - b, 1.0), total)
        sensing = xp.maximum(xp.minimum(total / 2.0, most), least)  # `most` is below where the demand is out of reach
        streams = total - sensing
    else:
        equal = c / xp.where(a + b > 0, a + b, 1.0)
        fits = (2.0 * equal <= total) & (equal > 0)
        sensing, streams = xp.where(fits, equal, least), xp.where(fits, equal, total - least)
    each = streams[..., None] / problem.users
    return MassiveMIMOAllocation(xp.broadcast_to(each, problem.large_scale_gain.shape), sensing)


def _checked(problem: MassiveMIMOProblem, start: MassiveMIMOAllocation) -> MassiveMIMOAllocation:
    """A given point in the problem's precision; ``ValueError`` where a stream is silent, budget or demand not kept.

    Where nothing meets the demand no point is asked to.
    """
    xp = array_namespace(problem.large_scale_gain)
    exact = array_namespace(start.power).finfo(start.power.dtype).eps < 1e-9
    power = as_array(start.power, problem.large_scale_gain)
    sensing = as_array(start.sensing_power, problem.large_scale_gain)
    if not xp.all(power > 0):
        index, value = first_bad_entry(power, ~(power > 0))
        raise ValueError(f"`start.power` must be positive, for 0 is a fixed point, got power{list(index)} = {value}")
    excess, demand = problem.violation(start), problem.crb(start) / problem.crb_limit
    worst = float(xp.max(xp.where(problem.feasible, xp.maximum(excess, demand - 1.0), xp.zeros_like(excess))))
    allowed = 1e-9 if exact else 1e-5  # a point of single precision keeps them to its own digits
    require(worst <= allowed, f"`start` must keep budget and demand, got a relative excess of {worst:.3g}")
    return MassiveMIMOAllocation(power, sensing)


def linear_demand(problem: MassiveMIMOProblem) -> tuple[Array, Array, Array]:
    """Coefficients of the demand aP + bT >= c on an aligned beam, three arrays (...,) (spec mimo 1.2)."""
    echo = problem.echo
    stream = echo.antennas * echo.receive + echo.transmit
    return stream, echo.pattern * echo.receive, problem.echo_noise / problem.crb_limit


@double_precision("large_scale_gain")
def solve_sca(
    problem: MassiveMIMOProblem,
    *,
    start: Start | MassiveMIMOAllocation = "full",
    tolerance: float = 1e-4,
    limit: int | None = None,
    update: Callable[[Iterate], tuple[Array, Array]],
) -> Solution:
    """Run Algorithm 1 on a batch; see :class:`jcas_baselines.SCA`. The beam counts as aligned, pilots as orthonormal.

    An element stops when its sum rate rises by less than ``tolerance`` [bit/s/Hz], or by less than that share of it
    where the rate is below 1 bit/s/Hz; STATIONARY then, ITERATION_LIMIT at ``limit``, INFEASIBLE where the demand is
    out of reach. ``update`` maximises the minorant.
    """
    xp = array_namespace(problem.large_scale_gain)
    supported = "SCA solves a MassiveMIMOProblem with objective 'sum' and without `rate_floor`, Exact all of them"
    if problem.objective != "sum":
        raise TypeError(f"{supported}; got objective {problem.objective!r}")
    if xp.any(problem.rate_floor > 0):
        index, value = first_bad_entry(problem.rate_floor, problem.rate_floor > 0)
        raise TypeError(f"{supported}; got rate_floor{list(index)} = {value}")
    problem = problem.aligned()
    point = first_iterate(problem, first_point(problem, start))

    def step(point: Iterate) -> tuple[Iterate, Array]:
        power, sensing = update(point)
        rate = sum_rate(point, power, sensing, problem.rate_factor)
        enough = tolerance * xp.clip(rate, max=1.0)
        return point._replace(power=power, sensing=sensing, rate=rate), rate - point.rate <= enough

    cap = FROM_FULL if isinstance(start, str) and start == "full" else FROM_ELSEWHERE
    ended = iterate(point, step, limit=limit or cap)
    point, iterations, converged = (unrows(part, problem.batch) for part in ended)
    return answer(
        problem,
        MassiveMIMOAllocation(point.power, point.sensing),
        status=xp.where(converged, int(Status.STATIONARY), int(Status.ITERATION_LIMIT)),
        feasible=problem.feasible,
        iterations=iterations,
    )


def first_iterate(problem: MassiveMIMOProblem, first: MassiveMIMOAllocation) -> Iterate:
    """Lay a batch of any shape out as (batch,) elements, at their starting points.

    What cannot be met is not iterated on: its demand is dropped, the caller blanks its answer.
    """
    xp, n = array_namespace(problem.large_scale_gain), problem.tx_antennas

    streams, beam, demand = linear_demand(problem)
    point = Iterate(
        power=first.power,
        sensing=first.sensing_power,
        rate=xp.zeros_like(problem.noise_power),
        gain=n * problem.large_scale_gain,
        signal=n**2 * problem.estimate_variance,
        weight=problem.weight,
        noise=problem.noise_power,
        stream_information=streams,
        beam_information=beam,
        demand=xp.where(problem.feasible, demand, xp.zeros_like(demand)),
        total=problem.largest_total,
        beam_gain=problem.echo.pattern / n,
    )
    point = rows(point, problem.batch)
    return point._replace(rate=sum_rate(point, point.power, point.sensing, problem.rate_factor))
