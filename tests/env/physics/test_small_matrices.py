"""Closed forms of tiny Hermitian matrices against the library's algorithms."""

from __future__ import annotations

import numpy as np
import pytest

from jcas_env.physics.beamforming import normalise
from jcas_env.physics.combining import eigenvectors
from jcas_env.physics.combining.eigenvectors import dominant_eigenvector
from jcas_env.physics.combining.small_matrices import (
    adjugate_product,
    batch_last,
    dominant_eigenvector_last,
    largest_root,
    lower_factor,
    solve_lower,
    solve_upper,
)


def complex_normal(*shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


def with_eigenvalues(values, seed=0):
    """Hermitian matrices (elements, n, n) of given eigenvalues (elements, n), and their eigenvectors."""
    vectors = np.linalg.qr(complex_normal(*values.shape, values.shape[-1], seed=seed))[0]
    return vectors * values[:, None, :] @ np.conj(np.swapaxes(vectors, -1, -2)), vectors


def aligned(vector, reference):
    """``vector`` (elements, n) in the phase of ``reference``."""
    overlap = np.sum(np.conj(vector) * reference, axis=-1, keepdims=True)
    return vector * overlap / np.abs(overlap)


def strongest_over_noise(own, interference):
    return normalise(eigenvectors.strongest_over_noise(own, interference))


def whitened_by_the_library(own, interference):
    """The formula of ``gev``: whitening by Cholesky's factor, eigenvector, and back."""
    factor = np.linalg.cholesky(interference + np.eye(own.shape[-2]))
    white = np.linalg.solve(factor, own)
    inner = dominant_eigenvector(white @ np.conj(np.swapaxes(white, -1, -2)))
    return normalise(np.linalg.solve(np.conj(np.swapaxes(factor, -1, -2)), inner[..., None])[..., 0])


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("distance", [0.9, 0.1, 0.015])
def test_eigenvector_is_that_of_the_library_at_any_scale(size, distance):
    rng = np.random.default_rng(size)
    values = rng.uniform(0.0, 1.0 - distance, (200, size))
    values[:, 0] = 1.0
    matrix, vectors = with_eigenvalues(values * 10.0 ** rng.uniform(-12, 6, (200, 1)))
    vector, sure = dominant_eigenvector_last(batch_last(matrix))
    assert sure.all() or distance < 0.5
    error = np.linalg.norm(aligned(vector.T, vectors[..., 0]) - vectors[..., 0], axis=-1)
    assert error[sure].max() < 1e-12


@pytest.mark.parametrize("dtype", [complex, np.complex64])
def test_where_nobody_asks_which_eigenvalues_are_almost_equal_the_vector_is_as_good(dtype, monkeypatch):
    """On a device the doubtful ones are not taken out: of almost equal eigenvalues any vector does, of others none."""
    rng = np.random.default_rng(0)
    values = rng.uniform(0.0, 1.0, (400, 4))
    values[:, 0] = 1.0
    values[:200, 1] = 1.0 - 10.0 ** rng.uniform(-9, -2, 200)
    values[:20] = 1.0
    matrix, _ = with_eigenvalues(values * 10.0 ** rng.uniform(-6, 3, (400, 1)))
    own = np.linalg.cholesky(matrix + 1e-12 * np.eye(4)).astype(dtype)
    _, sure = dominant_eigenvector_last(batch_last(own @ np.conj(own.swapaxes(-1, -2))))
    assert 100 < (~sure).sum() < 400
    monkeypatch.setattr(eigenvectors, "at_hand", lambda _: False)
    found = strongest_over_noise(own, np.zeros_like(own))
    heard = np.linalg.norm(np.conj(found)[:, None, :] @ own, axis=(-2, -1)) ** 2
    best = np.linalg.norm(own, 2, axis=(-2, -1)) ** 2
    assert (heard >= (1.0 - 5e-3) * best).all()
    monkeypatch.undo()
    np.testing.assert_allclose(found[sure], strongest_over_noise(own, np.zeros_like(own))[sure], rtol=0, atol=0)


def test_nearly_equal_eigenvalues_and_zeros_are_not_claimed():
    values = np.array([[1.0, 0.995, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    vector, sure = dominant_eigenvector_last(batch_last(with_eigenvalues(values)[0]))
    assert not sure.any()
    assert np.isfinite(vector).all()


def test_adjugate_times_matrix_is_the_determinant():
    matrix = complex_normal(5, 4, 4)
    columns = [adjugate_product(batch_last(matrix), matrix[:, :, k].T) for k in range(4)]
    product = np.moveaxis(np.stack(columns, axis=1), -1, 0)
    expected = np.linalg.det(matrix)[:, None, None] * np.eye(4)
    np.testing.assert_allclose(product, expected, atol=1e-12 * np.abs(expected).max())


def test_largest_root_is_that_of_the_factors():
    roots = np.array([[0.7, 0.2, 0.1, 0.0], [1.0, 0.0, 0.0, 0.0], [0.4, 0.35, 0.15, 0.1]])
    c2, c3, c4 = ((-1) ** k * np.array([np.poly(row)[k] for row in roots]) for k in (2, 3, 4))
    root, apart = largest_root(c2, c3, c4, above=np.ones(3))
    np.testing.assert_allclose(root, roots[:, 0], rtol=1e-12)
    np.testing.assert_allclose(apart, np.prod(1.0 - roots[:, 1:] / roots[:, :1], axis=-1), rtol=1e-9)


def test_triangular_solutions_are_the_library_s():
    root = complex_normal(6, 4, 4)
    matrix = root @ np.conj(np.swapaxes(root, -1, -2)) + np.eye(4)
    right = complex_normal(6, 4, 4, seed=1)
    factor = lower_factor(batch_last(matrix))
    lower = np.linalg.cholesky(matrix)
    solved = np.moveaxis(solve_lower(factor, batch_last(right)), -1, 0)
    np.testing.assert_allclose(solved, np.linalg.solve(lower, right), rtol=1e-9)
    back = solve_upper(factor, right[:, :, 0].T).T
    upper = np.conj(np.swapaxes(lower, -1, -2))
    np.testing.assert_allclose(back, np.linalg.solve(upper, right[:, :, :1])[..., 0], rtol=1e-9)


@pytest.mark.parametrize("antennas", [1, 2, 4, 6])
@pytest.mark.parametrize("paths", [1, 3])
def test_combiner_is_that_of_the_library(antennas, paths):
    own = 1e-5 * complex_normal(50, antennas, paths) @ complex_normal(50, paths, 20, seed=1)
    noise = complex_normal(50, antennas, 5, seed=2) * 10.0 ** np.random.default_rng(3).uniform(-3, 2, (50, 1, 1))
    interference = noise @ np.conj(np.swapaxes(noise, -1, -2))
    expected = whitened_by_the_library(own, interference)
    np.testing.assert_allclose(aligned(strongest_over_noise(own, interference), expected), expected, atol=1e-9)


def test_combiner_of_a_rank_one_signal_is_the_whitened_channel():
    """Of one path, S = h g^H, the combiner is R^-1 h."""
    h, g = complex_normal(50, 4, 1), complex_normal(50, 20, 1, seed=1)
    noise = 3.0 * complex_normal(50, 4, 2, seed=2)
    interference = noise @ np.conj(np.swapaxes(noise, -1, -2))
    expected = normalise(np.linalg.solve(interference + np.eye(4), h)[..., 0])
    found = strongest_over_noise(h @ np.conj(np.swapaxes(g, -1, -2)), interference)
    np.testing.assert_allclose(aligned(found, expected), expected, atol=1e-12)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("antennas", [2, 3, 4, 6])
@pytest.mark.parametrize("strength", [1e5, 1e8, 1e11, 1e14, 1e20])
def test_where_rounding_of_the_interference_swallows_the_noise_the_best_combiner_is_found(dtype, antennas, strength):
    """Q + I is then indefinite as often as not. The signal's path off the interferer's is best, whatever the noise."""
    h, g = complex_normal(200, antennas, 1), complex_normal(200, antennas, 1, seed=1)
    g = g / np.linalg.norm(g, axis=1, keepdims=True)
    expected = normalise((h - g * (np.conj(np.swapaxes(g, -1, -2)) @ h))[..., 0])
    noise = (strength**0.5 * g).astype(dtype)
    found = strongest_over_noise(h.astype(dtype), noise @ np.conj(np.swapaxes(noise, -1, -2)))
    assert np.abs(np.sum(np.conj(found) * expected, axis=-1)).min() > 0.99
    assert np.abs(np.sum(np.conj(g[..., 0]) * found, axis=-1)).max() < 1e-3


def test_equal_eigenvalues_are_left_to_the_library():
    """Two orthogonal paths of equal strength: any mixture is best, and the one found is a mixture of them."""
    own = np.zeros((1, 4, 20), dtype=complex)
    own[0, 0, 0] = own[0, 2, 1] = 1.0
    w = strongest_over_noise(own, np.zeros((1, 4, 4), dtype=complex))
    assert abs(w[0, 0]) ** 2 + abs(w[0, 2]) ** 2 == pytest.approx(1.0)


def test_every_backend_finds_the_same_combiner(backend):
    own, noise = complex_normal(9, 4, 20), complex_normal(9, 4, 5, seed=2)
    interference = noise @ np.conj(np.swapaxes(noise, -1, -2))
    found = backend.numpy(strongest_over_noise(backend.asarray(own), backend.asarray(interference)))
    np.testing.assert_allclose(found, strongest_over_noise(own, interference), rtol=1e-9)
