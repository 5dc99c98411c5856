"""Successive convex approximation of the true-interference utility."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import Literal, NamedTuple, get_args

from array_api_compat import array_namespace, device

from jcas_env.scenarios.massive_mimo import MassiveMIMOAllocation, MassiveMIMOProblem
from jcas_env.scenarios.multicell import MultiCellProblem
from jcas_env.scenarios.multicell.problem.problem import LEAST_RATE
from jcas_env.tree import tree_map
from jcas_env.types import Array, Status

from .engines.iterate import iterate
from .massive_mimo.sca import Start, solve_sca
from .multicell import convex_minorant as convex_sca
from .multicell import minorant as surrogate
from .multicell.cells import NetworkModel, Scope, allocation_of, cell_models, equal_point, infeasible
from .multicell.minorant import CellModel, Point, interference_of, onto_budgets, true_rates
from .multicell.relaxed_solver import LEAST_SHARE
from .solver import Solution, in_double_precision, require_numpy, unsupported

STARTS = (0.02, 0.5, 0.98)
"""Positioning shares to start from where it is free, on the interval that the floors allow."""
ROUNDS = 15
"""Most convex steps in the multi-cell problem, unless an option says otherwise."""
HALVINGS = 12
"""Most halvings of a step that would lower the utility."""


class _Rounds(NamedTuple):
    """Iterates and data: elements (n,) by blocks, the cells of an element; leaves of the scene likewise."""

    value: Array
    """(n, blocks, 2, entries)"""
    share: Array
    """(n, blocks)"""
    utility: Array
    """(n,): sum over the blocks."""
    trace: Array
    """(n, rounds + 1): utility after every round."""
    count: Array
    """(n,) integer: rounds made."""
    stuck: Array
    """(n,) bool: whether the last convex step was none."""
    air: CellModel
    coupling: Array
    worth: Array
    factor: Array


@dataclass(frozen=True)
class SCA:
    r"""Successive convex approximation on the true rates (spec multicell 4.5).

    Power and band of both services, and the positioning share where it is free, are optimised together. In-group
    interference enters as it is, :math:`R = B \ln(y/B) + B \ln(B/I)`; the convex second term is replaced by its
    tangent at the last point, and the concave minorant that results is maximised (:mod:`.surrogate`). It touches the
    objective at that point and lies below it elsewhere, so no accepted step lowers the objective; the logarithms of
    the ``fair`` utility keep this. Start: EBPA; where the share is free, at three shares, of which the best is kept.

    ``scope="cell"`` takes the other cells at the powers they last had (``problem.last_power``); the objective is the
    utility under that assumption. ``scope="network"`` optimises all cells at once for ``problem.utility``: each
    cell also pays for what its powers cost the others, at first order, and the step towards the surrogate's maximum,
    an ascent direction, is halved until the utility of the network does not fall. The status is STATIONARY where the
    relative gain has dropped below ``tolerance``, else ITERATION_LIMIT, also where rounding leaves the last convex step
    no direction and the point stays where it is; there is no bound. Uses the true interference
    of the known gains, which the relaxed methods do not see. Bands are continuous: whole subcarriers are rounded on the
    air, after the decision.

    On a :class:`MassiveMIMOProblem`: Algorithm 1 of nguyen2024 with its subproblem in closed form or as the paper's
    cone program, :func:`.massive_mimo_sca.solve_sca`; ``scope`` means nothing there.
    """

    scope: Scope = "cell"
    """Optimise each cell against the others' last powers, or all cells together."""
    backend: Literal["closed_form", "cvxpy"] = "closed_form"
    """Batched Newton method for the convex step, or CVXPY, cell by cell."""
    tolerance: float = 1e-4
    """Gain of a round at which to stop, relative to the utility (to 1 for a ``fair`` utility between -1 and 1); in the
    massive MIMO problem in bit/s/Hz, relative below 1."""
    max_rounds: int | None = None
    """Most convex steps; None: 15, in the massive MIMO problem 200 from full power and 3,000 from elsewhere."""
    start: Start | MassiveMIMOAllocation = "full"
    """Starting point in the massive MIMO problem, by name or given."""

    def __post_init__(self) -> None:
        if self.scope not in ("cell", "network"):
            raise ValueError(f"`scope` must be cell or network, got {self.scope!r}")
        if self.backend not in ("closed_form", "cvxpy"):
            raise ValueError(f"`backend` must be closed_form or cvxpy, got {self.backend!r}")
        if not 0 < self.tolerance < 1:
            raise ValueError(f"`tolerance` must lie in (0, 1), got {self.tolerance!r}")
        if self.max_rounds is not None and self.max_rounds < 1:
            raise ValueError(f"`max_rounds` must be at least 1, got {self.max_rounds!r}")
        if not isinstance(self.start, MassiveMIMOAllocation) and self.start not in get_args(Start):
            raise ValueError(f"`start` must be an allocation or one of {get_args(Start)}, got {self.start!r}")

    def solve(self, problem: MultiCellProblem | MassiveMIMOProblem) -> Solution:
        """Solve a batch; see :class:`Solution`.

        ``details["utility_trace"]`` (..., rounds + 1) of the multi-cell problem never falls.
        """
        if isinstance(problem, MassiveMIMOProblem):
            return solve_sca(
                problem, start=self.start, tolerance=self.tolerance, limit=self.max_rounds, backend=self.backend
            )
        if not isinstance(problem, MultiCellProblem):
            raise unsupported(self, problem, MultiCellProblem, MassiveMIMOProblem)
        require_numpy(self.backend, problem.gain)
        xp = array_namespace(problem.gain)
        if problem.gain.dtype != xp.float64:
            return in_double_precision(self.solve, problem, problem.gain.dtype)
        scene = cell_models(problem, self.scope)
        begin, units = self._begin(problem, scene)
        rounds, iterations, converged = iterate(begin, self._round, limit=self.max_rounds or ROUNDS)
        status = xp.where(converged & ~rounds.stuck, int(Status.STATIONARY), int(Status.ITERATION_LIMIT))
        best = xp.argmax(xp.reshape(rounds.utility, units), axis=0)[None, ...]

        def pick(value: Array) -> Array:
            """The best start of every unit."""
            value = xp.reshape(value, (*units, *value.shape[1:]))
            index = xp.reshape(best, (*best.shape, *(1,) * (value.ndim - best.ndim)))
            return xp.take_along_axis(value, xp.broadcast_to(index, (1, *value.shape[1:])), axis=0)[0, ...]

        cells = (*problem.batch, problem.cells)
        value = xp.reshape(pick(rounds.value), (*cells, *rounds.value.shape[2:]))
        chosen = Point(value, xp.reshape(pick(rounds.share), cells))
        utility, trace, status, iterations = (pick(x) for x in (rounds.utility, rounds.trace, status, iterations))
        details = {}
        if self.scope == "cell":
            details["cell_objective"] = xp.where(infeasible(problem)[..., None], xp.nan, utility)
            utility, trace = xp.sum(utility, axis=-1), xp.sum(trace, axis=-2)
            status, iterations = xp.max(status, axis=-1), xp.max(iterations, axis=-1)
        solution = _solution(problem, scene, chosen, utility, trace, status, iterations)
        return replace(solution, details=solution.details | details)

    def _begin(self, problem: MultiCellProblem, scene: NetworkModel) -> tuple[_Rounds, tuple[int, ...]]:
        """EBPA at the given share or at the starting shares, and the shape of the units that improve on their own."""
        xp = array_namespace(problem.gain)
        share, cells = problem.share[None, ...], (*problem.batch, problem.cells)
        free = problem.share_is_free
        if xp.any(free):
            least = xp.clip(problem.least_share, min=LEAST_SHARE, max=0.5)
            share = xp.stack([xp.where(free, least + s * (1.0 - 2.0 * least), problem.share) for s in STARTS])
        value = equal_point(scene, share)
        units = (share.shape[0], *(cells if self.scope == "cell" else problem.batch))
        blocks = 1 if self.scope == "cell" else problem.cells

        def lay(value: Array, rest: int) -> Array:
            """Repeat for the starts, and flatten to (elements, blocks, ...) with ``rest`` trailing axes."""
            tail = value.shape[value.ndim - rest :]
            return xp.reshape(xp.broadcast_to(value, (share.shape[0], *cells, *tail)), (-1, blocks, *tail))

        def rest(leaf: Array) -> int:
            return int(leaf.ndim) - len(cells)

        air = tree_map(lambda leaf: lay(leaf, rest(leaf)), scene.air)
        shares = lay(share, 0)
        rows = scene.coupling.shape[-1]
        coupling = xp.reshape(xp.broadcast_to(scene.coupling, (*units, rows, rows)), (-1, rows, rows))
        zero = xp.zeros(shares.shape[0], dtype=shares.dtype, device=device(shares))
        rounds = _Rounds(
            lay(value, 2),
            shares,
            zero,
            xp.zeros((shares.shape[0], (self.max_rounds or ROUNDS) + 1), dtype=shares.dtype, device=device(shares)),
            xp.astype(zero, xp.int64),
            zero > 0,
            air,
            coupling,
            lay(scene.worth, 2),
            lay(scene.factor, 2),
        )
        utility = _utility(rounds, rounds.value)
        return rounds._replace(utility=utility, trace=rounds.trace + utility[:, None]), units

    def _round(self, rounds: _Rounds) -> tuple[_Rounds, Array]:
        """One convex step, shortened until the utility does not fall."""
        xp = array_namespace(rounds.value)
        air = _heard(rounds, rounds.value)
        maximise = convex_sca.maximise_surrogate if self.backend == "cvxpy" else surrogate.maximise_surrogate
        here = Point(_merged(rounds.value), _merged(rounds.share))
        cells = tree_map(_merged, air)
        there = onto_budgets(cells, maximise(cells, here, _merged(_prices(rounds, air))))
        change = xp.reshape(there.value, rounds.value.shape) - rounds.value
        turn = xp.reshape(there.share, rounds.share.shape) - rounds.share
        length = xp.ones_like(rounds.utility)
        for _ in range(HALVINGS):
            utility = _utility(rounds, rounds.value + length[:, None, None, None] * change)
            good = utility >= rounds.utility
            if xp.all(good):
                break
            length = xp.where(good, length, 0.5 * length)
        length = xp.where(good, length, 0.0)
        utility = xp.where(good, utility, rounds.utility)
        size = xp.maximum(xp.abs(utility), xp.astype(rounds.air.logarithmic[:, 0], utility.dtype))
        count = rounds.count + 1
        later = xp.arange(rounds.trace.shape[-1], device=device(count)) >= count[:, None]
        following = rounds._replace(
            value=rounds.value + length[:, None, None, None] * change,
            share=rounds.share + length[:, None] * turn,
            utility=utility,
            trace=xp.where(later, utility[:, None], rounds.trace),
            count=count,
            stuck=~xp.all(xp.reshape(there.found, rounds.share.shape), axis=-1),
        )
        return following, utility - rounds.utility <= self.tolerance * size


def _merged(value: Array) -> Array:
    return array_namespace(value).reshape(value, (-1, *value.shape[2:]))


def _heard(rounds: _Rounds, value: Array) -> CellModel:
    """The air with the interference of the other cells at the powers of a point."""
    xp = array_namespace(value)
    density = rounds.air.density
    power = xp.sum(value[..., : density.shape[-1]], axis=-2)
    others = rounds.coupling @ xp.reshape(power, (power.shape[0], -1, 1))
    return rounds.air._replace(density=density + xp.reshape(others, density.shape))


def _utility(rounds: _Rounds, value: Array) -> Array:
    """Utility summed over the blocks, (n,): the score of :meth:`MultiCellProblem.score` at the true rates."""
    xp = array_namespace(value)
    rate = rounds.factor * true_rates(_heard(rounds, value), value)
    logarithmic = rounds.air.logarithmic[..., None, None]
    earned = xp.where(logarithmic, xp.log(xp.clip(rate, min=LEAST_RATE)), rate)
    return xp.sum(rounds.worth * earned, axis=(-3, -2, -1))


def _prices(rounds: _Rounds, air: CellModel) -> Array:
    r"""What a unit of each user's power costs the other cells, at first order, (n, blocks, seats).

    .. math:: \pi_m = -\sum_{j, s} \mu_j^s \frac{\partial R_j^s}{\partial d_j} \frac{\partial d_j}{\partial p_m},
              \qquad -\frac{\partial R}{\partial d} = \frac{B^2 S p}{I (I + S p)}, \qquad \mu = a \text{ or } a / R
    """
    xp = array_namespace(rounds.value)
    power, band, level = interference_of(air, rounds.value)
    heard = air.signal * power
    loss = band**2 * heard / xp.where(level > 0, level * (level + heard), 1.0)
    rate = true_rates(air, rounds.value)
    logarithmic = air.logarithmic[..., None, None]
    counts = logarithmic & (rounds.factor * rate > LEAST_RATE)  # below, the utility is flat
    marginal = xp.where(logarithmic & ~counts, 0.0, air.weight / xp.where(counts, rate, 1.0))
    cost = xp.sum(marginal * loss, axis=-2)
    paid = xp.reshape(cost, (cost.shape[0], 1, -1)) @ rounds.coupling
    return xp.reshape(paid, cost.shape)


def _solution(
    problem: MultiCellProblem,
    scene: NetworkModel,
    chosen: Point,
    utility: Array,
    trace: Array,
    status: Array,
    iterations: Array,
) -> Solution:
    xp = array_namespace(problem.gain)
    lost = infeasible(problem)
    nan = xp.asarray(float("nan"), dtype=problem.gain.dtype)
    least = xp.clip(problem.least_share, min=LEAST_SHARE, max=0.5)
    inside = xp.minimum(xp.maximum(chosen.share, least), 1.0 - least)
    share = xp.where(problem.share_is_free, inside, problem.share)
    allocation = allocation_of(problem, scene, chosen.value, share)
    blank = lost[..., None, None]
    allocation = allocation._replace(
        power=xp.where(blank, nan, allocation.power), bandwidth=xp.where(blank, nan, allocation.bandwidth)
    )
    return Solution(
        allocation,
        xp.where(lost, nan, utility / problem.cells),
        xp.where(lost, nan, inf),
        xp.where(lost, int(Status.INFEASIBLE), status),
        iterations,
        {
            "positioning_share": xp.where(lost[..., None], nan, share),
            "least_share": problem.least_share,
            "utility_trace": xp.where(lost[..., None], nan, trace / problem.cells),
        },
    )
