"""The compiled loop over the nodes of the bound against its formula, the oracle."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba", reason="needs numba: pip install 'jcas-env[fast]'")

from jcas_baselines import EqualAllocation, UpperBound
from jcas_baselines.bounding import interior_point, prices, relaxation, tree
from support.bounds import random_problem
from support.scenes import static

from jcas_env.compiled.bounding import newton, nodes, relaxations
from jcas_env.compiled.dispatch import switched
from jcas_env.tree import take

FAST = UpperBound("fast", search=EqualAllocation())
SCENES = [{"ue_antennas": 4}, {"ue_antennas": 18, "positioning_share": None}, {"users_per_cell": 3, "floor": 0.0}]


@pytest.fixture
def evaluated(monkeypatch):
    """All that a bound asks to be evaluated: arguments, and what the formula says."""
    rounds = []

    formula = tree.evaluate.__wrapped__

    def seen(items, nodes, target):
        rounds.append(((items, nodes, target.copy()), formula(items, nodes, target)))
        return rounds[-1][1]

    monkeypatch.setattr(tree, "evaluate", seen)
    return rounds


def assert_same(found, formula, items):
    present, holds = items.data.present[formula.item], formula.bound > -np.inf
    np.testing.assert_array_equal(found.bound > -np.inf, holds)
    # Where nothing is left to be split, users tie.
    splits = formula.bound - formula.worth > 1e-6 * (1.0 + np.abs(formula.bound))
    np.testing.assert_array_equal(found.user[splits], formula.user[splits])
    np.testing.assert_allclose(found.cut[splits], formula.cut[splits], rtol=1e-9, atol=1e-9)
    for name in ("bound", "worth"):
        np.testing.assert_allclose(getattr(found, name)[holds], getattr(formula, name)[holds], rtol=1e-9, atol=1e-9)
    for name in ("least", "most", "point"):
        here = holds[:, None] & present
        np.testing.assert_allclose(getattr(found, name)[here], getattr(formula, name)[here], rtol=1e-9, atol=1e-7)


@pytest.mark.parametrize("fields", SCENES, ids=str)
def test_every_node_is_the_formulas(evaluated, fields):
    """Of both forests of real slots, whole bands and intervals of them, with and without targets."""
    loop = nodes.evaluate_loop
    FAST.solve(static(1, **fields).truth)
    assert sum(len(formula.item) for _, formula in evaluated) > 100
    wide = 0
    for (items, given, target), formula in evaluated:
        assert_same(loop(items, given, target), formula, items)
        wide += (given.omega[:, 0] < given.omega[:, 1]).sum()
        few = np.arange(len(given.item))[::3]  # a node does not see its neighbours
        alone, whole = loop(items, take(given, few), target), loop(items, given, target)
        for name in ("bound", "worth", "cut", "user"):
            np.testing.assert_array_equal(getattr(alone, name), getattr(whole, name)[few])
    assert wide > 0 or fields.get("floor") == 0.0


@pytest.mark.parametrize("fields", SCENES, ids=str)
def test_bounds_and_numbers_of_nodes_are_the_formulas(fields):
    truth = static(2, **fields).truth
    loop = FAST.solve(truth)
    with switched(on=False):
        formula = FAST.solve(truth)
    np.testing.assert_allclose(loop.bound, formula.bound, rtol=1e-9)
    np.testing.assert_array_equal(loop.iterations, formula.iterations)


def test_random_problems_too(rng):
    for _ in range(5):
        problem = random_problem(rng)
        loop = FAST.solve(problem)
        with switched(on=False):
            formula = FAST.solve(problem)
        assert loop.bound == pytest.approx(formula.bound, rel=1e-9)
        assert loop.iterations == formula.iterations


def test_arguments_are_left_alone(evaluated):
    FAST.solve(static(1, users_per_cell=3).truth)
    (items, given, target), _ = evaluated[-1]
    for part in (*items.data, *(value for value in (*items[1:], *given, target))):
        part.flags.writeable = False
    nodes.evaluate_loop(items, given, target)


def test_constants_are_those_of_the_formulas():
    names = {name for part in (newton, nodes, relaxations) for name in vars(part) if name.isupper()}
    assert len(names) >= 16
    for name in names:
        homes = [part for part in (interior_point, relaxation, tree, prices) if hasattr(part, name)]
        assert homes, name
        for part in (newton, nodes, relaxations):
            assert getattr(part, name, getattr(homes[0], name)) == getattr(homes[0], name), name
