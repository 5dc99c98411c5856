"""Equal allocation: what a network does that does not optimise."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any, Literal, get_args

from array_api_compat import array_namespace

from jcas_env.physics.water_filling import waterfill
from jcas_env.scenarios.massive_mimo import MassiveMIMOProblem
from jcas_env.scenarios.mesh import MeshProblem
from jcas_env.scenarios.multicell import MultiCellProblem, RelaxedAllocation, RelaxedProblem

from .massive_mimo import closed_form as massive_mimo
from .massive_mimo.closed_form import Reading
from .mesh import solve as mesh
from .multicell.relaxed_solver import RelaxedResult, RelaxedSolver, floors_of, solve_cells, solve_services
from .solver import Solution, require_choice


@dataclass(frozen=True)
class EqualAllocation(RelaxedSolver):
    r"""Equal bandwidth and power (EBPA), or equal bandwidth with the proposed power (EBA + PA).

    Power :math:`p_u = 1/N_i`, band :math:`b_g = N_g/N_i` per user or :math:`1/G` per group; where a band floor
    exceeds this, the group gets its floor and the others keep their proportions. With ``power="proposed"``
    the power is :func:`waterfill` at these bands. Knows nothing but the grouping (and, for the proposed power, the
    relaxed coefficients); a free positioning share is chosen on the relaxed utility like everybody else's. No
    claim, no bound (luo2023 Sec. V, spec multicell 4.8, 5.23).

    On a :class:`MassiveMIMOProblem`: one reading of nguyen2024's benchmarks, :func:`.closed_form.solve_equal_reading`.

    On a :class:`MeshProblem`: equal counts of subcarriers, and the best share for them in closed form; INFEASIBLE where
    equal counts keep the rate floors at no share.
    """

    per: Literal["user", "group"] | None = None
    """Multi-cell: what gets equal bandwidth; None: user."""
    power: Literal["equal", "proposed"] | None = None
    """Multi-cell: equal power, or water-filling at the equal bandwidth; None: equal."""
    reading: Reading | None = None
    """Massive MIMO: what is equal; None: equal-power."""

    def __post_init__(self) -> None:
        require_choice("reading", self.reading, None, *get_args(Reading))
        require_choice("per", self.per, None, "user", "group")
        require_choice("power", self.power, None, "equal", "proposed")

    def solve_relaxed(self, relaxed: RelaxedProblem) -> RelaxedResult:
        """Closed form, batched."""
        xp = array_namespace(relaxed.coefficient)
        groups = relaxed.groups
        floors = floors_of(relaxed, groups)
        parts = xp.astype(groups.size > 0, groups.size.dtype) if self.per == "group" else groups.size
        band = groups.spread(waterfill(parts, xp.full_like(parts, inf), floors.band))
        if self.power == "proposed":
            power = waterfill(relaxed.weight * band, relaxed.coefficient, floors.power)
        else:
            here = xp.astype(relaxed.present, band.dtype)
            power = here / xp.clip(xp.sum(here, axis=-1, keepdims=True), min=1.0)
        return RelaxedResult.unproven(RelaxedAllocation(power, band))


EqualAllocation.register(MultiCellProblem, per="user", power="equal")(solve_cells)
EqualAllocation.register(RelaxedProblem, per="user", power="equal")(solve_services)


@EqualAllocation.register(MeshProblem)
def _(problem: MeshProblem, method: EqualAllocation) -> Solution:  # noqa: ARG001
    return mesh.solve_equal(problem)


@EqualAllocation.register(MassiveMIMOProblem, reading="equal-power")
def _(problem: MassiveMIMOProblem, method: Any) -> Solution:
    return massive_mimo.solve_equal_reading(problem, method.reading)
