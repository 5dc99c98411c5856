"""Positions from bearings: bounds by hand, exact without noise, at the bound with it (spec multicell 2.7, 11.21)."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from jcas_env.physics.geometry import array_axes, cell_centres, hexagon_point
from jcas_env.physics.localisation import bearing, locate, position_error_bound, ray_intersections

STATIONS = np.array(cell_centres(3, 30.0))
AXES = np.array(array_axes(3))
LIMIT = float(stats.chi2.isf(2e-4, 1))


def users(rng, count):
    cell = np.arange(count) % 3
    return STATIONS[cell] + hexagon_point(rng.random((count, 2)), radius=30.0, keep_out=2.0)


def find(cosine, deviation, reported=None, stations=STATIONS, axes=AXES):
    variance = np.broadcast_to(deviation**2, cosine.shape)
    reported = np.ones(cosine.shape, bool) if reported is None else reported
    return locate(cosine, variance, reported, stations, axes, radius=30.0, limit=LIMIT)


@pytest.mark.parametrize(("place", "expected"), [((60.0, 70.0), 0.353604), ((55.0, 75.0), 0.428168)])
def test_known_position_error_bounds(backend, place, expected):
    # sd of v = 8.728192e-3 on all three links: M = 20, one snapshot, 0 dB per element (spec multicell 2.7)
    gradient = bearing(*(backend.asarray(value) for value in (np.array(place), STATIONS, AXES)))[1]
    bound = position_error_bound(gradient, backend.asarray(np.full(3, 8.728192e-3**2)))
    assert float(bound) == pytest.approx(expected, abs=1e-6)


def test_the_gradient_is_that_of_the_cosine(rng):
    point, step = users(rng, 20), 1e-6
    gradient = bearing(point, STATIONS, AXES)[1]
    for axis in (0, 1):
        shift = np.eye(2)[axis] * step
        slope = (bearing(point + shift, STATIONS, AXES)[0] - bearing(point - shift, STATIONS, AXES)[0]) / (2 * step)
        np.testing.assert_allclose(gradient[..., axis], slope, atol=1e-8)


def test_rays_meet_in_the_user_for_the_right_signs(rng):
    point = users(rng, 50)
    candidates, ahead = ray_intersections(bearing(point, STATIONS, AXES)[0], STATIONS, AXES)
    assert candidates.shape == (50, 12, 2)
    miss = np.where(ahead, np.linalg.norm(candidates - point[:, None], axis=-1), np.inf).min(axis=-1)
    assert miss.max() < 1e-8


def test_without_noise_the_position_is_exact(rng):
    point = users(rng, 400)
    found = find(bearing(point, STATIONS, AXES)[0], 1e-4)
    assert found.located.all()
    assert np.linalg.norm(found.position - point, axis=-1).max() < 1e-6


def test_rounding_of_the_bearings_moves_positions_by_no_more_than_rounding(rng):
    """At the bottom the misfit is flat, to the root of the rounding unit: 1e-8 m, were it to choose the last step."""
    cosine = bearing(users(rng, 400), STATIONS, AXES)[0] + 1e-4 * rng.standard_normal((400, 3))
    here, there = (find(value, 1e-4) for value in (cosine, cosine * (1.0 + 2.0**-52)))
    well = here.located & there.located & (here.bound < 0.1)
    assert well.mean() > 0.9
    assert np.linalg.norm(here.position - there.position, axis=-1)[well].max() < 1e-9


@pytest.mark.parametrize("deviation", [1e-6, 1e-4, 1e-2, 0.1])
def test_single_precision_finds_whom_double_precision_finds(rng, deviation):
    """Where stations stand nearly in line the information is singular in single precision: steps stay finite."""
    point = users(rng, 20_000)
    cosine = bearing(point, STATIONS, AXES)[0] + deviation * rng.standard_normal((20_000, 3))
    single = [np.asarray(value, dtype=np.float32) for value in (cosine, STATIONS, AXES)]
    there = find(single[0], np.float32(deviation), stations=single[1], axes=single[2])
    here = find(cosine, deviation)
    assert there.position.dtype == np.float32
    assert (there.located == here.located).mean() > 0.995
    both = there.located & here.located
    apart = np.linalg.norm(there.position - here.position, axis=-1)[both]
    assert np.median(apart) < 1e-4
    assert np.isfinite(there.position[there.located]).all()


@pytest.mark.parametrize("deviation", [5.5e-4, 5e-3])
def test_with_noise_the_error_is_at_the_bound_and_never_gross(rng, deviation):
    point = users(rng, 400)
    found = find(bearing(point, STATIONS, AXES)[0] + deviation * rng.standard_normal((400, 3)), deviation)
    assert found.located.mean() > 0.99
    error = np.linalg.norm(found.position - point, axis=-1)[found.located]
    bound = position_error_bound(bearing(point, STATIONS, AXES)[1], np.full((400, 3), deviation**2))[found.located]
    assert (error < 6 * bound).all()
    assert 0.9 < np.sqrt(np.mean((error / bound) ** 2)) < 1.1
    typical = {5.5e-4: 0.046, 5e-3: 0.41}[deviation]  # median bound over users (spec multicell 2.7)
    assert np.median(bound) == pytest.approx(typical, rel=0.15)


def test_seven_stations_beat_three(rng):
    stations, axes = np.array(cell_centres(7, 30.0)), np.array(array_axes(7))
    point = stations[0] + hexagon_point(rng.random((30, 2)), radius=30.0, keep_out=2.0)
    cosine = bearing(point, stations, axes)[0] + 1e-3 * rng.standard_normal((30, 7))
    ok, variance = np.ones((30, 7), bool), np.full((30, 7), 1e-6)
    found = locate(cosine, variance, ok, stations, axes, radius=30.0, limit=float(stats.chi2.isf(2e-4, 5)))
    assert found.located.all()
    assert np.linalg.norm(found.position - point, axis=-1).max() < 6 * found.bound.max()


def test_a_station_without_a_path_or_a_wild_angle_leaves_the_user_unlocated_and_others_untouched(rng):
    point = users(rng, 5)
    cosine = bearing(point, STATIONS, AXES)[0]
    reported = np.ones((5, 3), bool)
    reported[1, 2] = False
    wild = cosine.copy()
    wild[2, 0] = 0.9 if cosine[2, 0] < 0 else -0.9
    wild[3, 1] = np.nan
    found = find(wild, 1e-3, reported)
    np.testing.assert_array_equal(found.located, [True, False, False, False, True])
    assert np.isnan(found.position[1:4]).all()
    assert np.isnan(found.bound[1:4]).all()
    clean = find(cosine, 1e-3)
    np.testing.assert_allclose(found.position[[0, 4]], clean.position[[0, 4]], atol=1e-12)


def test_fewer_than_three_stations_cannot_locate(rng):
    found = find(np.zeros((4, 1)), 1e-3, stations=STATIONS[:1], axes=AXES[:1])
    assert not found.located.any()
    assert np.isnan(found.position).all()


def test_backends_agree(backend, rng):
    point = users(rng, 12)
    cosine = bearing(point, STATIONS, AXES)[0] + 1e-3 * rng.standard_normal((12, 3))
    parts = (cosine, np.full((12, 3), 1e-6), np.ones((12, 3), bool), STATIONS, AXES)
    found = locate(*(backend.asarray(part) for part in parts), radius=30.0, limit=LIMIT)
    expected = locate(*parts, radius=30.0, limit=LIMIT)
    np.testing.assert_allclose(backend.numpy(found.position), expected.position, atol=1e-9)
    np.testing.assert_allclose(backend.numpy(found.bound), expected.bound, atol=1e-9)


@pytest.mark.parametrize("unit", [1e-20, 1e-12, 1.0, 1e12])
def test_single_precision_locates_whatever_the_unit_of_the_variances(unit, rng):
    """Weights are relative: only the ratios of variances say where a user is, and the bound scales with their root."""
    point = users(rng, 30)
    cosine = bearing(point, STATIONS, AXES)[0]
    ratio = np.broadcast_to(np.array([1.0, 4.0, 2.0]), cosine.shape)
    single = [np.asarray(value, dtype="float32") for value in (cosine, unit * ratio, STATIONS, AXES)]
    found = locate(*single[:2], np.ones(cosine.shape, bool), *single[2:], radius=30.0, limit=1e6)
    expected = np.sqrt(unit) * position_error_bound(bearing(point, STATIONS, AXES)[1], ratio)
    if unit == 1e-20:  # rounding of the bearings alone is more than such variances allow
        assert not found.located.all()
    else:
        assert found.located.all()
        np.testing.assert_allclose(found.position, point, atol=2e-2)
        np.testing.assert_allclose(found.bound, expected, rtol=2e-3)


def test_a_bearing_of_infinite_variance_is_no_bearing():
    cosine = bearing(np.array([[60.0, 70.0]]), STATIONS, AXES)[0]
    for variance in (np.full((1, 3), np.inf), np.array([[np.inf, 1e-6, 1e-6]])):
        found = locate(cosine, variance, np.ones((1, 3), bool), STATIONS, AXES, radius=30.0, limit=LIMIT)
        assert not found.located.any()
        assert np.isnan(found.position).all()
    assert position_error_bound(bearing(np.array([60.0, 70.0]), STATIONS, AXES)[1], np.full(3, np.inf)) == np.inf
