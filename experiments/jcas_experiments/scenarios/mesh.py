"""Mesh: the allocators that can be compared, and how they are shown."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from jcas_baselines import GBD, EqualAllocation, Exact, Solution

from jcas_env import MeshProblem
from jcas_env.units import MEGA

from ..allocators import Roster, learned_policy
from ..views import Column, View


@dataclass(frozen=True)
class LogObjective:
    """Solves the mesh for the logarithms of both terms, whatever its objective: scale free and jointly concave."""

    def solve(self, problem: MeshProblem) -> Solution:
        """Optimum of the ``log`` objective with the problem's weight as mu."""
        return Exact().solve(replace(problem, objective="log"))


@dataclass(frozen=True)
class NearestCounts:
    """Certified optimum of the mesh's count model, rounded by the largest remainder alone: floors may be missed."""

    def solve(self, problem: MeshProblem) -> Solution:
        """Fractional optimum, and the nearest whole counts as combs; NaN where infeasible."""
        found = GBD(whole=False).solve(problem)
        air = problem.on_air(found.allocation)
        return replace(found, allocation=air._replace(counts=air.counts + 0.0 * found.allocation.counts))


ROSTER = Roster(
    {
        "equal": (EqualAllocation, "equal subcarriers, best share for them"),
        "exact": (Exact, "global optimum of the count model in closed form, whole subcarriers"),
        "gbd": (GBD, "certified Benders cuts on the count model, whole subcarriers"),
        "gbd-nearest": (NearestCounts, "the same, rounded by the largest remainder alone"),
        "gbd-paper": (lambda: GBD(cuts="paper"), "lu2022 Table 1 with its tangent cuts, which can be wrong"),
        "gbd-bins": (lambda: GBD(backend="cvxpy"), "certified for every placement: CVXPY over 8 bins (slow)"),
        "log": (LogObjective, "optimum of the log objective instead, mu = rho"),
        "learned": (partial(learned_policy, "mesh-sum"), "shipped policy mesh-sum"),
    },
    default=("equal", "log", "exact", "gbd", "gbd-paper"),
    reference="gbd",
    beside={"": ("equal", "exact")},
    yardstick=lambda: GBD(backend="cvxpy"),
)
"""Allocators."""

VIEW = View(
    columns=(
        Column("rate_mbps", "rate", "rate", 1 / MEGA, ".1f"),
        Column("p5_rate_mbps", "p5", "p5_rate", 1 / MEGA, ".1f"),
        Column("peb_mm", "PEB", "peb", 1e3, ".4f"),
        Column("oeb_urad", "OEB", "oeb", 1e6, ".3f"),
        Column("positioning_share", "share", "positioning_share", format=".3f"),
    ),
    axes=("rate_mbps", "peb_mm"),
    labels=("data rate per user [Mbit/s]", "position error bound, mean over users [mm]"),
    unit=lambda config: "normalised sum" if config.objective == "sum" else "normalised logarithms",
    legend=(
        "rate, p5: data rate per user, mean and 5th percentile [Mbit/s]; PEB [mm] and OEB [urad]: position and "
        "orientation error bound, mean over users; share: part of the frame for positioning."
    ),
    logarithmic=lambda config: config.objective == "log",
    log=(False, True),
    rate_unit=(1 / MEGA, "Mbit/s"),
    describe=lambda config: (
        f"{config.users} users, {config.subcarriers} subcarriers, {config.tx_antennas} x {config.rx_antennas} antennas"
    ),
)
"""Presentation."""
