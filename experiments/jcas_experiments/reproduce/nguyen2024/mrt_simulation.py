"""Monte Carlo of maximum-ratio transmission on pilot estimates, the counterpart of nguyen2024's Theorem 1.

A channel enters the received signals only through inner products of channels, pilot noise and the sensing beam, so
these are drawn once and scaled for every layout, noise level and allocation.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jcas_env.physics.information.echo import unit_modulus_steering
from jcas_env.physics.mrt import MrtTerms, pilot_response
from jcas_env.physics.rates import spectral_efficiency
from jcas_env.scenarios.massive_mimo import MassiveMIMOAllocation, MassiveMIMOProblem


class InnerProducts(NamedTuple):
    """Inner products of small-scale channels, CN(0, I); ``[..., k, j]`` is channel k (conjugated) with the other j."""

    channel: np.ndarray
    """(channels, users, users) complex: with channels."""
    noise: np.ndarray
    """(channels, users, users) complex: with the pilot noise in the j-th correlator, CN(0, I) each."""
    beam: np.ndarray
    """(channels, users) complex: with the sensing beam."""
    pilots: np.ndarray
    """(users, users) complex: psi_i^T psi_j^*, the identity for orthonormal pilots."""

    def window(self, channels: slice) -> InnerProducts:
        """Some of the channels."""
        return InnerProducts(self.channel[channels], self.noise[channels], self.beam[channels], self.pilots)


def draw_products(
    rng: np.random.Generator,
    *,
    channels: int,
    users: int,
    antennas: int,
    angle: float = 0.0,
    pilots: np.ndarray | None = None,
) -> InnerProducts:
    """Draw channels and pilot noise.

    ``pilots`` (pilot length, users): unit-norm sequences; None: orthonormal.
    """
    sequences = np.eye(users) if pilots is None else pilots
    shape = (channels, antennas, users + len(sequences))
    parts = rng.standard_normal((2, *shape)) / np.sqrt(2.0)
    drawn = parts[0] + 1j * parts[1]
    small, noise = drawn[..., :users], drawn[..., users:] @ np.conj(sequences)
    conjugated = np.conj(np.swapaxes(small, -1, -2))
    steering, _ = unit_modulus_steering(np.asarray(angle), antennas=antennas)
    return InnerProducts(
        conjugated @ small, conjugated @ noise, conjugated @ steering, sequences.T @ np.conj(sequences)
    )


def estimate_products(
    products: InnerProducts, gain: np.ndarray, noise_power: np.ndarray, *, pilot_energy: float
) -> np.ndarray:
    r"""Inner products of true channels and their MMSE estimates, :math:`h_k^H \hat h_j`.

    ``gain`` (..., users), ``noise_power`` (...,) -> (..., channels, users, users), complex. The estimate is made of the
    simulated pilots, :math:`Y_p \psi_j^* = \sqrt E \sum_i h_i\, \psi_i^T \psi_j^* + N_p \psi_j^*` (spec mimo 6.7).
    """
    overlap = None if np.array_equal(products.pilots, np.eye(gain.shape[-1])) else np.abs(products.pilots) ** 2
    response = pilot_response(gain, noise_power, pilot_energy=pilot_energy, overlap=overlap)[..., None, None, :]
    root = np.sqrt(gain)
    heard = root[..., None, None, :] * products.channel
    heard = heard @ products.pilots if overlap is not None else heard
    correlated = pilot_energy**0.5 * heard + np.sqrt(noise_power)[..., None, None, None] * products.noise
    return root[..., None, :, None] * response * correlated


def simulated_terms(
    estimates: np.ndarray, products: InnerProducts, problem: MassiveMIMOProblem, allocation: MassiveMIMOAllocation
) -> MrtTerms:
    """Sample estimates of the terms of nguyen2024 eq. 13 with eta_k = T / K; all unbiased.

    ``estimates``: (..., channels, users, users) of :func:`estimate_products`.
    """
    amplitude = np.sqrt(allocation.power / problem.estimate_variance)[..., None, None, :]
    eta = np.sqrt(allocation.sensing_power / problem.users)[..., None, None, None]
    beam = np.sqrt(problem.large_scale_gain)[..., None, :, None] * products.beam[..., None]
    received = amplitude * estimates + eta * beam  # h_k^H f_j
    count = received.shape[-3]
    power = np.mean(np.abs(received) ** 2, axis=-3)
    own = np.einsum("...kk->...k", power)
    mean = np.abs(np.einsum("...kk->...k", np.mean(received, axis=-3))) ** 2
    signal = (count * mean - own) / (count - 1)  # |mean|^2 without the mean's own variance
    return MrtTerms(signal, own - signal, np.where(np.eye(problem.users, dtype=bool), 0.0, power))


def simulated_sinr(terms: MrtTerms, noise_power: np.ndarray) -> np.ndarray:
    """SINR of nguyen2024 eq. 14 from the terms, (..., users)."""
    disturbance = terms.uncertainty + terms.interference.sum(axis=-1) + np.asarray(noise_power)[..., None]
    return np.maximum(terms.signal, 0.0) / disturbance


def simulated_sum_rate(
    estimates: np.ndarray, products: InnerProducts, problem: MassiveMIMOProblem, allocation: MassiveMIMOAllocation
) -> np.ndarray:
    """Simulated sum rate, (...,) [bit/s/Hz]; arguments as in :func:`simulated_terms`."""
    terms = simulated_terms(estimates, products, problem, allocation)
    rate = problem.rate_factor * spectral_efficiency(simulated_sinr(terms, np.asarray(problem.noise_power)))
    return rate.sum(axis=-1)
