"""Arrays, propagation, geometry, channels and motion, on every backend."""

from __future__ import annotations

from math import pi, radians, sqrt

import numpy as np
import pytest
from support import reference

from jcas_env.physics.arrays import _phasors, _summed, steering_correlation, steering_derivative, steering_vector
from jcas_env.physics.channel import multipath_channel, path_gains
from jcas_env.physics.geometry import array_axes, cell_centres, hexagon_point, in_hexagon, link_geometry
from jcas_env.physics.information.angle import angle_information
from jcas_env.physics.motion import autoregressive_fading, gauss_markov, move_in_cell, phase_walk, two_state_chain
from jcas_env.physics.propagation import path_loss_umi_db
from jcas_env.physics.rates import interference, saturated_ratio, sensing_gain
from jcas_env.units import db_to_linear, dbm_to_watt, noise_density


def test_noise_of_ten_megahertz_is_minus_97_dbm():
    assert 10 * np.log10(noise_density(7.0) * 10e6 * 1e3) == pytest.approx(-97.0, abs=0.01)
    assert dbm_to_watt(30.0) == pytest.approx(1.0)
    assert db_to_linear(3.0) == pytest.approx(1.9953, abs=1e-4)


def test_path_loss_at_30_m_is_98_982_db(backend):
    loss = path_loss_umi_db(backend.asarray(np.array([30.0, 300.0])), carrier_hz=60e9)
    loss = backend.numpy(loss)
    assert loss[0] == pytest.approx(98.982, abs=0.01)
    assert loss[1] - loss[0] == pytest.approx(21.0)  # 21 dB a decade


class TestSteering:
    def test_has_unit_norm_and_equal_phase_at_broadside(self, backend):
        a = backend.numpy(steering_vector(backend.asarray(np.array([0.0, 0.3])), antennas=5))
        np.testing.assert_allclose(np.linalg.norm(a, axis=-1), 1.0, rtol=1e-14)
        np.testing.assert_allclose(a[0], 1 / sqrt(5), rtol=1e-14)

    @pytest.mark.parametrize("antennas", [1, 2, 7, 20, 33])
    def test_is_the_phase_ramp_about_the_centroid(self, antennas):
        u = np.linspace(-1, 1, 9)
        element = np.arange(antennas) - (antennas - 1) / 2
        expected = np.exp(1j * pi * element * u[:, None]) / sqrt(antennas)
        np.testing.assert_allclose(steering_vector(u, antennas=antennas), expected, atol=2e-15 * antennas)

    def test_repeats_with_period_two_up_to_a_sign(self):
        u = np.array([-0.4])
        for antennas, sign in ((4, -1), (5, 1)):
            np.testing.assert_allclose(
                steering_vector(u + 2, antennas=antennas), sign * steering_vector(u, antennas=antennas), atol=1e-14
            )

    def test_derivative_is_orthogonal_and_matches_finite_differences(self, backend):
        u, h, antennas = np.array([0.37, -0.9]), 1e-6, 6
        derivative = backend.numpy(steering_derivative(backend.asarray(u), antennas=antennas))
        a = steering_vector(u, antennas=antennas)
        slope = (steering_vector(u + h, antennas=antennas) - steering_vector(u - h, antennas=antennas)) / (2 * h)
        np.testing.assert_allclose(derivative, slope, atol=1e-8)
        np.testing.assert_allclose(np.sum(a.conj() * derivative, axis=-1), 0.0, atol=1e-14)
        np.testing.assert_allclose(np.linalg.norm(derivative, axis=-1) ** 2, pi**2 * (antennas**2 - 1) / 12)

    @pytest.mark.parametrize("antennas", [1, 2, 3, 4, 7, 20, 33])
    def test_what_a_device_sums_element_by_element_is_the_same(self, backend, antennas):
        u = np.array([-1.0, -0.37, 0.0, 1e-3, 0.62, 0.999])
        there = backend.asarray(u)
        np.testing.assert_allclose(
            backend.numpy(_phasors(there[:, None], antennas)),
            steering_vector(u, antennas=antennas),
            atol=2e-15 * antennas,
        )
        sums, closed = _summed(there, antennas, 2), steering_correlation(u, antennas=antennas, derivatives=2)
        for order, (value, expected) in enumerate(zip(sums, closed, strict=True)):
            np.testing.assert_allclose(backend.numpy(value), expected, rtol=1e-9, atol=1e-11 * antennas**order)

    def test_keeps_single_precision(self):
        assert steering_vector(np.float32([0.2]), antennas=4).dtype == np.complex64


class TestGeometry:
    def test_three_cells_share_the_corner_60_60_and_lie_51_96_m_apart(self):
        stations = np.array(cell_centres(3, 30.0))
        gaps = [np.linalg.norm(stations[i] - stations[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
        np.testing.assert_allclose(gaps, 51.9615, atol=1e-3)
        np.testing.assert_allclose(stations.mean(axis=0), 60.0)
        np.testing.assert_allclose(stations[0], [60.0, 90.0])

    def test_one_cell_stands_at_the_centre_and_seven_surround_it(self):
        assert cell_centres(1, 30.0) == [(60.0, 60.0)]
        stations = np.array(cell_centres(7, 30.0))
        np.testing.assert_allclose(np.linalg.norm(stations[1:] - stations[0], axis=1), 30 * sqrt(3))
        gaps = np.linalg.norm(stations[:, None] - stations, axis=-1)[np.triu_indices(7, 1)]
        assert gaps.min() == pytest.approx(30 * sqrt(3))
        assert array_axes(7) == pytest.approx([radians(a) for a in (0, 120, 240, 0, 120, 240, 0)])

    def test_another_number_of_cells_is_refused(self):
        with pytest.raises(ValueError, match=r"cells.*got 4"):
            cell_centres(4, 30.0)

    def test_drops_are_uniform_in_the_hexagon_outside_of_the_disc(self, rng):
        offset = hexagon_point(rng.random((40_000, 2)), radius=30.0, keep_out=2.0)
        distance = np.hypot(*offset.T)
        assert in_hexagon(offset, radius=30.0).all()
        assert distance.min() >= 2.0
        area = 1.5 * sqrt(3) * 30**2 - pi * 4
        for r in (10.0, 20.0, 25.9):
            assert np.mean(distance < r) == pytest.approx(pi * (r**2 - 4) / area, abs=0.01)
        counts, _ = np.histogram(np.arctan2(offset[:, 1], offset[:, 0]) % (pi / 3), bins=6, range=(0, pi / 3))
        np.testing.assert_allclose(counts, counts[::-1], rtol=0.08)  # six sectors folded into one, symmetric

    def test_drop_is_the_same_on_every_backend(self, backend, rng):
        uniform = rng.random((50, 2))
        point = backend.numpy(hexagon_point(backend.asarray(uniform), radius=30.0, keep_out=2.0))
        np.testing.assert_allclose(point, hexagon_point(uniform, radius=30.0, keep_out=2.0), rtol=1e-12)

    def test_links_have_the_distance_and_angles_of_a_hand_drawn_triangle(self, backend):
        # User 3 m east and 4 m north of a station whose axis points north; the user's axis points east.
        position, stations = np.array([[3.0, 4.0]]), np.array([[0.0, 0.0]])
        parts = link_geometry(*(backend.asarray(x) for x in (position, stations, np.array([pi / 2]), np.array([0.0]))))
        distance, departure, arrival = (backend.numpy(x) for x in parts)
        assert distance == pytest.approx(5.0)
        assert departure == pytest.approx(0.8)  # cosine to the north
        assert arrival == pytest.approx(-0.6)  # the station is seen to the west of the east-pointing axis


class TestChannel:
    def test_equals_the_loop_over_paths_and_elements(self, backend, rng):
        gains = rng.normal(size=(2, 3)) + 1j * rng.normal(size=(2, 3))
        w, v = rng.uniform(-1, 1, (2, 2, 3))
        h = backend.numpy(multipath_channel(*(backend.asarray(x) for x in (gains, w, v)), rx_antennas=4, tx_antennas=5))
        for link in range(2):
            np.testing.assert_allclose(h[link], reference.channel(gains[link], w[link], v[link], 4, 5), atol=1e-13)

    @pytest.mark.parametrize("rician", [10**0.9, None])
    def test_mean_power_is_mn_over_the_path_loss(self, rng, rician):
        links, m, n, paths = (30, 108), 20, 4, 3
        loss = rng.uniform(80, 100, links)
        scatter = rng.normal(size=(*links, paths if rician is None else paths - 1, 2)) @ [1, 1j] / sqrt(2)
        gains = path_gains(rng.uniform(0, 2 * pi, links), scatter, loss, antennas=m * n, rician_factor=rician)
        u = np.cos(rng.uniform(0, pi, (2, *links, paths)))
        h = multipath_channel(gains, u[0], u[1], rx_antennas=n, tx_antennas=m)
        power = np.sum(np.abs(h) ** 2, axis=(-2, -1)) * 10 ** (loss / 10) / (m * n)
        assert power.mean() == pytest.approx(1.0, abs=0.03)

    def test_rician_factor_divides_the_power_between_sight_and_scatter(self, backend):
        gains = path_gains(
            *(backend.asarray(x) for x in (np.array([0.7]), np.ones((1, 2)) + 0j, np.array([0.0]))),
            antennas=1,
            rician_factor=8.0,
        )
        np.testing.assert_allclose(np.abs(backend.numpy(gains))[0] ** 2, [8 / 9, 1 / 18, 1 / 18])
        assert np.angle(backend.numpy(gains)[0, 0]) == pytest.approx(0.7)


class TestBounds:
    @pytest.mark.parametrize("antennas", [4, 21])
    def test_angle_bound_equals_the_numerical_fisher_matrix(self, antennas):
        """Spec multicell check 6: ULA snapshot, angle and complex amplitude unknown (1e-9)."""
        theta, snr, amplitude = 1.1, 3.0, 0.8 - 0.3j
        variance = abs(amplitude) ** 2 / snr

        def response(angle):
            return sqrt(antennas) * steering_vector(np.array([np.cos(angle)]), antennas=antennas)[0]

        h = 1e-4
        slope = sum(c * response(theta + k * h) for k, c in ((2, -1 / 12), (1, 2 / 3), (-1, -2 / 3), (-2, 1 / 12))) / h
        jacobian = np.stack([amplitude * slope, response(theta), 1j * response(theta)], axis=1)
        fisher = 2 / variance * np.real(jacobian.conj().T @ jacobian)
        bound = reference.angle_crb(np.array([np.cos(theta)]), np.array([snr]), antennas=antennas)
        np.testing.assert_allclose(bound, np.linalg.inv(fisher)[0, 0], rtol=1e-9)

    def test_sensing_gain_by_hand(self, backend):
        u = backend.asarray(np.array([0.0, 0.6, 1.0]))
        classical = backend.numpy(sensing_gain(u, antennas=20, prior_variance=0.01))
        paper = backend.numpy(sensing_gain(u, antennas=20, prior_variance=0.01, kind="paper"))
        np.testing.assert_allclose(classical[:2] / [1.0, 0.64], 6.5633, rtol=1e-4)  # 2 * .01 * pi^2 * 399 / 12
        np.testing.assert_allclose(paper[:2] / [1.0, 0.64], 2500.3, rtol=1e-4)
        assert classical[2] == pytest.approx(1e-3 * classical[0])  # sin^2 is floored at endfire
        assert paper[0] / classical[0] == pytest.approx(20**2 * 20 * 19 / 399, rel=1e-12)  # optimistic by M^3/(M+1)
        np.testing.assert_allclose(backend.numpy(angle_information(u, antennas=20))[0], pi**2 * 399 / 12)

    def test_unknown_kind_is_refused(self):
        with pytest.raises(ValueError, match="classical or paper"):
            sensing_gain(np.zeros(1), antennas=4, prior_variance=0.01, kind="other")


class TestMotion:
    def test_stationary_speed_is_the_rms_speed(self, rng):
        velocity = rng.normal(size=(2000, 2)) / sqrt(2)
        speeds = []
        for _ in range(50):
            velocity = gauss_markov(velocity, rng.normal(size=velocity.shape), memory=0.9, rms_speed=1.0)
            speeds.append(np.mean(np.sum(velocity**2, axis=-1)))
        assert sqrt(np.mean(speeds)) == pytest.approx(1.0, rel=0.03)

    def test_a_user_turns_back_at_the_edge_and_at_the_station(self, backend):
        position = np.array([[25.9, 0.0], [2.05, 0.0], [10.0, 0.0]])
        velocity = np.array([[10.0, 0.0], [-10.0, 0.0], [1.0, 2.0]])
        new = move_in_cell(
            *(backend.asarray(x) for x in (position, velocity, np.zeros((3, 2)))), slot=0.01, radius=30.0, keep_out=2.0
        )
        place, speed = (backend.numpy(x) for x in new)
        np.testing.assert_allclose(place, [[25.9, 0.0], [2.05, 0.0], [10.01, 0.02]])
        np.testing.assert_allclose(speed, [[-10.0, 0.0], [10.0, 0.0], [1.0, 2.0]])

    def test_fading_keeps_unit_power_and_has_the_stated_correlation(self, rng):
        def normal():
            return rng.normal(size=(20_000, 2)) @ [1, 1j] / sqrt(2)

        before = normal()
        after = autoregressive_fading(before, normal(), correlation=0.9)
        assert np.mean(np.abs(after) ** 2) == pytest.approx(1.0, abs=0.03)
        assert np.real(np.mean(before.conj() * after)) == pytest.approx(0.9, abs=0.02)

    def test_full_correlation_freezes_fading_and_phase(self, backend):
        g, n = np.array([1.0 + 1j]), np.array([5.0 + 0j])
        same = autoregressive_fading(backend.asarray(g), backend.asarray(n), correlation=1.0)
        np.testing.assert_allclose(backend.numpy(same), g)
        walked = phase_walk(backend.asarray(np.array([0.3])), backend.asarray(np.array([2.0])), correlation=1.0)
        np.testing.assert_allclose(backend.numpy(walked), 0.3)

    def test_blocked_share_is_the_stationary_one(self, rng):
        blocked, share = np.zeros(5000, dtype=bool), []
        for slot in range(150):
            blocked = two_state_chain(blocked, rng.random(5000), enter=0.01, leave=0.1)
            if slot >= 60:
                share.append(blocked.mean())
        assert np.mean(share) == pytest.approx(0.0909, abs=0.01)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_ratio_beyond_the_precision_is_its_largest_number(dtype):
    limits = np.finfo(dtype)
    part = np.array([0.0, 3.0, limits.max, 1.0, 1.0, limits.tiny], dtype)
    whole = np.array([0.0, 2.0, 0.5, limits.smallest_subnormal, 0.0, limits.tiny], dtype)
    most = limits.max
    np.testing.assert_array_equal(saturated_ratio(part, whole), np.array([0.0, 1.5, most, most, most, 1.0], dtype))


def test_a_foreign_beam_is_spread_over_the_band_of_its_own_cell(backend):
    """Two cells of one user, 2 W over 4 Hz and 3 W over 1 Hz: densities 1/2 and 3, gains 1, of which each hears one."""
    power = backend.asarray(np.array([[1.0, 1.5], [1.0, 1.5]]))
    labels = backend.asarray(np.array([0, 1])), backend.asarray(np.array([0, 0]))
    band, width = backend.asarray(np.array([4.0, 1.0])), backend.asarray(np.ones((2, 2)))
    level = interference(power, width, backend.asarray(np.ones((2, 2))), *labels, noise_density=0.0, band_budget=band)
    np.testing.assert_allclose(backend.numpy(level), [[3.0, 0.5], [3.0, 0.5]])
