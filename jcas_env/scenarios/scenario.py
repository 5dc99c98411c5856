"""What every scenario is: an MDP written as pure functions on arrays with leading batch axes.

    State --problem()--> Problem --solve() / policy--> Allocation --outcome(truth)--> reward
    State --transition(allocation, innovation)--> State

Adapters (Gymnasium, vector, ...) contain no physics; they call these functions. Randomness enters through
``draw_initial`` and ``draw`` alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np

from ..randomness import RandomSource, TensorGenerator
from ..tree import stack, tree_map
from ..types import Array


class ArraySpec(NamedTuple):
    """Shape and bounds of one entry of an observation."""

    shape: tuple[int, ...]
    low: float
    high: float


Observation: TypeAlias = Array | dict[str, Array]
"""What a policy sees: one array, or arrays by name."""

Allocation: TypeAlias = tuple[Any, ...]
"""What an allocator decides: a NamedTuple of arrays, a type for each scenario."""

Seed: TypeAlias = int | np.random.Generator
"""Seed of a lane's random numbers, or their generator, which is used as it is and moves on."""


class EpisodeState(Protocol):
    """A decision: a NamedTuple of arrays, of which adapters read the clock alone."""

    @property
    def slot(self) -> Array:
        """(...,) integer: slots played in this episode."""
        ...


class Outcome(Protocol):
    """What an allocation earns on the truth: a NamedTuple of arrays, of which adapters read the reward alone."""

    @property
    def utility(self) -> Array:
        """(...,): reward."""
        ...

    def _asdict(self) -> dict[str, Any]: ...


class RateOutcome(NamedTuple):
    """Outcome of a scenario that has no more to tell."""

    rate: Array
    """(..., users): data rate."""
    utility: Array
    """(...,): reward."""
    violation: Array
    """(...,): largest relative violation of the constraints; zero where feasible."""


class Problem(Protocol):
    """What an allocator may know in a slot, or (the truth) what the air does in it.

    Utility and violation are those of the outcome, unless a problem has a shorter way to them.
    """

    @property
    def batch(self) -> tuple[int, ...]:
        """Leading batch axes."""
        ...

    def utility(self, allocation: Any) -> Array:
        """Configured reward of an allocation, (...,)."""
        return self.outcome(allocation).utility

    def violation(self, allocation: Any) -> Array:
        """Largest relative violation of the constraints, (...,); zero where feasible."""
        return self.outcome(allocation).violation

    def outcome(self, allocation: Any) -> Any:
        """Rates, utility and violation of an allocation: the scenario's Outcome."""
        ...

    def check_allocation(self, allocation: Any) -> Any:
        """Return an allocation as arrays of the right shape, or raise ``ValueError`` that names a bad entry."""
        ...


class Later(Protocol):
    """Entries of ``info`` that take long and that few read."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the entries."""
        ...

    def entries(self) -> Mapping[str, Array]:
        """The entries, with the batch axes of their state."""
        ...


Tree = TypeVar("Tree")
InitialT = TypeVar("InitialT")
InnovationT = TypeVar("InnovationT")
StateT = TypeVar("StateT", bound=EpisodeState)
ProblemT = TypeVar("ProblemT", bound=Problem)
AllocationT = TypeVar("AllocationT", bound=Allocation)
OutcomeT = TypeVar("OutcomeT", bound=Outcome)


class ScenarioBase(ABC, Generic[InitialT, InnovationT, StateT, ProblemT, AllocationT, OutcomeT]):
    """A frozen configuration and functions of it; nothing changes after construction.

    All functions are batched over leading axes except the two draws, which are for one lane. A scenario states what is
    abstract here; :meth:`outcome` it extends where a slot earns more than its truth tells.
    """

    name: str
    """As in :data:`.SCENARIOS`."""
    config: Any
    """Every number that is not drawn at random: the scenario's :class:`.Configuration`, with ``horizon``, ``dtype``."""
    action_size: int
    """Length of an action vector in [-1, 1]."""
    observation_spec: ArraySpec | Mapping[str, ArraySpec]
    """Shapes and finite bounds of the observation."""

    @property
    def lanes_at_once(self) -> int | None:
        """Lanes of a vector environment that are drawn for and moved on together; None: all.

        Where a slot draws and estimates a lot, so that memory does not grow with the lanes; results do not differ.
        """
        return None

    @property
    def horizon(self) -> int:
        """Slots in an episode."""
        return self.config.horizon

    @property
    def truth_is_known(self) -> bool:
        """Whether the scenario states no :meth:`truth` beside its :meth:`problem`, so that one serves as the other."""
        return type(self).truth is ScenarioBase.truth

    # ---------------------------------------------------------------- randomness

    def draw_initial(self, rng: RandomSource) -> InitialT:
        """All randomness of a reset, for one lane, in the configured precision; a device draws all its lanes."""
        return self._in_precision(self._draw_initial(rng), rng)

    def draw(self, rng: RandomSource, state: StateT) -> InnovationT:
        """All randomness of the slot after ``state``, for one lane, in the configured precision.

        ``state`` is the lane's, or that of all lanes that draw: it tells what the slot uses, and all draw alike.
        A device draws all its lanes.
        """
        return self._in_precision(self._draw(rng, state), rng)

    def draw_lanes(self, generators: Sequence[np.random.Generator], state: StateT) -> InnovationT:
        """What :meth:`draw` gives for each generator, on a leading axis."""
        return self._in_precision(self._draw_lanes(generators, state))

    @abstractmethod
    def _draw_initial(self, rng: RandomSource) -> InitialT:
        """Randomness of a reset in double precision."""

    @abstractmethod
    def _draw(self, rng: RandomSource, state: StateT) -> InnovationT:
        """Randomness of the slot after ``state`` in double precision."""

    def _draw_lanes(self, generators: Sequence[np.random.Generator], state: StateT) -> InnovationT:
        """Randomness of the slot after ``state`` for each generator, on a leading axis, in any precision."""
        return stack([self._draw(rng, state) for rng in generators])

    def _in_precision(self, drawn: Tree, rng: RandomSource | None = None) -> Tree:
        if isinstance(rng, TensorGenerator):
            return rng.completed(drawn)
        if self.config.dtype == "float64":
            return drawn
        kinds = {"f": np.float32, "c": np.complex64}
        return tree_map(lambda leaf: leaf.astype(kinds.get(leaf.dtype.kind, leaf.dtype), copy=False), drawn)

    def sample(self, seeds: Seed | Iterable[Seed]) -> StateT:
        """First states of episodes: of a sequence of seeds on a leading axis, of one seed without it.

        Seed s means what ``numpy.random.default_rng(s)`` draws.
        """
        if isinstance(seeds, int | np.integer | np.random.Generator):
            return self.initial(self.draw_initial(np.random.default_rng(seeds)))
        lanes = stack([self._draw_initial(np.random.default_rng(seed)) for seed in seeds])
        return self.initial(self._in_precision(lanes))

    # ---------------------------------------------------------------- dynamics

    @abstractmethod
    def initial(self, draws: InitialT) -> StateT:
        """First state of an episode."""

    @abstractmethod
    def transition(
        self, state: StateT, allocation: AllocationT, innovation: InnovationT, truth: ProblemT | None = None
    ) -> StateT:
        """State of the next slot; ``truth`` is that of ``state``, where it is at hand."""

    def transition_given(
        self,
        state: StateT,
        allocation: AllocationT,
        innovation: InnovationT,
        truth: ProblemT,
        outcome: OutcomeT,  # noqa: ARG002 (a scenario may need what it tells)
    ) -> StateT:
        """:meth:`transition`, where the truth of ``state`` and what the allocation earns there are at hand."""
        return self.transition(state, allocation, innovation, truth)

    # ---------------------------------------------------------------- what is known, true, seen and paid

    @abstractmethod
    def problem(self, state: StateT) -> ProblemT:
        """What an allocator may know."""

    def truth(self, state: StateT) -> ProblemT:
        """The same problem, filled with what the air does in the slot in which the allocation acts.

        Here what is known: a scenario in which knowledge and truth differ states its own.
        """
        return self.problem(state)

    def truth_given(self, state: StateT, problem: ProblemT) -> ProblemT:  # noqa: ARG002 (a scenario may share its parts)
        """:meth:`truth`, where the known ``problem`` of ``state`` is at hand."""
        return self.truth(state)

    def observation(self, state: StateT, problem: ProblemT | None = None) -> Observation:
        """What a policy sees; ``problem`` is that of ``state``, where it is at hand."""
        return self._observe(state, self.problem(state) if problem is None else problem)

    @abstractmethod
    def _observe(self, state: StateT, problem: ProblemT) -> Observation:
        """Observation of a state and its problem."""

    def outcome(self, state: StateT, allocation: AllocationT, truth: ProblemT | None = None) -> OutcomeT:
        """Rates, utility and violation of an allocation on the truth, which is made where it is not at hand."""
        return (self.truth(state) if truth is None else truth).outcome(allocation)

    def reward(self, state: StateT, allocation: AllocationT) -> Array:
        """``truth(state).utility(allocation)``, (...,)."""
        return self.truth(state).utility(allocation)

    def info(self, outcome: OutcomeT) -> dict[str, Array]:
        """What the adapters report beside the reward: what an outcome states, by the names of its fields."""
        return {name: value for name, value in outcome._asdict().items() if value is not None}

    def later(self, state: StateT, last: Later | None = None) -> Later | None:  # noqa: ARG002 (most have nothing)
        """What else the adapters report of a slot, made when somebody reads it; None for nothing.

        ``last`` is what another slot gave, and is given again where nothing has changed since.
        """
        return None

    # ---------------------------------------------------------------- actions and allocations

    @abstractmethod
    def decode(self, action: Array, problem: ProblemT) -> AllocationT:
        """Allocation of an action, (..., action_size); feasible by construction."""

    def decode_for_air(self, action: Array, problem: ProblemT) -> AllocationT:
        """What :meth:`decode` gives, as a slot needs it: an allocation's parts that follow from others may be None."""
        return self.decode(action, problem)

    @abstractmethod
    def fallback(self, problem: ProblemT) -> AllocationT:
        """What to play where a solver reports that no allocation is feasible."""

    def check_allocation(self, allocation: AllocationT, problem: ProblemT) -> AllocationT:
        """Return an allocation as arrays of the right shape, or raise ``ValueError`` that names a bad entry."""
        checked: AllocationT = problem.check_allocation(allocation)
        return checked


def standard_normals(generators: Sequence[np.random.Generator], count: int) -> np.ndarray:
    """Standard normals of several lanes, (lanes, count): each row is what a generator's ``standard_normal`` gives."""
    rows = np.empty((len(generators), count))
    for rng, row in zip(generators, rows, strict=True):
        rng.standard_normal(out=row)
    return rows


Scenario: TypeAlias = ScenarioBase[Any, Any, Any, Any, Any, Any]
"""Any scenario, as adapters and agents hold it."""
