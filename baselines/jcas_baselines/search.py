"""Gradient searches on the utility itself, through the differentiable physics: the yardsticks called best found.

The only module of the solvers that uses torch, and it imports it when a search runs. Where torch is absent the same
logits are searched by L-BFGS with differences of the utility as gradients; the rates are the problem's own in
both cases.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from math import inf
from typing import Any, Literal

import numpy as np
from array_api_compat import array_namespace, device

from jcas_env.scenarios.multicell import MultiCellAllocation, MultiCellProblem
from jcas_env.scenarios.multicell.action import action_size, decode, encode_allocation
from jcas_env.types import Array, Status, as_array, is_array, rounding

from .admm import ADMM
from .engines.lbfgs import maximise
from .equal import EqualAllocation
from .exact import Exact
from .multicell.cells import infeasible
from .multicell.relaxed_solver import LEAST_SHARE
from .sca import SCA
from .solver import Solution, Solver, in_double_precision, unsupported

LOGIT_SCALE = 60.0
"""Logits per unit of action inside a search: more than an ascent ever needs, so that nothing is clipped."""
START_SCALE = 5.0
"""Half the spread of a start's logits: what stands on its floor keeps e^-10 of the largest, and can come back."""
RANDOM_SPREAD = 1.5
"""Standard deviation of the logits of a random start [-]."""


@dataclass(frozen=True)
class AscentSearch(ABC):
    """What the two searches share: the ascent, and the choice of the best."""

    steps: int
    rate: float
    final_rate: float
    backend: Literal["auto", "torch", "numpy"] = "auto"
    """``torch``: Adam; ``numpy``: L-BFGS with at most as many steps; ``auto``: torch where it is installed."""

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"`steps` must be at least 1, got {self.steps!r}")
        for name in ("rate", "final_rate"):
            if not 0 < getattr(self, name) < inf:
                raise ValueError(f"`{name}` must be positive, got {getattr(self, name)!r}")
        if self.backend not in ("auto", "torch", "numpy"):
            raise ValueError(f"`backend` must be auto, torch or numpy, got {self.backend!r}")

    @abstractmethod
    def _solvers(self) -> Sequence[Solver]:
        """Solvers whose allocations are starts."""

    def _random_logits(self, size: int) -> np.ndarray:
        """Logits of random starts, (starts, size)."""
        return np.zeros((0, size))

    def solve(self, problem: MultiCellProblem) -> Solution:
        """Search a problem, batched; raises ``TypeError`` for another type."""
        if not isinstance(problem, MultiCellProblem):
            raise unsupported(self, problem, MultiCellProblem)
        xp = array_namespace(problem.gain)
        if problem.gain.dtype != xp.float64:
            return in_double_precision(self.solve, problem, problem.gain.dtype)
        fits = ~infeasible(problem)
        solvable = without_floors(problem, ~fits)
        begin = [part for solver in self._solvers() for part in _answers(solver, solvable)]
        found = self._ascend(_smooth(solvable), self._first_actions(solvable, begin))
        ascended = decode(found, solvable, logit_scale=LOGIT_SCALE)
        power = xp.concat([ascended.power, *(part.power[None, ...] for part in begin)])
        band = xp.concat([ascended.bandwidth, *(part.bandwidth[None, ...] for part in begin)])
        group = xp.broadcast_to(problem.group, (power.shape[0], *problem.batch, problem.users))
        value = solvable.utility(MultiCellAllocation(power, band, group))
        # A start that breaks a constraint, or that is none, is no answer, whatever it would earn.
        broken = ~(solvable.violation(MultiCellAllocation(power, band, group)) <= rounding(power))
        value = xp.where(xp.isnan(value) | broken, -inf, value)
        best = xp.argmax(value, axis=0)[None, ...]
        struck = as_array(xp.where(fits, 0.0, float("nan")), problem.gain)

        def pick(part: Array) -> Array:
            index = xp.broadcast_to(best[..., None, None], (1, *part.shape[1:]))
            return xp.take_along_axis(part, index, axis=0)[0, ...] + struck[..., None, None]

        objective = xp.max(value, axis=0) + struck
        return Solution(
            MultiCellAllocation(pick(power), pick(band), group[0, ...]),
            objective,
            xp.where(fits, inf, struck),
            xp.where(fits, int(Status.FEASIBLE), int(Status.INFEASIBLE)),
            xp.full(problem.batch, self.steps, dtype=xp.int64, device=device(objective)),
            {"least_share": problem.least_share},
        )

    def _first_actions(self, problem: MultiCellProblem, begin: list[MultiCellAllocation]) -> Array:
        """Starts of the ascents as actions of scale ``LOGIT_SCALE``, (starts, ..., 4 * users + cells)."""
        xp = array_namespace(problem.gain)
        size = action_size(problem.users, problem.cells)
        drawn = as_array(self._random_logits(size), problem.gain)
        logits = [START_SCALE * encode_allocation(part, problem, logit_scale=START_SCALE) for part in begin]
        logits += [xp.broadcast_to(drawn[k, :], (*problem.batch, size)) for k in range(drawn.shape[0])]
        first = xp.stack(logits) / LOGIT_SCALE
        return xp.where(xp.isfinite(first), first, 0.0)  # where a solver has no answer: the equal allocation

    def _ascend(self, problem: MultiCellProblem, actions: Array) -> Array:
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


@dataclass(frozen=True)
class GradientSearch(AscentSearch):
    r"""A few Adam steps on the problem's own utility from one warm start.

    All cells at once, on the logits of the action decoding (see :class:`Joint`), so that every iterate is feasible.
    The best iterate counts, and never less than the start itself. It knows what the problem knows: on the estimated
    channel an allocator like the others, on the truth a clairvoyant. Any reward that the utility can express.
    Where the share is free, the start is tried with its own choice and with both ends, because a few steps do not
    cross the interval. Status FEASIBLE, no bound (spec learning 6).
    """

    steps: int = 20
    """Adam steps."""
    rate: float = 0.3
    """Rate of the first step [logits]; it goes linearly to ``final_rate``."""
    final_rate: float = 0.3
    """Rate of the last step [logits]."""
    start: Solver = EqualAllocation()  # noqa: RUF009 (frozen)
    """Solver whose allocation is the start; it must keep the problem's grouping."""

    def _solvers(self) -> Sequence[Solver]:
        return (self.start,)


@dataclass(frozen=True)
class Joint(AscentSearch):
    r"""Best-found reference: gradient search over all cells from many starts, on the problem's own utility.

    .. math:: P_u = P_\mathrm{thr} + (P_s - N_i P_\mathrm{thr})\,\mathrm{softmax}(z)_u, \qquad
              B_g = B_\mathrm{thr} + (B_s - G_i B_\mathrm{thr}) \sum_{u \in g} \mathrm{softmax}(z')_u

    Adam on :math:`(z, z')` from random starts and from the answer of every solver in ``starts``; a free positioning
    share is a sigmoid of one more logit of each cell and starts from the choice of each solver and from both ends.
    The best iterate of all runs counts, and never less than the best start itself. For fixed grouping and beams. What
    it returns was found, nothing is proven about it: status FEASIBLE, bound inf. It knows what the problem
    knows (spec multicell 4.6).
    """

    steps: int = 300
    """Adam steps."""
    rate: float = 0.08
    """Rate of the first step [logits]; it decays linearly to ``final_rate``."""
    final_rate: float = 0.001
    """Rate of the last step [logits]."""
    random_starts: int = 6
    """Random starts, the same for every element."""
    starts: Sequence[Solver] = (
        EqualAllocation(),
        EqualAllocation(per="group"),
        EqualAllocation(power="proposed"),
        Exact(),
        Exact(noise="per_hertz"),
        ADMM(),
        SCA(),
        SCA(scope="network"),
        GradientSearch(steps=50),
    )
    """Solvers whose allocations are starts; they must keep the problem's grouping."""
    seed: int = 0
    """Seed of the random starts."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.random_starts < 0 or self.random_starts + len(self.starts) < 1:
            raise ValueError(f"`random_starts` must be at least 0, or 1 without `starts`, got {self.random_starts!r}")

    def _solvers(self) -> Sequence[Solver]:
        return self.starts

    def _random_logits(self, size: int) -> np.ndarray:
        return np.random.default_rng(self.seed).normal(0.0, RANDOM_SPREAD, (self.random_starts, size))


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
    return replace(problem, **floors)


def _torch_is_here() -> bool:
    try:
        import torch  # noqa: F401
    except ImportError:
        return False
    return True


def _answers(solver: Solver, problem: MultiCellProblem) -> list[MultiCellAllocation]:
    """A solver's allocation; where the share is free, also those at its two ends."""
    xp = array_namespace(problem.gain)
    answers = [solver.solve(problem).allocation]
    free = problem.share_is_free
    if xp.any(free):
        least = xp.clip(problem.least_share, min=LEAST_SHARE)
        for end in (least, 1.0 - least):
            fixed = replace(problem, positioning_share=xp.where(free, end, problem.share))
            answers.append(solver.solve(fixed).allocation)
    return answers


def _smooth(problem: MultiCellProblem) -> MultiCellProblem:
    """The problem as a search sees it: bands continuous, and beams as they are, since the grouping is kept."""
    return replace(problem, subcarrier_spacing=0.0, beam_channel=None, air_channel=None, correlation=None)


def _on_torch(problem: MultiCellProblem) -> MultiCellProblem:
    """The same problem with its arrays in torch."""
    import torch

    def convert(value: Any) -> Any:
        return value if isinstance(value, torch.Tensor) else torch.from_numpy(np.array(value))

    arrays = {item.name: getattr(problem, item.name) for item in fields(problem)}
    return replace(problem, **{name: convert(value) for name, value in arrays.items() if is_array(value)})
