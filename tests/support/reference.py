"""Slow and obvious: the equations of the specification as explicit loops over users."""

from __future__ import annotations

from math import cos, log2, pi

import numpy as np


def channel(gains, aoa_cos, aod_cos, rx, tx):
    """luo2023 eq. 4 with the phase reference at the centroid."""
    h = np.zeros((rx, tx), dtype=complex)
    for g, w, v in zip(gains, aoa_cos, aod_cos, strict=True):
        for n in range(rx):
            for m in range(tx):
                phase = pi * ((n - (rx - 1) / 2) * w - (m - (tx - 1) / 2) * v)
                h[n, m] += g * np.exp(1j * phase) / np.sqrt(rx * tx)
    return h


def gain_matrix(channels, combiners, beams, cell):
    """G[j, m] = |(H_{c(m), j}^H w_j)^H f_m|^2."""
    users = len(cell)
    gain = np.zeros((users, users))
    for j in range(users):
        for m in range(users):
            h = channels[cell[m], j].conj().T @ combiners[j]
            gain[j, m] = abs(np.vdot(h, beams[m])) ** 2
    return gain


def groups(correlation, cell, alpha):
    """First fit in index order."""
    label = [-1] * len(cell)
    for u in range(len(cell)):
        k = 0
        while any(label[v] == k and cell[v] == cell[u] and correlation[u, v] >= alpha for v in range(u)):
            k += 1
        label[u] = k
    return np.array(label)


def rates(power, bandwidth, gain, cell, group, kappa, n0, b_max, noise="per_hertz"):
    """Spec multicell 2.5, user by user."""
    users = len(cell)
    rate = np.zeros((2, users))
    for s in range(2):
        for j in range(users):
            inside = sum(
                power[s, k] * gain[j, k] for k in range(users) if k != j and cell[k] == cell[j] and group[k] == group[j]
            )
            outside = sum((power[0, m] + power[1, m]) * gain[j, m] / b_max for m in range(users) if cell[m] != cell[j])
            band = bandwidth[s, j]
            level = inside + band * outside + (band if noise == "per_hertz" else b_max) * n0
            x = power[s, j] * gain[j, j] / level
            rate[s, j] = band * log2(1 + x) if s == 0 else band / 2 * log2(1 + kappa[j] * x)
    return rate[0], rate[1]


def kappa(theta, antennas, variance):
    """Spec multicell 2.6, classical."""
    return 2 * variance * pi**2 * (1 - cos(theta) ** 2) * (antennas**2 - 1) / 12


def relaxed_coefficients(problem, share, noise):
    """Spec multicell 4.1, user by user, (2, users)."""
    users = problem.users
    c = np.zeros((2, users))
    for s, part in enumerate((1 - share, share)):
        p_s, b_s = part * problem.power_budget, part * problem.band_budget
        for j in range(users):
            mates = [k for k in range(users) if problem.cell[k] == problem.cell[j]]
            n_i = len(mates)
            g_i = len({int(problem.group[k]) for k in mates})
            inside = (
                p_s / n_i * sum(problem.gain[j, k] for k in mates if k != j and problem.group[k] == problem.group[j])
            )
            k_i = len(set(problem.cell.tolist())) - 1 if problem.intercell == "printed" else 1
            leak = k_i * problem.leakage[j] * problem.power_budget
            value = (problem.sensing_gain[j] if s else 1.0) * problem.gain[j, j] * p_s
            if noise == "constant":
                c[s, j] = value / (leak + problem.noise_density * problem.band_budget + inside)
            else:
                density = problem.noise_density + leak / problem.band_budget + inside * g_i / b_s
                c[s, j] = value / (b_s * density)
    return c


def received_mean(place, omega, beams, antennas, snr):
    """Spec mesh 1.2 in (p_x, p_y, alpha, Re h, Im h), for tones (tones,) and beams (tones, antennas): all elements."""
    x, y, alpha, real, imaginary = place
    d, theta = np.hypot(x, y), np.arctan2(y, x)
    phi = pi + theta - alpha
    kappa = np.array([(antennas - 1) / 2 - k for k in range(antennas)])
    sent, heard = (np.exp(-1j * pi * kappa * np.cos(angle)) / np.sqrt(antennas) for angle in (theta, phi))
    gain = np.array([np.vdot(sent, beam) for beam in beams])
    phase = np.exp(-1j * np.asarray(omega) * d / 299792458.0)
    return np.sqrt(snr) * (real + 1j * imaginary) * (phase * gain)[:, None] * heard
