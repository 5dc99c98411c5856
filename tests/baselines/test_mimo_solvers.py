"""Massive MIMO power allocation: exact optimum, benchmarks, SCA, against known cases and other optimisers."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from jcas_baselines import ADMM, SCA, EqualAllocation, Exact
from jcas_baselines.massive_mimo.minorant import surrogate
from jcas_baselines.massive_mimo.sca import first_point, linear_demand
from scipy.optimize import minimize
from support.mimo import GAIN, case, layouts, part, random_problem

from jcas_env import MassiveMIMOAllocation, MassiveMIMOProblem, Status
from jcas_env.scenarios.massive_mimo.action import sinr_slope, split

ABSOLUTE = 1e-12
READINGS = ("equal-power", "equal-stream", "equal-full", "equal-half")


class TestKnownCases:
    """Spec mimo check 1 and 2, to the tolerances of section 5."""

    def test_derived_quantities(self):
        a, b = 82904.6769691506, 621785.0772686296
        for snr, c in ((5.0, 316227.7660168379), (-12.0, 15848931.924611133), (-17.0, 50118723.36272722)):
            problem = case(snr_sen=snr)
            np.testing.assert_allclose(problem.estimate_variance, [5 / 12, 1 / 20, 1 / 300, 1 / 6500], rtol=1e-12)
            stream = MassiveMIMOAllocation(np.array([1.0, 0.0, 0.0, 0.0]), np.asarray(0.0))
            beam = MassiveMIMOAllocation(np.zeros(4), np.asarray(1.0))
            noise = problem.echo_noise
            assert noise / problem.crb(stream) == pytest.approx(a, rel=1e-9)
            assert noise / problem.crb(beam) == pytest.approx(b, rel=1e-9)
            assert noise / problem.crb_limit == pytest.approx(c, rel=1e-9)

    def test_case_a_the_demand_is_slack(self):
        problem = case()
        solution = Exact().solve(problem)
        power = solution.allocation.power
        np.testing.assert_allclose(power[:3], [35.188148148, 30.850370370, 0.628148148], rtol=0, atol=5e-10)
        assert power[3] == pytest.approx(0.0, abs=ABSOLUTE)
        assert solution.allocation.sensing_power == pytest.approx(0.0, abs=ABSOLUTE)
        rates = problem.rates(solution.allocation)
        np.testing.assert_allclose(rates, [2.610720946, 1.849410976, 0.020231647, 0.0], rtol=0, atol=5e-10)
        assert solution.objective == pytest.approx(4.480363568668, rel=1e-9)
        assert solution.details["crb"] == pytest.approx(5.721530634535e-5, rel=1e-9)
        assert problem.crb_min == pytest.approx(7.6287e-6, abs=5e-11)
        assert solution.status == Status.OPTIMAL
        assert solution.bound == solution.objective

    def test_case_c_the_demand_binds(self):
        problem = case(snr_sen=-12.0)
        solution = Exact().solve(problem)
        np.testing.assert_allclose(solution.allocation.power, [25.925001141, 21.587223363, 0, 0], rtol=0, atol=5e-10)
        assert solution.allocation.sensing_power == pytest.approx(19.154442162, abs=5e-10)
        np.testing.assert_allclose(
            problem.rates(solution.allocation), [2.274729353, 1.513419384, 0, 0], rtol=0, atol=5e-10
        )
        assert solution.objective == pytest.approx(3.788148736231, rel=1e-9)
        assert solution.details["crb"] == pytest.approx(1e-3, rel=1e-9)

    @pytest.mark.parametrize(
        ("snr_sen", "equal_power", "crb_full"),
        [(5.0, 3.934643430494, 8.393827711e-6), (-12.0, 3.366746395951, 4.206879290e-4), (-17.0, None, 1.330332040e-3)],
    )
    def test_benchmarks(self, snr_sen, equal_power, crb_full):
        problem = case(snr_sen=snr_sen)
        equal, full = (EqualAllocation(reading=name).solve(problem) for name in ("equal-power", "equal-full"))
        assert full.objective == pytest.approx(1.086286149923, rel=1e-9)
        assert full.details["crb"] == pytest.approx(crb_full, rel=1e-9)
        if equal_power is None:
            assert equal.status == Status.INFEASIBLE
            assert np.isnan(equal.objective)
        else:
            assert equal.objective == pytest.approx(equal_power, rel=1e-9)
            assert equal.status == Status.FEASIBLE

    def test_an_infeasible_frame_is_reported_and_its_neighbours_are_untouched(self):
        """Case E between A and C."""
        batch = Exact().solve(case(snr_sen=[5.0, -17.0, -12.0]))
        assert batch.status.tolist() == [Status.OPTIMAL, Status.INFEASIBLE, Status.OPTIMAL]
        assert np.isnan(batch.allocation.power[1]).all()
        assert np.isnan(batch.allocation.sensing_power[1])
        assert np.isnan([batch.objective[1], batch.bound[1], batch.details["crb"][1]]).all()
        assert not batch.details["feasible"][1]
        assert batch.details["crb_min"][1] == pytest.approx(1.209068660418e-3, rel=1e-9)
        assert batch.details["sufficient_power"][1] == pytest.approx(1209.068660418, rel=1e-9)
        for lane, snr in ((0, 5.0), (2, -12.0)):
            alone = Exact().solve(case(snr_sen=snr))
            np.testing.assert_array_equal(batch.allocation.power[lane], alone.allocation.power)
            assert batch.objective[lane] == alone.objective
        for solver in (SCA(), SCA(start="low"), EqualAllocation()):
            mixed = solver.solve(case(snr_sen=[5.0, -17.0, -12.0]))
            assert (mixed.status == Status.INFEASIBLE).tolist() == [False, True, False]
            assert np.isnan(mixed.allocation.power[1]).all()
            for lane, snr in ((0, 5.0), (2, -12.0)):
                alone = solver.solve(case(snr_sen=snr))
                np.testing.assert_allclose(mixed.allocation.power[lane], alone.allocation.power, rtol=1e-12)

    def test_sufficient_power_suffices_and_less_does_not(self):
        problem = case(snr_sen=-17.0)
        needed = problem.sufficient_power
        assert Exact().solve(replace(problem, power_budget=needed * (1 + 1e-9))).status == Status.OPTIMAL
        assert Exact().solve(replace(problem, power_budget=needed * (1 - 1e-9))).status == Status.INFEASIBLE

    def test_at_the_very_limit_everything_goes_to_the_beam(self):
        problem = case(snr_sen=-17.0)
        solution = Exact().solve(replace(problem, crb_limit=problem.crb_min))
        assert solution.status == Status.OPTIMAL
        assert solution.allocation.sensing_power == pytest.approx(1000.0 / 15.0)
        np.testing.assert_allclose(problem.rates(solution.allocation), 0.0, atol=1e-9)

    def test_sca_does_not_wait_for_what_cannot_rise(self):
        """Out of reach, or at the very limit where all rates are zero, it is done at once."""
        problem = case(snr_sen=-17.0)
        limit = SCA().solve(replace(problem, crb_limit=problem.crb_min))
        assert (limit.status, limit.iterations) == (Status.STATIONARY, 1)
        assert SCA().solve(problem).iterations == 1

    @pytest.mark.parametrize(("antennas", "low", "high"), [(15, -16.175, -7.425), (35, -30.910, -18.480)])
    def test_window_of_a_real_trade_off(self, antennas, low, high):
        """Spec mimo check 3: thresholds of SNR_sen to 0.001 dB."""
        edges = np.array([low - 1e-3, low + 1e-3, high - 1e-3, high + 1e-3])
        solution = Exact().solve(case(antennas=antennas, snr_sen=edges))
        assert (solution.status == Status.INFEASIBLE).tolist() == [True, False, False, False]
        sensing = solution.allocation.sensing_power
        assert (sensing[1:3] > 0).all()
        assert sensing[3] == 0.0


class TestOptimality:
    """Spec mimo check 6."""

    @pytest.mark.parametrize("shape", [{}, {"tx_antennas": 30, "rx_antennas": 5}])
    def test_the_optimum_rises_with_the_power(self, shape, rng):
        problem = random_problem(rng, 300, **shape)
        budgets = np.linspace(0.2, 1.0, 9)
        values = [Exact().solve(replace(problem, power_budget=1000.0 * part)).objective for part in budgets]
        values = np.where(np.isnan(values), -np.inf, values)
        for before, after in pairwise(values):
            reached = np.isfinite(after)
            assert reached.sum() > 20
            assert (after[reached] > before[reached]).all()

    @pytest.mark.parametrize("shape", [{}, {"tx_antennas": 30, "rx_antennas": 5}, {"beam_angle": 0.05}])
    def test_no_random_feasible_point_is_better(self, shape, rng):
        """10,000 points in all, of every total power, aligned and mispointed."""
        problem = random_problem(rng, 25, target_angle=0.0, **shape)
        solution = Exact().solve(problem)
        parts = rng.dirichlet(np.full(6, 0.5), (400, 25))[..., :5] ** rng.choice([0.3, 1.0], (400, 25, 1))
        parts /= np.maximum(parts.sum(axis=-1, keepdims=True), 1.0)
        total = problem.largest_total[:, None]
        tried = MassiveMIMOAllocation(parts[..., :4] * total, parts[..., 4] * total[:, 0])
        value = np.where(problem.crb(tried) <= problem.crb_limit, problem.utility(tried), -np.inf)
        good = solution.status == Status.OPTIMAL
        assert good.any()
        assert np.isfinite(value[:, good]).any()
        assert (value[:, good].max(axis=0) <= solution.objective[good] + 1e-9).all()
        assert not np.isfinite(value[:, ~good]).any()

    def test_a_general_optimiser_finds_the_same(self, rng):
        """SLSQP from three starts: not above by more than 1e-8, and the best within 1e-6 below."""
        batch = random_problem(rng, 12, target_angle=0.0)
        solution = Exact().solve(batch)
        lanes = np.flatnonzero(solution.status == Status.OPTIMAL)[:4]
        assert len(lanes) == 4
        for lane in lanes:
            problem = MassiveMIMOProblem(
                batch.large_scale_gain[lane], batch.estimate_variance[lane], batch.noise_power[lane],
                batch.echo_noise[lane], 1000.0, 1e-3, 12, 10, rate_factor=0.9,
            )  # fmt: skip
            total = float(problem.largest_total)

            def allocation(x, total=total):
                return MassiveMIMOAllocation(total * x[:4], np.asarray(total * x[4]))

            def loss(x, problem=problem, allocation=allocation):
                return -float(problem.utility(allocation(np.maximum(x, 0.0))))

            def slack(x, problem=problem, allocation=allocation):
                return float(problem.information(allocation(x)) * problem.crb_limit - 1.0)

            constraints = [{"type": "ineq", "fun": slack}, {"type": "ineq", "fun": lambda x: 1.0 - x.sum()}]
            found = []
            for start in (np.full(5, 0.2), np.array([0.1, 0.1, 0.1, 0.1, 0.6]), np.array([0.6, 0.1, 0.1, 0.1, 0.1])):
                result = minimize(
                    loss, start, method="SLSQP", bounds=[(0.0, 1.0)] * 5, constraints=constraints,
                    options={"ftol": 1e-14, "maxiter": 500},
                )  # fmt: skip
                if slack(result.x) > -1e-10 and result.x.sum() < 1 + 1e-10:
                    found.append(-result.fun)
            best = solution.objective[lane]
            assert max(found) <= best + 1e-8
            assert max(found) >= best - 1e-6

    def test_water_filling_satisfies_kkt(self, rng):
        """One level nu: w/(nu) = 1/g + p where p > 0, and 1/g >= nu w elsewhere, to 1e-10 of the budget."""
        weight = rng.uniform(0.2, 2.0, (200, 4))
        problem = random_problem(rng, 200, crb_limit=np.inf, weight=weight)
        power = Exact().solve(problem).allocation.power
        inverse = 1.0 / sinr_slope(problem, problem.largest_total)
        total = problem.largest_total[:, None]
        served = power > 0
        level = np.where(served, (inverse + power) / weight, np.nan)
        nu = np.nanmax(level, axis=-1, keepdims=True)
        assert (np.where(served, np.abs(level - nu), 0.0) <= 1e-10 * np.maximum(nu, total)).all()
        assert (np.where(served, np.inf, inverse / weight) >= nu * (1 - 1e-10)).all()
        np.testing.assert_allclose(power.sum(axis=-1), total[:, 0], rtol=1e-12)

    def test_rate_floors_are_kept_at_full_power_or_reported(self, rng):
        problem = layouts(200, snr_com_db=20.0)
        floored = replace(problem, rate_floor=0.02)
        solution, free = Exact().solve(floored), Exact().solve(problem)
        good = solution.status == Status.OPTIMAL
        assert good.any()
        assert (~good).any()
        rates = floored.rates(solution.allocation)
        assert (rates[good] >= 0.02 - 1e-12).all()
        assert (solution.objective[good] <= free.objective[good] + 1e-12).all()
        np.testing.assert_allclose(
            solution.allocation.power[good].sum(axis=-1), problem.largest_total[good], rtol=1e-12
        )
        slope = sinr_slope(problem, problem.largest_total)
        needed = ((2 ** (0.02 / 0.9) - 1) / slope).sum(axis=-1)
        np.testing.assert_array_equal(good, needed <= problem.largest_total)

    @pytest.mark.parametrize("variant", ["weighted", "floors", "least rate"])
    def test_no_random_point_beats_the_variants_under_a_demand_that_binds(self, variant, rng):
        """Weights, rate floors and the least rate, each beside a bound on the angle: one batch, any total power."""
        fields = {
            "weighted": {"weight": rng.uniform(0.2, 2.0, (30, 4))},
            "floors": {"weight": rng.uniform(0.2, 2.0, (30, 4)), "rate_floor": rng.uniform(0.0, 0.05, (30, 4))},
            "least rate": {"objective": "min"},
        }[variant]
        problem = random_problem(rng, 30, target_angle=0.0, **fields)
        solution = Exact().solve(problem)
        good = solution.status == Status.OPTIMAL
        assert (good & (solution.allocation.sensing_power > 0)).any()
        near = rng.normal(0.0, 0.05, (600, 30, 5)) * problem.largest_total[:, None]
        near = np.concatenate([solution.allocation.power, solution.allocation.sensing_power[:, None]], axis=-1) + near
        anywhere = rng.dirichlet(np.ones(5), (600, 30)) * problem.largest_total[:, None]
        tried = np.maximum(np.concatenate([near, anywhere])[:, good], 0.0)
        problem, best = part(problem, good), solution.objective[good]
        tried *= np.minimum(1.0, problem.largest_total[:, None] / tried.sum(axis=-1, keepdims=True))
        tried = MassiveMIMOAllocation(tried[..., :4], tried[..., 4])
        kept = (problem.crb(tried) <= problem.crb_limit) & (problem.rates(tried) >= problem.rate_floor).all(axis=-1)
        assert kept.sum() > 100
        assert np.where(kept, problem.utility(tried) - best, -np.inf).max() <= 1e-9

    def test_floors_out_of_reach_are_told_by_the_power_they_lack(self):
        """Three frames of one batch: floors that fit, floors that do not, and a demand that leaves them no power."""
        problem = case(snr_sen=[5.0, 5.0, -16.0], rate_floor=np.array([[0.01] * 4, [0.5] * 4, [0.01] * 4]))
        solution = Exact().solve(problem)
        assert solution.status.tolist() == [Status.OPTIMAL, Status.INFEASIBLE, Status.INFEASIBLE]
        needed, left = (solution.details[f"stream_power_{name}"] for name in ("needed", "left"))
        np.testing.assert_array_equal(needed > left, [False, True, True])
        assert problem.feasible.all()  # it is not the demand alone
        alone = Exact().solve(case(snr_sen=5.0, rate_floor=0.01))
        np.testing.assert_array_equal(solution.allocation.power[0], alone.allocation.power)

    def test_the_least_rate_is_largest_where_all_are_equal(self, rng):
        problem = replace(random_problem(rng, 50, crb_limit=np.inf), objective="min")
        solution = Exact().solve(problem)
        rates = problem.rates(solution.allocation)
        np.testing.assert_allclose(rates, rates[:, :1] + np.zeros(4), rtol=1e-10)
        np.testing.assert_allclose(solution.objective, rates[:, 0], rtol=1e-10)
        tried = rng.dirichlet(np.ones(4), (400, 50)) * problem.largest_total[:, None]
        assert (problem.utility(MassiveMIMOAllocation(tried, np.zeros((400, 50)))) <= solution.objective + 1e-12).all()

    def test_invariances(self, rng):
        """Spec mimo check 11."""
        problem = random_problem(rng, 40)
        base = Exact().solve(problem)
        order = np.array([2, 0, 3, 1])
        gain, xi = problem.large_scale_gain[:, order], problem.estimate_variance[:, order]
        permuted = Exact().solve(replace(problem, large_scale_gain=gain, estimate_variance=xi))
        np.testing.assert_allclose(permuted.allocation.power, base.allocation.power[:, order], rtol=1e-9, atol=1e-12)
        mirrored = replace(problem, target_angle=-problem.target_angle, beam_angle=-problem.target_angle)
        np.testing.assert_allclose(Exact().solve(mirrored).objective, base.objective, rtol=1e-12)
        scaled = Exact().solve(
            replace(
                problem,
                power_budget=7.0 * problem.power_budget,
                noise_power=7.0 * problem.noise_power,
                echo_noise=7.0 * problem.echo_noise,
            )
        )
        np.testing.assert_allclose(scaled.allocation.power, 7.0 * base.allocation.power, rtol=1e-9)
        np.testing.assert_allclose(scaled.objective, base.objective, rtol=1e-12)
        np.testing.assert_allclose(scaled.details["crb"], base.details["crb"], rtol=1e-9)


class TestBenchmarks:
    @pytest.mark.parametrize("reading", READINGS)
    def test_keep_the_budget_and_never_beat_the_optimum(self, reading, rng):
        problem = random_problem(rng, 200)
        solution, best = EqualAllocation(reading=reading).solve(problem), Exact().solve(problem)
        good = ~np.isnan(solution.objective)
        assert problem.violation(solution.allocation)[good].max() < 1e-12
        met = good & (solution.details["crb"] <= problem.crb_limit)
        assert met.any()
        assert (solution.objective[met] <= best.objective[met] + 1e-12).all()

    def test_trends(self):
        """Spec mimo check 9, 2,000 layouts at 30 and 28 dB."""
        for antennas, gain, ratio, width in ((15, 0.207, 4.82, 0.3), (35, 0.261, 4.32, 0.25)):
            problem = layouts(2000, antennas=antennas, snr_com_db=30.0)
            best = Exact().solve(problem).objective.mean()
            means = {name: EqualAllocation(reading=name).solve(problem).objective.mean() for name in READINGS}
            assert best / means["equal-power"] - 1 == pytest.approx(gain, abs=0.015)
            assert best / means["equal-full"] == pytest.approx(ratio, abs=width)
            assert means["equal-half"] / best == pytest.approx(0.585, abs=0.02)
        problem = layouts(2000, antennas=35, snr_com_db=28.0)
        gain = Exact().solve(problem).objective.mean() / EqualAllocation().solve(problem).objective.mean() - 1
        assert gain == pytest.approx(0.237, abs=0.015)

    @pytest.mark.parametrize(
        ("antennas", "snr", "expected"),
        [
            (15, 10.0, (1.538, 0.422)),
            (15, 30.0, (5.873, 1.219)),
            (35, 10.0, (2.365, 0.670)),
            (35, 30.0, (8.796, 2.035)),
        ],
    )
    def test_levels_of_the_figures(self, antennas, snr, expected):
        """Spec mimo 5: means over 2,000 layouts."""
        problem = layouts(2000, antennas=antennas, snr_com_db=snr)
        widths = (0.06, 0.15) if snr == 10.0 else (0.02, 0.07)
        for solver, value, width in zip(
            (Exact(), EqualAllocation(reading="equal-full")), expected, widths, strict=True
        ):
            assert solver.solve(problem).objective.mean() == pytest.approx(value, rel=width)

    def test_options_are_checked(self):
        with pytest.raises(ValueError, match="`reading` must be equal-power, .* or equal-half, got 'half'"):
            EqualAllocation(reading="half")
        with pytest.raises(TypeError, match="ADMM solves MultiCellProblem and RelaxedProblem, got MassiveMIMOProblem"):
            ADMM().solve(case())
        for solver in (Exact(), EqualAllocation(), SCA()):
            with pytest.raises(TypeError, match="MassiveMIMOProblem.*got int"):
                solver.solve(3)


SETTINGS = [(15, 20.0, 5.0), (35, 30.0, 5.0), (15, 20.0, -12.0)]


class TestSCA:
    """Spec mimo checks 7 and 8."""

    def test_the_surrogate_touches_and_never_exceeds_the_rate(self, rng):
        x, y = 10 ** rng.uniform(-3, 3, 500), 10 ** rng.uniform(-3, 3, 500)
        level, inverse, slope = surrogate(x, y)
        np.testing.assert_allclose(level - inverse / x - slope * y, np.log1p(x / y), rtol=0, atol=1e-10)
        u, v = 10 ** rng.uniform(-4, 4, (400, 500)), 10 ** rng.uniform(-4, 4, (400, 500))
        assert (level - inverse / u - slope * v <= np.log1p(u / v) + 1e-10).all()

    def test_the_misprint_of_the_paper_is_no_minorant(self):
        """With N_t for N_t^2 in the numerator of eq. 22, the bound exceeds the rate at its own point."""
        problem = case()
        x = 15**2 * problem.estimate_variance * 10.0
        y = 15 * GAIN * 40.0 + 10.0
        level, inverse, slope = surrogate(x, y)
        assert (level - inverse / x - slope / 15 * y > np.log1p(x / y) + 1e-3).all()

    @pytest.mark.parametrize(("antennas", "snr_com", "snr_sen"), SETTINGS)
    @pytest.mark.parametrize("start", ["full", "half"])
    def test_sum_rate_never_falls_and_every_iterate_is_feasible(self, antennas, snr_com, snr_sen, start):
        problem = layouts(100, antennas=antennas, snr_com_db=snr_com, snr_sen_db=snr_sen)
        before = problem.utility(first_point(problem, start))
        for limit in range(1, 15):
            solution = SCA(start=start, max_rounds=limit, tolerance=1e-12).solve(problem)
            rate = problem.score(problem.rates(solution.allocation))
            assert (rate >= before - 1e-9).all()
            assert (problem.violation(solution.allocation) <= 1e-9).all()
            assert (solution.details["crb"] <= problem.crb_limit * (1 + 1e-9)).all()
            before = rate

    @pytest.mark.parametrize(("antennas", "snr_com", "snr_sen"), SETTINGS)
    def test_gaps_to_the_optimum(self, antennas, snr_com, snr_sen):
        """Spec mimo 5: from full power mean gap <= 0.05 %, max 0.5 %, at most 100 iterations; never above."""
        problem = layouts(300, antennas=antennas, snr_com_db=snr_com, snr_sen_db=snr_sen)
        best = Exact().solve(problem).objective
        solution = SCA().solve(problem)
        gap = 1.0 - solution.objective / best
        assert gap.min() >= -1e-12
        assert gap.mean() <= 5e-4
        assert gap.max() <= 5e-3
        assert solution.iterations.max() <= 100
        assert set(solution.status.tolist()) == {Status.STATIONARY}
        assert solution.details["crb"].max() <= 1e-3 * (1 + 1e-9)

    def test_a_low_start_stops_early_and_is_reported_as_worse(self):
        """Mean gaps of several tenths of a percent at tol 1e-3."""
        problem = layouts(300, snr_com_db=20.0)
        best = Exact().solve(problem).objective
        low = SCA(start="low", tolerance=1e-3).solve(problem)
        full = SCA(tolerance=1e-3).solve(problem)
        gaps = [(1.0 - solution.objective / best).mean() for solution in (low, full)]
        assert gaps[0] > 2e-3
        assert gaps[0] > 2.0 * gaps[1]
        assert (low.objective <= best * (1 + 1e-12)).all()
        assert low.details["crb"].mean() > full.details["crb"].mean()

    def test_conic_and_closed_form_agree(self):
        """Spec mimo check 8: within 1e-4 bit/s/Hz, slack and binding, with infeasible neighbours."""
        problem = case(snr_sen=[5.0, -12.0, -17.0, -14.0])
        closed, conic = (SCA(backend=name, max_rounds=60).solve(problem) for name in ("closed_form", "cvxpy"))
        np.testing.assert_array_equal(closed.status, conic.status)
        good = [0, 1, 3]
        np.testing.assert_allclose(conic.objective[good], closed.objective[good], rtol=0, atol=1e-4)
        assert (problem.crb(conic.allocation)[good] <= 1e-3 * (1 + 1e-5)).all()

    def test_conic_and_closed_form_take_the_same_step_where_the_demand_is_slack(self, rng):
        """Elsewhere the paper's linearised cone (24) is an inner approximation of the demand, which is linear, so that
        conic steps are shorter.
        """
        for shape in ({}, {"tx_antennas": 30, "rx_antennas": 5}):
            problem = random_problem(rng, 12, target_angle=0.0, crb_limit=1.0, **shape)
            closed, conic = (SCA(backend=name, max_rounds=1).solve(problem) for name in ("closed_form", "cvxpy"))
            np.testing.assert_allclose(conic.objective, closed.objective, rtol=0, atol=1e-4)
            total = problem.largest_total[:, None]
            np.testing.assert_allclose(conic.allocation.power / total, closed.allocation.power / total, atol=1e-3)

    @pytest.mark.parametrize("shape", [{}, {"tx_antennas": 30, "rx_antennas": 5}])
    @pytest.mark.parametrize("start", ["full", "half", "low"])
    def test_the_closed_form_maximises_the_surrogate(self, shape, start, rng):
        """No point of a fine grid of (P, T), nor any other split, has a larger surrogate under budget and demand."""
        problem = random_problem(rng, 60, target_angle=0.0, **shape)
        problem = part(problem, problem.feasible)
        a, b, c = linear_demand(problem)
        first, new = first_point(problem, start), SCA(start=start, max_rounds=1).solve(problem).allocation
        n, total = problem.tx_antennas, problem.largest_total
        signal, gain = n**2 * problem.estimate_variance, n * problem.large_scale_gain

        def heard(allocation):
            spent = allocation.power.sum(axis=-1) + allocation.sensing_power
            return signal * allocation.power, gain * spent[..., None] + problem.noise_power[:, None]

        level, inverse, slope = surrogate(*heard(first))

        def value(allocation):
            x, y = heard(allocation)
            return (level - inverse / np.maximum(x, 1e-300) - slope * y).sum(axis=-1)

        best = value(new)
        p, t = np.meshgrid(np.linspace(1e-3, 1.0, 120), np.linspace(0.0, 1.0, 121), indexing="ij")
        p, t = p.reshape(-1, 1) * total, t.reshape(-1, 1) * total
        allowed = (p + t <= total * (1 + 1e-12)) & (a * p + b * t >= c)
        split_of = new.power / new.power.sum(axis=-1, keepdims=True)
        tried = value(MassiveMIMOAllocation(p[..., None] * split_of, t))
        assert (np.where(allowed, tried, -np.inf) <= best + 1e-9).all()
        other = rng.dirichlet(np.ones(4), (300, len(total))) * new.power.sum(axis=-1, keepdims=True)
        assert (value(MassiveMIMOAllocation(other, new.sensing_power)) <= best + 1e-9).all()
        assert (a * new.power.sum(axis=-1) + b * new.sensing_power >= c * (1 - 1e-9)).all()

    def test_the_limit_is_reported_and_small_rates_are_not_cut_short(self):
        """Spec mimo 4: at 0 dB an absolute 1e-4 would leave mean gaps above 1 %."""
        problem = layouts(50, snr_com_db=0.0)
        best = Exact().solve(problem).objective
        cut = SCA(max_rounds=2).solve(problem)
        assert (cut.status == Status.ITERATION_LIMIT).any()
        assert (1.0 - SCA().solve(problem).objective / best).mean() < 1e-3

    def test_a_given_start_is_used_and_a_stream_without_power_is_refused(self):
        problem = case()
        start = MassiveMIMOAllocation(np.full(4, 15.0), np.asarray(5.0))
        solution = SCA(start=start).solve(problem)
        assert solution.objective == pytest.approx(4.480, abs=5e-3)
        dead = start._replace(power=np.array([15.0, 0.0, 15.0, 15.0]))
        with pytest.raises(ValueError, match=r"`start.power` must be positive.*power\[1\] = 0.0"):
            SCA(start=dead).solve(problem)
        with pytest.raises(ValueError, match="budget and demand.*relative excess of 1.04"):
            SCA(start=start._replace(power=np.full(4, 32.75))).solve(problem)

    def test_what_it_cannot_do_is_said(self):
        supported = "SCA solves a MassiveMIMOProblem with objective 'sum' and without `rate_floor`"
        with pytest.raises(TypeError, match=rf"{supported}.*got rate_floor\[0\] = 0.1"):
            SCA().solve(case(rate_floor=0.1))
        with pytest.raises(TypeError, match=f"{supported}.*got objective 'min'"):
            SCA().solve(case(objective="min"))


def test_fig3_rates_and_bounds_over_the_antennas():
    """Spec mimo check 10 and the table of Fig. 3, 2,000 layouts."""
    rates, crbs = [], []
    for total in range(10, 81, 10):
        problem = layouts(2000, antennas=total // 2, snr_com_db=20.0)
        solution = Exact().solve(problem)
        rates.append(solution.objective.mean())
        crbs.append(solution.details["crb"].max())
    assert (np.diff(rates) > 0).all()
    assert (np.diff(crbs) < 0).all()
    np.testing.assert_allclose([rates[1], rates[3], rates[7]], [2.917, 4.200, 5.788], rtol=0.03)
    np.testing.assert_allclose([crbs[1], crbs[3], crbs[7]], [1.94e-4, 2.41e-5, 3.01e-6], rtol=5e-3)
    weak = [Exact().solve(layouts(2000, antennas=n, snr_sen_db=-15.0)) for n in (10, 20, 40)]
    assert (weak[0].status == Status.INFEASIBLE).all()
    share = weak[1].allocation.sensing_power.mean() * 20.0 / 1.0
    assert share == pytest.approx(0.157, abs=1e-3)
    assert weak[1].objective.mean() == pytest.approx(3.857, rel=0.03)
    assert (weak[2].allocation.sensing_power == 0.0).all()


def test_split_spends_the_whole_budget(rng):
    problem = random_problem(rng, 50)
    allocation = split(problem, rng.random((7, 50)))
    total = allocation.power.sum(axis=-1) + allocation.sensing_power
    np.testing.assert_allclose(total, np.broadcast_to(problem.largest_total, (7, 50)), rtol=1e-12)


@pytest.mark.parametrize("solver", [Exact(), SCA(), EqualAllocation()])
def test_solvers_run_in_torch_and_agree(solver):
    torch = pytest.importorskip("torch")
    problem = layouts(20, snr_sen_db=-12.0)
    names = ("large_scale_gain", "estimate_variance", "noise_power", "echo_noise", "power_budget", "crb_limit")
    tensors = {name: torch.from_numpy(np.array(getattr(problem, name))) for name in names}
    twin = MassiveMIMOProblem(**tensors, tx_antennas=15, rx_antennas=15, rate_factor=0.9)
    found, expected = solver.solve(twin), solver.solve(problem)
    np.testing.assert_allclose(found.allocation.power.numpy(), expected.allocation.power, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(found.status.numpy(), expected.status)


class TestBadInput:
    @pytest.mark.parametrize(
        ("field", "value", "message"),
        [
            ("noise_power", 0.0, r"`noise_power` must be positive and finite, got noise_power = 0.0"),
            ("noise_power", -1.0, r"noise_power = -1.0"),
            ("echo_noise", 0.0, r"`echo_noise` must be positive"),
            ("echo_noise", np.nan, r"echo_noise = nan"),
            ("crb_limit", 0.0, r"`crb_limit` must be positive, got crb_limit = 0.0"),
            ("power_budget", -1.0, r"`power_budget` must be finite and at least 0"),
            ("large_scale_gain", np.array([1.0, -1.0, 1.0, 1.0]), r"large_scale_gain\[1\] = -1.0"),
            ("large_scale_gain", np.ones((0, 4)), r"at least one frame and one user, got shape \(0, 4\)"),
            ("estimate_variance", np.ones(3), r"`estimate_variance` must be a number or broadcast to \(4,\)"),
            ("weight", np.array([1.0, np.inf, 1.0, 1.0]), r"weight\[1\] = inf"),
            ("tx_antennas", 0, "`tx_antennas` must be a positive integer, got 0"),
            ("rx_antennas", 2.5, "`rx_antennas` must be a positive integer, got 2.5"),
            ("rate_factor", 0.0, r"`rate_factor` must lie in \(0, 1\], got 0.0"),
            ("reward", "sum", "`reward` must be one of"),
            ("objective", "max", "`objective` must be one of"),
            ("target_angle", np.inf, "`target_angle` must be finite"),
            ("prior_variance", -1.0, "`prior_variance` must be at least 0"),
            ("penalty", -1.0, "`penalty` must be finite"),
            ("pilot_overlap", np.ones((3, 3)), r"broadcast to \(4, 4\)"),
        ],
    )
    def test_is_refused_by_name(self, field, value, message):
        with pytest.raises(ValueError, match=message):
            replace(case(), **{field: value})

    def test_lists_are_welcome_and_the_entry_of_a_batch_is_named(self):
        problem = MassiveMIMOProblem([0.5, 0.1], [0.4, 0.05], 10, 300, 1000, 1e-3, 15, 15)
        assert Exact().solve(problem).status == Status.OPTIMAL
        with pytest.raises(ValueError, match=r"noise_power\[1\] = 0.0"):
            case(snr_sen=[5.0, 5.0], noise_power=np.array([1.0, 0.0]))

    def test_one_receive_antenna_needs_no_beam_and_a_single_pair_is_infeasible(self):
        alone = case(antennas=15, rx_antennas=1, crb_limit=0.1)
        solution = Exact().solve(alone)
        assert solution.status == Status.OPTIMAL
        assert solution.allocation.sensing_power == 0.0
        blind = case(antennas=1)
        for solver in (Exact(), SCA(), SCA(start="low"), SCA(start="half"), EqualAllocation()):
            assert solver.solve(blind).status == Status.INFEASIBLE
        assert blind.crb_min == np.inf
        assert Exact().solve(replace(blind, crb_limit=np.inf)).status == Status.OPTIMAL

    def test_the_budget_is_kept_where_hardly_anything_is_heard(self, rng):
        """Water levels are 1e16 budgets, whose rounding must not be radiated."""
        gain = 10.0 ** rng.uniform(-7.0, -4.0, (200, 4))
        problem = MassiveMIMOProblem(gain, gain * 1e-9, 1e3, 1.0, 1.0, np.inf, 15, 15)
        for solver in (Exact(), EqualAllocation(), SCA()):
            assert problem.violation(solver.solve(problem).allocation).max() < 1e-12

    def test_without_power_there_is_nothing(self):
        problem = case(power_budget=0.0)
        assert Exact().solve(problem).status == Status.INFEASIBLE
        solution = Exact().solve(replace(problem, crb_limit=np.inf))
        assert solution.objective == 0.0
