"""A problem in PyTorch is answered in PyTorch, every figure of the answer, in the problem's precision."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest
import torch
from jcas_baselines import (
    ADMM,
    GBD,
    SCA,
    BacklogProportional,
    BestGrouping,
    BestVertex,
    ConstantRule,
    DrainSearch,
    EqualAllocation,
    Exact,
    GradientSearch,
    Joint,
    MaxWeight,
    UpperBound,
)
from support.extreme import cast, extreme_mesh, extreme_mimo, extreme_multicell, extreme_queues, suited
from support.problems import random_problem

from jcas_env import RelaxedProblem, Status
from jcas_env.types import is_array

DTYPES = ["float64", "float32"]

SOLVERS = {
    "admm": ADMM(),
    "exact": Exact(),
    "exact-per-hertz": Exact(noise="per_hertz"),
    "gbd": GBD(),
    "gbd-separate": GBD(split="separate", max_cuts=10),
    "equal": EqualAllocation(),
    "proposed-power": EqualAllocation(power="proposed", per="group"),
    "constant-rule": ConstantRule(),
    "best-vertex": BestVertex(),
    "grouping-admm": BestGrouping(ADMM(), (0.2, 1.01)),
    "grouping-gbd": BestGrouping(GBD(), (0.2, 1.01)),
    "grouping-relaxed": BestGrouping(EqualAllocation(), (0.2, 1.01), judge="relaxed"),
    "sca": SCA(max_rounds=2),
    "sca-network": SCA(scope="network", max_rounds=2),
    "search": GradientSearch(steps=1),
    "joint": Joint(steps=1, random_starts=1, starts=(EqualAllocation(), GBD())),
    "upper-bound": UpperBound("root", search=EqualAllocation()),
}

QUEUE_SOLVERS = {
    "max-weight": MaxWeight(),
    "backlog-proportional": BacklogProportional(),
    "drain-search": DrainSearch(steps=1),
    "gbd": GBD(),
    "exact": Exact(),
}

MESH_SOLVERS = {
    "gbd": GBD(),
    "gbd-fractions": GBD(whole=False),
    "gbd-paper": GBD(cuts="paper"),
    "equal": EqualAllocation(),
    "exact": Exact(),
}


def in_torch(problem):
    """The same problem with its arrays in PyTorch."""
    arrays = {item.name: getattr(problem, item.name) for item in fields(problem)}
    return replace(
        problem, **{name: torch.from_numpy(np.array(value)) for name, value in arrays.items() if is_array(value)}
    )


def leaves(prefix: str, value):
    """Names and arrays of an answer, nested tuples, dataclasses and dictionaries flattened."""
    if isinstance(value, dict):
        parts = value.items()
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        parts = zip(value._fields, value, strict=True)
    elif is_dataclass(value):
        parts = ((item.name, getattr(value, item.name)) for item in fields(value))
    else:
        return [(prefix, value)] if value is not None else []
    return [leaf for name, part in parts for leaf in leaves(f"{prefix}.{name}", part)]


def assert_alike(solver, problem, dtype: str) -> np.ndarray:
    """The answer in PyTorch has PyTorch's leaves alone, the same as that in NumPy; returns the statuses."""
    solution, expected = solver.solve(in_torch(problem)), solver.solve(problem)
    for name, value in leaves("solution", solution):
        assert isinstance(value, torch.Tensor), f"{name} is {type(value).__name__}"
        if value.dtype.is_floating_point:
            assert value.dtype == getattr(torch, dtype), f"{name} is {value.dtype}"
    for name, value in leaves("solution", expected):
        assert isinstance(value, np.ndarray | np.generic), f"{name} is {type(value).__name__}"
        if value.dtype.kind == "f":
            assert value.dtype == dtype, f"{name} is {value.dtype}"
    assert {name for name, _ in leaves("", solution)} == {name for name, _ in leaves("", expected)}
    # Sums are rounded in another order, which may decide whether the last iteration was one too few; not this:
    infeasible = np.asarray(solution.status) == Status.INFEASIBLE
    np.testing.assert_array_equal(infeasible, expected.status == Status.INFEASIBLE)
    return np.atleast_1d(expected.status)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SOLVERS)
def test_extreme_problems_are_answered_in_their_library(name, dtype):
    # Each reward, each noise, fixed and free shares, cells without users, elements that are infeasible.
    seen = [
        assert_alike(suited(SOLVERS[name], problem), problem, dtype)
        for problem in (extreme_multicell(np.random.default_rng([15, seed]), 4, dtype) for seed in range(5))
    ]
    assert Status.INFEASIBLE in np.concatenate(seen)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("fields", [{}, {"reward": "fair"}, {"noise": "constant"}, {"positioning_share": 0.5}], ids=str)
@pytest.mark.parametrize("name", [name for name in SOLVERS if not name.startswith("grouping")])
def test_numbers_that_are_given_once_for_all_cells_stay_numbers(name, fields, dtype):
    problem = random_problem(np.random.default_rng(0), 2, crowd=3, **fields)
    values = {item: getattr(problem, item) for item in problem.__dataclass_fields__}
    assert_alike(suited(SOLVERS[name], problem), replace(problem, **cast(values, dtype)), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [name for name in SOLVERS if not name.startswith("grouping")])
def test_a_problem_without_a_batch_is_answered_in_its_library(name, dtype):
    problem = random_problem(np.random.default_rng(1), 1, crowd=3)
    values = {item: getattr(problem, item) for item in problem.__dataclass_fields__}
    batched = {"gain", "leakage", "sensing_gain", "cell", "group", "last_power", "weight", "queue"}
    values |= {item: values[item][0] for item in batched}
    assert_alike(SOLVERS[name], replace(problem, **cast(values, dtype)), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", QUEUE_SOLVERS)
def test_problems_with_queues_are_answered_in_their_library(name, dtype):
    for seed in range(4):
        assert_alike(QUEUE_SOLVERS[name], extreme_queues(np.random.default_rng([16, seed]), 6, dtype), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "solver", [ADMM(), Exact(), Exact(noise="per_hertz"), EqualAllocation(), ConstantRule()], ids=str
)
def test_relaxed_problems_are_answered_in_their_library(solver, dtype):
    floor = np.array([0.1, 0.6], dtype=dtype)
    coefficient = np.full((2, 3), 10.0, dtype=dtype)
    relaxed = RelaxedProblem(np.full_like(coefficient, 1 / 3), coefficient, np.array([[0, 0, 1]] * 2), floor, floor)
    assert_alike(solver, relaxed, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("subcarriers", [12, 600])
@pytest.mark.parametrize("objective", ["sum", "log"])
@pytest.mark.parametrize("name", MESH_SOLVERS)
def test_mesh_problems_are_answered_in_their_library(name, objective, subcarriers, dtype):
    # Twelve subcarriers are solved by cone programs one by one in NumPy, six hundred in closed form.
    rng = np.random.default_rng(3)
    problem = extreme_mesh(rng, 3, dtype, users=3, subcarriers=subcarriers, objective=objective)
    if name == "gbd-fractions" and subcarriers == 12:
        with pytest.raises(ValueError, match="`whole` = False is for frames solved in closed form"):
            MESH_SOLVERS[name].solve(problem)
        return
    assert_alike(MESH_SOLVERS[name], problem, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_frequency_selective_mesh_is_answered_in_its_library(dtype):
    rng = np.random.default_rng(4)
    snr = (10.0 ** rng.uniform(0, 2, (2, 3, 66))).astype(dtype)
    problem = extreme_mesh(rng, 2, dtype, users=3, subcarriers=66, snr=snr, rate_floor=np.array([0.0, 1e12]))
    assert Status.INFEASIBLE in assert_alike(GBD(bins=2, max_cuts=3), problem, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("solver", [Exact(), EqualAllocation(), SCA(max_rounds=2)], ids=lambda s: type(s).__name__)
def test_massive_mimo_problems_are_answered_in_their_library(solver, dtype):
    for seed in range(4):
        assert_alike(solver, extreme_mimo(np.random.default_rng([17, seed]), 6, dtype), dtype)
