"""Decision time of the shipped policy for one scene of the flagship (36 users), beside what it competes with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import nan
from time import process_time
from typing import Any

from jcas_agents.learned import LearnedAllocator
from jcas_baselines import ADMM, SCA, BestVertex, ConstantRule, EqualAllocation, GradientSearch

from jcas_env import MultiCellProblem

from .decisions import scene
from .row import Row, duration

ASKED = 20.0
"""How many times faster than SCA the policy is to decide (spec learning 7.2)."""


def fresh_seconds(decide: Callable[[Any], Any], problems: Sequence[MultiCellProblem], *, least: float = 0.3) -> float:
    """Mean CPU time of a decision on problems that nobody has looked into: the best of three rounds [s].

    A problem keeps sizes and floors once somebody has asked for them, so that a second decision on it is cheaper than
    any in an episode.
    """
    decide(replace(problems[0]))
    times = []
    for _ in range(3):
        calls, spent = 0, 0.0
        while spent < least:
            posed = [replace(problem) for problem in problems]
            begin = process_time()
            for problem in posed:
                decide(problem)
            calls, spent = calls + len(posed), spent + process_time() - begin
        times.append(spent / calls)
    return min(times)


def learning_rows(*, scenes: int = 5, seed: int = 0, least: float = 0.3) -> Iterator[Row]:
    """CPU time of a decision at batch 1, at the share 0.5 and at a free one, each against SCA."""
    deciders: dict[str, Callable[[Any], Any]] = {
        "learned, multicell-rate": LearnedAllocator.load("multicell-rate").allocate,
        "equal split": EqualAllocation().solve,
        "constant rule": ConstantRule().solve,
        "best vertex": BestVertex().solve,
        "ADMM": ADMM().solve,
        "SCA, network": SCA(scope="network").solve,
        "search of 20 steps": GradientSearch(steps=20).solve,
        "search of 50 steps": GradientSearch(steps=50).solve,
    }
    for share in (0.5, None):
        problems = [scene(seed + k, positioning_share=share) for k in range(scenes)]
        reference = fresh_seconds(SCA().solve, problems, least=least)
        for name, decide in deciders.items():
            asked = ASKED if name.startswith("learned") else nan
            what = f"{name}, share {'free' if share is None else share}"
            yield duration(what, fresh_seconds(decide, problems, least=least), "SCA", reference, asked, "ms/scene")
