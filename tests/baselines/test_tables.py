"""Expected results of spec multicell 10: tables and claims on random scenes, with the tolerances stated there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from jcas_baselines import ADMM, EqualAllocation, Exact
from support.scenes import static

EQUAL, PER_GROUP, EBA_PA = EqualAllocation(), EqualAllocation(per="group"), EqualAllocation(power="proposed")


def utility(scene, solver):
    return scene.truth.utility(solver.solve(scene.problem).allocation)


def sum_rates(scene, solver, problem=None):
    """Sum over users of data and positioning rate, mean over scenes [Mbit/s]."""
    allocation = solver.solve(problem or scene.problem).allocation
    return [rate.sum(axis=-1).mean() / 1e6 for rate in scene.truth.rates(allocation)]


@pytest.mark.parametrize(
    ("fields", "admm", "ratios"),
    [
        ({"ue_antennas": 18}, 22.93, (0.847, 0.688, 0.845, 1.000, 0.938)),
        ({"ue_antennas": 4}, 18.55, (0.873, 0.688, 0.853, 1.000, 1.013)),
        ({"ue_antennas": 18, "precoder": "zf"}, 85.48, (0.797, 0.537, 0.804, 1.000, 1.000)),
    ],
    ids=["n18-mrt", "n4-mrt", "n18-zf"],
)
def test_table_of_utilities(fields, admm, ratios):
    """T1 (spec multicell 10.1): ADMM +-5 % with >= 100 scenes, ratios +-.05."""
    scene = static(120, **fields)
    reference = utility(scene, ADMM())
    assert reference.mean() == pytest.approx(admm, rel=0.05)
    solvers = (EQUAL, PER_GROUP, EBA_PA, Exact(), Exact(noise="per_hertz"))
    for solver, ratio in zip(solvers, ratios, strict=True):
        assert utility(scene, solver).mean() / reference.mean() == pytest.approx(ratio, abs=0.05), solver
    single = utility(scene, EQUAL) / utility(scene, Exact())
    low, high = (0.72, 0.93) if "precoder" in fields else (0.72, 1.03) if fields["ue_antennas"] == 4 else (0.78, 0.95)
    assert np.mean((single > low - 0.05) & (single < high + 0.05)) > 0.9


def test_order_of_true_rewards():
    """Spec multicell 12: EBPA per user / ADMM in [.78, .93], per group in [.58, .80] (M20 N18 MRT)."""
    scene = static(40, seed=1000, ue_antennas=18)
    reference = utility(scene, ADMM()).mean()
    assert 0.78 <= utility(scene, EQUAL).mean() / reference <= 0.93
    assert 0.58 <= utility(scene, PER_GROUP).mean() / reference <= 0.80


class TestGrouping:
    @pytest.fixture(scope="class", autouse=True)
    @staticmethod
    def scene(request):
        request.cls.scene = static(100, **{**_fig6()})

    def test_correlations(self):
        """Spec multicell 10.2: median .041, 90 % .25, 95 % .64, P(rho > .4) = .08 (M32 N16)."""
        problem = self.scene.problem
        same = (problem.cell[..., :, None] == problem.cell[..., None, :]) & ~np.eye(36, dtype=bool)
        rho = problem.correlation[same]
        assert np.median(rho) == pytest.approx(0.041, abs=0.006)
        assert np.quantile(rho, 0.9) == pytest.approx(0.25, abs=0.05)
        assert np.quantile(rho, 0.95) == pytest.approx(0.64, abs=0.06)
        assert np.mean(rho > 0.4) == pytest.approx(0.08, abs=0.015)

    @pytest.mark.parametrize(
        ("alpha", "groups", "per_user", "per_group", "exact"),
        [
            (0.05, 5.2, 7946, 6673, 9745),
            (0.2, 3.2, 9732, 7452, 11355),
            (0.4, 2.8, 9976, 7437, 11347),
            (0.8, 2.2, 9794, 7422, 10439),
            (1.01, 1.0, 9546, 9135, 10041),
        ],
    )
    def test_sum_rates_against_the_threshold(self, alpha, groups, per_user, per_group, exact):
        """Spec multicell 10.2: EBPA per user +-5 % with >= 100 scenes, other rates and groups +-10 %."""
        problem = self.scene.problem.regroup(alpha)
        assert problem.cell_sum(1 / problem.group_size).mean() == pytest.approx(groups, rel=0.1)
        assert sum_rates(self.scene, EQUAL, problem)[0] == pytest.approx(per_user, rel=0.05)
        assert sum_rates(self.scene, PER_GROUP, problem)[0] == pytest.approx(per_group, rel=0.1)
        # The table has floors of 1 % in service C; the preset's are 1e-4 (spec multicell 6.9).
        assert sum_rates(self.scene, Exact(), problem)[0] == pytest.approx(exact, rel=0.1)

    def test_the_best_threshold_of_the_equal_allocation_is_about_04(self):
        """Spec multicell check 13."""
        alphas = (0.02, 0.1, 0.25, 0.3, 0.4, 0.5, 0.7, 1.01)
        rates = dict(
            zip(alphas, (sum_rates(self.scene, EQUAL, self.scene.problem.regroup(a))[0] for a in alphas), strict=True)
        )
        best = max(rates, key=rates.__getitem__)
        assert 0.25 <= best <= 0.5
        assert rates[best] > 1.03 * rates[0.02]
        assert rates[best] > 1.03 * rates[1.01]


def _fig6():
    from jcas_env.scenarios.multicell import PRESETS

    return PRESETS["luo2023-fig6"]


@pytest.mark.parametrize(
    ("antennas", "groups", "tolerance"),
    [({"ue_antennas": 18}, 3.35, 0.4), ({"bs_antennas": 32, "ue_antennas": 16}, 2.8, 0.3)],
)
def test_mean_number_of_groups(antennas, groups, tolerance):
    """Spec multicell check 7."""
    problem = static(60, **antennas).problem
    assert problem.cell_sum(1 / problem.group_size).mean() == pytest.approx(groups, abs=tolerance)


def test_trade_off_between_the_services():
    """Spec multicell 10.4 (T4, +-8 %) and check 15: ADMM above EBPA in both rates at every share."""
    scene = static(100, ue_antennas=18)
    expected = {0.25: ((238, 484), (213, 405)), 0.5: ((482, 321), (427, 270)), 0.75: ((726, 157), (640, 135))}
    for share_c in (0.15, 0.25, 0.35, 0.5, 0.65, 0.75, 0.85):
        problem = replace(scene.problem, positioning_share=1 - share_c)
        admm, equal = sum_rates(scene, ADMM(), problem), sum_rates(scene, EQUAL, problem)
        assert admm[0] > equal[0]
        assert admm[1] > equal[1]
        if share_c in expected:
            np.testing.assert_allclose([admm, equal], expected[share_c], rtol=0.08)
        if share_c == 0.5:
            assert admm[0] / equal[0] == pytest.approx(1.13, abs=0.06)
            assert admm[1] / equal[1] == pytest.approx(1.19, abs=0.07)


@pytest.mark.parametrize(("precoder", "low", "high"), [("mrt", 0.5, 2.0), ("zf", 20.0, 32.0)])
def test_power_helps_zf_and_hardly_mrt(precoder, low, high):
    """Spec multicell check 16: sum R_C from 5 to 55 W, N = 16, in percent."""
    rates = [
        sum_rates(static(40, ue_antennas=16, band_budget=100e6, precoder=precoder, power_budget=power), ADMM())
        for power in (5.0, 55.0)
    ]
    assert low <= 100 * (rates[1][0] / rates[0][0] - 1) <= high
    assert rates[1][1] > rates[0][1]  # R_O rises with power (spec multicell 5.24)


def test_more_user_antennas_raise_the_data_rate():
    """Spec multicell 10.8, Fig. 7: R_C 3904, 4334, 4951 and R_O 2791, 2856, 3235 Mbit/s at N = 4, 8, 16."""
    fields = {"band_budget": 100e6, "grouping_threshold": (0.4, 0.3, 0.5)}
    rates = np.array([sum_rates(static(60, ue_antennas=n, **fields), ADMM()) for n in (4, 8, 16)])
    np.testing.assert_allclose(rates, [[3904, 2791], [4334, 2856], [4951, 3235]], rtol=0.08)
    assert (np.diff(rates[:, 0]) > 0).all()


def test_fair_utility_of_sum_rate_allocators():
    """Spec multicell 10.6: EBPA 4.079, ADMM 2.958, +-.15; ADMM starves users."""
    scene = static(60, ue_antennas=18, reward="fair")
    assert utility(scene, EQUAL).mean() == pytest.approx(4.079, abs=0.15)
    assert utility(scene, ADMM()).mean() == pytest.approx(2.958, abs=0.15)


def test_relaxed_interference_is_pessimistic_by_the_stated_decibels():
    """Spec multicell 10.4: relaxed minus true SINR at equal power, M20 N18: -2.7/0/0 dB at 10/50/90 %.

    The 10 % point stands on a cliff: the users alone in their group, 8 to 9 %, are noise limited and lose
    10 log10(24) = 13.8 dB by the noise of the whole band, the others next to nothing. So it is bracketed.
    """
    scene = static(150, ue_antennas=18)
    allocation = EQUAL.solve(scene.problem).allocation
    problem = scene.problem
    relaxed = problem.relaxed()
    snr = problem.membership.scatter(relaxed.coefficient[..., 0, :] / 12)
    from jcas_env.physics.rates import interference, sinr

    level = interference(
        allocation.power,
        allocation.bandwidth,
        problem.gain,
        problem.cell,
        problem.group,
        noise_density=problem.noise_density,
        band_budget=problem.band_budget,
    )
    gap = 10 * np.log10(snr / sinr(allocation.power, problem.gain, level)[..., 0, :])
    below, above, median, high = np.quantile(gap, [0.07, 0.13, 0.5, 0.9])
    assert below == pytest.approx(-13.8, abs=0.1)
    assert below < -2.7 < above
    assert median == pytest.approx(0.0, abs=0.1)
    assert high == pytest.approx(0.0, abs=0.1)
