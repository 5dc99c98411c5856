"""Compiled loops of the draws and of the estimators against what they stand for."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba", reason="needs numba: pip install 'jcas-env[fast]'")

from jcas_env.compiled import combiners, generators, known_angles, pilots, tracking
from jcas_env.physics.arrays import steering_vector
from jcas_env.physics.beamforming import gev_direction, normalise
from jcas_env.physics.channel import PathChannel
from jcas_env.physics.estimation.known_angles import fitted_gains
from jcas_env.physics.estimation.pilots import drawn_beams, heard_antennas, heard_beams
from jcas_env.physics.estimation.search.tracking import looked
from jcas_env.randomness import LaneGenerators, complex_normal, spawn, spawn_lanes

TOLERANCE = {"float64": 1e-9, "float32": 2e-3}
SHAPES = {
    "default": (20, 4, 3),
    "odd": (7, 3, 2),
    "one path": (20, 4, 1),
    "one antenna": (12, 1, 3),
    "many paths": (24, 4, 5),
}
SEEDS = np.array([0, 1, 2**32 - 1, 2**32, 2**63 - 1, 123456789123], dtype=np.uint64)

shapes = pytest.mark.parametrize(("tx", "rx", "rays"), SHAPES.values(), ids=list(SHAPES))
precisions = pytest.mark.parametrize("dtype", ["float64", "float32"])


def complex_numbers(rng, dtype, *shape):
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.result_type(dtype, np.complex64))


def close(got, wanted, dtype):
    assert got.dtype == wanted.dtype
    assert got.shape == wanted.shape
    assert np.max(np.abs(got - wanted)) <= TOLERANCE[dtype] * np.max(np.abs(wanted))


@pytest.mark.parametrize("part", [(), (1,), (2,), (2**32 - 1, 7)])
class TestGenerators:
    def test_lanes_draw_what_generators_of_numpy_draw(self, part):
        """Enough numbers to meet every layer of the ziggurat and its tail, about one in 4,000."""
        ours = generators.lane_generators_loop(SEEDS, part=part, dtype="float64")
        theirs = LaneGenerators(SEEDS, part, "float64")
        for _ in range(2):
            normals = ours.standard_normal((200, 211))
            np.testing.assert_array_equal(normals, theirs.standard_normal((200, 211)))
            assert np.max(np.abs(normals)) > 3.66
            np.testing.assert_array_equal(ours.random((3, 5)), theirs.random((3, 5)))
            np.testing.assert_array_equal(ours.complex_normal(4, 3), theirs.complex_normal(4, 3))

    def test_single_precision_is_double_precision_rounded(self, part):
        double, single = (generators.lane_generators_loop(SEEDS, part=part, dtype=d) for d in ("float64", "float32"))
        np.testing.assert_array_equal(single.standard_normal(99), double.standard_normal(99).astype(np.float32))
        np.testing.assert_array_equal(single.random(9), double.random(9).astype(np.float32))
        np.testing.assert_array_equal(single.complex_normal(2, 9), double.complex_normal(2, 9).astype(np.complex64))

    def test_a_lane_draws_what_its_generator_spawns(self, part):
        lanes = spawn_lanes([np.random.default_rng(seed) for seed in (3, 4)], dtype="float64")(*part)
        drawn = complex_normal(lanes, 5, 2)
        for row, seed in zip(drawn, (3, 4), strict=True):
            np.testing.assert_array_equal(row, complex_normal(spawn(np.random.default_rng(seed))(*part), 5, 2))


@precisions
@shapes
class TestPilots:
    def channel(self, rng, dtype, tx, rx, rays):
        arrival, departure = (steering_vector(rng.uniform(-1, 1, (2, 5, rays)), antennas=n) for n in (rx, tx))
        kind = np.result_type(dtype, np.complex64)
        gains = complex_numbers(rng, dtype, 2, 5, rays)
        return PathChannel(gains, np.zeros((2, 5, rays), dtype), arrival.astype(kind), departure.astype(kind))

    def test_beams_and_what_is_heard_of_them(self, rng, dtype, tx, rx, rays):
        order, turns = (rng.random((2, 5, tx)).astype(dtype) for _ in range(2))
        beams = pilots.drawn_beams_loop(order, turns, pilots=5)
        close(beams, drawn_beams.__wrapped__(order, turns, pilots=5), dtype)
        noise = complex_numbers(rng, dtype, 2, 5, 1, rx, 5)
        amplitude, power = (rng.uniform(0.5, 2.0, (2, 5)).astype(dtype) for _ in range(2))
        arrays = (self.channel(rng, dtype, tx, rx, rays), amplitude, beams[..., None, :, :], power, noise)
        close(pilots.heard_beams_loop(*arrays), heard_beams.__wrapped__(*arrays), dtype)

    def test_what_is_heard_of_antennas(self, rng, dtype, tx, rx, rays):
        _, _, arrival, departure = self.channel(rng, dtype, tx, rx, rays)
        gains, noise = complex_numbers(rng, dtype, 2, 5, 6, rays), complex_numbers(rng, dtype, 2, 5, 6, rx, tx)
        arrays = (gains, arrival, departure, rng.uniform(0.5, 2.0, (2, 5)).astype(dtype), noise)
        close(pilots.heard_antennas_loop(*arrays), heard_antennas.__wrapped__(*arrays), dtype)


def angles(rng, dtype, rays, links=40):
    """Directions apart from one another, and which paths are in use: all, some, or none."""
    aod, aoa = (
        (np.linspace(-0.8, 0.8, rays) + rng.uniform(-0.05, 0.05, (links, rays))).astype(dtype) for _ in range(2)
    )
    on = rng.random((links, rays)) < 0.8
    on[0], on[1] = True, False
    return aod, aoa, on


@precisions
@shapes
def test_gains_on_known_angles(rng, dtype, tx, rx, rays):
    aod, aoa, on = angles(rng, dtype, rays)
    data = complex_numbers(rng, dtype, 40, 1, 1, rx, 6)
    beams = drawn_beams.__wrapped__(*(rng.random((40, tx)).astype(dtype) for _ in range(2)), pilots=6)[:, None]
    arrays = (data, beams, aod, aoa, on, np.full((40, 1), 1e-9, dtype))
    for found, wanted in zip(known_angles.fitted_gains_loop(*arrays), fitted_gains.__wrapped__(*arrays), strict=True):
        close(found, wanted, dtype)
    assert not np.any(known_angles.fitted_gains_loop(*arrays)[0][1])


@precisions
@shapes
def test_what_data_say_about_atoms(rng, dtype, tx, rx, rays):
    aod, aoa, on = angles(rng, dtype, rays)
    arrays = (complex_numbers(rng, dtype, 40, 1, 6, rx, tx), aod, aoa, on)
    for found, wanted in zip(tracking.looked_loop(*arrays), looked.__wrapped__(*arrays), strict=True):
        close(found, wanted, dtype)


@pytest.mark.parametrize("loss", [1e-5, 1e-12, 1e3])
@pytest.mark.parametrize(("cells", "rx"), [(1, 4), (3, 4), (3, 2), (2, 1)])
class TestCombiners:
    NUMBERS = {"power": 10.0, "noise_power": 2e-13}  # noqa: RUF012

    def test_combiners_of_matrices(self, rng, cells, rx, loss):
        channel = loss * complex_numbers(rng, "float64", 2, cells, 19, rx, 20)
        cell = rng.integers(0, cells, (2, 19))
        found = normalise(combiners.gev_direction_loop(channel, cell, **self.NUMBERS))
        wanted = normalise(gev_direction.__wrapped__(channel, cell, **self.NUMBERS))
        phase = np.sum(np.conj(found) * wanted, axis=-1)
        np.testing.assert_allclose(np.abs(phase), 1.0, rtol=1e-9)
        np.testing.assert_allclose(found * phase[..., None], wanted, rtol=0, atol=1e-8)

    def test_a_lane_computes_what_it_computes_alone(self, rng, cells, rx, loss):
        channel = loss * complex_numbers(rng, "float32", 3, cells, 19, rx, 20)
        cell = rng.integers(0, cells, (3, 19))
        whole = combiners.gev_direction_loop(channel, cell, **self.NUMBERS)
        for lane in range(3):
            alone = combiners.gev_direction_loop(channel[lane], cell[lane], **self.NUMBERS)
            np.testing.assert_array_equal(whole[lane], alone)
