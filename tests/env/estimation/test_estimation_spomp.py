"""SPOMP: gradient, accuracy against bound and genie, local minima, pruning, invariances, warm start, paper mode."""

from __future__ import annotations

import inspect
from math import exp, factorial

import numpy as np
import pytest
from jcas_experiments.links import bound, complex_normal, decibel, draw_links, error, run
from support.links import genie

from jcas_env.physics.estimation import ESTIMATORS, Refinement, Start, measure, spomp, spomp_as_printed
from jcas_env.physics.estimation.pilots import prepare
from jcas_env.physics.estimation.search.newton import curvature, fit, slope
from jcas_env.physics.estimation.spomp import detection_level


def links(seed, count, *, rx=2, snr_db=20.0, **more):
    sizes = {"tx_antennas": 16, "rx_antennas": rx, "paths": 3} | more
    return draw_links(np.random.default_rng(seed), count, snr_db=snr_db, **sizes)


def as_printed(drawn):
    return spomp_as_printed(drawn.received, drawn.beams, drawn.noise_power, paths=drawn.aod_cos.shape[-1])


def excess_db(estimate, drawn):
    """NMSE over the counting bound [dB]."""
    return decibel(error(estimate, drawn)) - decibel(bound(drawn))


def test_all_estimators_share_one_signature():
    for name in ("ls", "mmse", "omp", "esprit", "spomp"):
        parameters = list(inspect.signature(ESTIMATORS[name].function).parameters)
        assert parameters[:4] == ["received", "beams", "noise_power", "paths"], name


class TestAngleStep:
    """Check 4, and what the step is built from."""

    def problem(self, rx, pilots):
        drawn = links(3, 5, rx=rx, pilots=pilots, snr_db=10.0)
        data = prepare(drawn.received, drawn.beams, drawn.noise_power, 3)
        rng = np.random.default_rng(0)
        v, w = rng.uniform(-1, 1, (2, 5, 3))
        ridge = rng.uniform(0.01, 0.1, (5, 3))
        return data, v, w if rx > 1 else 0 * w, ridge, np.ones((5, 3), dtype=bool)

    @pytest.mark.parametrize(("rx", "pilots"), [(2, 8), (2, None), (1, None)])
    def test_slope_is_minus_half_the_derivative_of_the_cost(self, rx, pilots):
        data, v, w, ridge, on = self.problem(rx, pilots)
        got = slope(fit(data, v, w, ridge, on))
        step = 1e-5
        for k in range(got.shape[-1]):
            push = step * np.eye(got.shape[-1])[k]
            dv, dw = push[:3], push[3:] if rx > 1 else np.zeros(3)
            up, down = (fit(data, v + s * dv, w + s * dw, ridge, on).cost for s in (1, -1))
            np.testing.assert_allclose(-2.0 * got[:, k], (up - down) / (2 * step), rtol=1e-6)

    def test_curvature_is_half_the_second_derivative_where_the_data_fit(self):
        """Gauss-Newton drops terms with the residual: exact on clean data at the true angles without a ridge."""
        drawn = links(4, 3, snr_db=np.inf, pilots=8)
        data = prepare(drawn.received, drawn.beams, drawn.noise_power, 3)
        on, ridge = np.ones((3, 3), dtype=bool), np.full((3, 3), 1e-13)
        v, w = drawn.aod_cos, drawn.aoa_cos
        q = curvature(fit(data, v, w, ridge, on))
        step = 1e-4
        for k in range(6):
            push = step * np.eye(6)[k]
            cost = [fit(data, v + s * push[:3], w + s * push[3:], ridge, on).cost for s in (-1, 0, 1)]
            second = (cost[0] - 2 * cost[1] + cost[2]) / step**2
            np.testing.assert_allclose(q[:, k, k], second / 2, rtol=1e-3)

    def test_cost_is_residual_plus_penalty_and_inactive_paths_take_no_part(self):
        data, v, w, ridge, on = self.problem(2, 8)
        on[:, 1] = False
        three = fit(data, v, w, ridge, on)
        two = fit(data, v[:, [0, 2]], w[:, [0, 2]], ridge[:, [0, 2]], on[:, [0, 2]])
        np.testing.assert_allclose(three.cost, two.cost, rtol=1e-12)
        np.testing.assert_allclose(three.gains[:, :, [0, 2]], two.gains, atol=1e-12)
        assert np.all(three.gains[:, :, 1] == 0)
        assert np.all(slope(three)[:, [1, 4]] == 0)


class TestAccuracy:
    @pytest.mark.parametrize(("rx", "snr_db"), [(1, 10.0), (1, 20.0), (2, 5.0), (2, 25.0)])
    def test_spomp_is_at_the_bound_and_better_than_the_others(self, rx, snr_db):
        """Check 6: within 0.35 dB of the bound, above the genie, 1 dB below OMP and MMSE."""
        drawn = links(11, 600, rx=rx, snr_db=snr_db)
        estimate = run("spomp", drawn)
        assert abs(excess_db(estimate, drawn)) <= 0.35
        ours, others = decibel(error(estimate, drawn)), [decibel(error(run(n, drawn), drawn)) for n in ("omp", "mmse")]
        assert decibel(error(genie(drawn), drawn)) - 0.1 <= ours <= min(others) - 1.0

    def test_clean_off_grid_paths_are_recovered(self):
        """Check 5: sigma^2 = 1e-10 given, no noise, each of 20 links below -100 dB."""
        drawn = links(12, 20, snr_db=np.inf)._replace(noise_power=np.full(20, 1e-10))
        assert np.all(10 * np.log10(error(run("spomp", drawn), drawn)) < -100.0)

    def test_flat_in_the_grid_where_omp_is_not(self):
        """Check 9: N = 2, SNR 5 dB, rescue on."""
        drawn = links(13, 600, snr_db=5.0)
        ours, peer = (
            [decibel(error(run(name, drawn, grid=g, **more), drawn)) for g in (10, 80, 300)]
            for name, more in (("spomp", {"refinement": Refinement(rescue=True)}), ("omp", {}))
        )
        assert max(ours) - min(ours) <= 0.6
        assert abs(ours[1] - ours[2]) <= 0.1
        assert peer[0] - peer[1] >= 6.0
        assert 0.0 <= peer[1] - peer[2] <= 1.5

    @pytest.mark.parametrize("paths", [16, 24])
    def test_many_paths(self, paths):
        """Check 10: N = 2, SNR 5 dB; plain log-sum weights fail it for 24 paths."""
        drawn = links(14, 100, snr_db=5.0, paths=paths)
        estimate = run("spomp", drawn)
        ours, mmse, omp = (decibel(error(e, drawn)) for e in (estimate, run("mmse", drawn), run("omp", drawn)))
        assert ours <= mmse - 0.5
        assert ours <= omp - 1.2
        # 16 paths are at P N/2 = 16, but 16 + 32/12 < 32: the flag falls at L > P N/2
        assert np.all(estimate.identifiable == (paths <= 16))
        if paths == 24:
            assert decibel(error(run("spomp", drawn, refinement=Refinement(weight="log")), drawn)) > mmse - 0.5

    def test_posterior_variance_of_the_gains(self):
        """Well separated paths: sigma^2 per gain, and nearly that of the errors found."""
        angles = ((-0.5, 0.05, 0.6), (0.3, -0.4, 0.1))
        drawn = links(16, 300, angles=angles)
        estimate = run("spomp", drawn)
        order = np.argsort(estimate.aod_cos, axis=-1)
        gains = np.take_along_axis(estimate.gains, order[:, None], axis=-1)
        got = np.mean(np.abs(gains - drawn.gains) ** 2)
        assert estimate.variance.mean() == pytest.approx(0.01, rel=0.05)
        assert got == pytest.approx(0.01, rel=0.2)


class TestLocalMinima:
    """Spec estimation 9.7 in the counts of links far above the bound."""

    def stuck(self, drawn, **options):
        return int(np.sum(error(run("spomp", drawn, **options), drawn) > 4.0 * bound(drawn)))

    def test_polish_leaves_none_on_a_grid_of_two_m(self):
        drawn = links(17, 400, rx=1, snr_db=25.0)
        assert self.stuck(drawn, grid=32, refinement=Refinement(polish=0, rescue=False)) >= 3
        assert self.stuck(drawn, grid=32, refinement=Refinement(rescue=False)) == 0

    def test_a_coarse_grid_needs_the_rescue_which_is_then_on(self):
        drawn = links(18, 400, snr_db=25.0)
        assert self.stuck(drawn, grid=10, refinement=Refinement(rescue=False)) >= 15
        assert self.stuck(drawn, grid=10) == 0
        assert abs(excess_db(run("spomp", drawn, grid=10), drawn)) <= 0.35

    def test_gauss_newton_against_the_gradient_of_the_paper(self):
        """Check 14: random angles, N = 2, SNR 30 dB, start on the grid."""
        drawn = links(19, 800, snr_db=30.0)
        assert excess_db(run("spomp", drawn, refinement=Refinement(polish=0)), drawn) <= 0.3
        assert excess_db(as_printed(drawn), drawn) > 5.0


class TestPaperMode:
    def test_paper_mode_is_what_it_says(self):
        drawn = links(20, 50, snr_db=20.0)
        settings = Refinement(weight="log", polish=0, rescue=False, prune=1.0, gradient=True)
        one, two = as_printed(drawn), run("spomp", drawn, pfa=None, refinement=settings)
        np.testing.assert_array_equal(one.channel, two.channel)

    @pytest.mark.parametrize(("snr_db", "loss"), [(10.0, 1.6), (30.0, 16.3)])
    def test_loss_of_the_fixed_gradient_step(self, snr_db, loss):
        """Spec estimation 4."""
        drawn = links(21, 600, snr_db=snr_db)
        assert excess_db(as_printed(drawn), drawn) == pytest.approx(loss, abs=1.0)


class TestPruning:
    """Check 13."""

    def test_an_upper_bound_of_the_number_of_paths_is_enough(self):
        drawn = links(22, 600)
        known, bounded = run("spomp", drawn), run("spomp", drawn, paths=6, refinement=Refinement(prune=2.5))
        assert decibel(error(bounded, drawn)) - decibel(error(known, drawn)) <= 0.3
        assert 2.8 <= bounded.active.sum(axis=-1).mean() <= 3.3
        loose = run("spomp", drawn, paths=6)
        assert decibel(error(loose, drawn)) - decibel(error(known, drawn)) >= 1.0
        assert loose.active.sum(axis=-1).mean() > 4.5

    def test_dropped_paths_have_no_gain_and_no_variance(self):
        estimate = run("spomp", links(23, 100), paths=6, refinement=Refinement(prune=2.5))
        off = ~estimate.active
        assert off.any()
        assert np.all(np.moveaxis(estimate.gains, 1, -1)[off] == 0)
        assert np.all(estimate.variance[off] == 0)
        assert np.all(estimate.variance[~off] > 0)


class TestInvariance:
    """Check 13: equivariance below 1e-6."""

    @pytest.mark.parametrize("pilots", [None, 8])
    def test_phases_order_of_snapshots_and_order_of_links(self, rng, pilots):
        drawn = links(24, 40, pilots=pilots)
        reference = run("spomp", drawn)
        phase = np.exp(1j * rng.uniform(0, 2 * np.pi, (40, 6, 1, 1)))
        turned = run("spomp", drawn._replace(received=drawn.received * phase))
        np.testing.assert_allclose(turned.channel, reference.channel * phase, atol=1e-6)
        frames, order = rng.permutation(6), rng.permutation(40)
        beams = drawn.beams if pilots is None else drawn.beams[:, frames]
        mixed = run("spomp", drawn._replace(received=drawn.received[:, frames], beams=beams))
        np.testing.assert_allclose(mixed.channel, reference.channel[:, frames], atol=1e-6)
        beams = drawn.beams if pilots is None else drawn.beams[order]
        moved = run(
            "spomp", drawn._replace(received=drawn.received[order], beams=beams, noise_power=drawn.noise_power[order])
        )
        np.testing.assert_allclose(moved.channel, reference.channel[order], atol=1e-6)

    def test_a_batch_is_its_links_one_by_one(self):
        drawn = links(25, 12, snr_db=5.0)
        together = run("spomp", drawn)
        for k in range(12):
            alone = spomp(drawn.received[k], None, drawn.noise_power[k], paths=3)
            assert alone.channel.shape == (6, 2, 16)
            np.testing.assert_allclose(alone.channel, together.channel[k], atol=1e-9)

    @pytest.mark.parametrize("name", ["omp", "spomp"])
    def test_blocks_of_links_change_nothing(self, monkeypatch, name):
        from jcas_env import batching

        drawn = links(33, 50, snr_db=10.0, pilots=8)
        whole = run(name, drawn)
        warm = {} if name == "omp" else {"start": Start(whole.aod_cos, whole.aoa_cos, whole.active)}
        again = run(name, drawn, **warm)
        monkeypatch.setattr(batching, "BLOCK", 16)
        for one, two in zip((*whole, *again), (*run(name, drawn), *run(name, drawn, **warm)), strict=True):
            np.testing.assert_allclose(one, two, atol=1e-9)


class TestWarmStart:
    """Check 16, spec estimation 8.4."""

    def drifted(self, count, shift, snr_db=20.0):
        rng = np.random.default_rng(26)
        before = links(26, count, snr_db=snr_db)
        angles = (np.clip(before.aod_cos + shift * rng.uniform(-1, 1, (count, 3)), -1, 0.999), before.aoa_cos)
        return before, links(27, count, snr_db=snr_db, angles=angles)

    def test_warm_equals_cold_after_a_small_drift(self):
        """Drift below 0.1/M: within 0.1 dB, in at most three iterations where the start explains the data."""
        before, after = self.drifted(400, 0.1 / 16)
        old = run("spomp", before)
        warm = run("spomp", after, start=Start(old.aod_cos, old.aoa_cos, old.active))
        cold = run("spomp", after)
        assert decibel(error(warm, after)) == pytest.approx(decibel(error(cold, after)), abs=0.1)
        assert np.mean(warm.iterations <= 3) > 0.95

    def test_links_whose_paths_are_gone_start_from_nothing(self):
        before, after = links(28, 100), links(29, 100)
        old = run("spomp", before)
        warm = run("spomp", after, start=Start(old.aod_cos, old.aoa_cos, old.active))
        assert decibel(error(warm, after)) == pytest.approx(decibel(error(run("spomp", after), after)), abs=0.3)

    def test_an_empty_start_stays_empty_on_noise_and_recovers_on_signal(self, rng):
        nothing = Start(np.zeros((50, 3)), np.zeros((50, 3)), np.zeros((50, 3), dtype=bool))
        noise = complex_normal(rng, 50, 6, 2, 16)
        assert not spomp(noise, None, np.ones(50), paths=3, start=nothing).active.any()
        drawn = links(30, 50)
        assert abs(excess_db(run("spomp", drawn, start=nothing), drawn)) <= 0.6


class TestDetection:
    def test_level_solves_its_equation(self):
        """2 M N Pr(Gamma(T, 1)/T > x) = pfa; 3.514 and 3.662 for 2 M N = 32 and 64, T = 6, pfa = 1e-3."""
        assert detection_level(16, 6, 1e-3) == pytest.approx(3.514, abs=1e-3)
        assert detection_level(32, 6, 1e-3) == pytest.approx(3.662, abs=1e-3)
        z = 4 * detection_level(20, 4, 1e-2)
        assert 40 * exp(-z) * sum(z**k / factorial(k) for k in range(4)) == pytest.approx(1e-2, rel=1e-9)

    def test_weak_links_return_the_flat_estimate(self):
        drawn = links(31, 200, snr_db=-20.0)
        estimate = run("spomp", drawn)
        empty = ~estimate.active.any(axis=-1)
        assert empty.any()
        np.testing.assert_allclose(estimate.channel[empty], drawn.received[empty] / 101.0, rtol=1e-12)

    def test_compressed_weak_links_return_the_flat_estimate(self):
        drawn = links(32, 50, snr_db=-25.0, pilots=8)
        estimate = run("spomp", drawn, pfa=1e-6)
        empty = ~estimate.active.any(axis=-1)
        flat = drawn.received @ drawn.beams.conj().swapaxes(-1, -2) / (1.0 + 10**2.5)
        np.testing.assert_allclose(estimate.channel[empty], flat[empty], rtol=1e-10, atol=1e-14)
        assert empty.any()


def test_pilots_are_measured_with_the_stated_noise(rng):
    h = complex_normal(rng, 300, 6, 2, 16)
    z = measure(h, None, np.full(300, 0.25), complex_normal(rng, 300, 6, 2, 16))
    assert np.mean(np.abs(z - h) ** 2) == pytest.approx(0.25, rel=0.02)
