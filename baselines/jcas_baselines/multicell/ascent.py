"""Gradient ascent on the utility itself, through the differentiable physics: what the searches share.

The only module of the solvers that uses torch, and it imports it when a search runs. Where torch is absent the same
logits are searched by L-BFGS with differences of the utility as gradients; the rates are the problem's own in
both cases.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import inf
from typing import Any, Literal

import numpy as np
from array_api_compat import array_namespace, device

from jcas_env.checks import require
from jcas_env.scenarios.multicell import MultiCellAllocation, MultiCellProblem
from jcas_env.scenarios.multicell.action import action_size, decode, encode_allocation
from jcas_env.types import Array, Status, as_array, is_array, rounding

from ..engines.lbfgs import maximise
from ..solver import Method, Solution, Solver, double_precision, require_choice
from .cells import infeasible
from .relaxed_solver import choose_candidate, share_interval

LOGIT_SCALE = 60.0
"""Logits per unit of action inside a search: more than an ascent ever needs, so that nothing is clipped."""
START_SCALE = 5.0
"""Half the spread of a start's logits: what stands on its floor keeps e^-10 of the largest, and can come back."""


@dataclass(frozen=True)
class AscentSearch(Method, ABC):
    """What the two searches share: the ascent, and the choice of the best."""

    steps: int
    rate: float
    final_rate: float
    backend: Literal["auto", "torch", "numpy"] = "auto"
    """``torch``: Adam; ``numpy``: L-BFGS with at most as many steps; ``auto``: torch where it is installed."""

    def __post_init__(self) -> None:
        require(self.steps >= 1, f"`steps` must be at least 1, got {self.steps!r}")
        for name in ("rate", "final_rate"):
            require(0 < getattr(self, name) < inf, f"`{name}` must be positive, got {getattr(self, name)!r}")
        require_choice("backend", self.backend, "auto", "torch", "numpy")

    @abstractmethod
    def warm_starts(self) -> Sequence[Solver]:
        """Solvers whose allocations are starts."""

    def random_logits(self, size: int) -> np.ndarray:
        """Logits of random starts, (starts, size)."""
        return np.zeros((0, size))

    def first_actions(self, problem: MultiCellProblem, begin: list[MultiCellAllocation]) -> Array:
        """Starts of the ascents as actions of scale ``LOGIT_SCALE``, (starts, ..., 4 * users + cells)."""
        xp = array_namespace(problem.gain)
        size = action_size(problem.users, problem.cells)
        drawn = as_array(self.random_logits(size), problem.gain)
        logits = [START_SCALE * encode_allocation(part, problem, logit_scale=START_SCALE) for part in begin]
        logits += [xp.broadcast_to(drawn[k, :], (*problem.batch, size)) for k in range(drawn.shape[0])]
        first = xp.stack(logits) / LOGIT_SCALE
        return xp.where(xp.isfinite(first), first, 0.0)  # where a solver has no answer: the equal allocation

    def ascend(self, problem: MultiCellProblem, actions: Array) -> Array:
        """Best actions of the ascents, in the shape and library of the starts."""
        if self.backend == "torch" or (self.backend == "auto" and _torch_is_here()):
            return as_array(self._adam(problem, actions), problem.gain)

        def value(candidates: Array) -> Array:
            return problem.utility(decode(candidates, problem, logit_scale=LOGIT_SCALE))

        # L-BFGS is invariant to the scale of the actions, its first step is not: it works on logits.
        return maximise(lambda z: value(z / LOGIT_SCALE), LOGIT_SCALE * actions, steps=self.steps) / LOGIT_SCALE

    def _adam(self, problem: MultiCellProblem, actions: Array) -> Array:
        """Adam on every start and element at once; the best iterate of each."""
        import torch

        problem = _on_torch(problem)
        start = actions if isinstance(actions, torch.Tensor) else torch.from_numpy(np.array(actions))
        logits = (LOGIT_SCALE * start).detach().requires_grad_(True)
        # Where the chain rule overflows on the way to a finite utility there is no direction: that entry stays.
        logits.register_hook(lambda gradient: torch.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0))
        optimiser = torch.optim.Adam([logits], lr=self.rate)
        best, top = logits.detach().clone(), None
        for step in range(self.steps + 1):
            value = problem.utility(decode(logits / LOGIT_SCALE, problem, logit_scale=LOGIT_SCALE))
            with torch.no_grad():
                better = value > (-inf if top is None else top)
                top = torch.where(better, value, -inf if top is None else top)
                best = torch.where(better[..., None], logits, best)
            if step == self.steps:
                break
            optimiser.zero_grad()
            (-value.sum()).backward()
            optimiser.param_groups[0]["lr"] = self.rate + (self.final_rate - self.rate) * step / self.steps
            optimiser.step()
        found = best / LOGIT_SCALE
        return found if isinstance(actions, torch.Tensor) else found.numpy()


@AscentSearch.register(MultiCellProblem)
@double_precision("gain")
def search(problem: MultiCellProblem, method: AscentSearch) -> Solution:
    """Ascend from every start, and keep the best of what was found and of the starts themselves."""
    xp = array_namespace(problem.gain)
    lost = infeasible(problem)
    solvable = without_floors(problem, lost)
    begin = [part for solver in method.warm_starts() for part in answers(solver, solvable)]
    found = method.ascend(_smooth(solvable), method.first_actions(solvable, begin))
    ascended = decode(found, solvable, logit_scale=LOGIT_SCALE)
    power = xp.concat([ascended.power, *(part.power[None, ...] for part in begin)])
    band = xp.concat([ascended.bandwidth, *(part.bandwidth[None, ...] for part in begin)])
    group = xp.broadcast_to(problem.group, (power.shape[0], *problem.batch, problem.users))
    value = solvable.utility(MultiCellAllocation(power, band, group))
    # A start that breaks a constraint, or that is none, is no answer, whatever it would earn.
    broken = ~(solvable.violation(MultiCellAllocation(power, band, group)) <= rounding(power))
    value = xp.where(xp.isnan(value) | broken, -inf, value)
    best = xp.argmax(value, axis=0)[None, ...]
    objective = xp.max(value, axis=0)
    nothing = xp.zeros(problem.batch, dtype=xp.int64, device=device(objective))
    return Solution(
        MultiCellAllocation(choose_candidate(power, best), choose_candidate(band, best), group[0, ...]),
        objective,
        xp.full_like(objective, inf),
        nothing + int(Status.FEASIBLE),
        nothing + method.steps,
        {"least_share": problem.least_share},
    ).struck(lost)


def without_floors(problem: MultiCellProblem, where: Array) -> MultiCellProblem:
    """The problem with floors of zero in the marked elements (...,), so that these can be computed and struck out.

    Where subcarriers are whole, which are floors, too, with a band that has some for every user.
    """
    xp = array_namespace(problem.gain)
    if not xp.any(where):
        return problem
    floors = {
        name: xp.where(where[..., None], 0.0, problem.per_cell(getattr(problem, name)))
        for name in ("power_floor", "band_floor")
    }
    if problem.subcarrier_spacing:
        share = xp.where(problem.share_is_free, 0.5, problem.share)
        wide = problem.users * problem.subcarrier_spacing / xp.minimum(share, 1.0 - share)
        floors["band_budget"] = xp.where(where[..., None], wide, problem.per_cell(problem.band_budget))
    return problem.changed(**floors)


def _torch_is_here() -> bool:
    try:
        import torch  # noqa: F401
    except ImportError:
        return False
    return True


def answers(solver: Solver, problem: MultiCellProblem) -> list[MultiCellAllocation]:
    """A solver's allocation; where the share is free, also those at its two ends."""
    found = [solver.solve(problem).allocation]
    if array_namespace(problem.gain).any(problem.share_is_free):
        ends = (problem.changed(positioning_share=end) for end in share_interval(problem))
        found += [solver.solve(fixed).allocation for fixed in ends]
    return found


def _smooth(problem: MultiCellProblem) -> MultiCellProblem:
    """The problem as a search sees it: bands continuous, and beams as they are, since the grouping is kept."""
    return problem.changed(subcarrier_spacing=0.0, beam_channel=None, air_channel=None, correlation=None)


def _on_torch(problem: MultiCellProblem) -> MultiCellProblem:
    """The same problem with its arrays in torch."""
    import torch

    def convert(value: Any) -> Any:
        return value if isinstance(value, torch.Tensor) else torch.from_numpy(np.array(value))

    arrays = {item.name: getattr(problem, item.name) for item in fields(problem)}
    return problem.changed(**{name: convert(value) for name, value in arrays.items() if is_array(value)})
