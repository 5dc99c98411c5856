"""Compiled loops against the formulas that they stand for, which are the oracle, over random and extreme inputs."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("numba", reason="needs numba: pip install 'jcas-env[fast]'")

from jcas_env.compiled import beams as beam_loops
from jcas_env.compiled import combiners, dispatch, links, slots
from jcas_env.compiled.waves import cosine, entries_of, sine, wave_table
from jcas_env.envs import JCASEnv, JCASVectorEnv
from jcas_env.physics.arrays import steering_update, steering_vector
from jcas_env.physics.beamforming import normalise, passed
from jcas_env.physics.channel import PathChannel, behind_combiner
from jcas_env.physics.combining.paths import gev_combiner_of_paths
from jcas_env.physics.grouping import matched_groups
from jcas_env.physics.membership import Membership
from jcas_env.physics.rates import received_powers, unit_powers
from jcas_env.scenarios.multicell.problem.allocation import MultiCellAllocation
from jcas_env.scenarios.multicell.problem.checks import Budgets, worst_violation

TOLERANCE = {"float64": 1e-9, "float32": 2e-3}
"""Relative; in single precision the formulas themselves are no better where interference is strong."""

POWER = {"power": 10.0, "noise_power": 2e-13}


def paths(rng, *, lanes=(3,), cells=3, crowd=4, rays=3, rx=4, tx=20, dtype="float64", loss=1e-5):
    shape = (*lanes, cells, cells * crowd, rays)
    gains = loss * (rng.standard_normal(shape) + 1j * rng.standard_normal(shape))
    aod, aoa = rng.uniform(-1, 1, (2, *shape))
    arrival, departure = steering_vector(aoa, antennas=rx), steering_vector(-aod, antennas=tx)
    channel = PathChannel(gains, aod, arrival, departure)
    kinds = {"f": dtype, "c": {"float64": "complex128", "float32": "complex64"}[dtype]}
    return PathChannel(*(part.astype(kinds[part.dtype.kind]) for part in channel))


SHAPES = {
    "default": {},
    "no lanes": {"lanes": ()},
    "two axes of lanes": {"lanes": (2, 2)},
    "one cell": {"cells": 1},
    "one antenna": {"rx": 1},
    "three antennas": {"rx": 3, "tx": 7},
    "one path": {"rays": 1},
    "many users": {"crowd": 13},
    "few beams": {"tx": 2, "crowd": 1},
    "loud": {"loss": 1e3},
    "faint": {"loss": 1e-12},
}


def close(got, wanted, dtype):
    assert got.dtype == wanted.dtype
    scale = np.max(np.abs(wanted), axis=-1, keepdims=True, initial=0.0)
    assert np.all(np.abs(got - wanted) <= TOLERANCE[dtype] * scale)


def agree(formula, loop, arrays, numbers, dtype):
    """What the loop computes is what the formula computes, and it did serve."""
    wanted = formula.__wrapped__(*arrays, **numbers)
    found = loop(*arrays, **numbers)
    assert found is not NotImplemented
    for one, other in zip(*((part if isinstance(part, tuple) else (part,)) for part in (found, wanted)), strict=True):
        close(one, other, dtype)
    return found


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
class TestAgainstFormulas:
    def test_combiners(self, rng, shape, dtype):
        channel = paths(rng, **shape, dtype=dtype)
        numbers = {"crowd": shape.get("crowd", 4), **POWER}
        found = normalise(combiners.gev_combiner_of_paths_loop(channel, **numbers))
        if dtype == "float64":
            close(found, normalise(gev_combiner_of_paths.__wrapped__(channel, **numbers)), dtype)
        # The quotient that a combiner maximises, in double precision: flat at its top, whatever the precision.
        double = PathChannel(*(part.astype(complex if part.dtype.kind == "c" else float) for part in channel))
        best = normalise(gev_combiner_of_paths.__wrapped__(double, **numbers))
        assert np.all(quotient(double, found, **numbers) > (1 - TOLERANCE[dtype]) * quotient(double, best, **numbers))

    def test_channels_behind_combiners(self, rng, shape, dtype):
        channel = paths(rng, **shape, dtype=dtype)
        w = normalise(channel.arrival[..., 0, :, 0, :] + 0.3j)
        agree(behind_combiner, beam_loops.behind_combiner_loop, (channel, w.astype(channel.gains.dtype)), {}, dtype)

    def test_steering_vectors_of_paths_that_stay(self, rng, shape, dtype):
        channel = paths(rng, **shape, dtype=dtype)
        moved = rng.uniform(-1, 1, channel.aod_cos.shape).astype(dtype)
        moved.flat[:3] = -1.0, 0.0, 1.0
        found = agree(steering_update, links.steering_update_loop, (moved, channel.departure), {}, dtype)
        np.testing.assert_array_equal(found[..., 1:, :], channel.departure[..., 1:, :])

    def test_gains_and_groups(self, rng, shape, dtype):
        channel, crowd = paths(rng, **shape, dtype=dtype), shape.get("crowd", 4)
        cells, users = channel.gains.shape[-3:-1]
        cell = np.broadcast_to(np.repeat(np.arange(cells), crowd), (*shape.get("lanes", (3,)), users))
        effective = behind_combiner.__wrapped__(channel, channel.arrival[..., 0, :, 0, :])
        threshold = np.full(cell.shape, 0.3, dtype=dtype)
        arrays = (effective, cell, threshold)
        wanted = matched_groups.__wrapped__(*arrays, crowd=crowd)
        correlation, group, beam = beam_loops.matched_groups_loop(*arrays, crowd=crowd)
        close(correlation, wanted[0], dtype)
        np.testing.assert_array_equal(group, wanted[1])
        close(beam, wanted[2], dtype)
        agree(passed, beam_loops.passed_loop, (effective, beam, cell), {"crowd": crowd}, dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("batch", [(), (3,), (2, 2)])
@pytest.mark.parametrize("cells", [1, 3])
class TestSums:
    """Labels as they come: cells of different sizes, or empty, and groups of one."""

    def draw(self, rng, batch, cells, dtype):
        cell = rng.integers(0, cells, (*batch, 9))
        power, gain = rng.exponential(1.0, (*batch, 2, 9)), rng.exponential(1e-9, (*batch, 9, 9))
        return power.astype(dtype), gain.astype(dtype), cell, rng.integers(0, 3, cell.shape)

    def test_received_powers(self, rng, batch, cells, dtype):
        power, gain, cell, group = self.draw(rng, batch, cells, dtype)
        agree(received_powers, slots.received_powers_loop, (power, power[..., 0, :] ** 2, gain, cell, group), {}, dtype)
        agree(unit_powers, slots.unit_powers_loop, (gain, cell, group), {}, dtype)

    @pytest.mark.parametrize("fault", ["none", "power", "floor", "band", "uneven", "nan", "inf"])
    def test_violation(self, rng, batch, cells, dtype, fault):
        power, _, cell, group = self.draw(rng, batch, cells, dtype)
        bandwidth = np.broadcast_to(np.asarray([[2e4], [3e4]], dtype=dtype), power.shape).copy()
        share = np.where(rng.random((*batch, cells)) < 0.5, np.nan, 0.4).astype(dtype)
        worse = {"none": 1.0, "power": 9.0, "floor": 0.0, "band": 1e4, "uneven": 3.0, "nan": np.nan, "inf": np.inf}
        worse = worse[fault]
        (power if fault in ("power", "floor", "nan") else bandwidth)[..., 0, :1] *= worse
        budgets = Budgets(*(np.asarray([value], dtype=dtype) for value in (40.0, 1e6, 1e-3, 1e3, 1e-20)))
        allocation = MultiCellAllocation(power, bandwidth, group)
        numbers = {"membership": Membership(cell, group, cells, power.dtype), "budgets": budgets}
        with np.errstate(invalid="ignore"):
            wanted = worst_violation.__wrapped__(allocation, bandwidth, share, **numbers)
        found = slots.worst_violation_loop(allocation, bandwidth, share, **numbers)
        assert found.dtype == wanted.dtype
        np.testing.assert_allclose(found, wanted, rtol=TOLERANCE[dtype] if dtype == "float64" else 1e-5, atol=1e-14)


def quotient(channel, w, *, crowd, power, noise_power):
    """Signal of the serving cell over noise and isotropic interference, by matrices."""
    energy = np.sum(np.abs(np.conj(w)[..., None, :, None, :] @ channel.matrix) ** 2, axis=(-2, -1))
    cells, users = energy.shape[-2:]
    own = np.arange(cells)[:, None] == np.arange(users) // crowd
    others = np.sum(np.where(own, 0.0, energy), axis=-2)
    tx = channel.departure.shape[-1]
    return np.sum(np.where(own, energy, 0.0), axis=-2) / (power / tx * others / noise_power + 1.0)


class TestExtremes:
    def test_zero_links_and_numbers_that_are_none(self, rng):
        channel = paths(rng)
        gains = channel.gains.copy()
        gains[0, 0, 1], gains[1, :, 2], gains[2, 1, 5, 0] = 0.0, 0.0, np.nan
        channel = channel._replace(gains=gains)
        found = combiners.gev_combiner_of_paths_loop(channel, crowd=4, **POWER)
        wanted = gev_combiner_of_paths.__wrapped__(channel, crowd=4, **POWER)
        np.testing.assert_array_equal(np.isnan(found), np.isnan(wanted))
        assert np.isnan(found[2, 5]).all()
        alive = np.ones(found.shape[:-1], dtype=bool)
        alive[0, 1] = alive[1, 2] = alive[2, 5] = False
        np.testing.assert_allclose(found[alive], wanted[alive], rtol=1e-9)
        effective = behind_combiner.__wrapped__(channel, normalise(np.where(np.isfinite(found), found, 0.0)))
        cell, threshold = np.broadcast_to(np.arange(12) // 4, (2, 12)), np.full((2, 12), 0.2)
        agree(matched_groups, beam_loops.matched_groups_loop, (effective[:2], cell, threshold), {"crowd": 4}, "float64")
        beam = matched_groups(effective[:2], cell, threshold, crowd=4)[2]
        agree(passed, beam_loops.passed_loop, (effective[:2], beam, cell), {"crowd": 4}, "float64")

    def test_almost_equal_eigenvalues_go_to_the_library(self, rng):
        """Two paths of equal gain in orthogonal directions, the second weaker by one part in 1e3 to 1e5."""
        channel = paths(rng, rays=2, cells=1, lanes=(3,))
        arrival = np.broadcast_to(steering_vector(np.array([0.0, 0.5]), antennas=4), channel.arrival.shape)
        aod = np.broadcast_to(np.array([0.0, 0.1]), channel.aod_cos.shape)
        ratio = 1.0 - 10.0 ** -np.arange(3.0, 6.0)[:, None, None]
        gains = 1e-5 * np.stack([np.ones((3, 1, 4)), ratio + np.zeros((3, 1, 4))], axis=-1).astype(complex)
        channel = PathChannel(gains, aod, arrival, steering_vector(-aod, antennas=20))
        found, wanted = (
            f(channel, crowd=4, **POWER)
            for f in (combiners.gev_combiner_of_paths_loop, gev_combiner_of_paths.__wrapped__)
        )
        np.testing.assert_allclose(found, wanted, atol=1e-9)

    def test_a_lane_computes_what_it_computes_alone(self, rng):
        channel = paths(rng, lanes=(4,), crowd=5)
        whole = combiners.gev_combiner_of_paths_loop(channel, crowd=5, **POWER)
        for lane in range(4):
            alone = combiners.gev_combiner_of_paths_loop(
                PathChannel(*(part[lane] for part in channel)), crowd=5, **POWER
            )
            np.testing.assert_array_equal(whole[lane], alone)

    @pytest.mark.parametrize("dtype", [np.float64, np.float32])
    def test_sine_and_cosine(self, dtype):
        import numba

        @numba.njit
        def both(x, k, s, c):
            for n in range(x.size):
                s[n], c[n] = sine(x[n], entries_of(k)), cosine(x[n], entries_of(k))

        x = np.concatenate([np.linspace(-70, 70, 10_001), np.pi / 2 * np.arange(-20, 21), [1e-300, 0.0]]).astype(dtype)
        s, c = np.empty_like(x), np.empty_like(x)
        both(x, wave_table(np.dtype(dtype)), s, c)
        exact, unit = x.astype(np.longdouble), np.finfo(dtype).eps
        assert np.max(np.abs(s - np.sin(exact))) < unit
        assert np.max(np.abs(c - np.cos(exact))) < unit


@pytest.mark.parametrize("estimator", ["perfect", "crb", "spomp"])
@pytest.mark.parametrize("lanes", [1, 3])
def test_a_trajectory_is_the_same_with_and_without_loops(lanes, estimator):
    """States, rewards and rates of a dozen slots in double precision, to 1e-9 of an array's largest number."""
    (one, told), (other, quiet) = (trajectory(lanes, estimator, on=on) for on in (True, False))
    for name, value in told.items():
        # A violation is relative to the budgets, and zero but for rounding.
        np.testing.assert_allclose(value, quiet[name], rtol=1e-9, atol=1e-14 * (name == "violation"), err_msg=name)
    for leaf, same in zip(leaves(one), leaves(other), strict=True):
        assert leaf.dtype == same.dtype
        np.testing.assert_allclose(leaf, same, rtol=1e-9, atol=1e-9 * np.max(np.abs(same), initial=0.0))


def trajectory(lanes, estimator, *, on):
    rng = np.random.default_rng(5)
    with dispatch.switched(on=on):
        environment = JCASVectorEnv("multicell", num_envs=lanes, estimator=estimator)
        environment.reset(seed=8)
        for _ in range(12):
            action = rng.uniform(-1, 1, (lanes, environment.single_action_space.shape[0]))
            _, reward, _, _, info = environment.step(action)
    names = ("rate", "positioning_rate", "utility", "violation", "nmse")
    return environment.state, {"reward": reward, **{name: info[name] for name in names}}


def leaves(tree):
    return [leaf for part in tree for leaf in leaves(part)] if isinstance(tree, tuple) else [tree]


def test_a_single_environment_is_a_lane():
    one, lanes = JCASEnv("multicell", estimator="perfect"), JCASVectorEnv("multicell", num_envs=2, estimator="perfect")
    one.reset(seed=8), lanes.reset(seed=8)
    action = np.linspace(-1, 1, one.action_space.shape[0])
    for _ in range(3):
        reward, rewards = one.step(action)[1], lanes.step(np.stack([action, -action]))[1]
        assert reward == pytest.approx(rewards[0], rel=1e-12)


class TestChoice:
    def test_other_libraries_and_a_switch_get_the_formula(self, backend, rng, monkeypatch):
        calls = []
        monkeypatch.setattr(beam_loops, "_behind", lambda *arrays: calls.append(arrays))
        channel = paths(rng)
        there = PathChannel(*(backend.asarray(part) for part in channel))
        with dispatch.switched(on=False):
            assert not dispatch.is_on()
            behind_combiner(there, there.arrival[..., 0, :, 0, :])
        assert not calls
        assert dispatch.is_on()
        if backend.name in ("strict", "torch"):
            behind_combiner(there, there.arrival[..., 0, :, 0, :])
            assert not calls

    def test_numba_is_imported_when_a_slot_needs_it(self):
        code = "import sys, jcas_env; assert 'numba' not in sys.modules"
        subprocess.run([sys.executable, "-c", code], check=True, env=os.environ)

    @pytest.mark.parametrize(("given", "expected"), [("0", False), ("1", True)])
    def test_the_environment_variable(self, given, expected):
        code = f"from jcas_env.compiled.dispatch import is_on; assert is_on() is {expected}"
        subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "JCAS_COMPILED": given})

    @pytest.mark.parametrize(("given", "expected"), [("1", False), ("0", True)])
    def test_where_numba_compiles_nothing_formulas_serve(self, given, expected):
        code = (
            "import numpy as np\nfrom jcas_env.compiled.dispatch import is_on\n"
            "from jcas_env.randomness import lane_generators\n"
            f"assert is_on() is {expected}\n"
            "one = lane_generators(np.array([3], dtype=np.uint64), part=(2,), dtype=float).random(4)\n"
            "assert (one[0] == np.random.default_rng((3, 2)).random(4)).all()"
        )
        subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "NUMBA_DISABLE_JIT": given})

    def test_numbers_in_another_order_of_bytes_get_the_formula(self, rng):
        gain, label = rng.random((3, 4, 4)), np.zeros((3, 4), dtype=np.int64)
        swapped = [value.astype(value.dtype.newbyteorder()) for value in (gain, label)]
        for one, other in ((swapped[0], label), (gain, swapped[1])):
            assert slots.unit_powers_loop(one, other, other) is NotImplemented
            np.testing.assert_allclose(unit_powers(one, other, other), unit_powers(gain, label, label), rtol=1e-12)
