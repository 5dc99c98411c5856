"""One method, several types of problem: who answers, which options belong to whom, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import jcas_baselines
import numpy as np
import pytest
from jcas_baselines import (
    GBD,
    SCA,
    BestGrouping,
    DrainSearch,
    EqualAllocation,
    Exact,
    GradientSearch,
    Joint,
    Solution,
)
from jcas_baselines.solver import Method, double_precision
from support.instances import identical
from support.mimo import case
from support.problems import random_problem

from jcas_env import Status

PROBLEMS = {
    "MultiCellProblem": lambda: random_problem(np.random.default_rng(0), 1),
    "RelaxedProblem": lambda: random_problem(np.random.default_rng(0), 1).relaxed(positioning_share=0.5),
    "MeshProblem": identical,
    "MassiveMIMOProblem": case,
}


@pytest.mark.parametrize(
    ("method", "option", "owner", "others"),
    [
        (GBD(cuts="paper"), "cuts", "MeshProblem", ["MultiCellProblem"]),
        (GBD(cuts="valid"), "cuts", "MeshProblem", ["MultiCellProblem"]),
        (GBD(bins=8), "bins", "MeshProblem", ["MultiCellProblem"]),
        (GBD(whole=True), "whole", "MeshProblem", ["MultiCellProblem"]),
        (GBD(split="separate"), "split", "MultiCellProblem", ["MeshProblem"]),
        (Exact(noise="per_hertz"), "noise", "MultiCellProblem", ["MeshProblem", "MassiveMIMOProblem"]),
        (EqualAllocation(per="group"), "per", "MultiCellProblem", ["MeshProblem", "MassiveMIMOProblem"]),
        (EqualAllocation(power="proposed"), "power", "MultiCellProblem", ["MeshProblem", "MassiveMIMOProblem"]),
        (
            EqualAllocation(reading="equal-full"),
            "reading",
            "MassiveMIMOProblem",
            ["MultiCellProblem", "RelaxedProblem", "MeshProblem"],
        ),
        (SCA(scope="network"), "scope", "MultiCellProblem", ["MassiveMIMOProblem"]),
        (SCA(start="low"), "start", "MassiveMIMOProblem", ["MultiCellProblem"]),
    ],
    ids=lambda value: repr(value) if isinstance(value, Method) else None,
)
def test_an_option_of_another_problem_type_is_refused(method, option, owner, others):
    for other in others:
        with pytest.raises(ValueError, match=f"`{option}` = .* of {type(method).__name__} for {owner}, got {other}"):
            method.solve(PROBLEMS[other]())


@pytest.mark.parametrize(
    ("plain", "stated", "name"),
    [
        (GBD(), GBD(split="shared"), "MultiCellProblem"),
        (GBD(), GBD(cuts="valid", whole=True), "MeshProblem"),
        (Exact(), Exact(noise="constant"), "MultiCellProblem"),
        (EqualAllocation(), EqualAllocation(per="user", power="equal"), "MultiCellProblem"),
        (EqualAllocation(), EqualAllocation(per="user", power="equal"), "RelaxedProblem"),
        (EqualAllocation(), EqualAllocation(reading="equal-power"), "MassiveMIMOProblem"),
        (SCA(), SCA(scope="cell"), "MultiCellProblem"),
        (SCA(), SCA(start="full"), "MassiveMIMOProblem"),
    ],
    ids=repr,
)
def test_what_is_not_set_has_the_default_of_the_problem_type(plain, stated, name):
    problem = PROBLEMS[name]()
    np.testing.assert_array_equal(plain.solve(problem).objective, stated.solve(problem).objective)


METHODS = [getattr(jcas_baselines, name) for name in jcas_baselines.__all__]
NUMBERS = [
    (method, item.name, kind)
    for method in METHODS
    if issubclass(method, Method)
    for item in fields(method)
    if (kind := item.type.removesuffix(" | None")) in ("int", "float")
]
REQUIRED = {BestGrouping: {"solver": Exact()}}


@pytest.mark.parametrize(("method", "option", "kind"), NUMBERS)
def test_an_option_that_counts_takes_integers_and_a_number_takes_numbers(method, option, kind):
    whole = (2.5, 2.0, -1) if kind == "int" else (-1.0, 1e400)
    for value in (*whole, True, "3", float("nan"), [1], np.array([1, 2])):
        with pytest.raises(ValueError, match=f"`{option}` must be"):
            method(**{option: value}, **REQUIRED.get(method, {}))
    default = getattr(method, option)
    value = (np.int64 if kind == "int" else np.float64)(1 if default is None else default)
    assert getattr(method(**{option: value}, **REQUIRED.get(method, {})), option) == value


@pytest.mark.parametrize(
    ("method", "option", "one"),
    [
        (GradientSearch, "start", True),
        (BestGrouping, "solver", True),
        (Joint, "starts", False),
        (DrainSearch, "starts", False),
    ],
)
def test_an_option_that_holds_solvers_takes_solvers(method, option, one):
    """Not one that fails only when it is asked to solve."""
    for value in (None, float("nan"), "admm", 3, *(() if one else (Exact(), [None], "ab"))):
        with pytest.raises(ValueError, match=f"`{option}` must be"):
            method(**{option: value})
    assert method(**{option: Exact() if one else [Exact()]})


def test_rounds_of_which_the_utility_is_kept_are_bounded_by_memory():
    with pytest.raises(ValueError, match="`max_rounds` must be .* at most 100000, got 10{30}"):
        SCA(max_rounds=10**30)


def selective():
    problem = identical()
    return replace(problem, snr=np.broadcast_to(problem.snr[..., None], (*problem.snr.shape, problem.subcarriers)))


@pytest.mark.parametrize(
    ("method", "problem", "match"),
    [
        (GBD(bins=8), identical, "`bins` = 8 is for cone programs"),
        (GBD(whole=False, backend="cvxpy"), identical, "`whole` = False is for frames solved in closed form"),
        (GBD(whole=False), selective, "`whole` = False is for frames solved in closed form"),
        (
            GBD(split="separate"),
            lambda: random_problem(np.random.default_rng(0), 1, positioning_share=0.3),
            "`split` = 'separate' needs a positioning share that is free somewhere",
        ),
    ],
)
def test_an_option_of_the_way_that_a_problem_does_not_take_is_refused(method, problem, match):
    with pytest.raises(ValueError, match=match):
        method.solve(problem())


@pytest.mark.parametrize("option", ["rate", "final_rate"])
def test_a_search_without_rates_takes_none(option):
    for search in (Joint, GradientSearch, DrainSearch):
        with pytest.raises(ValueError, match=f"`{option}` = 0.2 is an option of Adam"):
            search(backend="numpy", **{option: 0.2})


def test_methods_with_equal_options_are_equal():
    assert GBD() == GBD()
    assert GBD(cuts="paper") == GBD(cuts="paper") != GBD()
    assert hash(SCA(scope="network")) == hash(SCA(scope="network"))


@dataclass(frozen=True)
class Toy:
    """A problem of one number."""

    value: np.ndarray


@dataclass(frozen=True)
class First(Method):
    """Takes the number, twice as an option says."""

    factor: float | None = None


@First.register(Toy, factor=2.0)
@double_precision("value")
def _(problem: Toy, method: First) -> Solution:
    assert problem.value.dtype == np.float64
    whole = np.zeros(problem.value.shape, dtype=int)
    found = method.factor * problem.value
    return Solution(found, found, found + np.inf, whole + int(Status.FEASIBLE), whole)


@dataclass(frozen=True)
class Second(First):
    """Has an answer of its own to another type."""


@Second.register(float)
def _(problem: float, method: Second) -> Solution:
    return method.solve(Toy(np.array(problem)))


def test_a_new_scenario_registers_its_answer_from_outside():
    assert First().solve(Toy(np.array(3.0))).objective == 6.0
    assert First(5.0).solve(Toy(np.array(3.0))).objective == 15.0
    with pytest.raises(TypeError, match="First solves Toy, got float"):
        First().solve(3.0)


def test_a_subclass_inherits_answers_and_keeps_its_own_to_itself():
    assert Second().solve(3.0).objective == 6.0
    with pytest.raises(TypeError, match="Second solves Toy and float, got str"):
        Second().solve("a problem")


def test_single_precision_is_solved_in_double_and_answered_in_single():
    solution = First().solve(Toy(np.array(3.0, dtype=np.float32)))
    assert solution.objective.dtype == np.float32
    assert solution.bound.dtype == np.float32
