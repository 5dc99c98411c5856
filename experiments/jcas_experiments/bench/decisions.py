"""Decision time of each solver for one scene of the flagship (36 users), against the CVXPY form of the same method."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jcas_baselines import ADMM, GBD, SCA, Exact
from jcas_baselines.multicell.convex_relaxed import constant_noise_optimum, per_hertz_optimum

from jcas_env import MultiCellProblem, RelaxedProblem
from jcas_env.physics.rates import Noise
from jcas_env.scenarios.multicell import MultiCell, MultiCellConfig

from ..networks import first_state
from .row import Row, cpu_seconds, duration


class TimedSolver(NamedTuple):
    """A solver, the time it may take, and its CVXPY form."""

    name: str
    decide: Callable[[MultiCellProblem], Any]
    limit: float
    """[s]"""
    peer_name: str
    peer: Callable[[MultiCellProblem], Any]


def scene(seed: int, **fields: Any) -> MultiCellProblem:
    """What an allocator knows at the first decision of an episode; no batch axis."""
    scenario = MultiCell(MultiCellConfig(**fields))
    return scenario.problem(first_state(scenario, seed))


def one_by_one(solve: Callable[[RelaxedProblem], Any], noise: Noise, problem: MultiCellProblem) -> None:
    """Solve the relaxed problem of each cell and service with CVXPY, at the share 0.5 where it is free."""
    share = np.where(np.isnan(problem.share), 0.5, problem.share)
    relaxed = problem.relaxed(positioning_share=share, noise=noise)
    for index in np.ndindex(relaxed.coefficient.shape[:-1]):
        solve(_element(relaxed, index))


def _element(relaxed: RelaxedProblem, index: tuple[int, ...]) -> RelaxedProblem:
    return RelaxedProblem(
        relaxed.weight[index],
        relaxed.coefficient[index],
        relaxed.group[index],
        np.asarray(relaxed.power_floor)[index],
        np.asarray(relaxed.band_floor)[index],
    )


DECISIONS = (
    TimedSolver("ADMM, closed form", ADMM().solve, 5e-3, "CVXPY-ADMM", ADMM(backend="cvxpy").solve),
    TimedSolver(
        "Exact",
        Exact().solve,
        2e-3,
        "CVXPY at the vertices, share given",
        partial(one_by_one, constant_noise_optimum, "constant"),
    ),
    TimedSolver(
        "Exact per hertz",
        Exact(noise="per_hertz").solve,
        0.1,
        "CVXPY cone programs, share given",
        partial(one_by_one, per_hertz_optimum, "per_hertz"),
    ),
    TimedSolver("SCA", SCA().solve, 0.1, "CVXPY-SCA", SCA(backend="cvxpy").solve),
    TimedSolver("SCA, network", SCA(scope="network").solve, 0.1, "CVXPY-SCA, network", SCA("network", "cvxpy").solve),
    TimedSolver("GBD", GBD().solve, 0.1, "CVXPY-GBD", GBD(backend="cvxpy").solve),
)


def decision_rows(*, scenes: int = 3, seed: int = 0, reward: str = "rate", peers: bool = True) -> Iterator[Row]:
    """Mean CPU time of a decision, at the share 0.5 and at a free one, against what is asked for and against CVXPY.

    The peer is measured on the first scene, its programs compiled before.
    """
    for share in (0.5, None):
        problems = [scene(seed + k, positioning_share=share, reward=reward) for k in range(scenes)]
        for decision in DECISIONS:
            times = [cpu_seconds(partial(decision.decide, problem), least=0.1) for problem in problems]
            name, seconds = f"{decision.name}, share {'free' if share is None else share}", float(np.mean(times))
            yield duration(name, seconds, "asked for", decision.limit, 1.0, "ms/scene")
            if peers:
                peer = cpu_seconds(partial(decision.peer, problems[0]), least=0.0, rounds=1)
                yield duration(name, seconds, decision.peer_name, peer, 1.0, "ms/scene")
