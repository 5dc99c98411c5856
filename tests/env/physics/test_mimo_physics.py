"""Massive MIMO with MRT: closed forms against simulation, and the angle's bound against finite differences."""

from __future__ import annotations

from dataclasses import replace
from math import pi

import numpy as np
import pytest
from jcas_baselines import Exact
from jcas_experiments.reproduce.nguyen2024.mrt_simulation import (
    draw_products,
    estimate_products,
    simulated_sinr,
    simulated_sum_rate,
    simulated_terms,
)
from support import reference
from support.fisher import covariance_information
from support.mimo import GAIN, case

from jcas_env import MassiveMIMOAllocation
from jcas_env.physics.information.echo import (
    EchoGains,
    echo_gains,
    echo_information,
    least_sensing_share,
    most_informative_share,
    unit_modulus_steering,
)
from jcas_env.physics.mrt import estimate_variance, large_scale_gain, mrt_sinr, pilot_contamination


class TestGains:
    def test_large_scale_gain_by_hand(self):
        """Twice the reference distance at exponent 3: 1/8, and 10 dB of shadowing: 10."""
        gain = large_scale_gain(np.array([100.0, 200.0]), np.array([0.0, 10.0]), reference=100.0, exponent=3.0)
        np.testing.assert_allclose(gain, [1.0, 1.25])

    def test_estimate_variance_by_hand(self):
        """Spec mimo 5: E = 100, sigma^2 = 10, so xi = 100 b^2 / (100 b + 10)."""
        xi = estimate_variance(GAIN, np.asarray(10.0), pilot_energy=100.0)
        np.testing.assert_allclose(xi, [5 / 12, 1 / 20, 1 / 300, 1 / 6500], rtol=1e-14)

    def test_orthonormal_pilots_are_the_special_case_of_no_overlap(self):
        xi = estimate_variance(GAIN, np.asarray(10.0), pilot_energy=100.0, overlap=np.eye(4))
        np.testing.assert_allclose(xi, estimate_variance(GAIN, np.asarray(10.0), pilot_energy=100.0))
        leak = pilot_contamination(np.ones(4), GAIN, xi, np.eye(4), antennas=15)
        np.testing.assert_array_equal(leak, 0.0)

    def test_terms_add_up_to_the_disturbance_and_the_split_of_the_beam_does_not_matter(self, rng):
        """Spec mimo 1.1, check 11: BU and all UI add up to N_t beta S, whatever the eta_k."""
        power, eta = rng.random(4), rng.random(4)
        xi = estimate_variance(GAIN, np.asarray(10.0), pilot_energy=100.0)
        terms = reference.mrt_terms(power, eta, GAIN, xi, antennas=15)
        total = terms.uncertainty + terms.interference.sum(axis=-1)
        np.testing.assert_allclose(total, 15 * GAIN * (power.sum() + eta.sum()))
        sinr = mrt_sinr(power, eta.sum(), GAIN, xi, np.asarray(10.0), antennas=15)
        np.testing.assert_allclose(terms.signal / (total + 10.0), sinr)

    def test_remark_1_interference_stays_behind_as_antennas_grow(self):
        """Spec mimo check 16: SINR / N_t -> xi p / (beta S) within 1e-3 once N_t beta S > 1e3 sigma^2."""
        power, sensing, noise = np.array([10.0, 20.0, 5.0, 5.0]), np.asarray(20.0), np.asarray(10.0)
        xi = estimate_variance(GAIN, noise, pilot_energy=100.0)
        antennas = int(np.ceil(1.01e3 * 10.0 / (GAIN.min() * 60.0)))
        sinr = mrt_sinr(power, sensing, GAIN, xi, noise, antennas=antennas)
        np.testing.assert_allclose(sinr / antennas, xi * power / (GAIN * 60.0), rtol=1e-3)


def simulate(problem, allocation, pilots=None, channels=20_000, seed=1):
    products = draw_products(
        np.random.default_rng(seed), channels=channels, users=4, antennas=problem.tx_antennas, pilots=pilots
    )
    estimates = estimate_products(products, problem.large_scale_gain, problem.noise_power, pilot_energy=100.0)
    return estimates, products


class TestTheoremOne:
    """Spec mimo check 4 and 16: 20,000 channels with simulated pilots."""

    @pytest.mark.parametrize("snr_sen", [5.0, -12.0])
    def test_closed_form_matches_simulation(self, snr_sen):
        problem = case(snr_sen=snr_sen)
        allocation = Exact().solve(problem).allocation
        estimates, products = simulate(problem, allocation)
        simulated = simulated_sum_rate(estimates, products, problem, allocation)
        assert simulated == pytest.approx(problem.rates(allocation).sum(), rel=5e-3)
        sinr = simulated_sinr(simulated_terms(estimates, products, problem, allocation), problem.noise_power)
        served = allocation.power > 0
        closed = mrt_sinr(
            allocation.power,
            allocation.sensing_power,
            GAIN,
            problem.estimate_variance,
            problem.noise_power,
            antennas=15,
        )
        np.testing.assert_allclose(sinr[served], closed[served], rtol=0.03)

    def test_every_term_matches_simulation(self):
        problem = case()
        allocation = MassiveMIMOAllocation(np.array([20.0, 15.0, 10.0, 5.0]), np.asarray(16.0))
        estimates, products = simulate(problem, allocation, channels=60_000)
        found = simulated_terms(estimates, products, problem, allocation)
        closed = reference.mrt_terms(allocation.power, np.full(4, 4.0), GAIN, problem.estimate_variance, antennas=15)
        for name in ("signal", "uncertainty", "interference"):
            np.testing.assert_allclose(getattr(found, name), getattr(closed, name), rtol=0.03, err_msg=name)

    @pytest.mark.parametrize("snr_sen", [5.0, -12.0])
    def test_random_pilots_need_the_contamination_term(self, snr_sen):
        """Theorem 1 overstates the sum rate by more than 10 % on average, the contamination formula is within 2 %."""
        rng = np.random.default_rng(7)
        problem = case(snr_sen=snr_sen)
        allocation = Exact().solve(problem).allocation
        overstated = []
        for seed in range(5):
            pilots = rng.standard_normal((10, 4)) + 1j * rng.standard_normal((10, 4))
            pilots /= np.linalg.norm(pilots, axis=0)
            overlap = np.abs(pilots.conj().T @ pilots) ** 2
            xi = estimate_variance(GAIN, np.asarray(10.0), pilot_energy=100.0, overlap=overlap)
            true = replace(problem, pilot_overlap=overlap, estimate_variance=xi)
            estimates, products = simulate(problem, allocation, pilots, seed=seed)
            simulated = simulated_sum_rate(estimates, products, true, allocation)
            assert true.rates(allocation).sum() == pytest.approx(simulated, rel=0.02)
            overstated.append(problem.rates(allocation).sum() / simulated)
        assert np.mean(overstated) > 1.1


def fisher_by_differences(theta, alpha, covariance_root, echo_variance, tx, rx, step=1e-5):
    """Information of (theta, Re alpha, Im alpha) in alpha A(theta) X with X X^H / L = R, inverted for theta."""

    def mean(parameters):
        angle, re, im = parameters
        a_t, a_r = (unit_modulus_steering(np.asarray(angle), antennas=n)[0] for n in (tx, rx))
        return ((re + 1j * im) * np.outer(a_r, a_t.conj()) @ covariance_root).ravel()

    point = np.array([theta, alpha.real, alpha.imag])
    # Fourth-order central differences.
    slopes = []
    for axis in range(3):
        e = np.zeros(3)
        e[axis] = step
        slopes.append(
            (8 * (mean(point + e) - mean(point - e)) - (mean(point + 2 * e) - mean(point - 2 * e))) / (12 * step)
        )
    slopes = np.stack(slopes)
    fisher = 2.0 / echo_variance * np.real(slopes.conj() @ slopes.T)
    return np.linalg.inv(fisher)[0, 0]


class TestTheoremTwo:
    @pytest.mark.parametrize(("theta", "error"), [(0.0, 0.0), (0.3, 0.0), (-0.5, 0.05), (0.2, 0.1)])
    def test_closed_form_matches_a_finite_difference_fisher_matrix(self, theta, error):
        """Spec mimo check 5: 1e-6, any L (here L symbols with X X^H / L = R_x)."""
        tx, rx, streams, beam, symbols, alpha = 6, 8, 3.0, 2.0, 30, 0.3 - 0.4j
        v, _ = unit_modulus_steering(np.asarray(theta + error), antennas=tx)
        covariance = streams * np.eye(tx) + beam * np.outer(v, v.conj())
        root = np.sqrt(symbols) * np.linalg.cholesky(covariance)
        crb = fisher_by_differences(theta, alpha, root, 1.7, tx, rx)
        gains = echo_gains(np.asarray(theta), np.asarray(theta + error), tx_antennas=tx, rx_antennas=rx)
        noise = 1.7 / (2.0 * abs(alpha) ** 2 * symbols)
        assert noise / echo_information(np.asarray(streams), np.asarray(beam), gains) == pytest.approx(crb, rel=1e-6)

    def test_general_form_does_not_depend_on_the_phase_reference_and_equals_the_mispointed_one(self, rng):
        """Spec mimo check 5: 1e-10, for random angles and an array reference off the centre."""
        theta, beam = rng.uniform(-1, 1, 20), rng.uniform(-1, 1, 20)
        v, _ = unit_modulus_steering(beam, antennas=7)
        covariance = 2.0 * np.eye(7) + 3.0 * v[..., :, None] * v[..., None, :].conj()
        transmit, receive = (unit_modulus_steering(theta, antennas=n) for n in (7, 5))
        centred = covariance_information(covariance, transmit, receive)

        def shifted(pair, offset):
            a, d = pair
            phase = np.exp(1j * pi * offset * np.sin(theta))[..., None]
            return a * phase, (d + 1j * pi * offset * np.cos(theta)[..., None] * a) * phase

        moved = covariance_information(covariance, shifted(transmit, 3.0), shifted(receive, -2.0))
        np.testing.assert_allclose(moved, centred, rtol=1e-10)
        gains = echo_gains(theta, beam, tx_antennas=7, rx_antennas=5)
        np.testing.assert_allclose(echo_information(np.full(20, 2.0), np.full(20, 3.0), gains), centred, rtol=1e-10)

    @pytest.mark.parametrize(("error", "crb"), [(0.0, 1.047505e-3), (0.02, 1.099658e-3), (0.1, 1.938063e-3)])
    def test_known_values_of_a_mispointed_beam(self, error, crb):
        """Spec mimo check 13, to 1e-5."""
        problem = case(snr_sen=-12.0, target_angle=0.2, beam_angle=0.2 + error)
        allocation = MassiveMIMOAllocation(np.full(4, 10.0), np.asarray(20.0))
        assert problem.crb(allocation) == pytest.approx(crb, rel=1e-5)

    def test_bound_of_single_channels_lies_above_the_closed_form(self):
        """Spec mimo check 5: mean over 1,000 channel draws, 1.0 to 1.3 in case C, above 1.3 in case A (two streams and
        no beam: a heavy tail, 1.97 here).
        """
        for snr_sen, low, high in ((-12.0, 1.0, 1.3), (5.0, 1.3, 2.5)):
            problem = case(snr_sen=snr_sen)
            allocation = Exact().solve(problem).allocation
            rng = np.random.default_rng(3)
            drawn = rng.standard_normal((2, 1000, 15, 4)) / np.sqrt(2.0)
            streams = (drawn[0] + 1j * drawn[1]) * np.sqrt(allocation.power)  # h_hat sqrt(gamma), unit-variance h_hat
            steering = unit_modulus_steering(np.asarray(0.0), antennas=15)
            precoder = streams + np.sqrt(allocation.sensing_power / 4) * steering[0][:, None]
            covariance = precoder @ np.conj(np.swapaxes(precoder, -1, -2))
            crb = problem.echo_noise / covariance_information(covariance, steering, steering)
            assert low < crb.mean() / problem.crb(allocation) < high

    def test_nothing_on_the_target_gives_no_information(self):
        """Spec mimo check 13: with P = 0 and the beam's null on the target, G = 0."""
        gains = EchoGains(*(np.asarray(x) for x in (100.0, 50.0, 0.0, 3.0)), 15)
        assert echo_information(np.asarray(0.0), np.asarray(20.0), gains) == 0.0

    def test_one_receive_antenna_makes_the_beam_useless_and_two_single_antennas_see_nothing(self):
        gains = echo_gains(np.asarray(0.1), np.asarray(0.1), tx_antennas=8, rx_antennas=1)
        assert echo_information(np.asarray(0.0), np.asarray(1.0), gains) == pytest.approx(0.0, abs=1e-20)
        assert echo_information(np.asarray(1.0), np.asarray(0.0), gains) > 1.0
        assert most_informative_share(gains) == 0.0
        blind = echo_gains(np.asarray(0.1), np.asarray(0.1), tx_antennas=1, rx_antennas=1)
        assert echo_information(np.asarray(1.0), np.asarray(1.0), blind) == 0.0

    def test_remark_2_the_bound_falls_with_the_transmit_antennas(self):
        information = [
            echo_information(np.asarray(40.0), np.asarray(20.0), echo_gains(
                np.asarray(0.2), np.asarray(0.2), tx_antennas=n, rx_antennas=15)) for n in range(1, 60)
        ]  # fmt: skip
        assert (np.diff(information) > 0).all()

    def test_square_array_without_a_beam_by_hand(self):
        """Spec mimo check 10: CRB = 6 / (pi^2 N (N^2 - 1) SNR_sen) at broadside, to 1e-12."""
        for n in (5, 10, 40):
            problem = case(antennas=n)
            allocation = MassiveMIMOAllocation(np.full(4, 250.0 / n), np.asarray(0.0))
            expected = 6.0 / (pi**2 * n * (n**2 - 1) * 10**0.5)
            assert problem.crb(allocation) == pytest.approx(expected, rel=1e-12)


class TestLeastSensing:
    """The quadratic of the mispointed demand against a dense scan."""

    @pytest.mark.parametrize(("tx", "rx"), [(15, 15), (30, 5), (6, 12), (4, 1)])
    def test_shares_against_a_scan(self, tx, rx, rng):
        theta = rng.uniform(-1.0, 1.0, 200)
        beam = theta + np.where(rng.random(200) < 0.2, 0.0, rng.normal(0.0, 0.1, 200))
        gains = echo_gains(theta, beam, tx_antennas=tx, rx_antennas=rx)
        t = np.linspace(0.0, 1.0, 4001)[:, None]
        information = echo_information(1.0 - t, t, gains)
        peak = most_informative_share(gains)
        best = echo_information(1.0 - peak, peak, gains)
        assert (best >= information.max(axis=0) * (1.0 - 1e-12)).all()
        np.testing.assert_allclose(best, information.max(axis=0), rtol=1e-5)
        demand = information[0] + rng.uniform(-0.5, 1.3, 200) * (best - information[0]) + 1e-9 * best
        demand = np.where(best > information[0] * (1 + 1e-9), demand, information[0] * rng.uniform(0.5, 1.5, 200))
        share = least_sensing_share(gains, demand)
        reached = demand <= best
        scan = np.where((information >= demand).any(axis=0), t[np.argmax(information >= demand, axis=0), 0], 1.0)
        sure = reached & (information >= demand).any(axis=0)
        np.testing.assert_allclose(share[sure], scan[sure], atol=2.6e-4)
        at_share = echo_information(1.0 - share, share, gains)
        assert (at_share[reached] >= demand[reached] * (1.0 - 1e-10)).all()
        np.testing.assert_array_equal(share[~reached], peak[~reached])

    def test_an_infinite_demand_gets_the_most_informative_share(self):
        gains = echo_gains(np.zeros(2), np.zeros(2), tx_antennas=15, rx_antennas=15)
        np.testing.assert_array_equal(least_sensing_share(gains, np.array([np.inf, 0.0])), [1.0, 0.0])


def test_every_function_runs_on_every_backend(backend, rng):
    """The same numbers in NumPy, on read-only arrays, under the strict standard, and in torch."""
    values = {
        "gain": 10.0 ** rng.uniform(-2, 0, (3, 4)),
        "power": rng.random((3, 4)),
        "eta": rng.random((3, 4)),
        "noise": 1.0 + rng.random(3),
        "theta": rng.uniform(-1, 1, 3),
        "beam": rng.uniform(-1, 1, 3),
        "overlap": rng.random((3, 4, 4)),
    }

    def run(asarray):
        v = {name: asarray(value) for name, value in values.items()}
        xi = estimate_variance(v["gain"], v["noise"], pilot_energy=100.0, overlap=v["overlap"])
        gains = echo_gains(v["theta"], v["beam"], tx_antennas=6, rx_antennas=5)
        steering = unit_modulus_steering(v["theta"], antennas=6)
        return [
            xi,
            large_scale_gain(v["noise"], v["theta"], reference=1.0, exponent=3.2),
            *reference.mrt_terms(v["power"], v["eta"], v["gain"], xi, antennas=6),
            mrt_sinr(v["power"], v["noise"], v["gain"], xi, v["noise"], antennas=6, overlap=v["overlap"]),
            *gains[:4],
            echo_information(v["noise"], v["noise"], gains),
            most_informative_share(gains),
            least_sensing_share(gains, 300.0 * v["noise"]),
            steering[1],
        ]

    for expected, found in zip(run(np.asarray), run(backend.asarray), strict=True):
        np.testing.assert_allclose(backend.numpy(found), expected, rtol=1e-12, atol=1e-12)
