r"""Benders cuts on the positioning share of every cell (spec multicell 4.9).

At a share the two services of a cell are per-hertz problems, which are solved for a value, a certified bound and the
prices of power and band; the prices are the slope of a cut that holds for every share.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, log
from typing import Literal, NamedTuple, TypeAlias

from array_api_compat import array_namespace, device

from jcas_env.batching import rows, unrows
from jcas_env.scenarios.multicell import MultiCellProblem, RelaxedAllocation, RelaxedProblem
from jcas_env.scenarios.multicell.problem.problem import LEAST_RATE
from jcas_env.types import COMMUNICATION, POSITIONING, Array, Status
from jcas_env.units import MEGA

from ..engines.benders import Cut, Decomposition, decompose, interval_master, polyhedral_master
from ..solver import Solution
from .duality import BudgetPrices, Form, perspective_prices
from .interior_point import solve_perspective
from .relaxed_solver import LEAST_SHARE, floors_of

Split = Literal["shared", "separate"]
Optimum: TypeAlias = Callable[[RelaxedProblem, Form], RelaxedAllocation]
"""Solver of per-hertz problems of any batch."""

MARGIN = 1.02
"""The share keeps this multiple of the floors' sum away from the ends, so that an interior exists."""


class Cells(NamedTuple):
    """The cells of a flattened batch: services on axis 1, floors in units of the cell's budgets."""

    weight: Array
    """(cells, 2, seats): a_u."""
    coefficient: Array
    """(cells, 2, seats): c, with power and band in units of the cell's budgets."""
    group: Array
    power_floor: Array
    """(cells,): floor of a user, and of a group in the next field."""
    band_floor: Array
    power_need: Array
    """(cells,): sum of the power floors, and of the band floors in the next field."""
    band_need: Array
    factor: Array
    """(cells, 2): Mbit/s per unit of band and nat, without the service weights."""
    worth: Array
    """(cells, 2): service weights."""
    fits: Array
    """(cells,) bool: whether the floors fit into some share, or into the given one."""


def cells_of(problem: MultiCellProblem) -> Cells:
    r"""Per-hertz problems of all cells, in units of the cells' budgets.

    With one share for power and band the coefficients of spec multicell 4.1 become, in these units,

    .. math:: c_j = \frac{\kappa_j^s G_{jj} P_{\max}}{B_{\max} N_0 + k_I \lambda_j^2 P_{\max}
              + P_{\max} (G_i / N_i) \sum_{k \in g, k \ne j} G_{jk}}

    which do not depend on the share.
    """
    xp = array_namespace(problem.gain)
    relaxed = problem.relaxed(positioning_share=0.5, noise="per_hertz")
    power_floor = problem.per_cell(problem.power_floor) / problem.per_cell(problem.power_budget)
    band_floor = problem.per_cell(problem.band_floor) / problem.per_cell(problem.band_budget)
    users, groups = problem.cell_sum(xp.ones_like(problem.leakage)), problem.cell_sum(1.0 / problem.group_size)
    band = problem.per_cell(problem.band_budget) * problem.duty[..., None] / (MEGA * log(2.0))
    cells = Cells(
        weight=relaxed.weight,
        coefficient=relaxed.coefficient,
        group=relaxed.group,
        power_floor=power_floor,
        band_floor=band_floor,
        power_need=users * power_floor,
        band_need=groups * band_floor,
        factor=xp.stack([band, 0.5 * band], axis=-1),
        worth=problem.service_weight + xp.zeros_like(band)[..., None],
        fits=problem.floors_fit,
    )
    return rows(cells, (*problem.batch, problem.cells))


def services_at(data: Cells, shares: Array) -> RelaxedProblem:
    """Normalised problems of both services at shares (cells, 2 services, power and band)."""
    return RelaxedProblem(
        weight=data.weight,
        coefficient=data.coefficient * (shares[..., 0] / shares[..., 1])[..., None],
        group=data.group,
        power_floor=data.power_floor[:, None] / shares[..., 0],
        band_floor=data.band_floor[:, None] / shares[..., 1],
    )


class ShareSubproblem:
    """Subproblem: both services of a cell at a given share, their value, bound and cut.

    In a sum of logarithms users whose rate is below :data:`LEAST_RATE` even alone on the whole budget have no say.
    """

    def __init__(self, data: Cells, form: Form, gap: float, optimum: Optimum | None = None) -> None:
        xp = array_namespace(data.weight)
        heard = data.factor[..., None] * xp.log1p(data.coefficient) > LEAST_RATE
        self.silent = xp.zeros_like(data.worth)
        if form == "log":
            self.silent = log(LEAST_RATE) * xp.sum(xp.where(heard, 0.0, data.weight), axis=-1)
            data = data._replace(weight=xp.where(heard, data.weight, 0.0))
        self.data, self.form, self.gap, self.optimum = data, form, gap, optimum

    def __call__(self, point: Array, index: Array) -> tuple[Cut, RelaxedAllocation]:
        """Cuts and normalised allocations (n, 2, seats) at points (n, 1) or (n, 2)."""
        xp = array_namespace(point)
        data = Cells(*(part[index] for part in self.data))
        both = xp.broadcast_to(point, (point.shape[0], 2))
        need = xp.stack([data.power_need, data.band_need], axis=-1)
        violation, wall = _violated(point, need)
        feasible = data.fits  # the box leaves the shares that keep the floors, if there are any
        # Where the floors do not fit, any share will do: the cut comes from the floors alone.
        both = xp.where(feasible[:, None], both, 0.5)
        shares = xp.stack([1.0 - both, both], axis=-2)
        allocation, value, bound, prices = self._solve(data, shares)
        silent = xp.sum(data.worth * self.silent[index], axis=-1)
        value, bound = value + silent, bound + silent
        slope = self._slope(data, shares, prices)
        if point.shape[-1] == 1:
            slope = xp.sum(slope, axis=-1, keepdims=True)
        cut = Cut(
            point=point,
            feasible=feasible,
            value=xp.where(feasible, value, -inf),
            level=xp.where(feasible, bound, violation),
            slope=xp.where(feasible[:, None], slope, wall),
            multiplier=xp.zeros((point.shape[0], 0), dtype=point.dtype, device=device(point)),
        )
        return cut, allocation

    def _solve(self, data: Cells, shares: Array) -> tuple[RelaxedAllocation, Array, Array, BudgetPrices]:
        """Allocation, utility and certified bound of the cells at shares (n, 2, 2), and prices (n, 2)."""
        xp = array_namespace(shares)
        relaxed = services_at(data, shares)
        factor = data.factor * shares[..., 1]  # Mbit/s per nat of the normalised problem
        least = LEAST_RATE / factor
        if self.optimum:
            allocation = self.optimum(relaxed, self.form)
            groups = relaxed.groups
            floors = floors_of(relaxed, groups)
            value, bound, prices = perspective_prices(
                relaxed, groups, floors, allocation, barrier=1e12, form=self.form, least=least
            )
        else:
            solved = solve_perspective(relaxed, self.form, gap=self.gap, least=least)
            allocation, value, bound, prices = solved.allocation, solved.value, solved.bound, solved.prices
        scale, offset = data.worth, data.worth * xp.sum(data.weight, axis=-1) * xp.log(factor)
        if self.form == "rate":
            scale, offset = data.worth * factor, xp.zeros_like(factor)
        return allocation, xp.sum(scale * value + offset, axis=-1), xp.sum(scale * bound + offset, axis=-1), prices

    def _slope(self, data: Cells, shares: Array, prices: BudgetPrices) -> Array:
        """Derivative of the bound with the positioning share of power and of band, (n, 2)."""
        xp = array_namespace(shares)
        price = xp.stack(list(prices), axis=-1) / shares  # per unit of the cell's budgets, for logarithms
        scale = data.worth[..., None]
        if self.form == "rate":
            scale = scale * (data.factor * shares[..., 1])[..., None]
        worth = scale * price
        return worth[:, POSITIONING, :] - worth[:, COMMUNICATION, :]


def _violated(point: Array, need: Array) -> tuple[Array, Array]:
    r"""Feasibility cut of the floors: the largest of :math:`n - \beta` and :math:`n - (1 - \beta)`, and its slope.

    These are the subproblem's Farkas multipliers, which are one for each floor and each budget. ``need`` (n, 2)
    for power and band -> violation (n,), slope (n, dimensions).
    """
    xp = array_namespace(point)
    if point.shape[-1] == 1:
        need = xp.max(need, axis=-1, keepdims=True)
    lacking = xp.concat([need - point, need - (1.0 - point)], axis=-1)
    worst = xp.argmax(lacking, axis=-1)
    dimension = xp.arange(point.shape[-1], device=device(point))
    dimensions = point.shape[-1]
    sign = xp.where(worst < dimensions, -1.0, 1.0)
    wall = xp.where(dimension == (worst % dimensions)[:, None], sign[:, None], 0.0)
    return xp.max(lacking, axis=-1), xp.astype(wall, point.dtype)


def decompose_share(
    problem: MultiCellProblem,
    *,
    form: Form,
    split: Split = "shared",
    tolerance: float = 1e-4,
    limit: int = 40,
    optimum: Optimum | None = None,
    margin: float = MARGIN,
) -> Decomposition:
    """Optimise the positioning share of every cell by cuts; the elements of the answer are (..., cells).

    A fixed share is an interval of no width, a free one keeps ``margin`` times the floors' sum away from the ends. The
    answers are normalised allocations (..., cells, 2, seats). ``optimum`` solves the subproblems, if the interior-point
    method is not to.
    """
    xp = array_namespace(problem.gain)
    data = cells_of(problem)
    need = xp.stack([data.power_need, data.band_need], axis=-1)
    if split == "shared":
        need = xp.max(need, axis=-1, keepdims=True)
    fixed = xp.reshape(problem.share, (-1, 1))
    low = xp.clip(margin * need, min=LEAST_SHARE, max=0.5)
    low, high = (xp.where(xp.isnan(fixed), end, fixed) for end in (low, 1.0 - low))
    # Nearly linear utilities have their optimum at an end, logarithms in the middle.
    middle = [0.5 * (low + high)] if form == "log" or split == "separate" else []
    found = decompose(
        ShareSubproblem(data, form, 0.02 * tolerance, optimum),
        interval_master if split == "shared" else polyhedral_master,
        low,
        high,
        start=xp.stack([low, *middle, high], axis=1),
        tolerance=tolerance,
        scale=1.0 if form == "log" else 0.0,
        limit=limit,
    )
    return unrows(found, (*problem.batch, problem.cells))


def solve_by_cuts(
    problem: MultiCellProblem, *, split: Split, tolerance: float, limit: int, optimum: Optimum | None = None
) -> Solution:
    """Decompose the shares of all cells, and put the answers together; see :class:`jcas_baselines.GBD`."""
    xp = array_namespace(problem.gain)
    form: Form = "log" if problem.reward == "fair" else "rate"
    found = decompose_share(problem, form=form, split=split, tolerance=tolerance, limit=limit, optimum=optimum)
    status, shares = xp.max(found.status, axis=-1), found.point
    allocation = problem.assemble(found.answer, shares[..., 0])
    allocation = allocation._replace(bandwidth=problem.assemble(found.answer, shares[..., -1]).bandwidth)
    lower, upper = xp.mean(found.lower, axis=-1), xp.mean(found.upper, axis=-1)
    separate = {"band_share": shares[..., 1]} if split == "separate" else {}
    figures = {
        "positioning_share": shares[..., 0],
        "least_share": problem.least_share,
        "cell_objective": found.lower,
        "cell_bound": found.upper,
        "relaxation": xp.full(problem.batch, bool(separate), device=device(shares)),
        **separate,
        "gap": upper - lower,
    }
    cuts = xp.max(found.cuts, axis=-1)
    return Solution(allocation, lower, upper, status, cuts, figures).struck(status == int(Status.INFEASIBLE), "gap")
