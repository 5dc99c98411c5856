"""Equal allocation: what a network does that does not optimise."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal, get_args

from array_api_compat import array_namespace, device

from jcas_env.physics.water_filling import waterfill
from jcas_env.scenarios.massive_mimo import MassiveMIMOProblem
from jcas_env.scenarios.mesh import MeshProblem
from jcas_env.scenarios.multicell import MultiCellProblem, RelaxedAllocation, RelaxedProblem
from jcas_env.types import Status

from .massive_mimo import closed_form as massive_mimo
from .massive_mimo.closed_form import Reading
from .mesh import solve as mesh_solver
from .multicell.relaxed_solver import RelaxedResult, RelaxedSolver, canonical_groups, floors_of
from .solver import Solution, unsupported


@dataclass(frozen=True)
class EqualAllocation(RelaxedSolver):
    r"""Equal bandwidth and power (EBPA), or equal bandwidth with the proposed power (EBA + PA).

    Power :math:`p_u = 1/N_i`, band :math:`b_g = N_g/N_i` per user or :math:`1/G` per group; where a band floor
    exceeds this, the group gets its floor and the others keep their proportions. With ``power="proposed"``
    the power is :func:`waterfill` at these bands. Knows nothing but the grouping (and, for the proposed power, the
    relaxed coefficients); a free positioning share is chosen on the relaxed utility like everybody else's. No
    claim, no bound (luo2023 Sec. V, spec multicell 4.8, 5.23).

    On a :class:`MassiveMIMOProblem`: one of the readings of nguyen2024's benchmarks, :func:`.massive_mimo.solve_equal`.

    On a :class:`MeshProblem`: equal counts of subcarriers, and the best share for them in closed form; INFEASIBLE where
    equal counts keep the rate floors at no share.
    """

    per: Literal["user", "group"] = "user"
    """What gets equal bandwidth."""
    power: Literal["equal", "proposed"] = "equal"
    """Equal power, or water-filling at the equal bandwidth."""

    reading: Reading = "equal-power"
    """What is equal in the massive MIMO problem."""

    def __post_init__(self) -> None:
        if self.reading not in get_args(Reading):
            raise ValueError(f"`reading` must be one of {get_args(Reading)}, got {self.reading!r}")
        if self.per not in ("user", "group"):
            raise ValueError(f"`per` must be user or group, got {self.per!r}")
        if self.power not in ("equal", "proposed"):
            raise ValueError(f"`power` must be equal or proposed, got {self.power!r}")

    def solve(self, problem: MultiCellProblem | RelaxedProblem | MeshProblem | MassiveMIMOProblem) -> Solution:
        """Solve a batch; see :class:`Solution`."""
        if isinstance(problem, MassiveMIMOProblem):
            return massive_mimo.solve_equal(problem, self.reading)
        if isinstance(problem, MeshProblem):
            return mesh_solver.solve_equal(problem)
        if isinstance(problem, MultiCellProblem | RelaxedProblem):
            return super().solve(problem)
        raise unsupported(self, problem, MultiCellProblem, RelaxedProblem, MeshProblem, MassiveMIMOProblem)

    def solve_relaxed(self, relaxed: RelaxedProblem) -> RelaxedResult:
        """Closed form, batched."""
        xp = array_namespace(relaxed.coefficient)
        groups = canonical_groups(relaxed)
        floors = floors_of(relaxed, groups)
        parts = groups.size if self.per == "user" else xp.astype(groups.size > 0, groups.size.dtype)
        band = groups.spread(waterfill(parts, xp.full_like(parts, inf), floors.band))
        if self.power == "proposed":
            power = waterfill(relaxed.weight * band, relaxed.coefficient, floors.power)
        else:
            here = xp.astype(relaxed.present, band.dtype)
            power = here / xp.clip(xp.sum(here, axis=-1, keepdims=True), min=1.0)
        batch = power.shape[:-1]
        return RelaxedResult(
            RelaxedAllocation(power, band),
            xp.full(batch, inf, dtype=power.dtype, device=device(power)),
            xp.full(batch, int(Status.FEASIBLE), dtype=xp.int64, device=device(power)),
            xp.zeros(batch, dtype=xp.int64, device=device(power)),
            {},
        )
