"""Snapshots of an environment, and whether one is of this environment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ..checks import require, shown
from ..scenarios.scenario import EpisodeState, Scenario


class EnvState(NamedTuple):
    """Snapshot of an environment; picklable, and ``set_state`` continues from it bit for bit."""

    state: EpisodeState
    """The scenario's State."""
    generators: tuple[np.random.Generator, ...]
    """Random generators, one per lane; on a device the state of the one that draws for all of them."""
    finished: np.ndarray
    """Whether an episode is over, bool, per lane in the vector environment."""


def check_snapshot(snapshot: Any, scenario: Scenario, lanes: tuple[int, ...], generator: tuple[int, type]) -> None:
    """Raise an error that names what of a snapshot does not belong to an environment.

    ``lanes`` is (num_envs,), or () of the single environment; ``generator`` says how many generators it has, and of
    what type. States are compared with a first one of the scenario, in names, shapes and precision; their values are
    not looked at. ``TypeError`` for what is no snapshot, ``ValueError`` for one of another environment.
    """
    if not isinstance(snapshot, EnvState):
        raise TypeError(f"`snapshot` must be an EnvState, as `get_state` gives it, got {shown(snapshot)}")
    example = scenario.sample(0)
    ours, theirs = type(example), type(snapshot.state)
    require(
        theirs is ours,
        f"`snapshot` must be of the scenario {scenario.name!r}, whose state is a {_name(ours)}, got a {_name(theirs)}",
    )
    finished = snapshot.finished
    require(
        isinstance(finished, np.ndarray) and finished.dtype == np.bool_,
        f"`snapshot.finished` must be an array of bools, got {shown(finished)}",
    )
    got = tuple(finished.shape)
    require(got == lanes, f"`snapshot` must be of {_environment(lanes)}, got one of {_environment(got)}")
    count, kind = generator
    whole = isinstance(snapshot.generators, tuple) and len(snapshot.generators) == count
    require(
        whole and all(isinstance(item, kind) for item in snapshot.generators),
        f"`snapshot.generators` must be {count} of type {_name(kind)}, got {shown(snapshot.generators)}",
    )
    _check_state(dict(_leaves(example)), dict(_leaves(snapshot.state)), lanes)


def _check_state(example: dict[str, Any], state: dict[str, Any], lanes: tuple[int, ...]) -> None:
    """Raise ``ValueError`` that names the first array of a state whose shape or precision is not an example's."""
    other = sorted(example.keys() ^ state.keys())
    require(not other, f"`snapshot.state` must be of this configuration, got one that differs in {', '.join(other)}")
    for name, leaf in example.items():
        expected = ((*lanes, *np.shape(leaf)), _precision(leaf))
        shape, precision = tuple(np.shape(state[name])), _precision(state[name])
        require(
            (shape, precision) == expected,
            f"`snapshot.state.{name}` must have shape {expected[0]} and type {expected[1]}, "
            f"got {shape} and {precision}: a snapshot of another configuration",
        )


def _leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Arrays of nested NamedTuples with the names that lead to them; what follows from others, None, is left out."""
    for name, part in zip(tree._fields, tree, strict=True):
        if hasattr(part, "_fields"):
            yield from _leaves(part, f"{path}{name}.")
        elif part is not None:
            yield f"{path}{name}", part


def _precision(leaf: Any) -> str:
    """Type of an array's entries by name, the same for tensors."""
    return str(getattr(leaf, "dtype", type(leaf).__name__)).removeprefix("torch.")


def _environment(lanes: tuple[int, ...]) -> str:
    return f"a vector environment with {lanes[0]} lanes" if lanes else "a single environment"


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
