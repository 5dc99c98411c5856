r"""Generalised Benders decomposition over the positioning share, of the multi-cell problem and of the mesh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from array_api_compat import array_namespace

from jcas_env.checks import require
from jcas_env.scenarios.mesh import MeshProblem
from jcas_env.scenarios.multicell import MultiCellProblem

from .mesh.cuts import Cuts
from .mesh.solve import solve_gbd
from .multicell.convex_relaxed import per_hertz_optima
from .multicell.share_cuts import Split, solve_by_cuts
from .solver import Method, Solution, double_precision, require_choice, require_count, require_number, require_numpy


@dataclass(frozen=True)
class GBD(Method):
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
    :mod:`.mesh.cuts`; objective and bound are those of fractional counts at ``details["positioning_share"]``, the
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

    split: Split | None = None
    """Multi-cell: one positioning share for power and band, or one each; None: shared."""
    tolerance: float = 1e-4
    """Relative gap at which to stop; absolute for the ``fair`` utility between -1 and 1."""
    max_cuts: int | None = None
    """Most subproblems; None: 40, and 200 where the shares are separate."""
    backend: Literal["closed_form", "cvxpy"] = "closed_form"
    """Batched closed forms and interior-point method, or the subproblems one by one with CVXPY."""
    cuts: Cuts | None = None
    """Mesh: interval cuts that are valid, or the tangents of the paper, which are not; None: valid."""
    bins: int | None = None
    """Mesh: bins of subcarriers in the cone programs; None: 8. Refused where a frame takes none of them."""
    whole: bool | None = None
    """Mesh: round the allocation to whole subcarriers; False gives fractions, which cannot be transmitted as they are
    (``details["relaxation"]``), and which cone programs do not give; None: True."""

    def __post_init__(self) -> None:
        require_choice("split", self.split, None, "shared", "separate")
        require_number("tolerance", self.tolerance, "in [1e-7, 1)", lambda value: 1e-7 <= value < 1)
        for name in ("max_cuts", "bins"):
            require_count(name, 1 if getattr(self, name) is None else getattr(self, name))
        require_choice("backend", self.backend, "closed_form", "cvxpy")
        require_choice("cuts", self.cuts, None, "valid", "paper")
        require(self.whole in (None, True, False), f"`whole` must be True, False or None, got {self.whole!r}")


@GBD.register(MultiCellProblem, split="shared")
@double_precision("gain")
def _(problem: MultiCellProblem, method: Any) -> Solution:
    require_numpy(method.backend, problem.gain)
    if method.split == "separate" and not array_namespace(problem.gain).any(problem.share_is_free):
        raise ValueError("`split` = 'separate' needs a positioning share that is free somewhere, this problem gives it")
    return solve_by_cuts(
        problem,
        split=method.split,
        tolerance=method.tolerance,
        limit=method.max_cuts or (40 if method.split == "shared" else 200),
        optimum=per_hertz_optima if method.backend == "cvxpy" else None,
    )


@GBD.register(MeshProblem, cuts="valid", bins=None, whole=True)
def _(problem: MeshProblem, method: Any) -> Solution:
    return solve_gbd(
        problem,
        cuts=method.cuts,
        bins=method.bins,
        conic=method.backend == "cvxpy",
        whole=method.whole,
        tolerance=method.tolerance,
        limit=method.max_cuts or 40,
    )
