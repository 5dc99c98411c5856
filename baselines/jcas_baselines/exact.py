"""Global optimum of the relaxed problem, in both of its forms."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from array_api_compat import array_namespace, device

from jcas_env.physics.rates import Noise
from jcas_env.physics.water_filling import waterfill
from jcas_env.scenarios.massive_mimo import MassiveMIMOProblem
from jcas_env.scenarios.mesh import MeshProblem
from jcas_env.scenarios.multicell import MultiCellProblem, RelaxedAllocation, RelaxedProblem
from jcas_env.types import Status

from .massive_mimo import closed_form as massive_mimo
from .mesh import solve as mesh
from .multicell.interior_point import maximise_perspective
from .multicell.relaxed_solver import AtShare, RelaxedResult, RelaxedSolver, floors_of, solve_cells, solve_services
from .multicell.share_cuts import decompose_share
from .solver import Solution, require_choice

SHARE_TOLERANCE = 1e-5
"""Relative gap of the search over a free share, per-hertz form."""


@dataclass(frozen=True)
class Exact(RelaxedSolver):
    r"""Exact solution of the relaxed problem (luo2023 eq. 32), whatever the noise of the true rates.

    ``noise="constant"`` (EXACT): for fixed p the objective is linear in b, so an optimum has a vertex of the
    simplex for b. Every vertex, all slack bandwidth to one group, is tried with its :func:`waterfill`; the best
    of the G values is the optimum (spec multicell 4.3, 5.20). ``noise="per_hertz"`` (EXACT-PHYS): jointly
    concave, solved by a batched interior-point method to a relative gap of 1e-6 (spec multicell 4.7).

    At a fixed share the status is OPTIMAL and the bound certifies it. At a free share the per-hertz form is one
    concave program in share, power and band, whose optimum is found by cuts on the whole interval
    (:func:`.share_cuts.decompose_share`) and is OPTIMAL with a bound; the constant-noise form is not concave in the
    share, the search claims STATIONARY and has no bound. This holds for the ``rate`` utility; for another there is no
    claim.

    On a :class:`MassiveMIMOProblem`: the global optimum of nguyen2024 eq. 19, :func:`.closed_form.solve_exact_split`.

    On a :class:`MeshProblem` with a flat channel: global optimum of its count model over share and counts in closed
    form (spec mesh 3.4), rounded to whole subcarriers like GBD's; OPTIMAL.
    """

    noise: Noise | None = None
    """Multi-cell: form of the relaxed problem; None: constant."""

    def __post_init__(self) -> None:
        require_choice("noise", self.noise, None, "constant", "per_hertz")

    @property
    def model(self) -> Noise:
        """Form of the relaxed problem that the method works on."""
        return self.noise or "constant"

    def _at_best_share(self, problem: MultiCellProblem) -> AtShare:
        xp = array_namespace(problem.gain)
        free = problem.share_is_free
        if self.model == "constant" or problem.reward != "rate" or not xp.any(free):
            return super()._at_best_share(problem)
        found = decompose_share(problem, form="rate", tolerance=SHARE_TOLERANCE, limit=100, margin=1.0)
        infeasible = found.status == int(Status.INFEASIBLE)
        share = xp.where(infeasible, xp.where(free, 0.5, problem.share), found.point[..., 0])
        closed = found.status[..., None]
        best = self._at_share(problem, share)
        status = xp.maximum(best.result.status, xp.where(infeasible[..., None], int(Status.INFEASIBLE), closed))
        result = best.result._replace(status=status)
        bound = xp.maximum(found.upper, best.score)
        return AtShare(share, best.score, bound, result, certified=True)

    def solve_relaxed(self, relaxed: RelaxedProblem) -> RelaxedResult:
        """Vertex enumeration or interior point, batched."""
        if self.noise == "per_hertz":
            return maximise_perspective(relaxed)
        xp = array_namespace(relaxed.coefficient)
        groups = relaxed.groups
        floors = floors_of(relaxed, groups)
        slack = xp.clip(1.0 - xp.sum(floors.band, axis=-1), min=0.0)  # floors that do not fit: the caller blanks them
        # Vertex k on axis -2: every group on its floor, all slack to group k.
        winner = xp.astype(groups.member, slack.dtype)
        band = groups.spread(floors.band)[..., None, :] + slack[..., None, None] * winner
        weight, coefficient = relaxed.weight[..., None, :], relaxed.coefficient[..., None, :]
        power = waterfill(weight * band, coefficient, floors.power[..., None, :])
        value = xp.sum(weight * band * xp.log1p(coefficient * power), axis=-1)
        value = xp.where(groups.size > 0, value, -inf)
        best = xp.argmax(value, axis=-1, keepdims=True)[..., None]
        best = xp.broadcast_to(best, (*best.shape[:-1], power.shape[-1]))
        chosen = RelaxedAllocation(*(xp.take_along_axis(x, best, axis=-2)[..., 0, :] for x in (power, band)))
        batch = power.shape[:-2]
        return RelaxedResult(
            chosen,
            relaxed.objective(chosen),
            xp.full(batch, int(Status.OPTIMAL), dtype=xp.int64, device=device(power)),
            xp.astype(groups.count, xp.int64),
            {},
        )


Exact.register(MultiCellProblem, noise="constant")(solve_cells)
Exact.register(RelaxedProblem, noise="constant")(solve_services)


@Exact.register(MeshProblem)
def _(problem: MeshProblem, method: Exact) -> Solution:  # noqa: ARG001
    return mesh.solve_exact(problem)


@Exact.register(MassiveMIMOProblem)
def _(problem: MassiveMIMOProblem, method: Exact) -> Solution:  # noqa: ARG001
    return massive_mimo.solve_exact_split(problem)
