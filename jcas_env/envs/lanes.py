"""What the adapters share: the slot that they are in, with its problem and its truth made once, and snapshots of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import copy, deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..checks import shown
from ..scenarios.scenario import Allocation, EpisodeState, Later, Observation, Outcome, Problem, Scenario
from ..tree import tree_map
from ..types import Array
from .info import LazyInfo
from .inputs import check_numbers
from .snapshots import EnvState, check_snapshot


@dataclass(frozen=True, eq=False)
class FirstSlot:
    """What ``info`` says of a slot that nobody has played yet: what the fallback would earn in it, on the truth.

    The same entries as of a slot that was played, and what is known and true without an allocation is that of the slot.
    """

    scenario: Scenario
    state: EpisodeState
    problem: Problem
    """What is known in it."""

    @cached_property
    def outcome(self) -> Outcome:
        """What the fallback would earn."""
        scenario, problem = self.scenario, self.problem
        truth = problem if scenario.truth_is_known else scenario.truth_given(self.state, problem)
        outcome: Outcome = scenario.outcome(self.state, scenario.fallback(problem), truth)
        return outcome

    @cached_property
    def later(self) -> Later | None:
        """What is made when somebody reads it."""
        return self.scenario.later(self.state)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the entries."""
        return (*self.scenario.info(self.outcome), *(() if self.later is None else self.later.names))

    def entries(self) -> dict[str, Array]:
        """The entries, with the batch axes of the state."""
        return {**self.scenario.info(self.outcome), **({} if self.later is None else self.later.entries())}


class Lanes(ABC):
    """State, problem and truth of a slot, of one lane without a batch axis or of many with a leading one.

    Problem and truth belong to a state: they are made when they are first asked for, and forgotten with it. Reward and
    transition come from a pair of their own; what is handed out shares its arrays, locked, and nothing else with them.
    """

    scenario: Scenario
    _state: EpisodeState | None = None
    _problem: Problem | None = None
    _truth: Problem | None = None
    """Handed out: read-only."""
    _own_problem: Problem | None = None
    _own_truth: Problem | None = None
    """Those that decode, pay and move on."""
    _allocation: Allocation | None = None
    """What was last transmitted in this episode."""
    _finished: np.ndarray
    """Whether the episode is over, bool, per lane in the vector environment."""
    _entries: tuple[str, ...] | None = None
    """Names of the entries of ``info``, once they are known."""
    _later: Later | None = None
    """What of the last slot is made when somebody reads it."""

    @property
    def state(self) -> EpisodeState:
        """The scenario's State."""
        if self._state is None:
            raise RuntimeError("call `reset` first: the environment has no state yet")
        return self._state

    @property
    def problem(self) -> Problem:
        """What an allocator may know in this slot: the scenario's Problem, read-only."""
        if self._problem is None:
            self._problem = read_only(self._known())
        return self._problem

    @property
    def truth(self) -> Problem:
        """The same problem, filled with what the air does in this slot."""
        if self._truth is None:
            self._truth = self.problem if self.scenario.truth_is_known else read_only(self._true())
        return self._truth

    def _known(self) -> Problem:
        if self._own_problem is None:
            self._own_problem = self.scenario.problem(self.state)
        return self._own_problem

    def _true(self) -> Problem:
        if self._own_truth is None:
            scenario, known = self.scenario, self._known()
            self._own_truth = known if scenario.truth_is_known else scenario.truth_given(self.state, known)
        return self._own_truth

    def get_state(self) -> EnvState:
        """Snapshot, generators included."""
        return deepcopy(EnvState(self.state, self._random_generators(), self._finished))

    def set_state(self, snapshot: EnvState) -> None:
        """Continue from a snapshot; the snapshot can be used again.

        Raises ``ValueError`` that names what belongs to another scenario, size, precision, number of lanes or adapter,
        ``TypeError`` for what is no snapshot.
        """
        check_snapshot(snapshot, self.scenario, tuple(self._finished.shape), self._generator_kind())
        state, generators, finished = deepcopy(snapshot)
        self._enter(state)
        self._use_generators(generators)
        self._allocation, self._finished = None, finished

    @abstractmethod
    def _random_generators(self) -> tuple[np.random.Generator, ...]:
        """Generators of all lanes."""

    @abstractmethod
    def _generator_kind(self) -> tuple[int, type]:
        """How many generators there are, and of what type."""

    @abstractmethod
    def _use_generators(self, generators: tuple[np.random.Generator, ...]) -> None:
        """Replace the generators of all lanes."""

    def _enter(self, state: EpisodeState) -> None:
        """Begin a slot.

        Arrays are put in C order, so that a state that was pickled continues to the last bit: sums over strided views
        round differently from those over the copies that a snapshot holds.
        """
        self._state = tree_map(_settled, state)
        self._problem = self._truth = self._own_problem = self._own_truth = None

    def _observe(self) -> Observation:
        return self.scenario.observation(self.state, self._known())

    def _start(self) -> FirstSlot:
        """What is reported of the slot that begins, which nobody has played."""
        start = FirstSlot(self.scenario, self.state, self._known())
        if self._entries is None:
            self._entries = start.names
        return start

    def _taken(self, allocation: Any, form: Callable[[Any], Any]) -> Allocation:
        """A caller's allocation, with parts in a form that an adapter chooses.

        Raises ``TypeError`` for what has not the parts of one, ``ValueError`` for a part that holds no numbers.
        """
        kind: Any = type(self.scenario.fallback(self._known()) if self._allocation is None else self._allocation)
        if not all(hasattr(allocation, name) for name in kind._fields):
            raise TypeError(f"`allocation` must be a {kind.__name__}, got {shown(allocation)}")
        parts = {name: getattr(allocation, name) for name in kind._fields}
        taken: Allocation = kind(*(form(check_numbers(f"allocation.{name}", part)) for name, part in parts.items()))
        return taken

    def _info(self, outcome: Outcome, later: Later | None, form: Callable[[Array], Any]) -> dict[str, Any]:
        """What an outcome states, and what is made later, each in a form that copies.

        So that what a user does to ``info`` reaches no state.
        """
        stated = {name: form(value) for name, value in self.scenario.info(outcome).items()}
        if later is None:
            return stated
        make = later.entries
        return LazyInfo(stated, later.names, lambda: {name: form(value) for name, value in make().items()})


def _settled(leaf: Array) -> Array:
    """An array in C order."""
    return leaf.contiguous() if hasattr(leaf, "contiguous") else np.asarray(leaf, order="C")


def read_only(problem: Problem) -> Problem:
    """The same problem for a user, who cannot write to its NumPy arrays: whatever is done to it changes no slot.

    The arrays are views, since some are the state's, whose own stay as they are; what was one array stays one. What the
    other has computed is computed anew.
    """
    locked, views = copy(problem), dict[int, np.ndarray]()
    stated = getattr(problem, "__dataclass_fields__", {})
    for name, value in getattr(problem, "__dict__", {}).items():
        if stated and name not in stated:
            del vars(locked)[name]
        elif isinstance(value, np.ndarray) and value.flags.writeable:
            view = vars(locked)[name] = views.setdefault(id(value), value.view())
            view.flags.writeable = False
    return locked


def entry(value: np.ndarray) -> Any:
    """Entry of ``info``: a new array, or a NumPy scalar of a number; of a flag Gymnasium stacks arrays alone."""
    return value[()] if value.ndim == 0 and value.dtype != np.bool_ else np.array(value)


def check_render_mode(mode: str | None, metadata: dict[str, Any]) -> None:
    """Raise ``ValueError`` for a mode that the environment does not have."""
    if mode is not None and mode not in metadata["render_modes"]:
        raise ValueError(f"`render_mode` must be None or one of {metadata['render_modes']}, got {mode!r}")
