"""The Benders loop on value functions whose optimum is known in closed form."""

from __future__ import annotations

from math import inf
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jcas_baselines.engines.benders import Cut, decompose, interval_master, polyhedral_master
from support.backends import BACKENDS, to_numpy

from jcas_env import Status


class Answer(NamedTuple):
    square: np.ndarray


def parabola(centre, curvature, allowed=(0.0, 1.0)):
    """v(x) = -sum_d curvature (x_d - centre_d)^2 where every coordinate lies in ``allowed``, else infeasible."""

    def solve(point, index):
        at, bend = centre[index], curvature[index]
        low, high = allowed
        value = -(bend * (point - at) ** 2).sum(axis=-1)
        above, below = point - high, low - point
        worst = np.concatenate([above, below], axis=-1)
        feasible = worst.max(axis=-1) <= 0
        side = worst.argmax(axis=-1)
        wall = np.where(side[:, None] == np.arange(2 * point.shape[-1]), 1.0, 0.0)
        wall = wall[:, : point.shape[-1]] - wall[:, point.shape[-1] :]
        return Cut(
            point=point,
            feasible=feasible,
            value=np.where(feasible, value, -inf),
            level=np.where(feasible, value, worst.max(axis=-1)),
            slope=np.where(feasible[:, None], -2 * bend * (point - at), wall),
            multiplier=np.zeros((len(point), 0)),
        ), Answer((point**2).sum(axis=-1))

    return solve


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), dimensions=st.integers(1, 2))
def test_bounds_enclose_the_optimum_and_the_gap_closes(seed, dimensions):
    rng = np.random.default_rng(seed)
    batch = 5
    centre, curvature = rng.uniform(-0.5, 1.5, (batch, dimensions)), 10 ** rng.uniform(-1, 1, (batch, dimensions))
    box = np.zeros((batch, dimensions)), np.ones((batch, dimensions))
    master = interval_master if dimensions == 1 else polyhedral_master
    # Feasible shares [.2, .9] are found by cuts; the optimum is the projection of the centre.
    found = decompose(
        parabola(centre, curvature, (0.2, 0.9)),
        master,
        *box,
        start=np.stack([box[0], box[1]], axis=1),
        tolerance=1e-5,
        scale=1.0,
        limit=200,
    )
    best = -(curvature * (np.clip(centre, 0.2, 0.9) - centre) ** 2).sum(axis=-1)
    np.testing.assert_array_equal(found.status, Status.OPTIMAL)
    assert (found.lower <= best + 1e-12).all()
    assert (found.upper >= best - 1e-12).all()
    assert (found.upper - found.lower <= 1e-5 * np.maximum(abs(found.upper), 1)).all()
    np.testing.assert_allclose(-(curvature * (found.point - centre) ** 2).sum(axis=-1), found.lower, rtol=1e-12)
    np.testing.assert_allclose(found.answer.square, (found.point**2).sum(axis=-1), rtol=1e-12)


def test_the_interval_master_equals_the_linear_program(rng):
    for cuts in (1, 2, 7):
        feasible = rng.random((30, cuts)) > 0.3
        cut = Cut(
            point=rng.random((30, cuts, 1)),
            feasible=feasible,
            value=np.zeros((30, cuts)),
            level=np.where(feasible, rng.normal(size=(30, cuts)), 0.1),
            slope=rng.normal(size=(30, cuts, 1)),
            multiplier=np.zeros((30, cuts, 0)),
        )
        box = np.zeros((30, 1)), np.ones((30, 1))
        closed, program = interval_master(cut, *box), polyhedral_master(cut, *box)
        np.testing.assert_array_equal(closed.possible, program.possible)
        good = closed.possible
        assert good.any()
        np.testing.assert_allclose(closed.bound[good], program.bound[good], atol=1e-7)
        height = np.where(feasible, cut.level + cut.slope[..., 0] * (closed.point - cut.point[..., 0]), inf)
        attained = np.isfinite(closed.bound) & good
        np.testing.assert_allclose(height.min(axis=1)[attained], closed.bound[attained], atol=1e-12)


@pytest.mark.parametrize("master", [interval_master, polyhedral_master])
def test_an_empty_feasible_set_is_reported_and_leaves_the_neighbours_alone(master):
    centre, one = np.array([[0.5], [0.3], [0.7]]), np.ones((3, 1))
    alone = parabola(centre, one)

    def mixed(point, index):
        """Element 1 wants x >= 0.8 and x <= 0.2."""
        cut, answer = alone(point, index)
        bad = index == 1
        low = point[:, 0] < 0.8
        level = np.where(low, 0.8 - point[:, 0], point[:, 0] - 0.2)
        slope = np.where(low, -1.0, 1.0)[:, None]
        return cut._replace(
            feasible=cut.feasible & ~bad,
            value=np.where(bad, -inf, cut.value),
            level=np.where(bad, level, cut.level),
            slope=np.where(bad[:, None], slope, cut.slope),
        ), answer

    start = np.full((3, 1, 1), 0.4)
    found = decompose(mixed, master, 0 * one, one, start=start, scale=1.0)
    np.testing.assert_array_equal(found.status, [Status.OPTIMAL, Status.INFEASIBLE, Status.OPTIMAL])
    assert np.isnan([found.lower[1], found.upper[1], found.point[1, 0]]).all()
    single = decompose(alone, master, 0 * one, one, start=start, scale=1.0)
    for lane in (0, 2):
        assert found.lower[lane] == single.lower[lane]
        assert found.cuts[lane] == single.cuts[lane]


def test_the_limit_leaves_valid_bounds_and_says_so():
    centre, bend = np.array([[0.37]]), np.array([[3.0]])
    one = np.ones((1, 1))
    found = decompose(
        parabola(centre, bend), interval_master, 0 * one, one, start=one[:, None], tolerance=1e-9, limit=4
    )
    assert found.status == Status.ITERATION_LIMIT
    assert found.cuts == 4
    assert found.lower < 0 < found.upper


def test_runs_on_torch():
    xp = BACKENDS["torch"]
    centre, bend, one = np.array([[0.37], [0.9]]), np.array([[3.0], [1.0]]), np.ones((2, 1))
    solve = parabola(centre, bend)

    def subproblem(point, index):
        cut, answer = solve(to_numpy(point), to_numpy(index))
        return Cut(*(xp(part) for part in cut)), Answer(xp(answer.square))

    start = np.stack([0 * one, one], axis=1)
    there = decompose(subproblem, interval_master, xp(0 * one), xp(one), start=xp(start), scale=1.0)
    here = decompose(solve, interval_master, 0 * one, one, start=start, scale=1.0)
    np.testing.assert_allclose(to_numpy(there.lower), here.lower, rtol=1e-12)
