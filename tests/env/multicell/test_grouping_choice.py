"""The choice of a grouping threshold in every cell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from jcas_baselines import ADMM, GBD, SCA, BestGrouping, EqualAllocation, Exact
from support.problems import random_problem
from support.scenes import static

from jcas_env import Status

FEW = (0.2, 0.4, 1.01)


def test_relaxed_choice_is_the_best_threshold_of_each_cell():
    problem = static(3, ue_antennas=18).problem
    solution = BestGrouping(Exact(), FEW, judge="relaxed").solve(problem)
    each = np.stack([Exact().solve(problem.regroup(t)).details["cell_objective"] for t in FEW])
    np.testing.assert_allclose(solution.objective, each.max(axis=0).mean(axis=-1), rtol=1e-12)
    np.testing.assert_array_equal(solution.details["grouping_threshold"], np.array(FEW)[each.argmax(axis=0)])
    np.testing.assert_allclose(solution.bound, solution.objective, rtol=1e-12)
    assert problem.violation(solution.allocation).max() <= 1e-9


@pytest.mark.parametrize("precoder", ["mrt", "zf"])
def test_every_cell_plays_what_it_would_play_at_its_threshold(precoder):
    problem = static(2, ue_antennas=18, precoder=precoder).problem
    solution = BestGrouping(ADMM(), FEW).solve(problem)
    again = problem.regroup(solution.details["grouping_threshold"])
    np.testing.assert_array_equal(again.group, solution.allocation.group)
    expected = ADMM().solve(again)
    np.testing.assert_allclose(solution.allocation.power, expected.allocation.power, rtol=1e-9)
    np.testing.assert_allclose(problem.utility(solution.allocation), again.utility(expected.allocation), rtol=1e-9)


def test_is_worth_about_seven_percent_to_admm():
    """Spec multicell 10.2: a choice by true utility adds about 7 % (M20 N18, MRT)."""
    scene = static(40, ue_antennas=18)
    plain = scene.truth.utility(ADMM().solve(scene.problem).allocation).mean()
    chosen = scene.truth.utility(BestGrouping(ADMM()).solve(scene.problem).allocation).mean()
    assert 1.04 <= chosen / plain <= 1.10


@pytest.mark.parametrize("solver", [EqualAllocation(), GBD(), SCA()], ids=str)
def test_serves_the_other_solvers_at_a_free_share(solver):
    problem = static(2, positioning_share=None, reward="fair").problem
    solution = BestGrouping(solver, FEW).solve(problem)
    assert problem.violation(solution.allocation).max() <= 1e-9
    alone = problem.utility(solver.solve(problem).allocation)
    assert (problem.utility(solution.allocation) >= alone - 2e-3 * abs(alone)).all()


def test_thresholds_whose_floors_do_not_fit_are_left_out(rng):
    # Three users alone need 3 x 2 MHz in a share of 5 MHz; two groups fit.
    correlation = np.broadcast_to(np.array([[1.0, 0.9, 0.3], [0.9, 1.0, 0.3], [0.3, 0.3, 1.0]]), (2, 3, 3))
    problem = random_problem(rng, 2, cells=1, crowd=3, share=0.5, band_floor=2e6, correlation=correlation)
    solution = BestGrouping(Exact(), (0.1, 0.5)).solve(problem)
    np.testing.assert_array_equal(solution.details["grouping_threshold"], 0.5)
    np.testing.assert_array_equal(solution.status, Status.OPTIMAL)
    none = BestGrouping(Exact(), (0.1,)).solve(problem)
    np.testing.assert_array_equal(none.status, Status.INFEASIBLE)
    assert np.isnan(none.allocation.power).all()
    assert np.isnan(none.bound).all()


@pytest.mark.parametrize("judge", ["relaxed", "utility"])
@pytest.mark.parametrize("solver", [Exact(), GBD()], ids=str)
def test_a_threshold_that_fails_in_one_cell_is_chosen_in_none(judge, solver, rng):
    """Three groups of one user each do not fit into cell 0, whose band floor is high; into cell 1 they do."""
    correlation = np.broadcast_to(np.eye(6), (2, 6, 6)) + 0.3 * (1 - np.eye(6))
    floors = np.array([2e6, 1e4])  # 3 x 2 MHz in a share of 5 MHz
    problem = random_problem(rng, 2, cells=2, crowd=3, share=0.5, band_floor=floors, correlation=correlation)
    solution = BestGrouping(solver, (0.1, 0.5), judge=judge).solve(problem)
    np.testing.assert_array_equal(solution.status, Status.OPTIMAL)
    np.testing.assert_array_equal(solution.details["grouping_threshold"], 0.5)
    assert problem.violation(solution.allocation).max() <= 1e-9
    none = BestGrouping(ADMM(), (0.1,), judge=judge).solve(replace(problem, positioning_share=np.nan, power_floor=9.0))
    np.testing.assert_array_equal(none.status, Status.INFEASIBLE)
    assert np.isnan(none.bound).all()


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match=r"`thresholds\[1\]` must be a number above 0, got 0.0"):
        BestGrouping(ADMM(), (0.4, 0.0))
    with pytest.raises(ValueError, match="`thresholds` must hold at least one number"):
        BestGrouping(ADMM(), ())
    with pytest.raises(ValueError, match="`judge` must be relaxed or utility, got 'truth'"):
        BestGrouping(ADMM(), judge="truth")
    with pytest.raises(TypeError, match="BestGrouping solves MultiCellProblem, got str"):
        BestGrouping(ADMM()).solve("a problem")
    problem = static(1).problem
    with pytest.raises(TypeError, match="treats cells separately"):
        BestGrouping(SCA(scope="network")).solve(problem)
    with pytest.raises(ValueError, match="`regroup` needs `correlation`"):
        BestGrouping(ADMM()).solve(replace(problem, correlation=None))
