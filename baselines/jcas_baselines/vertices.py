"""Rules that give all free band of a cell to one group: what a claim about learning must beat (spec learning 6)."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from array_api_compat import array_namespace, device

from jcas_env.scenarios.multicell import MultiCellAllocation, MultiCellProblem
from jcas_env.scenarios.multicell.action import action_size, decode
from jcas_env.types import Array, Status

from .solver import Solution, unsupported

LOGIT_SCALE = 60.0
"""Logits of a winner and, negative, of a loser: e^-120 of the free band stays with the losers."""


def vertex(problem: MultiCellProblem, winner: Array) -> MultiCellAllocation:
    """Equal power; all free band of a cell and service to one group.

    ``winner`` (..., 2, cells) integer: label of the group. Half share where it is free. More leading axes are
    candidates.
    """
    xp = array_namespace(problem.gain)
    wins = xp.stack([problem.of_cell(winner[..., s, :]) == problem.group for s in range(2)], axis=-1)
    band = xp.where(wins, 1.0, -1.0)
    logits = xp.concat([xp.zeros_like(band), band], axis=-1)
    flat = xp.reshape(logits, (*logits.shape[:-2], 4 * problem.users))
    shares = xp.zeros((*flat.shape[:-1], problem.cells), dtype=flat.dtype, device=device(flat))
    action = xp.concat([flat, shares], axis=-1)
    assert action.shape[-1] == action_size(problem.users, problem.cells)
    return decode(action, problem, logit_scale=LOGIT_SCALE)


def _solution(problem: MultiCellProblem, allocation: MultiCellAllocation) -> Solution:
    """A feasible allocation without any claim; NaN and INFEASIBLE where the floors do not fit."""
    xp = array_namespace(problem.gain)
    value = problem.utility(allocation)
    kind = xp.full(problem.batch, int(Status.FEASIBLE), dtype=xp.int64, device=device(value))
    return Solution(allocation, value, xp.full_like(value, inf), kind, xp.zeros_like(kind), {})


@dataclass(frozen=True)
class ConstantRule:
    """All free band to the first group of each cell, equal power: no input but the grouping (spec learning 6.1).

    PPO and SAC find exactly this rule first; a policy that does not clear it has learned nothing about the channel.
    Half share where it is free. Raises ``ValueError`` where the floors do not fit.
    """

    def solve(self, problem: MultiCellProblem) -> Solution:
        """Apply the rule, batched; raises ``TypeError`` for another problem type."""
        if not isinstance(problem, MultiCellProblem):
            raise unsupported(self, problem, MultiCellProblem)
        xp = array_namespace(problem.gain)
        first = xp.zeros((*problem.batch, 2, problem.cells), dtype=problem.group.dtype, device=device(problem.gain))
        return _solution(problem, vertex(problem, first))


@dataclass(frozen=True)
class BestVertex:
    """The best group of each cell and service at equal power, by the known rates (spec learning 6.2).

    Every cell tries its groups at the same time, label by label, and keeps for each service the label with the largest
    weighted sum of rates. Half share where it is free. Raises ``ValueError`` where the floors do not fit.
    """

    def solve(self, problem: MultiCellProblem) -> Solution:
        """Try all groups, batched; raises ``TypeError`` for another problem type."""
        if not isinstance(problem, MultiCellProblem):
            raise unsupported(self, problem, MultiCellProblem)
        xp = array_namespace(problem.gain)
        labels = xp.arange(int(xp.max(problem.group)) + 1, dtype=problem.group.dtype, device=device(problem.gain))
        shape = (*problem.batch, 2, problem.cells)
        winner = xp.reshape(labels, (-1,) + (1,) * len(shape)) + xp.zeros((1, *shape), dtype=labels.dtype)
        rates = xp.stack(problem.rates(vertex(problem, winner)), axis=-2)  # (labels, ..., 2, users)
        earned = xp.stack([problem.cell_sum(problem.weight * rates[..., s, :]) for s in range(2)], axis=-2)
        return _solution(problem, vertex(problem, xp.argmax(earned, axis=0)))
