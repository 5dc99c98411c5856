"""Gradient searches on the utility itself: the yardsticks called best found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jcas_env.checks import require

from .admm import ADMM
from .equal import EqualAllocation
from .exact import Exact
from .multicell.ascent import AscentSearch
from .sca import SCA
from .solver import Solver, require_count, require_solvers

RANDOM_SPREAD = 1.5
"""Standard deviation of the logits of a random start [-]."""


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

    def __post_init__(self) -> None:
        super().__post_init__()
        require(callable(getattr(self.start, "solve", None)), f"`start` must be a solver, got {self.start!r}")

    def warm_starts(self) -> Sequence[Solver]:
        """Solvers whose allocations are starts."""
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
        require_solvers("starts", self.starts)
        require_count("random_starts", self.random_starts, least=0 if self.starts else 1)
        require_count("seed", self.seed, least=0)

    def warm_starts(self) -> Sequence[Solver]:
        """Solvers whose allocations are starts."""
        return self.starts

    def random_logits(self, size: int) -> np.ndarray:
        """Logits of random starts, (starts, size)."""
        return np.random.default_rng(self.seed).normal(0.0, RANDOM_SPREAD, (self.random_starts, size))
