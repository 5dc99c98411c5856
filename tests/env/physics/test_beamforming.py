"""Combiners, beams, gains, assignment and groups."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from support import reference
from support.scenes import static

from jcas_env import MultiCell, MultiCellConfig
from jcas_env.physics.arrays import steering_vector
from jcas_env.physics.beamforming import (
    beams,
    channel_correlation,
    combiner,
    constant_modulus,
    effective_channel,
    effective_gain,
    interference_covariance,
    interference_spectrum,
    leakage,
    normalise,
    serving_link,
)
from jcas_env.physics.channel import PathChannel
from jcas_env.physics.combining.paths import gev_combiner_of_paths
from jcas_env.physics.grouping import BITS, _fit_by_masks, _fit_by_rows, assign_cells, first_fit_groups

POWER, NOISE = {"power": 10.0}, {"noise_power": 2e-13}


@pytest.fixture(scope="module")
def scene():
    """Two scenes of three cells with four users each, 8 x 4 antennas."""
    return static(2, users_per_cell=4, bs_antennas=8, ue_antennas=4)


def sums_of_paths(rng, cells=3, users=12, paths=3, rx=4, tx=8):
    """Random channels as their paths, two lanes of them, with interference of very different power."""
    links = (2, cells, users, paths)
    gains = rng.normal(size=links) + 1j * rng.normal(size=links)
    gains = 1e-5 * gains * 10.0 ** rng.uniform(-2, 0, (2, cells, users, 1))
    u, v = rng.uniform(-1, 1, links), rng.uniform(-1, 1, links)
    return PathChannel(gains, u, steering_vector(v, antennas=rx), steering_vector(-u, antennas=tx))


class TestPaths:
    """Oracles are the functions of channel matrices."""

    def test_channels_behind_combiners_are_those_of_the_matrices(self, backend, rng):
        channel = sums_of_paths(rng)
        w = normalise(rng.normal(size=(2, 12, 4)) + 1j * rng.normal(size=(2, 12, 4)))
        got = backend.numpy(PathChannel(*(backend.asarray(part) for part in channel)).behind(backend.asarray(w)))
        np.testing.assert_allclose(got, effective_channel(channel.matrix, w), atol=1e-18)

    @pytest.mark.parametrize("cells", [1, 3])
    @pytest.mark.parametrize(("rx", "tx", "paths"), [(4, 8, 3), (2, 3, 2), (1, 20, 1), (3, 2, 5)])
    def test_combiner_is_that_of_the_matrices(self, backend, cells, rx, tx, paths, rng):
        channel = sums_of_paths(rng, cells=cells, rx=rx, tx=tx, paths=paths)
        cell = np.broadcast_to(np.repeat(np.arange(cells), 12 // cells), (2, 12))
        of_matrices = combiner(channel.matrix, cell, kind="gev", **POWER, **NOISE)
        there = PathChannel(*(backend.asarray(part) for part in channel))
        got = normalise(backend.numpy(gev_combiner_of_paths(there, crowd=12 // cells, **POWER, **NOISE)))
        np.testing.assert_allclose(np.abs(np.sum(np.conj(got) * of_matrices, axis=-1)), 1.0, rtol=1e-12)

    def test_a_user_out_of_reach_gets_the_first_unit_vector(self):
        scenario = MultiCell(MultiCellConfig(estimator="perfect", users_per_cell=2))
        air = scenario.sample(0).air
        silent = air._replace(gains=air.gains * (np.arange(6) != 1)[:, None])
        state = scenario.sample(0)
        csi, _ = scenario._update_knowledge(silent, None, state.cell, None)
        np.testing.assert_array_equal(csi.combiner[1], [1, 0, 0, 0])
        assert csi.error[1] == 1.0
        assert (csi.error[[0, 2, 3, 4, 5]] == 0.0).all()
        assert (csi.gain[1] == 0.0).all()


def stacked(channel: np.ndarray, user: int, cell: int) -> np.ndarray:
    return np.vstack([channel[n, user].conj().T for n in range(channel.shape[0]) if n != cell])


def test_serving_link_picks_the_users_own_station(backend, rng):
    links = rng.normal(size=(2, 3, 5, 4))
    cell = rng.integers(0, 3, (2, 5))
    picked = backend.numpy(serving_link(backend.asarray(links), backend.asarray(cell)))
    for b in range(2):
        for u in range(5):
            np.testing.assert_array_equal(picked[b, u], links[b, cell[b, u], u])


@pytest.mark.parametrize("kind", ["svd", "null_mrc", "gev"])
def test_combiners_agree_on_every_backend_up_to_phase(backend, scene, kind):
    h, cell = scene.state.air.channel, np.ascontiguousarray(scene.state.cell)
    expected = combiner(h, cell, kind=kind, **POWER, **NOISE)
    got = combiner(backend.asarray(h), backend.asarray(cell), kind=kind, **POWER, **NOISE)
    overlap = np.abs(np.sum(expected.conj() * backend.numpy(got), axis=-1))
    np.testing.assert_allclose(overlap, 1.0, rtol=1e-7)


def test_svd_combiner_reaches_the_smallest_singular_value():
    """Spec multicell check 4, N = 4: relative 1e-8, unit norm."""
    scene = static(1, ue_antennas=4, combiner="svd")
    h, cell = scene.state.air.channel[0], scene.state.cell[0]
    w = combiner(h, cell, kind="svd", **POWER, **NOISE)
    np.testing.assert_allclose(np.linalg.norm(w, axis=-1), 1.0, rtol=1e-12)
    values, vectors = interference_spectrum(h, cell)
    for user in range(36):
        t = stacked(h, user, cell[user])
        s = np.linalg.svd(t, compute_uv=False)
        assert np.linalg.norm(t @ w[user]) ** 2 == pytest.approx(s[-1] ** 2, rel=1e-8)
        np.testing.assert_allclose(values[user], s, rtol=1e-8)
        np.testing.assert_allclose(vectors[user].conj().T @ vectors[user], np.eye(4), atol=1e-12)


def test_null_combiner_hears_nothing_of_the_other_cells():
    """Spec multicell check 4, N = 18: ||T w||^2 / sigma_1^2 < 1e-20."""
    scene = static(1, ue_antennas=18)
    h, cell = scene.state.air.channel[0], scene.state.cell[0]
    w = scene.state.csi.combiner[0]
    signal = []
    for user in range(36):
        t = stacked(h, user, cell[user])
        assert np.linalg.norm(t @ w[user]) ** 2 < 1e-20 * np.linalg.norm(t, 2) ** 2
        # Nothing else in the null space hears more of the serving station.
        _, s, vh = np.linalg.svd(t)
        null = vh.conj().T[:, np.append(s, np.zeros(vh.shape[0] - s.size)) <= 1e-9**0.5 * s[0]]
        best = np.linalg.norm(h[cell[user], user].conj().T @ null, 2)
        signal.append(np.linalg.norm(h[cell[user], user].conj().T @ w[user]) / best)
    np.testing.assert_allclose(signal, 1.0, rtol=1e-9)


def test_null_combiner_without_a_null_space_takes_the_last_singular_vector(scene):
    h, cell = scene.state.air.channel, scene.state.cell
    a = combiner(h, cell, kind="null_mrc", **POWER, **NOISE)
    b = combiner(h, cell, kind="svd", **POWER, **NOISE)
    np.testing.assert_allclose(np.abs(np.sum(a.conj() * b, axis=-1)), 1.0, rtol=1e-9)


def test_gev_combiner_maximises_the_ratio(scene):
    h, cell = scene.state.air.channel[0], scene.state.cell[0]
    w = combiner(h, cell, kind="gev", **POWER, **NOISE)
    covariance = interference_covariance(h, cell)
    for user in range(len(cell)):
        own = h[cell[user], user]
        bottom = POWER["power"] / 8 * covariance[user] + NOISE["noise_power"] * np.eye(4)
        top = own @ own.conj().T
        best = scipy.linalg.eigh(top, bottom, eigvals_only=True)[-1]
        ratio = np.real(w[user].conj() @ top @ w[user] / (w[user].conj() @ bottom @ w[user]))
        assert ratio == pytest.approx(best, rel=1e-9)


def test_a_dead_link_gets_the_first_unit_vector_and_no_gain(scene):
    h, cell = scene.state.air.channel[0].copy(), scene.state.cell[0]
    h[:, 2] = 0.0
    for kind in ("svd", "null_mrc", "gev"):
        w = combiner(h, cell, kind=kind, **POWER, **NOISE)
        np.testing.assert_allclose(w[2], [1, 0, 0, 0])
        effective = effective_channel(h, w)
        correlation = channel_correlation(effective, cell)
        assert correlation[2].max() == 0.0
        group = first_fit_groups(correlation, cell, 0.4)
        for precoder in ("mrt", "zf"):
            f = beams(effective, cell, group, precoder=precoder)
            np.testing.assert_allclose(np.linalg.norm(f, axis=-1), 1.0)
            gain = effective_gain(effective, f, cell)
            assert np.isfinite(gain).all()
            assert gain[2].max() == 0.0


def test_gains_equal_the_loop(backend, scene):
    state, csi = scene.state, scene.state.csi
    h, w, f = state.air.channel, csi.combiner, csi.beam
    cell = np.ascontiguousarray(state.cell)
    effective = effective_channel(backend.asarray(h), backend.asarray(w))
    gain = backend.numpy(effective_gain(effective, backend.asarray(f), backend.asarray(cell)))
    for lane in range(2):
        np.testing.assert_allclose(gain[lane], reference.gain_matrix(h[lane], w[lane], f[lane], cell[lane]), rtol=1e-9)
    leak = backend.numpy(leakage(effective, backend.asarray(cell)))
    t = stacked(h[1], 5, cell[1, 5])
    assert leak[1, 5] == pytest.approx(np.linalg.norm(t @ w[1, 5]) ** 2, rel=1e-9)


def test_mrt_gain_inside_a_cell_is_the_own_gain_times_the_squared_correlation():
    """Spec multicell check 5 (1e-8)."""
    scene = static(2)
    gain, rho, cell = scene.problem.gain, scene.problem.correlation, scene.problem.cell
    own = np.diagonal(gain, axis1=-2, axis2=-1)[..., :, None]
    same = cell[..., :, None] == cell[..., None, :]
    np.testing.assert_allclose(gain[same], (own * rho**2)[same], rtol=1e-8, atol=1e-30)


def test_zf_beams_null_the_own_group_and_have_unit_norm(backend):
    scene = static(2, users_per_cell=5, precoder="zf")
    csi, cell = scene.state.csi, np.ascontiguousarray(scene.state.cell)
    f = beams(*(backend.asarray(x) for x in (csi.channel, cell, csi.group)), precoder="zf")
    f = backend.numpy(f)
    np.testing.assert_allclose(np.linalg.norm(f, axis=-1), 1.0, rtol=1e-12)
    gain = effective_gain(csi.channel, f, cell)
    mates = (cell[..., :, None] == cell[..., None, :]) & (csi.group[..., :, None] == csi.group[..., None, :])
    own = np.diagonal(gain, axis1=-2, axis2=-1)
    assert (gain * mates - own[..., None] * np.eye(15)).max() < 1e-18 * own.max()
    # A group of one is matched.
    alone = mates.sum(axis=-1) == 1
    matched = np.abs(np.sum(csi.beam.conj() * beams(csi.channel, cell, csi.group, precoder="mrt"), axis=-1))
    np.testing.assert_allclose(matched[alone], 1.0)


def test_zf_of_two_identical_users_stays_finite():
    scene = static(1, users_per_cell=3, grouping_threshold=1.01)
    h = scene.state.csi.channel[0].copy()
    h[:, 1] = h[:, 0]
    f = beams(h, scene.state.cell[0], np.zeros(9, dtype=int), precoder="zf")
    assert np.isfinite(f).all()
    np.testing.assert_allclose(np.linalg.norm(f, axis=-1), 1.0)


def test_constant_modulus_keeps_phases(backend, rng):
    v = rng.normal(size=(3, 4)) + 1j * rng.normal(size=(3, 4))
    v[0, 0] = 0.0
    out = backend.numpy(constant_modulus(backend.asarray(v)))
    np.testing.assert_allclose(np.abs(out), 0.5)
    np.testing.assert_allclose(np.angle(out[1:]), np.angle(v[1:]))


def test_normalise_turns_zero_into_the_first_unit_vector(backend):
    out = backend.numpy(normalise(backend.asarray(np.array([[0.0, 0.0], [3.0, 4.0]]))))
    np.testing.assert_allclose(out, [[1.0, 0.0], [0.6, 0.8]])


def test_unknown_choices_are_refused(scene):
    csi, cell = scene.state.csi, scene.state.cell
    with pytest.raises(ValueError, match=r"kind.*nothing"):
        combiner(scene.state.air.channel, cell, kind="nothing", **POWER, **NOISE)
    with pytest.raises(ValueError, match=r"precoder.*nothing"):
        beams(csi.channel, cell, csi.group, precoder="nothing")


class TestGroups:
    def test_first_fit_by_masks_is_that_by_rows(self, backend, rng):
        conflict = rng.uniform(size=(5, BITS, BITS)) < np.array([0.02, 0.1, 0.3, 0.8, 1.0])[:, None, None]
        conflict = backend.asarray(conflict | np.swapaxes(conflict, -1, -2))
        by_masks, by_rows = (backend.numpy(fit(conflict)) for fit in (_fit_by_masks, _fit_by_rows))
        np.testing.assert_array_equal(by_masks, by_rows)
        assert by_masks.max() == BITS - 1

    @pytest.mark.parametrize("threshold", [0.4, np.array([0.3] * 4 + [0.6] * 4 + [2.0] * 4)])
    def test_first_fit_cell_by_cell_is_that_of_all_users(self, threshold, rng):
        rho = rng.uniform(size=(3, 12, 12))
        rho = np.maximum(rho, np.swapaxes(rho, -1, -2))
        cell = np.broadcast_to(np.repeat(np.arange(3), 4), (3, 12))
        limit = threshold if isinstance(threshold, float) else np.broadcast_to(threshold, (3, 12))
        whole = first_fit_groups(rho, cell, limit)
        np.testing.assert_array_equal(first_fit_groups(rho, cell, limit, crowd=4), whole)

    def test_first_fit_equals_the_loop(self, backend, rng):
        raw = rng.random((3, 12, 12))
        rho = (raw + np.swapaxes(raw, -1, -2)) / 2
        cell = rng.integers(0, 2, (3, 12))
        for alpha in (0.2, 0.5, 0.7, 1.01):
            got = backend.numpy(first_fit_groups(backend.asarray(rho), backend.asarray(cell), alpha))
            for lane in range(3):
                np.testing.assert_array_equal(got[lane], reference.groups(rho[lane], cell[lane], alpha))

    def test_threshold_can_differ_from_cell_to_cell(self):
        rho = np.full((4, 4), 0.5)
        cell = np.array([0, 0, 1, 1])
        np.testing.assert_array_equal(first_fit_groups(rho, cell, np.array([0.4, 0.4, 0.6, 0.6])), [0, 1, 0, 0])

    def test_groups_partition_the_cell_and_keep_the_threshold(self):
        problem = static(4, ue_antennas=18).problem
        mates = (problem.cell[..., :, None] == problem.cell[..., None, :]) & (
            problem.group[..., :, None] == problem.group[..., None, :]
        )
        off = mates & ~np.eye(36, dtype=bool)
        assert problem.correlation[off].max() < 0.4
        assert problem.group.min() == 0
        one = problem.regroup(1.01)
        assert one.group.max() == 0


class TestAssignment:
    def test_ties_of_nulled_cells_go_to_the_strongest_signal(self):
        scene = static(1, ue_antennas=18, users_per_cell=4)
        h = scene.state.air.channel[0]
        cell = assign_cells(h, kind="null_mrc", **POWER, **NOISE)
        signal = []
        for candidate in range(3):
            w = combiner(h, np.full(12, candidate), kind="null_mrc", **POWER, **NOISE)
            signal.append(np.linalg.norm(effective_channel(h, w)[candidate], axis=-1))
        np.testing.assert_array_equal(cell, np.argmax(signal, axis=0))

    def test_without_ties_the_smallest_singular_value_decides(self, backend):
        scene = static(1, users_per_cell=4)
        h = scene.state.air.channel[0]
        cell = backend.numpy(assign_cells(backend.asarray(h), kind="gev", **POWER, **NOISE))
        smallest = [[np.linalg.svd(stacked(h, user, i), compute_uv=False)[-1] for i in range(3)] for user in range(12)]
        np.testing.assert_array_equal(cell, np.argmin(smallest, axis=1))

    def test_singular_value_assignment_makes_unequal_cells_that_still_solve(self):
        scene = static(6, assignment="svd")
        sizes = np.stack([np.bincount(lane, minlength=3) for lane in scene.state.cell])
        assert (sizes.sum(axis=1) == 36).all()
        assert sizes.min() < 12 < sizes.max()
        from jcas_baselines import ADMM, EqualAllocation, Exact

        for solver in (EqualAllocation(), Exact(), ADMM()):
            allocation = solver.solve(scene.problem).allocation
            assert scene.truth.violation(allocation).max() < 1e-9
            assert np.isfinite(scene.truth.utility(allocation)).all()


def test_gains_of_own_beams_alone_are_those_of_all_beams(backend, scene):
    csi, cell = scene.state.csi, scene.state.cell
    arrays = [backend.asarray(part) for part in (csi.channel, csi.beam, cell)]
    own, every = (backend.numpy(effective_gain(*arrays, crowd=crowd)) for crowd in (4, None))
    np.testing.assert_allclose(own, every, rtol=1e-9)
