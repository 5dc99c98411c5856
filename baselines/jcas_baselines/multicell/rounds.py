"""Rounds of the successive convex approximation: a convex step, shortened until the utility does not fall."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import NamedTuple, TypeAlias

from array_api_compat import array_namespace, device

from jcas_env.scenarios.multicell import MultiCellProblem
from jcas_env.scenarios.multicell.problem.problem import LEAST_RATE
from jcas_env.tree import tree_map
from jcas_env.types import Array, Status

from ..engines.iterate import iterate
from ..solver import Solution
from .cells import NetworkModel, Scope, cell_models, equal_point, infeasible, normalised
from .minorant import CellModel, Point, interference_of, onto_budgets, true_rates
from .relaxed_solver import choose_candidate, share_interval

Maximise: TypeAlias = Callable[[CellModel, Point, Array], Point]
"""Maximiser of the minorant, :func:`.primal_dual.maximise_minorant` or another of its contract."""

STARTS = (0.02, 0.5, 0.98)
"""Positioning shares to start from where it is free, on the interval that the floors allow."""
HALVINGS = 12
"""Most halvings of a step that would lower the utility."""


class _Rounds(NamedTuple):
    """Iterates and data: elements (n,) by blocks, the cells of an element; leaves of the model likewise."""

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
    model: CellModel
    coupling: Array
    worth: Array
    factor: Array


def solve_by_rounds(
    problem: MultiCellProblem, *, scope: Scope, maximise: Maximise, tolerance: float, limit: int
) -> Solution:
    """Run rounds from every start, and keep the best start of every unit; see :class:`jcas_baselines.SCA`."""
    xp = array_namespace(problem.gain)
    network, (low, high) = cell_models(problem, scope), share_interval(problem)
    share = problem.share[None, ...]
    if xp.any(problem.share_is_free):
        share = xp.stack([xp.where(problem.share_is_free, low + s * (1.0 - 2.0 * low), problem.share) for s in STARTS])
    begin, units = _begin(network, share, scope, limit)
    rounds, iterations, converged = iterate(begin, lambda rounds: _round(rounds, maximise, tolerance), limit=limit)
    status = xp.where(converged & ~rounds.stuck, int(Status.STATIONARY), int(Status.ITERATION_LIMIT))
    best = xp.argmax(xp.reshape(rounds.utility, units), axis=0)[None, ...]

    def pick(value: Array) -> Array:
        """The best start of every unit."""
        return choose_candidate(xp.reshape(value, (*units, *value.shape[1:])), best)

    value = xp.reshape(pick(rounds.value), (*low.shape, *rounds.value.shape[2:]))
    share = xp.clip(xp.reshape(pick(rounds.share), low.shape), low, high)
    utility, trace, status, iterations = (pick(x) for x in (rounds.utility, rounds.trace, status, iterations))
    figures = {"positioning_share": share}
    if scope == "cell":
        figures["cell_objective"] = utility
        utility, trace = xp.sum(utility, axis=-1), xp.sum(trace, axis=-2)
        status, iterations = xp.max(status, axis=-1), xp.max(iterations, axis=-1)
    figures["utility_trace"] = trace / problem.cells
    return Solution(
        problem.assemble(normalised(network, value, share), share),
        utility / problem.cells,
        xp.full_like(utility, inf),
        status,
        iterations,
        figures | {"least_share": problem.least_share},
    ).struck(infeasible(problem), *figures)


def _begin(network: NetworkModel, share: Array, scope: Scope, limit: int) -> tuple[_Rounds, tuple[int, ...]]:
    """EBPA at shares (starts, ..., cells), and the shape of the units that improve on their own."""
    xp = array_namespace(share)
    value, cells = equal_point(network, share), share.shape[1:]
    units, blocks = (share.shape, 1) if scope == "cell" else (share.shape[:-1], cells[-1])

    def lay(value: Array, rest: int) -> Array:
        """Repeat for the starts, and flatten to (elements, blocks, ...) with ``rest`` trailing axes."""
        tail = value.shape[value.ndim - rest :]
        return xp.reshape(xp.broadcast_to(value, (share.shape[0], *cells, *tail)), (-1, blocks, *tail))

    def rest(leaf: Array) -> int:
        return int(leaf.ndim) - len(cells)

    model = tree_map(lambda leaf: lay(leaf, rest(leaf)), network.model)
    shares = lay(share, 0)
    rows = network.coupling.shape[-1]
    coupling = xp.reshape(xp.broadcast_to(network.coupling, (*units, rows, rows)), (-1, rows, rows))
    zero = xp.zeros(shares.shape[0], dtype=shares.dtype, device=device(shares))
    rounds = _Rounds(
        value=lay(value, 2),
        share=shares,
        utility=zero,
        trace=xp.zeros((shares.shape[0], limit + 1), dtype=shares.dtype, device=device(shares)),
        count=xp.astype(zero, xp.int64),
        stuck=zero > 0,
        model=model,
        coupling=coupling,
        worth=lay(network.worth, 2),
        factor=lay(network.factor, 2),
    )
    utility = _utility(rounds, rounds.value)
    return rounds._replace(utility=utility, trace=rounds.trace + utility[:, None]), units


def _round(rounds: _Rounds, maximise: Maximise, tolerance: float) -> tuple[_Rounds, Array]:
    """One convex step, shortened until the utility does not fall."""
    xp = array_namespace(rounds.value)
    model = _heard(rounds, rounds.value)
    here = Point(_merged(rounds.value), _merged(rounds.share))
    cells = tree_map(_merged, model)
    there = onto_budgets(cells, maximise(cells, here, _merged(_prices(rounds, model))))
    change = xp.reshape(there.value, rounds.value.shape) - rounds.value
    turn = xp.reshape(there.share, rounds.share.shape) - rounds.share
    length = xp.ones_like(rounds.utility)
    for _ in range(HALVINGS):
        utility = _utility(rounds, rounds.value + length[:, None, None, None] * change)
        good = utility >= rounds.utility
        if xp.all(good):
            break
        length = xp.where(good, length, 0.5 * length)
    length = xp.where(good, length, 0.0)  # a step that loses at every length is none
    utility = xp.where(good, utility, rounds.utility)
    size = xp.maximum(xp.abs(utility), xp.astype(rounds.model.logarithmic[:, 0], utility.dtype))
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
    return following, utility - rounds.utility <= tolerance * size


def _merged(value: Array) -> Array:
    return array_namespace(value).reshape(value, (-1, *value.shape[2:]))


def _heard(rounds: _Rounds, value: Array) -> CellModel:
    """The cells with the interference of the other cells at the powers of a point."""
    xp = array_namespace(value)
    density = rounds.model.density
    power = xp.sum(value[..., : density.shape[-1]], axis=-2)
    others = rounds.coupling @ xp.reshape(power, (power.shape[0], -1, 1))
    return rounds.model._replace(density=density + xp.reshape(others, density.shape))


def _utility(rounds: _Rounds, value: Array) -> Array:
    """Utility summed over the blocks, (n,): the score of :meth:`MultiCellProblem.score` at the true rates."""
    xp = array_namespace(value)
    rate = rounds.factor * true_rates(_heard(rounds, value), value)
    logarithmic = rounds.model.logarithmic[..., None, None]
    earned = xp.where(logarithmic, xp.log(xp.clip(rate, min=LEAST_RATE)), rate)
    return xp.sum(rounds.worth * earned, axis=(-3, -2, -1))


def _prices(rounds: _Rounds, model: CellModel) -> Array:
    r"""What a unit of each user's power costs the other cells, at first order, (n, blocks, seats).

    .. math:: \pi_m = -\sum_{j, s} \mu_j^s \frac{\partial R_j^s}{\partial d_j} \frac{\partial d_j}{\partial p_m},
              \qquad -\frac{\partial R}{\partial d} = \frac{B^2 S p}{I (I + S p)}, \qquad \mu = a \text{ or } a / R
    """
    xp = array_namespace(rounds.value)
    power, band, level = interference_of(model, rounds.value)
    heard = model.signal * power
    loss = band**2 * heard / xp.where(level > 0, level * (level + heard), 1.0)
    rate = true_rates(model, rounds.value)
    logarithmic = model.logarithmic[..., None, None]
    counts = logarithmic & (rounds.factor * rate > LEAST_RATE)  # below, the utility is flat
    marginal = xp.where(logarithmic & ~counts, 0.0, model.weight / xp.where(counts, rate, 1.0))
    cost = xp.sum(marginal * loss, axis=-2)
    paid = xp.reshape(cost, (cost.shape[0], 1, -1)) @ rounds.coupling
    return xp.reshape(paid, cost.shape)
