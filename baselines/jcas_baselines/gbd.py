r"""Generalised Benders decomposition over the positioning share, of the multi-cell problem and of the mesh."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log
from typing import Literal, NamedTuple

import numpy as np
from array_api_compat import array_namespace, device

from jcas_env.scenarios.mesh import MeshProblem
from jcas_env.scenarios.multicell import MultiCellProblem, RelaxedAllocation, RelaxedProblem
from jcas_env.scenarios.multicell.problem.problem import LEAST_RATE
from jcas_env.types import COMMUNICATION, POSITIONING, Array, Status
from jcas_env.units import MEGA

from .engines.benders import Cut, Decomposition, decompose, interval_master, polyhedral_master
from .mesh.cuts import Cuts
from .mesh.solve import solve_gbd
from .multicell.convex_relaxed import per_hertz_optimum
from .multicell.duality import BudgetPrices, Form, perspective_prices
from .multicell.interior_point import solve_perspective
from .multicell.relaxed_solver import LEAST_SHARE, floors_of
from .solver import Solution, in_double_precision, require_numpy, unsupported

Split = Literal["shared", "separate"]
Backend = Literal["closed_form", "cvxpy"]

MARGIN = 1.02
"""The share keeps this multiple of the floors' sum away from the ends, so that an interior exists."""


class _Cells(NamedTuple):
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


def cells_of(problem: MultiCellProblem) -> _Cells:
    r"""Per-hertz problems of all cells, in units of the cells' budgets.

    With one share for power and band the coefficients of spec multicell 4.1 become, in these units,

    .. math:: c_j = \frac{\kappa_j^s G_{jj} P_{\max}}{B_{\max} N_0 + k_I \lambda_j^2 P_{\max}
              + P_{\max} (G_i / N_i) \sum_{k \in g, k \ne j} G_{jk}}

    which do not depend on the share.
    """
    xp = array_namespace(problem.gain)
    relaxed = problem.relaxed(positioning_share=0.5, noise="per_hertz")
    batch, cells = problem.batch, problem.cells

    def flat(value: Array, *rest: int) -> Array:
        return xp.reshape(xp.broadcast_to(value, (*batch, cells, *rest)), (-1, *rest))

    seats = relaxed.coefficient.shape[-1]
    power_floor = problem.per_cell(problem.power_floor) / problem.per_cell(problem.power_budget)
    band_floor = problem.per_cell(problem.band_floor) / problem.per_cell(problem.band_budget)
    users, groups = problem.cell_sum(xp.ones_like(problem.leakage)), problem.cell_sum(1.0 / problem.group_size)
    band = problem.per_cell(problem.band_budget) * problem.duty[..., None] / (MEGA * log(2.0))
    return _Cells(
        flat(relaxed.weight, 2, seats),
        flat(relaxed.coefficient, 2, seats),
        flat(relaxed.group, 2, seats),
        flat(power_floor),
        flat(band_floor),
        flat(users * power_floor),
        flat(groups * band_floor),
        flat(xp.stack([band, 0.5 * band], axis=-1), 2),
        flat(problem.service_weight + xp.zeros_like(band)[..., None], 2),
        flat(problem.floors_fit),
    )


def services_at(data: _Cells, shares: Array) -> RelaxedProblem:
    """Normalised problems of both services at shares (cells, 2 services, power and band)."""
    return RelaxedProblem(
        weight=data.weight,
        coefficient=data.coefficient * (shares[..., 0] / shares[..., 1])[..., None],
        group=data.group,
        power_floor=data.power_floor[:, None] / shares[..., 0],
        band_floor=data.band_floor[:, None] / shares[..., 1],
    )


class _Inner:
    """Subproblem: both services of a cell at a given share, their value, bound and cut.

    In a sum of logarithms users whose rate is below :data:`LEAST_RATE` even alone on the whole budget have no say.
    """

    def __init__(self, data: _Cells, form: Form, gap: float, backend: Backend) -> None:
        xp = array_namespace(data.weight)
        heard = data.factor[..., None] * xp.log1p(data.coefficient) > LEAST_RATE
        self.silent = xp.zeros_like(data.worth)
        if form == "log":
            self.silent = log(LEAST_RATE) * xp.sum(xp.where(heard, 0.0, data.weight), axis=-1)
            data = data._replace(weight=xp.where(heard, data.weight, 0.0))
        self.data, self.form, self.gap, self.backend = data, form, gap, backend

    def __call__(self, point: Array, index: Array) -> tuple[Cut, RelaxedAllocation]:
        """Cuts and normalised allocations (n, 2, seats) at points (n, 1) or (n, 2)."""
        xp = array_namespace(point)
        data = _Cells(*(part[index] for part in self.data))
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

    def _solve(self, data: _Cells, shares: Array) -> tuple[RelaxedAllocation, Array, Array, BudgetPrices]:
        """Allocation, utility and certified bound of the cells at shares (n, 2, 2), and prices (n, 2)."""
        xp = array_namespace(shares)
        relaxed = services_at(data, shares)
        factor = data.factor * shares[..., 1]  # Mbit/s per nat of the normalised problem
        least = LEAST_RATE / factor
        if self.backend == "cvxpy":
            allocation = _one_by_one(relaxed, self.form)
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

    def _slope(self, data: _Cells, shares: Array, prices: BudgetPrices) -> Array:
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


def _one_by_one(relaxed: RelaxedProblem, form: Form) -> RelaxedAllocation:
    """Solve problems (n, 2, seats) with CVXPY, one after the other; NumPy only."""
    power, band = np.zeros(relaxed.coefficient.shape), np.zeros(relaxed.coefficient.shape)
    for i in np.ndindex(relaxed.coefficient.shape[:-1]):
        here = relaxed.group[i] >= 0
        if not here.any():
            continue
        parts = (relaxed.weight[i][here], relaxed.coefficient[i][here], relaxed.group[i][here])
        floors = np.asarray(relaxed.power_floor)[i], np.asarray(relaxed.band_floor)[i]
        answer = per_hertz_optimum(RelaxedProblem(*parts, *floors), form)
        power[i][here], band[i][here] = answer
    return RelaxedAllocation(power, band)


def decompose_share(
    problem: MultiCellProblem,
    *,
    form: Form,
    split: Split = "shared",
    tolerance: float = 1e-4,
    limit: int = 40,
    backend: Backend = "closed_form",
    margin: float = MARGIN,
) -> Decomposition:
    """Optimise the positioning share of every cell by cuts; the elements are (..., cells), flattened.

    A fixed share is an interval of no width, a free one keeps ``margin`` times the floors' sum away from the ends. The
    answers are normalised allocations (cells, 2, seats).
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
    return decompose(
        _Inner(data, form, 0.02 * tolerance, backend),
        interval_master if split == "shared" else polyhedral_master,
        low,
        high,
        start=xp.stack([low, *middle, high], axis=1),
        tolerance=tolerance,
        scale=1.0 if form == "log" else 0.0,
        limit=limit,
    )


@dataclass(frozen=True)
class GBD:
    r"""Generalised Benders decomposition with the positioning share as the complicating variable (spec multicell 4.9).

    At a share :math:`\beta` a cell's two services are separate convex problems (per-hertz form, interference at
    equal power as in spec multicell 4.1), solved by an interior-point method. In units of the cell's budgets their
    coefficients do not depend on :math:`\beta`, so the whole is one convex program and its value v is concave in the
    share. The prices of power and band give optimality cuts valid by weak duality,

    .. math:: v(\beta') \le v(\beta) + (\lambda_P^O + \lambda_B^O - \lambda_P^C - \lambda_B^C)(\beta' - \beta)

    and the floors feasibility cuts :math:`\beta \ge n`, :math:`1 - \beta \ge n`. The share is kept in
    [1.02 n, 1 - 1.02 n], n the larger sum of floors. ``bound`` is certified for this model, whether or not the gap has
    closed (OPTIMAL or ITERATION_LIMIT); ``iterations`` counts cuts. A fixed share is solved at that share.

    The ``fair`` utility has an optimum inside. The linear one is homogeneous but for the floors, so v is almost
    linear: with weights (1, 1) the optimum is the communication end (bang-bang), with (1, 1.5) the ends nearly tie.
    Both ends are therefore solved first; where one of them is optimal its own cut proves it.

    ``split="separate"`` gives power and band shares of their own, with a linear program as master and interference
    densities as at one share. That is a relaxation, not an action: ``details["relaxation"]`` says so, and its
    allocation breaks the rule of one share.

    A :class:`MeshProblem` is solved on its count model in closed form, batched, with the interval cuts of
    :mod:`.mesh_gbd`; objective and bound are those of fractional counts at ``details["positioning_share"]``, the
    allocation is rounded to whole subcarriers that keep every rate floor. ``backend="cvxpy"`` solves cone programs over
    ``bins`` of subcarriers instead; so are frequency-selective channels and bands of at most 64 subcarriers, where
    counts say too little. Then the bound holds for every assignment of single subcarriers. ``cuts="paper"`` are the
    tangents of lu2022 eq. 18: their "bound" can lie below the optimum, so the status is FEASIBLE and claims nothing.
    ``details`` count the programs whose solver stopped short (``programs_inaccurate``) or gave no answer
    (``programs_failed``); certificates hold all the same.
    Where no share keeps the floors the status is INFEASIBLE and ``details`` has ``rate_floor_max`` and ``share_max``.
    INFEASIBLE is also what fractions solve and whole subcarriers do not: ``details["relaxed_objective"]`` is a number
    then, and ``subcarriers_needed`` (counts, a proof) or ``shortfall`` (cone programs; in a frequency-selective channel
    only the search says so) tells by how much.
    """

    split: Split = "shared"
    """One positioning share for power and band, or one each."""
    tolerance: float = 1e-4
    """Relative gap at which to stop; absolute for the ``fair`` utility between -1 and 1."""
    max_cuts: int | None = None
    """Most subproblems; None: 40, and 200 where the shares are separate."""
    backend: Backend = "closed_form"
    """Batched closed forms and interior-point method, or the subproblems one by one with CVXPY."""
    cuts: Cuts = "valid"
    """Mesh: interval cuts that are valid, or the tangents of the paper, which are not."""
    bins: int = 8
    """Mesh: bins of subcarriers in the cone programs."""
    whole: bool = True
    """Mesh: round the allocation to whole subcarriers; False gives fractions, which cannot be transmitted as they are
    (``details["relaxation"]``)."""

    def __post_init__(self) -> None:
        if self.split not in ("shared", "separate"):
            raise ValueError(f"`split` must be shared or separate, got {self.split!r}")
        if not 1e-7 <= self.tolerance < 1:
            raise ValueError(f"`tolerance` must lie in [1e-7, 1), got {self.tolerance!r}")
        if self.max_cuts is not None and self.max_cuts < 1:
            raise ValueError(f"`max_cuts` must be at least 1, got {self.max_cuts!r}")
        if self.backend not in ("closed_form", "cvxpy"):
            raise ValueError(f"`backend` must be closed_form or cvxpy, got {self.backend!r}")
        if self.cuts not in ("valid", "paper"):
            raise ValueError(f"`cuts` must be valid or paper, got {self.cuts!r}")
        if self.bins < 1:
            raise ValueError(f"`bins` must be at least 1, got {self.bins!r}")

    def solve(self, problem: MultiCellProblem | MeshProblem) -> Solution:
        """Solve a batch; see :class:`Solution`."""
        if isinstance(problem, MeshProblem):
            return solve_gbd(
                problem,
                cuts=self.cuts,
                bins=self.bins,
                conic=self.backend == "cvxpy",
                whole=self.whole,
                tolerance=self.tolerance,
                limit=self.max_cuts or 40,
            )
        if not isinstance(problem, MultiCellProblem):
            raise unsupported(self, problem, MultiCellProblem, MeshProblem)
        require_numpy(self.backend, problem.gain)
        xp = array_namespace(problem.gain)
        if problem.gain.dtype != xp.float64:
            return in_double_precision(self.solve, problem, problem.gain.dtype)
        found = decompose_share(
            problem,
            form="log" if problem.reward == "fair" else "rate",
            split=self.split,
            tolerance=self.tolerance,
            limit=self.max_cuts or (40 if self.split == "shared" else 200),
            backend=self.backend,
        )
        cells = (*problem.batch, problem.cells)
        status = xp.max(xp.reshape(found.status, cells), axis=-1)
        lost = status == int(Status.INFEASIBLE)
        shares = xp.reshape(found.point, (*cells, -1))
        answer = RelaxedAllocation(*(xp.reshape(part, (*cells, *part.shape[1:])) for part in found.answer))
        allocation = problem.assemble(answer, shares[..., 0])
        allocation = allocation._replace(bandwidth=problem.assemble(answer, shares[..., -1]).bandwidth)
        nan = xp.asarray(float("nan"), dtype=problem.gain.dtype)
        blank = lost[..., None, None]
        lower, upper = (
            xp.where(lost, nan, xp.mean(xp.reshape(value, cells), axis=-1)) for value in (found.lower, found.upper)
        )
        return Solution(
            allocation._replace(
                power=xp.where(blank, nan, allocation.power), bandwidth=xp.where(blank, nan, allocation.bandwidth)
            ),
            lower,
            upper,
            status,
            xp.max(xp.reshape(found.cuts, cells), axis=-1),
            self._details(problem, shares, found) | {"gap": upper - lower},
        )

    def _details(self, problem: MultiCellProblem, shares: Array, found: Decomposition) -> dict[str, Array]:
        xp = array_namespace(shares)
        cells = shares.shape[:-1]
        separate = self.split == "separate"
        details = {
            "positioning_share": shares[..., 0],
            "least_share": problem.least_share,
            "cell_objective": xp.reshape(found.lower, cells),
            "cell_bound": xp.reshape(found.upper, cells),
            "relaxation": xp.full(problem.batch, separate, device=device(shares)),
        }
        return details | ({"band_share": shares[..., 1]} if separate else {})
