"""Solvers of the mesh: known optima, certificates, whole subcarriers, infeasible instances, and CVXPY beside them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
from jcas_baselines import ADMM, GBD, EqualAllocation, Exact
from jcas_baselines.engines.benders import Cut
from jcas_baselines.mesh import convex_program as convex_mesh_program
from jcas_baselines.mesh.convex import bins_of, solve_bins, tones_of
from jcas_baselines.mesh.convex_program import Accuracy
from jcas_baselines.mesh.counts import frontier_of, solve_counts, unsorted
from jcas_baselines.mesh.cuts import CountSubproblem, Interval, decompose_counts, interval_of, sigma_master
from support.instances import identical, numbered, tiny

from jcas_env import MeshAllocation, MeshProblem, Status
from jcas_env.tree import take

CALIBRATIONS = list(product("AB", (0.3, 0.5, 0.7)))
SEEDS = [1, 2, 3]


def values(problem, shares):
    """v on a grid of shares, one instance, and everything that goes with it."""
    model = problem.count_model
    frontier = take(frontier_of(model), np.zeros(len(shares), dtype=int))
    return solve_counts(frontier, model, np.asarray(shares))


def brute_force(problem):
    """Best utility that keeps the floors over all assignments of three users to nine subcarriers."""
    assignment = np.array(list(product(range(3), repeat=9)))
    counts = np.stack([(assignment == u).sum(axis=-1) for u in range(3)], axis=-1).astype(float)
    best = -np.inf
    for share_of in (lambda least: 1 - problem.rate_floor / least, lambda least: np.full_like(least, 1e-3)):
        allocation = MeshAllocation(counts, assignment, np.zeros(len(counts)))
        positioning, rate = problem.performance(allocation)
        least = rate.min(axis=-1)
        share = share_of(np.maximum(least, 1.0))
        kept = (share >= 1e-3) & ((1 - share) * least >= problem.rate_floor * (1 - 1e-12))
        value = problem.count_model.value(positioning, rate.mean(axis=-1), share)
        best = max(best, np.max(np.where(kept, value, -np.inf)))
    return best


class TestCountModel:
    def test_value_at_known_shares(self):
        """Spec mesh 4: A .5 1."""
        found = values(numbered("A", 0.5, 1), [0.02, 0.3, 0.5, 0.7]).value
        np.testing.assert_allclose(found, [0.580143, 0.854889, 1.038212, 0.878879], rtol=1e-5)

    def test_the_value_is_neither_convex_nor_concave(self):
        """Why tangents of it are no cuts (spec mesh 3.1)."""
        second = np.diff(values(numbered("A", 0.5, 1), np.linspace(0.01, 0.73, 73)).value, 2)
        assert second.max() > 1e-5
        assert second.min() < -1e-5

    @pytest.mark.parametrize("objective", ["sum", "log"])
    def test_weak_duality_closes_the_gap_and_the_slope_is_the_derivative(self, objective):
        problem = replace(numbered("B", 0.6, 2), objective=objective)
        shares = np.linspace(0.01, 0.4, 40)
        found = values(problem, shares)
        assert np.all(found.bound >= found.value)
        np.testing.assert_allclose(found.bound, found.value, rtol=1e-10)
        h = 1e-7
        numeric = (values(problem, shares + h).value - values(problem, shares - h).value) / (2 * h)
        np.testing.assert_allclose(found.slope, numeric, rtol=1e-4, atol=1e-5)

    def test_answers_are_feasible(self):
        problem = numbered("A", 0.5, 3)
        model, shares = problem.count_model, np.linspace(0.001, 0.7, 50)
        found = values(problem, shares)
        counts = unsorted(take(frontier_of(model), np.zeros(50, dtype=int)), found.answer.counts)
        np.testing.assert_allclose(counts.sum(axis=-1), 6666, rtol=1e-12)
        assert np.all((1 - shares)[:, None] * model.rate * counts >= 100e6 * (1 - 1e-9))
        np.testing.assert_allclose(found.value, model.utility(counts, shares), rtol=1e-12)

    @pytest.mark.parametrize("share", [0.05, 0.3, 0.5777, 0.7])
    def test_no_other_counts_are_better(self, share, rng):
        """Random feasible counts, and small feasible changes of the optimum."""
        problem = numbered("A", 0.5, 1)
        model = problem.count_model
        best = values(problem, [share])
        optimum = unsorted(frontier_of(model), best.answer.counts)[0]
        need = 100e6 / ((1 - share) * model.rate)
        spare = 6666 - need.sum()
        random = need + spare * rng.dirichlet(np.full(30, 0.3), 2000)
        near = optimum + np.linspace(0, 0.2, 500)[:, None] * (random[:500] - optimum)
        for counts in (random, near):
            assert model.utility(counts, np.full(len(counts), share)).max() <= best.value[0] * (1 + 1e-12)


class TestKnownOptima:
    @pytest.mark.parametrize(
        ("preset", "weight", "share", "value"),
        [("A", 0.3, 0.0010, 0.824497), ("A", 0.5, 0.5777, 1.062161), ("B", 0.5, 0.3266, 0.718099)],
    )
    def test_optimum_of_the_tables(self, preset, weight, share, value):
        """Spec mesh 4 and check 6: v to 1e-4; the flat optimum's share only from the closed form."""
        problem = numbered(preset, weight, 1)
        exact = Exact().solve(problem)
        assert exact.objective == pytest.approx(value, rel=1e-6)
        assert exact.details["positioning_share"] == pytest.approx(share, abs=1e-4)
        assert exact.status == Status.OPTIMAL
        gbd = GBD().solve(problem)
        assert gbd.objective == pytest.approx(value, rel=1e-4)
        assert gbd.objective <= value + 1e-6
        assert gbd.bound >= value - 1e-6

    @pytest.mark.parametrize(("preset", "mean"), [("A", 0.586), ("B", 0.336)])
    def test_mean_share_over_fifteen_seeds(self, preset, mean):
        """Spec mesh check 9."""
        found = Exact().solve(numbered(preset, 0.5, list(range(1, 16))))
        assert found.details["positioning_share"].mean() == pytest.approx(mean, abs=0.01)

    @pytest.mark.parametrize("weight", [0.0, 0.3, 0.5, 0.7, 1.0])
    @pytest.mark.parametrize("preset", ["A", "B"])
    @pytest.mark.parametrize("floor", [0.0, 100e6])
    def test_closed_form_equals_a_fine_grid(self, preset, weight, floor):
        problem = numbered(preset, weight, 4, rate_floor=floor)
        exact = Exact().solve(problem)
        interval = interval_of(problem.count_model)
        grid = values(problem, np.linspace(interval.low[0], interval.high[0], 4001)).value
        assert exact.objective >= grid.max() - 1e-12
        assert exact.objective <= grid.max() * (1 + 1e-4)
        assert exact.bound >= exact.objective

    def test_identical_users_go_to_an_end_of_the_sum(self):
        """Spec mesh check 12: P = R / R_ref for all, so the larger weight takes the frame."""
        for weight, top in ((0.51, True), (0.49, False)):
            problem = identical(positioning_weight=weight)
            for solver in (Exact(), GBD()):
                found = solver.solve(problem)
                end = float(problem.count_model.share_max) if top else 1e-3
                assert found.details["positioning_share"] == pytest.approx(end, abs=1e-5)

    @pytest.mark.parametrize("weight", [0.1, 0.35, 0.6, 0.95])
    def test_identical_users_split_the_logarithms_by_mu(self, weight):
        """Spec mesh check 12: beta = min(mu, beta_max)."""
        problem = identical(positioning_weight=weight, objective="log")
        expected = min(weight, float(problem.count_model.share_max))
        assert Exact().solve(problem).details["positioning_share"] == pytest.approx(expected, abs=1e-3)
        assert GBD(tolerance=1e-7).solve(problem).details["positioning_share"] == pytest.approx(expected, abs=1e-3)

    def test_without_a_floor_the_logarithms_keep_away_from_the_end(self):
        problem = identical(positioning_weight=1.0, objective="log", rate_floor=0.0)
        assert Exact().solve(problem).details["positioning_share"] == pytest.approx(1 - 1e-3)

    def test_users_that_differ_only_in_place_are_treated_alike(self):
        counts = GBD().solve(identical(positioning_weight=0.6)).allocation.counts
        assert np.ptp(counts) <= 1.0


class TestCertificates:
    @pytest.mark.parametrize(("preset", "weight"), CALIBRATIONS)
    def test_bounds_enclose_the_optimum_and_the_answer_is_feasible(self, preset, weight):
        """Spec mesh check 7, 18 instances: gap 1e-4 within 20 subproblems, lower bound attained."""
        problem = numbered(preset, weight, SEEDS)
        found, optimum = GBD().solve(problem), Exact().solve(problem)
        assert np.all(found.objective <= optimum.objective * (1 + 1e-12))
        assert np.all(found.bound >= optimum.objective * (1 - 1e-12))
        assert np.all(found.bound - found.objective <= 1e-4 * found.bound)
        assert found.iterations.max() <= 20
        assert np.all(found.status == Status.OPTIMAL)
        counts, share = found.details["counts"], found.details["positioning_share"]
        model = problem.count_model
        np.testing.assert_allclose(model.utility(counts, share), found.objective, rtol=1e-12)
        assert np.all((1 - share)[:, None] * model.rate * counts >= 100e6 * (1 - 1e-9))
        assert np.all(counts.sum(axis=-1) <= 6666 * (1 + 1e-12))

    @pytest.mark.parametrize(("preset", "weight"), [("A", 0.5), ("A", 0.3), ("B", 0.7)])
    def test_every_master_bounds_the_value_on_a_fine_grid(self, preset, weight):
        """Spec mesh check 7: no interval cut is ever below v (relative 1e-12)."""
        problem = numbered(preset, weight, 2)
        model = problem.count_model
        interval = interval_of(model)
        best = values(problem, np.linspace(interval.low[0], interval.limit[0] * (1 - 1e-9), 5001)).value.max()
        bounds = []
        decompose_counts(model, cuts="valid", tolerance=1e-9, limit=40,
                         watch=lambda _, proposal: bounds.append(float(proposal.bound[0])))  # fmt: skip
        assert len(bounds) > 5
        assert min(bounds) >= best * (1 - 1e-12)

    @pytest.mark.parametrize(("preset", "weight"), [("A", 0.5), ("A", 0.3), ("B", 0.7)])
    def test_no_interval_is_cut_below_the_value_inside_it(self, preset, weight, rng):
        """Spec mesh check 7, interval by interval: any two solved shares bound every share between them."""
        problem = numbered(preset, weight, 2)
        interval = interval_of(problem.count_model)
        ends = np.sort(rng.uniform(interval.low[0], interval.high[0], (60, 2)), axis=-1)
        frontier = take(frontier_of(problem.count_model), np.zeros(120, dtype=int))
        solve = CountSubproblem(frontier, problem.count_model, Interval(*(part.repeat(120) for part in interval)))
        cut, _ = solve(ends.reshape(-1, 1), np.arange(120))
        pairs = Cut(*(part.reshape(60, 2, *part.shape[1:]) for part in cut))
        pairs.multiplier[:, :, 2] = ends[:, 1:]  # nothing beyond the right end
        bound = sigma_master(pairs, ends[:, :1], ends[:, 1:]).bound
        for (left, right), found in zip(ends, bound, strict=True):
            assert values(problem, np.linspace(left, right, 400)).value.max() <= found * (1 + 1e-12)

    def test_the_papers_cuts_certify_a_wrong_answer(self):
        """Spec mesh check 8: A .3 1 has its optimum at the lower end; tangents stop elsewhere, below it."""
        problem = numbered("A", 0.3, 1)
        right, wrong = GBD().solve(problem), GBD(cuts="paper").solve(problem)
        assert right.objective == pytest.approx(0.824497, abs=1e-5)
        assert right.details["positioning_share"] == pytest.approx(1e-3)
        assert wrong.objective == pytest.approx(0.81465, abs=1e-4)
        assert wrong.bound < right.objective  # the "upper bound" is none
        assert wrong.bound - wrong.objective < 1e-4 * wrong.bound  # and the gap looks closed
        assert wrong.status == Status.FEASIBLE

    def test_the_papers_cuts_are_right_where_the_value_is_concave(self):
        found = GBD(cuts="paper").solve(numbered("A", 0.5, 1))
        assert found.objective == pytest.approx(1.062151, abs=1e-5)
        assert found.bound == pytest.approx(1.062243, abs=1e-5)
        log = replace(numbered("A", 0.5, 1), objective="log")
        assert GBD(cuts="paper").solve(log).status == Status.OPTIMAL

    @pytest.mark.parametrize("weight", [0.0, 0.3, 0.8, 1.0])
    def test_logarithms_are_certified_by_tangents(self, weight):
        problem = replace(numbered("A", weight, SEEDS), objective="log")
        found, optimum = GBD().solve(problem), Exact().solve(problem)
        assert np.all(found.objective <= optimum.objective + 1e-12)
        assert np.all(found.bound >= optimum.objective - 1e-12)
        assert np.all(found.bound - found.objective <= 1e-4 * np.maximum(np.abs(found.bound), 1.0))
        grid = [values(numbered_log(weight, s), np.linspace(0.001, 0.73, 2001)).value.max() for s in SEEDS]
        assert np.all(optimum.objective >= np.array(grid) - 1e-9)

    @pytest.mark.slow
    def test_subproblems_and_failures_over_120_instances(self):
        """Spec mesh 4: certified median 9, max 11 (+-2); tangents: 23 false bounds, 12 bad answers, worst 14.4 %."""
        from jcas_experiments.reproduce.lu2022.fig6 import tangent_failures

        cuts = np.concatenate(
            [GBD().solve(numbered(p, w, list(range(1, 16)))).iterations for p, w in product("AB", (0.3, 0.5, 0.7, 1.0))]
        )
        assert abs(np.median(cuts) - 9) <= 2
        assert abs(cuts.max() - 11) <= 2
        failures = tangent_failures(15)
        assert failures.instances == 120
        assert failures.false_bounds == pytest.approx(23, abs=3)
        assert failures.bad_answers == pytest.approx(12, abs=2)
        assert failures.worst == pytest.approx(0.144, abs=0.005)


def numbered_log(weight, seed):
    return replace(numbered("A", weight, seed), objective="log")


class TestInfeasible:
    def test_status_and_the_largest_floor(self):
        """Spec mesh check 10."""
        base = numbered("A", 0.5, 1)
        most = float(base.count_model.rate_floor_max)
        for solver in (GBD(), Exact(), GBD(backend="cvxpy")):
            lost = solver.solve(replace(base, rate_floor=1.001 * most))
            assert lost.status == Status.INFEASIBLE
            assert np.isnan(lost.allocation.counts).all()
            assert np.isnan(lost.allocation.positioning_share)
            assert np.isnan(lost.objective)
            assert np.isnan(lost.bound)
            assert lost.details["rate_floor_max"] == pytest.approx(most)
            assert lost.details["share_max"] < 1e-3
        for solver in (GBD(), Exact(), GBD(backend="cvxpy")):
            assert solver.solve(replace(base, rate_floor=0.99 * most)).status == Status.OPTIMAL
        # Fractions of subcarriers go further than what can be transmitted, see below.
        assert GBD(whole=False).solve(replace(base, rate_floor=0.999 * most)).status == Status.OPTIMAL

    def test_where_whole_subcarriers_cannot_keep_the_floors_it_is_said(self):
        """A status belongs to what is returned: 6666 / .999 subcarriers leave 7, thirty users round up by 15."""
        base = numbered("A", 0.5, 1)
        problem = replace(base, rate_floor=0.999 * float(base.count_model.rate_floor_max))
        each = np.ceil(problem.rate_floor / (1 - 1e-3) / problem.rate_per_subcarrier)
        for solver in (GBD(), Exact(), GBD(cuts="paper"), GBD(backend="cvxpy")):
            found = solver.solve(problem)
            assert found.status == Status.INFEASIBLE
            assert np.isnan(found.allocation.counts).all()
            assert np.isnan(found.objective)
            assert not found.details["floors_kept"]
            assert found.details["relaxed_objective"] > 0.3
            if "subcarriers_needed" in found.details:
                assert found.details["subcarriers_needed"] == each.sum() > 6666
            else:
                assert 0 < found.details["shortfall"] < 0.1

    def test_floors_come_before_the_subcarriers_that_positioning_wants(self):
        """The weak user needs 68.5 of 70 subcarriers at the least share, so 69; the strong one is left with one."""
        ones = np.ones(2)
        problem = MeshProblem(
            distance=5 * ones, aod=ones, aoa=ones, snr=np.array([1e-3, 1e6]), subcarriers=70,
            rate_floor=68.5 * (1 - 1e-3) * 150e3 * float(np.log2(1 + 0.75e-3)),
        )  # fmt: skip
        for solver in (GBD(), Exact()):
            found = solver.solve(problem)
            assert found.status == Status.OPTIMAL
            assert found.allocation.counts.tolist() == [69.0, 1.0]
            assert problem.violation(found.allocation) == 0.0

    def test_a_share_near_one_keeps_small_floors(self):
        """1 - beta = 1e-10 has six digits in double precision and none in single: shares are rounded down."""
        ones = np.ones(2)
        for dtype, allowed in ((np.float64, 1e-9), (np.float32, 1e-5)):
            distance, angle, snr = (np.asarray(part * ones, dtype=dtype) for part in (5.0, 1.0, 1e4))
            problem = MeshProblem(distance=distance, aod=angle, aoa=angle, snr=snr, subcarriers=601, rate_floor=0.06,
                                  positioning_weight=0.99)  # fmt: skip
            for solver in (GBD(), Exact(), EqualAllocation()):
                found = solver.solve(problem)
                assert found.status != Status.INFEASIBLE
                assert found.allocation.positioning_share > 1 - 1e-6
                assert problem.violation(found.allocation) <= allowed

    def test_neighbours_in_a_batch_are_untouched(self):
        base = numbered("A", 0.5, [1, 2, 3])
        mixed = replace(base, rate_floor=np.array([100e6, 900e6, 100e6]))
        for solver in (GBD(), Exact(), EqualAllocation(), GBD(backend="cvxpy", bins=2)):
            found = solver.solve(mixed)
            assert (found.status == Status.INFEASIBLE).tolist() == [False, True, False]
            for lane, seed in ((0, 1), (2, 3)):
                alone = solver.solve(numbered("A", 0.5, seed))
                np.testing.assert_array_equal(found.allocation.counts[lane], alone.allocation.counts)
                assert found.objective[lane] == pytest.approx(float(alone.objective), rel=1e-12)

    def test_the_fallback_is_played_on_an_infeasible_frame(self):
        """Spec mesh check 14, and the largest floor is what the fallback nearly reaches."""
        from jcas_env import Mesh, MeshConfig

        scenario = Mesh(MeshConfig(rate_floor=400e6))
        state = scenario.sample(1)
        outcome = scenario.outcome(state, scenario.fallback(scenario.problem(state)))
        assert not outcome.feasible
        assert outcome.rate.min() == pytest.approx(float(outcome.rate_floor_max), rel=6e-3)
        assert np.isfinite(outcome.utility)


class TestWholeSubcarriers:
    @pytest.mark.parametrize(("preset", "weight"), [*CALIBRATIONS, ("A", 0.0), ("A", 1.0)])
    def test_floors_hold_and_little_is_lost(self, preset, weight):
        """Spec mesh check 11: counts sum to N, floors exact, at most 6e-3 below the relaxed optimum."""
        problem = numbered(preset, weight, SEEDS)
        for solver in (GBD(), Exact()):
            found = solver.solve(problem)
            np.testing.assert_array_equal(found.allocation.counts.sum(axis=-1), 6666)
            assert problem.violation(found.allocation).max() == 0.0
            assert np.all(problem.utility(found.allocation) >= found.objective * (1 - 6e-3))
            assert found.details["floors_kept"].all()

    def test_known_value(self):
        """Spec mesh 4: at least 1.0575 for A .5 1."""
        problem = numbered("A", 0.5, 1)
        assert problem.utility(GBD().solve(problem).allocation) >= 1.0575

    @pytest.mark.parametrize("objective", ["sum", "log"])
    def test_floors_are_kept_whenever_whole_subcarriers_can(self, objective, rng):
        """Few subcarriers for unequal users and high floors: the share must give way far more than on a wide band."""
        shape = 400, 6
        problem = MeshProblem(
            distance=rng.uniform(4, 20, shape), aod=rng.uniform(0.5, 2.6, shape), aoa=rng.uniform(0.5, 2.6, shape),
            snr=10 ** rng.uniform(0, 4, shape), subcarriers=90, rate_floor=0.0, objective=objective,
        )  # fmt: skip
        model = problem.count_model
        problem = replace(problem, rate_floor=model.rate_floor_max * rng.uniform(0.4, 0.97, 400))
        need = problem.rate_floor[:, None] / ((1.0 - problem.share_min) * model.rate)
        possible = np.maximum(np.ceil(need), problem.least_subcarriers).sum(axis=-1) <= 90
        found = GBD().solve(problem)
        assert possible.any()
        assert not possible.all()
        np.testing.assert_array_equal(found.details["floors_kept"], possible)
        np.testing.assert_array_equal(problem.violation(found.allocation) <= 1e-12, possible)

    @pytest.mark.parametrize("objective", ["sum", "log"])
    def test_a_crowd_is_served(self, objective):
        """A thousand users, 6.7 subcarriers each: rounding costs a tenth of the relaxed optimum, not the floors."""
        problem = numbered("A", 0.5, 1, users=1000, rate_floor=3e6, objective=objective)
        found = GBD().solve(problem)
        assert found.status == Status.OPTIMAL
        assert found.allocation.counts.sum() == 6666
        assert problem.violation(found.allocation) == 0.0
        assert 0.0 < found.objective - problem.utility(found.allocation) < 0.2

    def test_fractions_on_request(self):
        problem = numbered("A", 0.5, 1)
        found = GBD(whole=False).solve(problem)
        assert found.allocation.assignment is None
        np.testing.assert_array_equal(found.allocation.counts, found.details["counts"])

    @pytest.mark.parametrize("ripple", [0.0, 2.0])
    @pytest.mark.parametrize("seed", [0, 1, 2])
    def test_brute_force_of_nine_subcarriers(self, ripple, seed):
        """Spec mesh check 11: the bound holds for every assignment, local search reaches 99 % of the best."""
        problem = tiny(ripple, seed)
        best = brute_force(problem)
        assert np.isfinite(best)
        found = GBD().solve(problem)
        assert found.bound >= best * (1 - 1e-9)
        assert problem.violation(found.allocation) <= 1e-12
        assert problem.utility(found.allocation) >= 0.99 * best
        assert problem.utility(found.allocation) <= best * (1 + 1e-9)


def rippled(rng):
    """Six users of A .5 1 on 600 subcarriers, each with a ripple of 2 dB across the band and its own phase."""
    flat = numbered("A", 0.5, 1)
    wave = np.cos(2 * np.pi * np.arange(600) / 600 + rng.uniform(0, 6, (6, 1)))
    return replace(
        flat, distance=flat.distance[:6], aod=flat.aod[:6], aoa=flat.aoa[:6],
        snr=flat.snr[:6, None] * 10 ** (0.1 * wave), subcarriers=600, rate_floor=50e6,
        reference_error=None, reference_rate=None,
    )  # fmt: skip


class TestCones:
    @pytest.mark.parametrize(("bins", "value"), [(1, 1.06216), (2, 1.06515), (8, 1.06549), (32, 1.06552)])
    def test_free_placement(self, bins, value):
        """Spec mesh 4: A .5 1 near its optimal share, 5e-5; every bound holds for single subcarriers."""
        problem = numbered("A", 0.5, 1)
        tones, share = tones_of(problem), 0.5785
        floor = float(problem.rate_floor / problem.rate_scale) / (1 - share)
        found = solve_bins(
            tones, bins_of(problem, tones, bins), worth=(0.5 * share, 0.5 * (1 - share) / 30), floor=floor
        )
        assert found.value == pytest.approx(value, abs=5e-5)
        assert found.bound >= 1.06547
        assert found.bound - found.value < (0.02 if bins == 1 else 1e-3)

    @pytest.mark.parametrize("share", [0.1, 0.45, 0.7])
    def test_one_bin_is_the_count_model(self, share):
        problem = numbered("A", 0.6, 2)
        tones = tones_of(problem)
        floor = float(problem.rate_floor / problem.rate_scale) / (1 - share)
        worth = 0.6 * share, 0.4 * (1 - share) / 30
        cone = solve_bins(tones, bins_of(problem, tones, 1), worth=worth, floor=floor)
        assert cone.value == pytest.approx(float(values(problem, [share]).value[0]), rel=1e-6)

    def test_decomposition_certifies_every_placement(self):
        problem = numbered("A", 0.5, 1)
        found = GBD(backend="cvxpy", bins=8).solve(problem)
        assert found.status == Status.OPTIMAL
        assert found.bound - found.objective <= 1e-4 * found.bound
        assert found.objective == pytest.approx(1.0655, rel=1e-4)
        assert problem.violation(found.allocation) == 0.0
        truth = float(problem.utility(found.allocation))
        assert found.bound * (1 - 6e-3) <= truth <= found.bound
        # Whatever else is assigned stays below the bound as well.
        assert problem.utility(GBD().solve(problem).allocation) <= found.bound

    def test_a_frequency_selective_channel_is_solved_and_certified(self, rng):
        problem = rippled(rng)
        found = GBD(bins=40, tolerance=2e-3).solve(problem)
        assert found.status == Status.OPTIMAL
        truth = float(problem.utility(found.allocation))
        assert found.bound >= truth
        assert truth >= 0.94 * found.bound  # 60 subcarriers a user: one of them is 1.6 %
        assert problem.violation(found.allocation) == 0.0
        with pytest.raises(ValueError, match="Exact solves flat channels"):
            Exact().solve(problem)

    @pytest.mark.parametrize("seeds", [range(8), pytest.param(range(8, 100), marks=pytest.mark.slow)])
    def test_the_gap_closes_on_every_ripple(self, seeds):
        """No cone program fails, and the few that stop short of 1e-10 cost nothing that the bound would not show."""
        for seed in seeds:
            found = GBD(bins=40, tolerance=2e-3).solve(rippled(np.random.default_rng(seed)))
            assert found.status == Status.OPTIMAL, seed
            assert found.bound - found.objective <= 2e-3 * found.bound, seed
            assert found.details["programs_failed"] == 0, seed
            assert found.details["programs_inaccurate"] <= 4, seed

    def test_an_answer_depends_on_its_problem_alone(self):
        """The compiled program is shared; nothing of an earlier solve, least of all an iterate, is."""
        problem, other = (rippled(np.random.default_rng(seed)) for seed in (2, 3))
        first = GBD(bins=40, tolerance=2e-3).solve(problem)
        GBD(bins=40, tolerance=2e-3).solve(other)
        again = GBD(bins=40, tolerance=2e-3).solve(problem)
        for name in ("objective", "bound", "iterations"):
            np.testing.assert_array_equal(getattr(again, name), getattr(first, name))
        for part, same in zip(again.allocation, first.allocation, strict=True):
            np.testing.assert_array_equal(part, same)

    def test_a_program_that_nobody_solves_is_told_and_its_bound_still_holds(self, monkeypatch):
        """One interior-point step is no answer; the fairest amounts and weak duality remain."""
        problem, share = rippled(np.random.default_rng(0)), 0.5
        tones = tones_of(problem)
        bins, worth = bins_of(problem, tones, 40), (0.5 * share, 0.5 * (1 - share) / 6)
        floor = float(problem.rate_floor / problem.rate_scale) / (1 - share)
        good = solve_bins(tones, bins, worth=worth, floor=floor)
        monkeypatch.setattr(convex_mesh_program, "SOLVERS", {"CLARABEL": {"max_iter": 1}})
        lost = solve_bins(tones, bins, worth=worth, floor=floor)
        assert (good.accuracy, lost.accuracy) == (Accuracy.EXACT, Accuracy.FAILED)
        assert lost.value < good.value <= lost.bound
        assert ((lost.amount * bins.rate).sum(axis=1) >= floor * (1 - 1e-9)).all()
        found = GBD(bins=40, max_cuts=5).solve(problem)
        assert found.status == Status.ITERATION_LIMIT
        assert found.details["programs_failed"] == 5
        assert found.bound >= problem.utility(found.allocation)

    def test_the_next_solver_answers_where_the_first_does_not(self, monkeypatch):
        problem, share = numbered("A", 0.5, 1), 0.5785
        tones = tones_of(problem)
        bins, worth = bins_of(problem, tones, 1), (0.5 * share, 0.5 * (1 - share) / 30)
        floor = float(problem.rate_floor / problem.rate_scale) / (1 - share)
        monkeypatch.setattr(convex_mesh_program, "SOLVERS", {"CLARABEL": {"max_iter": 1}, "SCS": {}})
        found = solve_bins(tones, bins, worth=worth, floor=floor)
        assert found.accuracy != Accuracy.FAILED
        assert found.value == pytest.approx(1.06216, rel=1e-2)
        assert found.bound >= 1.06216

    def test_logarithms_agree_with_the_closed_form(self):
        problem = replace(numbered("A", 0.5, 1), objective="log")
        cone, exact = GBD(backend="cvxpy", bins=1, max_cuts=12).solve(problem), Exact().solve(problem)
        assert cone.objective <= exact.objective + 1e-6
        assert cone.objective == pytest.approx(float(exact.objective), abs=2e-3)
        assert cone.bound >= exact.objective

    @pytest.mark.slow
    def test_log_frontier_bounds_the_sum(self):
        """Spec mesh 3.5: vertices of the outer polyhedron of (log bP, log (1-b)R) bound F, an independent check."""
        problem = numbered("A", 0.5, 1)
        mus = np.linspace(0.0, 1.0, 41)
        heights = np.array(
            [float(Exact().solve(replace(problem, positioning_weight=m, objective="log")).bound) for m in mus]
        )
        best = -np.inf
        for (m, h), (n, k) in pairwise(zip(mus, heights, strict=True)):
            x, y = np.linalg.solve([[m, 1 - m], [n, 1 - n]], [h, k])
            best = max(best, 0.5 * np.exp(x) + 0.5 * np.exp(y))
        optimum = float(Exact().solve(problem).objective)
        assert optimum <= best * (1 + 1e-9)
        assert best <= 1.01 * optimum


class TestEqual:
    def test_share_is_the_best_one_for_equal_counts(self):
        for preset, weight in CALIBRATIONS:
            problem = numbered(preset, weight, 2)
            found = EqualAllocation().solve(problem)
            if found.status == Status.INFEASIBLE:
                continue
            grid = np.linspace(1e-3, 0.999, 2000)
            positioning, rate = problem.performance(found.allocation)
            scores = np.where(problem.shortfall(rate, grid) == 0, problem.score(positioning, rate, grid), -np.inf)
            assert np.ptp(found.allocation.counts) <= 1
            assert problem.utility(found.allocation) >= scores.max() - 1e-9
            assert problem.violation(found.allocation) == 0.0

    def test_floors_that_equal_counts_cannot_keep_are_infeasible_for_it(self):
        """B: the farthest of these users has less than 180 Mbit/s of an equal share, the optimum keeps 170."""
        problem = numbered("B", 0.5, 1, rate_floor=170e6)
        assert EqualAllocation().solve(problem).status == Status.INFEASIBLE
        assert Exact().solve(problem).status == Status.OPTIMAL


def test_order_of_the_allocators_in_the_environment():
    problem = numbered("A", 0.5, [1, 2, 3, 4])
    equal, exact, gbd = (problem.utility(s.solve(problem).allocation) for s in (EqualAllocation(), Exact(), GBD()))
    assert np.all(equal < exact)
    np.testing.assert_allclose(exact, gbd, rtol=2e-3)


def test_batch_equals_singles():
    batch = GBD().solve(numbered("A", 0.7, SEEDS))
    for lane, seed in enumerate(SEEDS):
        alone = GBD().solve(numbered("A", 0.7, seed))
        np.testing.assert_array_equal(batch.allocation.assignment[lane], alone.allocation.assignment)
        assert batch.objective[lane] == pytest.approx(float(alone.objective), rel=1e-12)
        assert batch.iterations[lane] == alone.iterations
    two = GBD().solve(replace_batch(numbered("A", 0.7, [1, 2, 3, 4])))
    assert two.allocation.counts.shape == (2, 2, 30)
    np.testing.assert_array_equal(two.allocation.counts.reshape(4, 30)[:3], batch.allocation.counts)


def replace_batch(problem):
    fields = {name: getattr(problem, name).reshape(2, 2, -1) for name in ("distance", "aod", "aoa", "snr")}
    scales = {name: getattr(problem, name).reshape(2, 2) for name in ("reference_error", "reference_rate")}
    return replace(problem, **fields, **scales)


def test_methods_that_do_not_know_the_mesh_say_so():
    with pytest.raises(TypeError, match="ADMM solves"):
        ADMM().solve(numbered("A", 0.5, 1))
    with pytest.raises(ValueError, match="`cuts` must be valid or paper"):
        GBD(cuts="tangent")
    with pytest.raises(ValueError, match="`bins` must be an integer of at least 1"):
        GBD(bins=0)


def test_single_precision_is_solved_in_double():
    single, double = numbered("A", 0.5, [1, 2], dtype="float32"), numbered("A", 0.5, [1, 2])
    for solver in (GBD(), Exact(), GBD(whole=False), EqualAllocation()):
        a, b = solver.solve(single), solver.solve(double)
        assert a.allocation.counts.dtype == a.objective.dtype == np.float32
        np.testing.assert_allclose(a.objective, b.objective, rtol=1e-4)
        assert np.all(a.status == b.status)


def test_torch_solves_alike():
    torch = pytest.importorskip("torch")
    plain = numbered("A", 0.5, [1, 2])
    names = ("distance", "aod", "aoa", "snr", "reference_error", "reference_rate")
    moved = replace(plain, **{name: torch.from_numpy(np.array(getattr(plain, name))) for name in names})
    for objective in ("sum", "log"):
        for solver in (GBD(), Exact(), EqualAllocation()):
            a, b = (solver.solve(replace(problem, objective=objective)) for problem in (moved, plain))
            np.testing.assert_allclose(a.objective.numpy(), b.objective, rtol=1e-12)
            np.testing.assert_array_equal(a.allocation.counts.numpy(), b.allocation.counts)
            np.testing.assert_array_equal(a.allocation.assignment.numpy(), b.allocation.assignment)
