"""Position and orientation bounds: information against finite differences, closed forms against inversion."""

from __future__ import annotations

from math import pi, sqrt

import numpy as np
import pytest
from support import fisher, reference

from jcas_env.physics.arrays import steering_vector
from jcas_env.physics.information import line_of_sight
from jcas_env.physics.information import position as pb
from jcas_env.physics.information.angle import array_sensitivity
from jcas_env.physics.information.position import Reason
from jcas_env.physics.propagation import free_space_gain
from jcas_env.units import SPEED_OF_LIGHT, thermal_noise_density

D, THETA, PHI, ANTENNAS, BAND = 10.0, 1.1, 1.3, 30, 1e9
TONES = 2 * pi * (np.arange(24) - 11.5) * BAND / 24


def pair(theta=THETA, split=0.25, antennas=ANTENNAS):
    return fisher.beam_pair(np.asarray(theta), antennas=antennas, split=split)


def in_time(beams):
    """Every beam on every tone for an equal part of the time: frequencies, beams and weights of all (tone, beam)."""
    count = len(beams)
    return np.repeat(TONES, count), np.tile(beams, (len(TONES), 1)), np.full(count * len(TONES), 1 / count)


def in_frequency(beams):
    return TONES, np.tile(beams, (len(TONES) // 2, 1)), np.ones(len(TONES))


def matched(theta=THETA):
    return steering_vector(np.cos(np.asarray(theta)), antennas=ANTENNAS)


def slope_beam():
    minus, plus = pair(split=1.0)[1], pair(split=1.0)[0]
    np.testing.assert_allclose(plus, -minus)
    return plus


DESIGNS = {
    "pair in time": in_time(pair()),
    "pair in frequency": in_frequency(pair()),
    "two directions": in_time(np.stack([matched(np.arccos(np.cos(THETA) + s / 60)) for s in (1, -1)])),
    "alternating matched and slope": in_frequency(np.stack([matched(), slope_beam()])),
}


def information(omega, beams, weight, snr=100.0):
    gain, slope = fisher.beam_gains(beams, np.asarray(THETA))
    sensitivity = array_sensitivity(np.sin(np.asarray(PHI)) ** 2, antennas=ANTENNAS)
    arguments = {"snr": np.asarray(snr), "arrival_sensitivity": sensitivity}
    return (
        fisher.channel_information(omega, gain, slope, weight, **arguments),
        reference.tone_information(omega, gain, slope, weight, **arguments),
        np.sum(weight * np.abs(gain) ** 2) / np.sum(weight),
    )


def test_broadside_sensitivity_of_thirty_elements_is_739_398():
    assert array_sensitivity(np.asarray(1.0), antennas=30) == pytest.approx(739.398, abs=5e-4)
    assert array_sensitivity(np.asarray(1.0), antennas=1) == 0.0


def test_free_space_gain_at_ten_metres():
    """(5 mm / 4 pi 10 m)^2 is -88.0 dB, and 15 dB/km take 0.15 dB of it."""
    gain = free_space_gain(np.asarray(10.0), carrier_hz=60e9, absorption_db_km=15.0)
    assert 10 * np.log10(gain) == pytest.approx(20 * np.log10(SPEED_OF_LIGHT / 60e9 / (40 * pi)) - 0.15)
    assert 10 * np.log10(thermal_noise_density(290.0, 7.0)) == pytest.approx(-203.975 + 7.0, abs=1e-3)


class TestBeams:
    def test_pair_has_unit_norm_and_the_stated_gains(self, backend):
        beams = fisher.beam_pair(backend.asarray(np.array([THETA, 2.0])), antennas=30, split=0.25)
        gain, slope = (backend.numpy(x) for x in fisher.beam_gains(beams, backend.asarray(np.array([THETA, 2.0]))))
        np.testing.assert_allclose(np.linalg.norm(backend.numpy(beams), axis=-1), 1.0, rtol=1e-13)
        np.testing.assert_allclose(np.abs(gain) ** 2, 0.75, rtol=1e-12)
        energy = array_sensitivity(np.sin(np.array([THETA, 2.0])) ** 2, antennas=30)
        np.testing.assert_allclose(np.abs(slope) ** 2, 0.25 * energy[:, None] * np.ones((2, 2)), rtol=1e-12)
        np.testing.assert_allclose(np.sum(gain.conj() * slope, axis=-1), 0.0, atol=1e-12)

    @pytest.mark.parametrize("antennas", [1, 2, 7, 30])
    def test_slope_is_the_derivative_of_the_gain(self, antennas, rng):
        beam = rng.normal(size=(1, antennas)) + 1j * rng.normal(size=(1, antennas))
        h = 1e-6
        _, slope = fisher.beam_gains(beam, np.asarray(THETA))
        up, down = (fisher.beam_gains(beam, np.asarray(THETA + s * h))[0] for s in (1, -1))
        np.testing.assert_allclose(slope, (up - down) / (2 * h), atol=1e-7)


class TestInformation:
    @pytest.mark.parametrize("design", list(DESIGNS))
    def test_full_matrix_is_that_of_central_differences_of_the_received_mean(self, design):
        """Spec mesh check 1: the mean vector written in (p, alpha, h), below 1e-6 of the largest entry."""
        omega, beams, weight = DESIGNS[design]
        alpha = pi + THETA - PHI
        full, _, _ = information(omega, beams, weight)
        jacobian = reference.position_jacobian(np.asarray(D), np.asarray(THETA))
        ours = jacobian @ full @ jacobian.T
        place = np.array([D * np.cos(THETA), D * np.sin(THETA), alpha, 1.0, 0.0])
        steps = np.array([1e-6, 1e-6, 1e-6, 1e-6, 1e-6])
        columns = []
        for k in range(5):
            shift = steps[k] * (np.arange(5) == k)
            up, down = (reference.received_mean(place + s * shift, omega, beams, ANTENNAS, 100.0) for s in (1, -1))
            columns.append((up - down) / (2 * steps[k]))
        d = np.sqrt(weight)[:, None, None] * np.stack(columns, axis=-1)
        numeric = 2 * np.real(np.einsum("nai,naj->ij", d.conj(), d))
        assert np.abs(ours - numeric).max() < 1e-6 * np.abs(numeric).max()

    @pytest.mark.parametrize("design", list(DESIGNS))
    def test_closed_forms_equal_the_inverted_matrix(self, design):
        """Spec mesh check 1: 1e-10 relative."""
        full, closed, _ = information(*DESIGNS[design])
        by_schur = reference.eliminate_gain(full)
        for a, b, scale in zip(closed, by_schur, (*by_schur[:3], np.sqrt(by_schur[0] * by_schur[1])), strict=True):
            assert abs(a - b) < 1e-10 * scale
        inverted = reference.bounds_by_inversion(full, np.asarray(D), np.asarray(THETA))
        formula = pb.closed_form_bounds(closed, np.asarray(D))
        assert formula.position == pytest.approx(inverted.position, rel=1e-10)
        assert formula.orientation == pytest.approx(inverted.orientation, rel=1e-10)
        assert inverted.reason == formula.reason == Reason.REGULAR

    def test_coupled_beams_are_inverted_exactly_too(self, rng):
        beams = rng.normal(size=(24, 30)) + 1j * rng.normal(size=(24, 30))
        beams = beams / np.linalg.norm(beams, axis=-1, keepdims=True)
        full, closed, _ = information(TONES, beams, rng.uniform(0.2, 1.0, 24))
        assert abs(closed.coupling) > 0.01 * np.sqrt(closed.delay * closed.departure)
        inverted = reference.bounds_by_inversion(full, np.asarray(D), np.asarray(THETA))
        formula = pb.closed_form_bounds(closed, np.asarray(D))
        np.testing.assert_allclose(formula[:2], inverted[:2], rtol=1e-10)

    def test_pair_formula_is_the_tone_sum(self):
        _, closed, _ = information(*DESIGNS["pair in time"])
        formula = line_of_sight.pair_information(
            np.asarray(24.0),
            np.asarray(np.sum(TONES**2)),
            snr=np.asarray(100.0),
            departure_sensitivity=array_sensitivity(np.sin(THETA) ** 2, antennas=30),
            arrival_sensitivity=array_sensitivity(np.sin(PHI) ** 2, antennas=30),
            split=0.25,
        )
        np.testing.assert_allclose(formula[:3], closed[:3], rtol=1e-12)
        assert abs(closed.coupling) < 1e-9 * np.sqrt(closed.delay * closed.departure)

    @pytest.mark.parametrize(
        ("design", "power", "peb_mm", "oeb_mrad"),
        [
            ("pair in time", 0.750, 12.227, 1.3504),
            ("pair in frequency", 0.750, 12.227, 1.3504),
            ("two directions", 0.811, 14.233, 1.5264),
            ("alternating matched and slope", 0.500, 9.078, 1.1474),
        ],
    )
    def test_beams_table(self, design, power, peb_mm, oeb_mrad):
        """Spec mesh 1.4, to the digits shown."""
        full, _, mean = information(*DESIGNS[design])
        bounds = reference.bounds_by_inversion(full, np.asarray(D), np.asarray(THETA))
        assert mean == pytest.approx(power, abs=5e-4)
        assert 1e3 * bounds.position == pytest.approx(peb_mm, abs=6e-4)
        assert 1e3 * bounds.orientation == pytest.approx(oeb_mrad, abs=6e-5)

    def test_is_the_same_on_every_backend(self, backend):
        omega, beams, weight = (backend.asarray(x) for x in DESIGNS["pair in frequency"])
        theta, snr = backend.asarray(np.array(THETA)), backend.asarray(np.array(100.0))
        sensitivity = backend.asarray(np.array(array_sensitivity(np.sin(PHI) ** 2, antennas=30)))
        gain, slope = fisher.beam_gains(beams, theta)
        full = fisher.channel_information(omega, gain, slope, weight, snr=snr, arrival_sensitivity=sensitivity)
        closed = reference.tone_information(omega, gain, slope, weight, snr=snr, arrival_sensitivity=sensitivity)
        distance = backend.asarray(np.array(D))
        for bounds in (reference.bounds_by_inversion(full, distance, theta), pb.closed_form_bounds(closed, distance)):
            assert float(1e3 * bounds.position) == pytest.approx(12.227, abs=6e-4)
        error = pb.inverse_equivalent_error(closed, distance, uniformity=1.0)
        expected = 1 / (bounds.position**2 + bounds.orientation**2)
        assert float(error) == pytest.approx(float(expected), rel=1e-9)


class TestSingular:
    def test_one_beam_is_singular_and_never_a_number(self):
        """Spec mesh check 3, and the last line of the beams table."""
        for beam in (matched()[None], pair()[:1]):
            full, closed, _ = information(*in_time(beam))
            scaled, _ = reference.unit_diagonal(full)
            assert np.linalg.eigvalsh(scaled)[0] < 1e-10
            for bounds in (reference.bounds_by_inversion(full, np.asarray(D), np.asarray(THETA)),
                           pb.closed_form_bounds(closed, np.asarray(D))):  # fmt: skip
                assert bounds.reason == Reason.NO_DEPARTURE
                assert np.isinf(bounds.position)
                assert np.isinf(bounds.orientation)

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"tones": 1}, Reason.NO_DELAY),
            ({"rx": 1}, Reason.NO_ARRIVAL),
            ({"tx": 1}, Reason.NO_DEPARTURE),
            ({"theta": 0.0}, Reason.NO_DEPARTURE),
            ({"phi": 0.0}, Reason.NO_ARRIVAL),
            ({"snr": 0.0}, Reason.NO_SIGNAL),
            ({"distance": 0.0}, Reason.AT_ANCHOR),
        ],
        ids=str,
    )
    def test_every_singular_case_has_its_reason(self, change, reason):
        case = {"tones": 24, "rx": 30, "tx": 30, "theta": THETA, "phi": PHI, "snr": 100.0, "distance": D} | change
        theta = np.asarray(case["theta"])
        beams = fisher.beam_pair(theta, antennas=case["tx"], split=0.25)
        omega = np.repeat(TONES[: case["tones"]], 2)
        gain, slope = fisher.beam_gains(np.tile(beams, (case["tones"], 1)), theta)
        sensitivity = np.asarray(array_sensitivity(np.sin(case["phi"]) ** 2, antennas=case["rx"]))
        arguments = {"snr": np.asarray(case["snr"]), "arrival_sensitivity": sensitivity}
        weight = np.full(omega.shape, 0.5)
        full = fisher.channel_information(omega, gain, slope, weight, **arguments)
        closed = reference.tone_information(omega, gain, slope, weight, **arguments)
        distance = np.asarray(case["distance"])
        for bounds in (reference.bounds_by_inversion(full, distance, theta), pb.closed_form_bounds(closed, distance)):
            assert Reason(int(bounds.reason)) is reason
            assert np.isinf(bounds.position)
            assert np.isinf(bounds.orientation)

    def test_a_singular_element_leaves_its_neighbours_alone(self):
        full, _, _ = information(*DESIGNS["pair in time"])
        lost, _, _ = information(*in_time(matched()[None]))
        both = reference.bounds_by_inversion(np.stack([full, lost]), np.full(2, D), np.full(2, THETA))
        assert both.position[0] == reference.bounds_by_inversion(full, np.asarray(D), np.asarray(THETA)).position
        assert np.isinf(both.position[1])


def placed(index, d=10.0, angle=1.2, spacing=150e3, offset=0.0, n=6666):
    """PEB of a set of subcarriers with the default pair at unit snr."""
    omega = 2 * pi * (np.asarray(index) - (n - 1) / 2 + offset) * spacing
    sensitivity = array_sensitivity(np.sin(np.asarray(angle)) ** 2, antennas=30)
    gain, slope = fisher.beam_gains(np.tile(pair(angle), (len(omega), 1)), np.asarray(angle))
    arguments = {"snr": np.asarray(1.0), "arrival_sensitivity": sensitivity}
    closed = reference.tone_information(np.repeat(omega, 2), gain, slope, np.full(2 * len(omega), 0.5), **arguments)
    return pb.closed_form_bounds(closed, np.asarray(d)).position


class TestPlacement:
    def test_contiguous_blocks_lose_a_factor_of_seven_wherever_they_lie(self):
        """Spec mesh check 4: the Schur term. Without it the edge block would look better than the comb."""
        comb = placed(np.arange(222) * 30)
        for first in (3222, 6666 - 222):
            assert placed(np.arange(first, first + 222)) / comb == pytest.approx(7.125, abs=0.01)

    def test_a_constant_shift_of_all_frequencies_changes_nothing(self):
        index = np.arange(222) * 30
        assert placed(index, offset=4e5) == pytest.approx(placed(index), rel=1e-9)

    def test_the_best_split_is_the_stated_one(self):
        energy = array_sensitivity(np.sin(1.2) ** 2, antennas=30)
        omega = 2 * pi * (np.arange(6666) - 3332.5) * 150e3
        square = np.mean(omega**2)

        def error(split):
            angular = line_of_sight.pair_information(
                np.asarray(6666.0), np.asarray(np.sum(omega**2)), snr=np.asarray(1.0),
                departure_sensitivity=energy, arrival_sensitivity=energy, split=split,
            )  # fmt: skip
            return 1 / pb.inverse_equivalent_error(angular, np.asarray(D), uniformity=1.0)

        best = float(reference.sensing_split(np.asarray(D), np.asarray(square), energy, energy, uniformity=1.0))
        grid = np.linspace(0.01, 0.99, 981)
        assert best == pytest.approx(grid[np.argmin([error(x) for x in grid])], abs=1e-3)


def test_maximum_likelihood_reaches_the_bound():
    """Spec mesh check 1: Gauss-Newton at 30 dB, 400 runs, RMSE over bound within 10 %."""
    rng = np.random.default_rng(5)
    omega, beams, weight = in_time(pair())
    snr = 1e3
    full, _, _ = information(omega, beams, weight, snr=snr)
    bounds = reference.bounds_by_inversion(full, np.asarray(D), np.asarray(THETA))
    place = np.array([D * np.cos(THETA), D * np.sin(THETA), pi + THETA - PHI, 1.0, 0.0])
    scale = np.sqrt(weight * snr)[:, None]

    def mean(x):
        return scale * reference.received_mean(x, omega, beams, ANTENNAS, 1.0)

    steps = np.array([1e-6, 1e-6, 1e-6, 1e-4, 1e-4])
    start = mean(place).reshape(-1)
    # At 30 dB the model is linear over the spread of the estimates: one Jacobian serves all Gauss-Newton steps.
    jacobian = np.stack([(mean(place + h) - mean(place - h)).reshape(-1) / (2 * h.sum()) for h in np.diag(steps)], -1)
    stacked = np.concatenate([jacobian.real, jacobian.imag])
    solve = (
        np.linalg.pinv(stacked * np.array([1e-2, 1e-2, 1e-2, 1.0, 1.0])) * np.array([1e-2, 1e-2, 1e-2, 1, 1])[:, None]
    )
    errors = []
    for _ in range(400):
        noise = (rng.normal(size=start.shape) + 1j * rng.normal(size=start.shape)) / sqrt(2)
        estimate = place.copy()
        for _ in range(3):
            residual = start + noise - mean(estimate).reshape(-1)
            estimate = estimate + solve @ np.concatenate([residual.real, residual.imag])
        errors.append(estimate - place)
    errors = np.array(errors)
    assert 0.9 < np.sqrt(np.mean(np.sum(errors[:, :2] ** 2, axis=-1))) / bounds.position < 1.1
    assert 0.9 < np.sqrt(np.mean(errors[:, 2] ** 2)) / bounds.orientation < 1.1
