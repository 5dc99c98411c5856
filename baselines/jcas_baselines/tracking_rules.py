"""Rules that plan one frame of the tracking task: full power, water-filled streams, and a choice of sensing power.

All of them know gains, echo noise, predicted angle and variance, not the target, and plan with an assumed beam error
(spec mimo 7).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Literal, get_args

from array_api_compat import array_namespace, device

from jcas_env.checks import require
from jcas_env.scenarios.massive_mimo import MassiveMIMOAllocation, MassiveMIMOProblem
from jcas_env.scenarios.massive_mimo.action import fallback, split
from jcas_env.scenarios.massive_mimo.scenario import predicted_sigma
from jcas_env.types import Status

from .massive_mimo.closed_form import GRID, answer, at_sensing_power, share_grid
from .solver import Method, Solution, double_precision

BeamError = Literal["none", "sigma"]
"""Beam error that a rule plans with: none, or one predicted standard deviation (at most 0.5 rad)."""


@dataclass(frozen=True)
class FramePlanner(Method, ABC):
    """Base of the rules; FEASIBLE keeps the budget and claims nothing. The objective is the planned frame's utility."""

    beam_error: BeamError = "none"
    """Beam error to plan with."""

    def __post_init__(self) -> None:
        require(
            self.beam_error in get_args(BeamError),
            f"`beam_error` must be one of {get_args(BeamError)}, got {self.beam_error!r}",
        )

    def planned(self, problem: MassiveMIMOProblem) -> MassiveMIMOProblem:
        """The known problem with the target where it is assumed to be."""
        known = problem.aligned()
        if self.beam_error == "none":
            return known
        return known.with_beam_error(predicted_sigma(problem.prior_variance))

    @abstractmethod
    def allocate(self, problem: MassiveMIMOProblem) -> MassiveMIMOAllocation:
        """Allocation for a planned problem."""


@FramePlanner.register(MassiveMIMOProblem)
@double_precision("large_scale_gain")
def _(problem: MassiveMIMOProblem, method: FramePlanner) -> Solution:
    xp = array_namespace(problem.large_scale_gain)
    planned = method.planned(problem)
    allocation = method.allocate(planned)
    everywhere = xp.ones(problem.batch, dtype=xp.bool, device=device(problem.large_scale_gain))
    solution = answer(planned, allocation, status=int(Status.FEASIBLE), feasible=everywhere)
    return replace(solution, objective=planned.utility(allocation))


@dataclass(frozen=True)
class ExactPerFrame(FramePlanner):
    """Exact optimum of nguyen2024 eq. 19 in every frame: the frame's own CRB must meet the demand.

    Where it cannot, the fallback of spec mimo 3.
    """

    def allocate(self, problem: MassiveMIMOProblem) -> MassiveMIMOAllocation:
        """Least sensing power for the frame's demand."""
        xp = array_namespace(problem.large_scale_gain)
        least = at_sensing_power(problem, problem.least_sensing_power())
        lost, instead = ~problem.feasible, fallback(problem)
        return MassiveMIMOAllocation(
            xp.where(lost[..., None], instead.power, least.power),
            xp.where(lost, instead.sensing_power, least.sensing_power),
        )


@dataclass(frozen=True)
class LeastSensing(FramePlanner):
    r"""Least sensing power that keeps the tracker's variance, :math:`1/(1/V^- + I) \le V_{max}`.

    Where nothing does, the power that makes it smallest.
    """

    def allocate(self, problem: MassiveMIMOProblem) -> MassiveMIMOAllocation:
        """Least sensing power for the bound that the prior still lacks."""
        return at_sensing_power(problem, problem.least_sensing_power(problem.lacking_bound()))


@dataclass(frozen=True)
class Myopic(FramePlanner):
    """Sensing share, on :func:`share_grid`, that maximises this frame's reward."""

    def allocate(self, problem: MassiveMIMOProblem) -> MassiveMIMOAllocation:
        """Best of the grid, ties to the smaller share."""
        xp = array_namespace(problem.large_scale_gain)
        grid = share_grid(problem.large_scale_gain)
        shares = xp.broadcast_to(xp.reshape(grid, (-1, *(1,) * len(problem.batch))), (GRID + 1, *problem.batch))
        value = problem.utility(split(problem, shares))
        best = xp.argmax(value, axis=0)
        return split(problem, xp.reshape(xp.take(grid, xp.reshape(best, (-1,))), problem.batch))


@dataclass(frozen=True)
class ConstantShare(FramePlanner):
    """The same sensing share in every frame."""

    share: float = 0.1
    """T / S [-]."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0.0 <= self.share <= 1.0, f"`share` must lie in [0, 1], got {self.share!r}")

    def allocate(self, problem: MassiveMIMOProblem) -> MassiveMIMOAllocation:
        """The share, whatever the frame."""
        xp = array_namespace(problem.large_scale_gain)
        return split(problem, xp.full_like(problem.largest_total, self.share))
