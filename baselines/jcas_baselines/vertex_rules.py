"""Bands at a vertex of their simplex: the simplest rules, which a claim about learning must clear."""

from __future__ import annotations

from dataclasses import dataclass

from array_api_compat import array_namespace, device

from jcas_env.scenarios.multicell import MultiCellProblem, RelaxedAllocation, RelaxedProblem
from jcas_env.types import Array

from .multicell.ascent import without_floors
from .multicell.cells import infeasible
from .multicell.relaxed_solver import RelaxedResult, RelaxedSolver, floors_of, share_candidates, share_interval
from .solver import Method, Solution

SHARES = 9
"""Positioning shares that are tried where the share is free, both ends among them."""


def vertex(relaxed: RelaxedProblem, winner: Array) -> RelaxedAllocation:
    """Equal power, and every band on its floor but that of one group, which gets the rest.

    ``winner`` (...,) integer: the group, counted in order of first appearance.
    """
    xp = array_namespace(relaxed.coefficient)
    groups = relaxed.groups
    floor = floors_of(relaxed, groups).band
    label = xp.arange(floor.shape[-1], dtype=winner.dtype, device=device(floor))
    wins = xp.astype(label == winner[..., None], floor.dtype)
    band = floor + wins * (1.0 - xp.sum(floor, axis=-1, keepdims=True))
    present = xp.astype(relaxed.present, floor.dtype)
    return RelaxedAllocation(present / xp.clip(groups.users, min=1.0)[..., None], groups.spread(band))


@dataclass(frozen=True)
class ConstantRule(RelaxedSolver):
    """Equal power, and all slack band of each cell and service to its first group, whatever the channel.

    What a policy finds that ignores its input; one that does not clear it has learned nothing about the channel.
    A free positioning share is chosen on the relaxed utility like everybody else's. Status FEASIBLE, no bound
    (spec learning 6).
    """

    def solve_relaxed(self, relaxed: RelaxedProblem) -> RelaxedResult:
        """Closed form, batched."""
        xp = array_namespace(relaxed.coefficient)
        first = xp.zeros(relaxed.coefficient.shape[:-1], dtype=xp.int64, device=device(relaxed.coefficient))
        return RelaxedResult.unproven(vertex(relaxed, first))


@dataclass(frozen=True)
class BestVertex(Method):
    """Equal power, and all slack band of each cell and service to the one group with which it earns most.

    With equal power everywhere the interference of the other cells is the same at all vertices, so the best group
    of each cell and service is found by trying them one by one on the problem's own utility. A free positioning
    share is the best of nine for each cell. Knows what the problem knows. Status FEASIBLE, no bound
    (spec learning 6).
    """


@BestVertex.register(MultiCellProblem)
def _(problem: MultiCellProblem, method: BestVertex) -> Solution:  # noqa: ARG001
    xp = array_namespace(problem.gain)
    lost = infeasible(problem)
    solvable = without_floors(problem, lost)
    fixed = not xp.any(solvable.share_is_free)
    shares = solvable.share[None, ...] if fixed else share_candidates(*share_interval(solvable), SHARES)
    relaxed = solvable.relaxed(positioning_share=shares)
    groups = relaxed.groups.size.shape[-1]
    batch = relaxed.coefficient.shape[:-1]
    values = []
    for k in range(groups):
        winner = xp.full(batch, k, dtype=xp.int64, device=device(shares))
        rates = solvable.rates(solvable.assemble(vertex(relaxed, winner), shares))
        silent = xp.zeros_like(rates[0])
        # Services add up in every reward of rates, so each is judged with the other one silent.
        values.append(xp.stack([solvable.score(rates[0], silent), solvable.score(silent, rates[1])], axis=-1))
    value = xp.stack(values)  # (groups, shares, ..., cells, 2)
    best = xp.argmax(xp.sum(xp.max(value, axis=0), axis=-1), axis=0)[None, ...]
    share = xp.take_along_axis(shares, best, axis=0)[0, ...]
    winner = xp.argmax(value, axis=0)
    winner = xp.take_along_axis(winner, xp.broadcast_to(best[..., None], (1, *winner.shape[1:])), axis=0)[0, ...]
    allocation = solvable.assemble(vertex(solvable.relaxed(positioning_share=share), winner), share)
    objective = problem.utility(allocation)
    figures = {"positioning_share": share, "least_share": problem.least_share}
    return Solution.unproven(allocation, objective, figures, iterations=groups).struck(lost)
