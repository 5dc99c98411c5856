"""Successive convex approximation of the true-interference utility."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from jcas_env.scenarios.massive_mimo import MassiveMIMOAllocation, MassiveMIMOProblem
from jcas_env.scenarios.multicell import MultiCellProblem

from .massive_mimo import convex as mimo_convex
from .massive_mimo import minorant as mimo_minorant
from .massive_mimo.sca import Start, solve_sca
from .multicell import convex_minorant, primal_dual
from .multicell.cells import Scope
from .multicell.rounds import solve_by_rounds
from .solver import Method, Solution, double_precision, require_choice, require_count, require_number, require_numpy

MOST_ROUNDS = 10**5
"""Most convex steps: the utility after each is kept."""


@dataclass(frozen=True)
class SCA(Method):
    r"""Successive convex approximation on the true rates (spec multicell 4.5).

    Power and band of both services, and the positioning share where it is free, are optimised together. In-group
    interference enters as it is, :math:`R = B \ln(y/B) + B \ln(B/I)`; the convex second term is replaced by its
    tangent at the last point, and the concave minorant that results is maximised (:mod:`.primal_dual`). It touches the
    objective at that point and lies below it elsewhere, so no accepted step lowers the objective; the logarithms of
    the ``fair`` utility keep this. Start: EBPA; where the share is free, at three shares, of which the best is kept.

    ``scope="cell"`` takes the other cells at the powers they last had (``problem.last_power``); the objective is the
    utility under that assumption. ``scope="network"`` optimises all cells at once for ``problem.utility``: each
    cell also pays for what its powers cost the others, at first order, and the step towards the minorant's maximum,
    an ascent direction, is halved until the utility of the network does not fall. The status is STATIONARY where the
    relative gain has dropped below ``tolerance``, else ITERATION_LIMIT, also where rounding leaves the last convex step
    no direction and the point stays where it is; there is no bound. Uses the true interference
    of the known gains, which the relaxed methods do not see. Bands are continuous: whole subcarriers are rounded on the
    air, after the decision.

    On a :class:`MassiveMIMOProblem`: Algorithm 1 of nguyen2024 with its subproblem in closed form or as the paper's
    cone program, :func:`.massive_mimo.sca.solve_sca`.
    """

    scope: Scope | None = None
    """Multi-cell: optimise each cell against the others' last powers, or all cells together; None: cell."""
    backend: Literal["closed_form", "cvxpy"] = "closed_form"
    """Batched Newton method for the convex step, or CVXPY, cell by cell."""
    tolerance: float = 1e-4
    """Gain of a round at which to stop, relative to the utility (to 1 for a ``fair`` utility between -1 and 1); in the
    massive MIMO problem in bit/s/Hz, relative below 1."""
    max_rounds: int | None = None
    """Most convex steps; None: 15, in the massive MIMO problem 200 from full power and 3,000 from elsewhere."""
    start: Start | MassiveMIMOAllocation | None = None
    """Massive MIMO: starting point, by name or given; None: full."""

    def __post_init__(self) -> None:
        require_choice("scope", self.scope, None, "cell", "network")
        require_choice("backend", self.backend, "closed_form", "cvxpy")
        require_number("tolerance", self.tolerance, "in (0, 1)", lambda value: 0 < value < 1)
        require_count("max_rounds", 1 if self.max_rounds is None else self.max_rounds, most=MOST_ROUNDS)
        if not isinstance(self.start, MassiveMIMOAllocation) and self.start not in (None, *get_args(Start)):
            raise ValueError(f"`start` must be an allocation or one of {get_args(Start)}, got {self.start!r}")


@SCA.register(MultiCellProblem, scope="cell")
@double_precision("gain")
def _(problem: MultiCellProblem, method: Any) -> Solution:
    require_numpy(method.backend, problem.gain)
    return solve_by_rounds(
        problem,
        scope=method.scope,
        maximise=(convex_minorant if method.backend == "cvxpy" else primal_dual).maximise_minorant,
        tolerance=method.tolerance,
        limit=method.max_rounds or 15,
    )


@SCA.register(MassiveMIMOProblem, start="full")
def _(problem: MassiveMIMOProblem, method: Any) -> Solution:
    require_numpy(method.backend, problem.large_scale_gain)
    return solve_sca(
        problem,
        start=method.start,
        tolerance=method.tolerance,
        limit=method.max_rounds,
        update=mimo_convex.conic_update if method.backend == "cvxpy" else mimo_minorant.update,
    )
