"""Estimation: pilots, atoms, the coarse stage against an explicit dictionary, linear estimators, libraries."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from jcas_experiments.links import Links, bound, complex_normal, decibel, draw_links, error, run

from jcas_env.physics.arrays import steering_correlation, steering_derivative, steering_vector
from jcas_env.physics.channel import multipath_channel
from jcas_env.physics.estimation import ESTIMATORS, gains_on_known_angles, measure, nmse, pilot_beams
from jcas_env.physics.estimation.mmse import angle_covariance
from jcas_env.physics.estimation.pilots import prepare
from jcas_env.physics.estimation.search.atoms import Aperture, correlation, jet_gram
from jcas_env.physics.estimation.search.coarse import angle_grid, lag_energies, make_grid


def beams(rng, antennas, pilots, *batch):
    columns = np.argsort(rng.random((*batch, antennas)), axis=-1)[..., :pilots]
    return pilot_beams(columns, rng.uniform(0, 2 * np.pi, (*batch, antennas)))


def vec(matrix):
    """Columns stacked: vec(a_N a_M^H) = conj(a_M) kron a_N (spec estimation 1.4)."""
    return np.swapaxes(matrix, -1, -2).reshape(*matrix.shape[:-2], -1)


def atoms(v, w, tx, rx):
    """Explicit atoms (tx rx, paths) of one link for P = M."""
    a, b = steering_vector(np.asarray(v), antennas=tx), steering_vector(np.asarray(w), antennas=rx)
    return np.stack([np.kron(p.conj(), q) for p, q in zip(a, b, strict=True)], axis=-1)


class TestPilots:
    """Check 1."""

    def test_pilot_beams_are_orthonormal_and_of_constant_modulus(self, rng):
        f = beams(rng, 16, 5, 3, 6)
        np.testing.assert_allclose(f.conj().swapaxes(-1, -2) @ f, np.broadcast_to(np.eye(5), (3, 6, 5, 5)), atol=1e-12)
        np.testing.assert_allclose(np.abs(f), 0.25, atol=1e-12)

    def test_hybrid_pilots_symbol_by_symbol_are_the_matrix_model(self, rng):
        """Equation (2) of the paper, sent beam by beam through a unitary combiner W, is Z = H F after W is undone."""
        tx, rx, pilots = 8, 2, 5
        h, f = complex_normal(rng, 1, rx, tx), beams(rng, tx, pilots, 1)
        w = np.linalg.qr(complex_normal(rng, rx, rx))[0]
        rows = [np.kron(f[0, :, p], w.conj().T) for p in range(pilots)]
        y = np.concatenate([row @ vec(h[0]) for row in rows])
        z = w @ y.reshape(pilots, rx).T
        clean = measure(h, f, np.zeros(()), np.zeros((1, rx, pilots)))
        np.testing.assert_allclose(z, clean[0], atol=1e-12)

    def test_vec_of_a_path_is_a_kronecker_product(self):
        a, b = steering_vector(np.array(0.3), antennas=5), steering_vector(np.array(-0.7), antennas=3)
        np.testing.assert_allclose(vec(np.outer(b, a.conj())), np.kron(a.conj(), b), atol=1e-15)

    def test_grid_starts_at_one_and_steps_down(self):
        np.testing.assert_allclose(
            angle_grid(np.ones(1), 10), [1, 0.8, 0.6, 0.4, 0.2, 0, -0.2, -0.4, -0.6, -0.8], atol=1e-12
        )

    def test_entries_of_the_channel_have_unit_power(self, rng):
        """Check 2: E|H_nm|^2 = 1 +- 0.02."""
        links = draw_links(rng, 4000, tx_antennas=16, rx_antennas=2, paths=3, snr_db=0.0)
        assert np.mean(np.abs(links.channel) ** 2) == pytest.approx(1.0, abs=0.02)

    def test_channel_of_snapshots_is_the_multipath_channel_of_each(self, rng):
        links = draw_links(rng, 4, tx_antennas=5, rx_antennas=3, paths=2, snr_db=0.0)
        for t in range(6):
            h = multipath_channel(links.gains[:, t], links.aoa_cos, links.aod_cos, rx_antennas=3, tx_antennas=5)
            np.testing.assert_allclose(links.channel[:, t], h, atol=1e-13)


class TestAtoms:
    @pytest.mark.parametrize("antennas", [1, 2, 3, 4, 5, 16, 33])
    def test_inner_products_of_steering_vectors_in_closed_form(self, rng, antennas):
        """Also where the formula cancels: close directions, and directions a period apart."""
        small = 10.0 ** rng.uniform(-9, 0, 300)
        delta = np.concatenate([rng.uniform(-2, 2, 300), small, 2.0 - small, [0.0, 2.0, -2.0]])
        u = rng.uniform(-1, 1, delta.shape)
        a, b = (steering_vector(x, antennas=antennas) for x in (u, u + delta))
        da, db = (steering_derivative(x, antennas=antennas) for x in (u, u + delta))
        values = steering_correlation(delta, antennas=antennas, derivatives=2)
        for order, (value, dot) in enumerate(
            zip(values, (np.vecdot(a, b), np.vecdot(a, db), -np.vecdot(da, db)), strict=True)
        ):
            np.testing.assert_allclose(value, dot, atol=1e-11 * max(1, 1.8 * antennas) ** order)

    @pytest.mark.parametrize("rx", [1, 2, 3])
    def test_gram_matrices_of_both_kinds_of_pilots_agree(self, rng, rx):
        """The closed form for P = M against products of vectors through F = I."""
        v, w = rng.uniform(-1, 1, (2, 5, 4)) * np.array([1.0, rx > 1])[:, None, None]
        closed = Aperture(7, rx, None)
        explicit = Aperture(7, rx, np.broadcast_to(np.eye(7, dtype=complex), (5, 1, 7, 7)))
        np.testing.assert_allclose(jet_gram(closed, v, w), jet_gram(explicit, v, w), atol=1e-10)
        pair = ((v, w), (w, v))
        np.testing.assert_allclose(correlation(closed, *pair), correlation(explicit, *pair), atol=1e-12)

    def test_gram_matrix_is_that_of_explicit_atoms_and_their_derivatives(self, rng):
        """Columns by the product rule, written out as Kronecker products."""
        tx, rx, pilots = 6, 2, 4
        v, w = rng.uniform(-1, 1, (2, 1, 3))
        f = beams(rng, tx, pilots, 1, 1)
        columns = []
        for dv, dw in ((0, 0), (1, 0), (0, 1)):
            for path in range(3):
                a = (steering_derivative if dv else steering_vector)(v[0, path], antennas=tx)
                b = (steering_derivative if dw else steering_vector)(w[0, path], antennas=rx)
                columns.append(np.kron(f[0, 0].T @ a.conj(), b))
        d = np.stack(columns, axis=-1)
        np.testing.assert_allclose(jet_gram(Aperture(tx, rx, f), v, w)[0, 0], d.conj().T @ d, atol=1e-11)


def explicit_omp(links: Links, index: int, paths: int, grid: int):
    """OMP of one link with all G^2 columns written out, spec estimation 2.4; returns pairs of grid indices."""
    tx, rx = links.sizes["tx_antennas"], links.sizes["rx_antennas"]
    u = 1.0 - 2.0 * np.arange(grid) / grid
    pairs = [(i, j) for i in range(grid) for j in range(grid)]
    columns = atoms([u[i] for i, _ in pairs], [u[j] for _, j in pairs], tx, rx)
    y = vec(links.received[index])
    frames = len(y)
    if links.beams is None:
        b = [columns] * frames
    else:
        b = [np.kron(links.beams[index, t].T, np.eye(rx)) @ columns for t in range(frames)]
    picks, residual = [], list(y)
    for _ in range(paths):
        energy = sum(
            np.abs(b[t].conj().T @ residual[t]) ** 2 / np.sum(np.abs(b[t]) ** 2, axis=0) for t in range(frames)
        )
        picks.append(int(np.argmax(energy)))
        residual = [y[t] - b[t][:, picks] @ np.linalg.lstsq(b[t][:, picks], y[t])[0] for t in range(frames)]
    return [pairs[j] for j in picks]


class TestMatchingPursuit:
    @pytest.mark.parametrize("pilots", [None, 8])
    @pytest.mark.parametrize("rx", [2, 3])
    def test_structured_picks_equal_those_of_an_explicit_dictionary(self, rng, pilots, rx):
        """Check 3, G = 60, P = 16 and 8, index for index."""
        links = draw_links(rng, 6, tx_antennas=16, rx_antennas=rx, paths=3, snr_db=10.0, pilots=pilots)
        estimate = run("omp", links, grid=60)
        for k in range(6):
            aod, aoa = (np.rint((1.0 - u[k]) * 30).astype(int) for u in (estimate.aod_cos, estimate.aoa_cos))
            assert list(zip(aod.tolist(), aoa.tolist(), strict=True)) == explicit_omp(links, k, 3, 60)

    @pytest.mark.parametrize("pilots", [None, 8])
    def test_energies_on_a_fine_grid_are_those_of_projections(self, rng, pilots):
        """Interpolation from 2 M samples is exact: the energy is a trigonometric polynomial."""
        links = draw_links(rng, 2, tx_antennas=8, rx_antennas=2, paths=2, snr_db=10.0, pilots=pilots)
        data = prepare(links.received, links.beams, links.noise_power, 2)
        grid = make_grid(data, 50, 50)
        total, real, imag = lag_energies(grid, grid.image)
        i, j = 13, 38
        v, w = grid.aod_cos[i : i + 1], grid.aoa_cos[j]
        energy = (total + 2 * (real * np.cos(np.pi * w) + imag * np.sin(np.pi * w)))[:, i] / 2
        for k in range(2):
            f = links.beams[k] if pilots else np.broadcast_to(np.eye(8), (6, 8, 8))
            b = [np.kron(f[t].T, np.eye(2)) @ atoms(v, [w], 8, 2)[:, 0] for t in range(6)]
            y = vec(links.received[k])
            expected = sum(abs(np.vdot(b[t], y[t])) ** 2 / np.vdot(b[t], b[t]).real for t in range(6))
            assert energy[k] == pytest.approx(expected, rel=1e-10)

    def test_paths_on_the_orthogonal_grid_are_found_exactly(self, rng):
        """Check 5: G_BS = M and N = 4 with G_UE = 4 resolve orthogonal atoms; no noise, below -120 dB."""
        u_tx, u_rx = 1.0 - 2.0 * np.arange(16) / 16, 1.0 - 2.0 * np.arange(4) / 4
        aod, aoa = u_tx[[2, 7, 12]], u_rx[[0, 3, 1]]
        links = draw_links(rng, 20, tx_antennas=16, rx_antennas=4, paths=3, snr_db=np.inf, angles=(aod, aoa))
        assert decibel(error(run("omp", links, grid=16), links)) < -120.0

    def test_floor_of_a_single_path_off_the_grid(self, rng):
        """Check 7: 10 log10(pi^2 (M^2 - 1)/(36 G^2)) = -21.55 dB, u uniform, N = 1, no noise."""
        aod = rng.uniform(-1, 1, (3000, 1))
        links = draw_links(rng, 3000, tx_antennas=16, rx_antennas=1, paths=1, snr_db=np.inf, angles=(aod, 0 * aod))
        expected = 10 * np.log10(np.pi**2 * 255 / (36 * 100**2))
        assert expected == pytest.approx(-21.55, abs=0.01)
        assert decibel(error(run("omp", links), links)) == pytest.approx(expected, abs=0.7)


class TestLinearEstimators:
    @pytest.mark.parametrize("snr_db", [-10.0, 0.0, 10.0, 20.0])
    def test_ls_error_is_the_noise(self, rng, snr_db):
        """Check 2: -SNR + 0.15 .. 0.45 dB, the excess of the mean of ratios."""
        links = draw_links(rng, 2000, tx_antennas=16, rx_antennas=2, paths=3, snr_db=snr_db)
        assert 0.15 <= decibel(error(run("ls", links), links)) + snr_db <= 0.45

    def test_ls_of_compressed_pilots_has_minimum_norm(self, rng):
        links = draw_links(rng, 3, tx_antennas=16, rx_antennas=2, paths=3, snr_db=10.0, pilots=5)
        expected = links.received @ np.linalg.pinv(links.beams)
        np.testing.assert_allclose(run("ls", links).channel, expected, atol=1e-12)

    def test_angle_covariance_is_the_bessel_function(self):
        from scipy.special import j0

        lag = np.arange(20)[:, None] - np.arange(20)
        np.testing.assert_allclose(angle_covariance(np.ones(1), 20), j0(np.pi * lag), atol=1e-13)

    @pytest.mark.parametrize("pilots", [None, 5])
    @pytest.mark.parametrize("law", ["theta", "cosine"])
    def test_mmse_is_the_wiener_filter_of_the_whole_vector(self, rng, pilots, law):
        """Against the inverse of the P N x P N covariance of one snapshot."""
        tx, rx, s2 = 8, 2, 0.3
        links = draw_links(rng, 2, tx_antennas=tx, rx_antennas=rx, paths=3, snr_db=-10 * np.log10(s2), pilots=pilots)
        estimate = run("mmse", links, angle_law=law)
        r = np.kron(angle_covariance(np.ones(1), tx, law), angle_covariance(np.ones(1), rx, law))
        for k in range(2):
            for t in range(6):
                phi = np.kron(links.beams[k, t].T, np.eye(rx)) if pilots else np.eye(tx * rx)
                inner = phi @ r @ phi.conj().T + s2 * np.eye(len(phi))
                h = r @ phi.conj().T @ np.linalg.solve(inner, vec(links.received[k, t]))
                np.testing.assert_allclose(vec(estimate.channel[k, t]), h, atol=1e-11)

    def test_square_beams_are_undone(self, rng):
        links = draw_links(rng, 3, tx_antennas=8, rx_antennas=2, paths=2, snr_db=10.0)
        f = beams(rng, 8, 8, 3, 6)
        rotated = links._replace(received=links.received @ f, beams=f)
        for name in ("ls", "mmse", "omp", "spomp"):
            np.testing.assert_allclose(run(name, rotated).channel, run(name, links).channel, atol=1e-8)

    def test_gains_at_known_angles_have_the_stated_error(self, rng):
        """Spec estimation 8.5: sigma^2 tr((B^H B)^-1 A^H A) per snapshot."""
        links = draw_links(
            rng,
            3000,
            tx_antennas=16,
            rx_antennas=2,
            paths=3,
            snr_db=20.0,
            snapshots=1,
            pilots=8,
            angles=((-0.5, 0.05, 0.6), (0.3, -0.4, 0.1)),
        )
        known = gains_on_known_angles(links.received, links.beams, links.noise_power, links.aod_cos, links.aoa_cos)
        a = atoms(links.aod_cos[0], links.aoa_cos[0], 16, 2)
        b = np.stack([np.kron(f[0].T, np.eye(2)) @ a for f in links.beams])
        gram = b.conj().swapaxes(-1, -2) @ b
        expected = 0.01 * np.trace(np.linalg.solve(gram, a.conj().T @ a), axis1=-2, axis2=-1).real
        got = np.sum(np.abs(known.channel - links.channel) ** 2, axis=(1, 2, 3))
        assert got.mean() == pytest.approx(expected.mean(), rel=10**0.03 - 1)
        np.testing.assert_allclose(
            known.variance, 0.01 * np.diagonal(np.linalg.inv(gram), axis1=1, axis2=2).real, rtol=1e-6
        )

    def test_nmse_is_the_error_over_the_energy_of_a_link(self):
        truth = np.full((2, 3, 1, 4), 2.0 + 0j)
        np.testing.assert_allclose(nmse(truth + 1.0, truth), 0.25)

    def test_counting_bound(self, rng):
        """M = 16, L = 3, T = 6: -9.61 dB below the noise for N = 2, -6.92 dB for N = 1, as ratio of means (1.9)."""
        for rx, expected in ((1, -6.92), (2, -9.61)):
            links = draw_links(rng, 4000, tx_antennas=16, rx_antennas=rx, paths=3, snr_db=0.0)
            energy = np.sum(np.abs(links.channel) ** 2, axis=(1, 2, 3))
            assert 10 * np.log10((bound(links) * energy).mean() / (6 * 16 * rx)) == pytest.approx(expected, abs=0.01)


DATA_DRIVEN = ["ls", "mmse", "omp", "esprit", "spomp"]


class TestLibraries:
    @pytest.mark.parametrize(
        ("name", "pilots"),
        [(name, pilots) for name in DATA_DRIVEN for pilots in (None, 8) if not (name == "esprit" and pilots)],
    )
    def test_read_only_arrays_and_torch_give_the_same_estimate(self, rng, name, pilots):
        rx = 1 if name == "esprit" else 2
        links = draw_links(rng, 12, tx_antennas=16, rx_antennas=rx, paths=3, snr_db=15.0, pilots=pilots)
        expected = run(name, links)
        for part in (links.received, links.noise_power):
            part.flags.writeable = False
        again = run(name, links)
        tensors = [
            None if x is None else torch.from_numpy(np.array(x))
            for x in (links.received, links.beams, links.noise_power)
        ]
        other = ESTIMATORS[name](*tensors, paths=3)
        for field, one, two, three in zip(expected._fields, expected, again, other, strict=True):
            np.testing.assert_array_equal(one, two, err_msg=field)
            assert isinstance(three, torch.Tensor)
            if name != "esprit" or field == "channel":  # the order of eigenvalues is the library's own
                np.testing.assert_allclose(three.numpy(), one, atol=1e-7, err_msg=field)

    @pytest.mark.parametrize("name", DATA_DRIVEN)
    def test_leading_axes_are_links_and_precision_is_kept(self, rng, name):
        links = draw_links(rng, 12, tx_antennas=16, rx_antennas=1, paths=3, snr_db=15.0)
        flat = run(name, links)
        nested = ESTIMATORS[name](links.received.reshape(2, 3, 2, 6, 1, 16), None, np.float64(10**-1.5), paths=3)
        for one, two in zip(flat, nested, strict=True):
            assert two.shape == (2, 3, 2, *one.shape[1:])
            np.testing.assert_allclose(two.reshape(one.shape), one, atol=1e-9)
        single = ESTIMATORS[name](
            links.received.astype(np.complex64), None, links.noise_power.astype(np.float32), paths=3
        )
        assert single.channel.dtype == np.complex64
        assert single.aod_cos.dtype == np.float32
        assert decibel(error(single, links)) == pytest.approx(decibel(error(flat, links)), abs=0.3)
