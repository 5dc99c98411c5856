"""Loops of :mod:`jcas_env.physics.combining`: an eigenproblem of 4 x 4 for each user, a few users side by side.

A block of ``WIDTH`` users is worked on at a time, entries of its matrices in rows of as many numbers: what is done with
one user is done with all of them in one instruction. The steps are those of the formulas.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .dispatch import Loop, in_order, one_precision
from .hermitian import LEAST_DISTANCE, LOST, LOWER, SIZE, WIDTH, entry_of, strongest_of_block
from .waves import entries_of, half_turns, helper, sine, small_sine, wave_table


def gev_combiner_of_paths_loop(channel: Any, /, *, crowd: int, power: float, noise_power: float) -> Any:
    """:func:`jcas_env.physics.combining.paths.gev_combiner_of_paths`."""
    gains, aod_cos, arrival, departure = channel
    rx, tx = arrival.shape[-1], departure.shape[-1]
    if rx > SIZE or gains.size == 0 or not one_precision(gains, aod_cos, arrival):
        return NotImplemented
    *batch, cells, users, paths = gains.shape
    flat = (-1, cells, users, paths)
    gains, aod_cos, arrival = in_order(gains, aod_cos, arrival)
    gains, aod_cos, arrival = gains.reshape(flat), aod_cos.reshape(flat), arrival.reshape((*flat, rx))
    w = np.empty((len(gains), users, rx), dtype=gains.dtype)
    sure = np.empty((len(gains), users), dtype=np.bool_)
    left = np.empty((len(gains), users, 2, rx, rx), dtype=gains.dtype)
    scale, precision = (power / tx) ** 0.5 / noise_power**0.5, np.finfo(gains.dtype)
    numbers = (scale, 1.0, wave_table(aod_cos.dtype), LEAST_DISTANCE, precision.smallest_normal, LOST * precision.eps)
    _of_paths(gains, aod_cos, arrival, WIDTH, crowd, tx, *numbers, w, sure, left)
    _finish(w, sure, left)
    return w.reshape((*batch, users, rx))


def gev_direction_loop(channel: np.ndarray, cell: np.ndarray, /, *, power: Any, noise_power: Any) -> Any:
    """:func:`jcas_env.physics.beamforming.gev_direction`."""
    *batch, cells, users, rx, tx = channel.shape
    numbers = isinstance(power, float) and isinstance(noise_power, float)
    if rx > SIZE or channel.size == 0 or not numbers or not one_precision(channel, cell):
        return NotImplemented
    channel, cell = in_order(channel, np.broadcast_to(cell, (*batch, users)))
    channel, cell = channel.reshape((-1, cells, users, rx, tx)), cell.reshape((-1, users))
    w = np.empty((len(channel), users, rx), dtype=channel.dtype)
    sure = np.empty((len(channel), users), dtype=np.bool_)
    left = np.empty((len(channel), users, 2, rx, rx), dtype=channel.dtype)
    scale, precision = (power / tx) ** 0.5 / noise_power**0.5, np.finfo(channel.dtype)
    limits = (LEAST_DISTANCE, precision.smallest_normal, LOST * precision.eps)
    _of_matrices(channel, cell, WIDTH, scale, 1.0, *limits, w, sure, left)
    _finish(w, sure, left)
    return w.reshape((*batch, users, rx))


def _finish(w: np.ndarray, sure: np.ndarray, left: np.ndarray) -> None:
    """Combiners where largest eigenvalues are almost equal, from the L^-1 Y L^-H and L^H left there, by the library."""
    if sure.all():
        return
    doubtful = ~sure
    finite = np.isfinite(left[doubtful]).all(axis=(1, 2, 3))[:, None, None]
    unit = np.eye(w.shape[-1], dtype=w.dtype)
    white, upper = (np.where(finite, left[doubtful][:, part], unit) for part in (0, 1))
    solved = np.linalg.solve(np.triu(upper), np.linalg.eigh(white)[1][..., -1:])
    w[doubtful] = np.where(finite, solved, np.nan)[..., 0]


@helper
def _correlation(delta, antennas, odd, k):  # type: ignore[no-untyped-def]
    """:func:`jcas_env.physics.arrays.steering_correlation` of one difference; ``k`` are the entries of its table."""
    x, sign = half_turns((k[2] + k[3]) * k[1] * delta, k)
    value = sine(antennas * x, k) / (antennas * small_sine(x, k))
    value = value if x != 0 else k[0]
    return value if odd else sign * value


@helper
def _load(gains, aod_cos, arrival, first, width, scale, beams, cosines):  # type: ignore[no-untyped-def]
    """B of a station's links to a block of users, (paths, SIZE, 2, WIDTH), and their cosines, (paths, WIDTH)."""
    paths, rx = arrival.shape[1:]
    for path in range(paths):
        for u in range(width):
            cosines[path * WIDTH + u] = aod_cos[first + u, path]
        for n in range(rx):
            row = (path * SIZE + n) * 2 * WIDTH
            for u in range(width):
                g, a = gains[first + u, path], arrival[first + u, path, n]
                beams[row + u] = (g.real * a.real - g.imag * a.imag) * scale
                beams[row + WIDTH + u] = (g.real * a.imag + g.imag * a.real) * scale


@helper
def _mix(beams, cosines, paths, rx, every, antennas, k, alike, mixed):  # type: ignore[no-untyped-def]
    """K B^T, as ``path_gram_last`` does; ``alike`` (WIDTH,) is scratch."""
    count, odd = type(k[0])(antennas), antennas % 2 == 1
    mixed[:] = beams
    for one in range(paths):
        for other in range(one + 1, paths):
            for u in range(every):
                alike[u] = _correlation(cosines[one * WIDTH + u] - cosines[other * WIDTH + u], count, odd, k)
            for row in range(2 * rx):
                here, there = (one * SIZE * 2 + row) * WIDTH, (other * SIZE * 2 + row) * WIDTH
                for u in range(every):
                    mixed[here + u] += alike[u] * beams[there + u]
                for u in range(every):
                    mixed[there + u] += alike[u] * beams[here + u]


@helper
def _add_gram(beams, mixed, paths, rx, every, own, signal, noise):  # type: ignore[no-untyped-def]
    """Add lower entries of K B^T B^*, (LOWER, 2, WIDTH): to the signal of the users that are ``own``, or to noise."""
    zero = own[0] - own[0]
    for i in range(rx):
        for j in range(i + 1):
            entry = (i * (i + 1) // 2 + j) * 2 * WIDTH
            for path in range(paths):
                left, right = (path * SIZE + i) * 2 * WIDTH, (path * SIZE + j) * 2 * WIDTH
                for u in range(every):
                    a, b = mixed[left + u], mixed[left + WIDTH + u]
                    c, d = beams[right + u], beams[right + WIDTH + u]
                    real, imag = a * c + b * d, b * c - a * d
                    is_own = own[u] > zero
                    signal[entry + u] += real if is_own else zero
                    signal[entry + WIDTH + u] += imag if is_own else zero
                    noise[entry + u] += zero if is_own else real
                    noise[entry + WIDTH + u] += zero if is_own else imag


@helper
def _write(block, vector, sure, signal, noise, w, known, left):  # type: ignore[no-untyped-def]
    """Hand out what a block has found, to users ``block`` of a lane: vectors, and the matrices of the doubtful."""
    first, width = block
    rx = w.shape[1]
    for u in range(width):
        known[first + u] = sure[u] > 0
        for n in range(rx):
            w[first + u, n] = entry_of(vector, n, u)
        if not sure[u] > 0:
            for i in range(rx):
                for k in range(i + 1):
                    number = i * (i + 1) // 2 + k
                    y, q = entry_of(signal, number, u), entry_of(noise, number, u)
                    left[first + u, 0, i, k], left[first + u, 0, k, i] = y, y.conjugate()
                    left[first + u, 1, i, k], left[first + u, 1, k, i] = q, q.conjugate()


def path_combiners(  # type: ignore[no-untyped-def]
    gains, aod_cos, arrival, every, crowd, antennas, scale, one, table, least, tiny, lost, w, sure, left
):
    """Combiners of links that are sums of paths, and what is left to the library."""
    lanes, cells, users, paths = gains.shape
    rx, k, kind = arrival.shape[4], entries_of(table), aod_cos.dtype
    beams, cosines = np.zeros(paths * SIZE * 2 * WIDTH, kind), np.zeros(paths * WIDTH, kind)
    signal, noise = np.zeros(LOWER * 2 * WIDTH, kind), np.zeros(LOWER * 2 * WIDTH, kind)
    mixed, vector = np.zeros_like(beams), np.zeros(SIZE * 2 * WIDTH, kind)
    alike, own, known = np.zeros(WIDTH, kind), np.zeros(WIDTH, kind), np.zeros(WIDTH, kind)
    for lane in range(lanes):
        for first in range(0, users, WIDTH):
            width = min(WIDTH, users - first)
            signal[:] = 0
            noise[:] = 0
            for station in range(cells):
                for u in range(width):
                    own[u] = (first + u) // crowd == station
                links = (gains[lane, station], aod_cos[lane, station], arrival[lane, station])
                _load(links[0], links[1], links[2], first, width, scale, beams, cosines)
                _mix(beams, cosines, paths, rx, every, antennas, k, alike, mixed)
                _add_gram(beams, mixed, paths, rx, every, own, signal, noise)
            strongest_of_block(every, signal, noise, one, least, tiny, lost, vector, known)
            _write((first, width), vector, known, signal, noise, w[lane], sure[lane], left[lane])


@helper
def _add_matrix(matrix, scale, u, entries):  # type: ignore[no-untyped-def]
    """Add lower entries of H H^H, with H scaled, to those of user u of a block."""
    rx, tx = matrix.shape
    for i in range(rx):
        for j in range(i + 1):
            a, b = scale * matrix[i, 0].real, scale * matrix[i, 0].imag
            c, d = scale * matrix[j, 0].real, scale * matrix[j, 0].imag
            real, imag = a * c + b * d, b * c - a * d
            for m in range(1, tx):
                a, b = scale * matrix[i, m].real, scale * matrix[i, m].imag
                c, d = scale * matrix[j, m].real, scale * matrix[j, m].imag
                real += a * c + b * d
                imag += b * c - a * d
            entry = (i * (i + 1) // 2 + j) * 2 * WIDTH + u
            entries[entry] += real
            entries[entry + WIDTH] += imag


def matrix_combiners(  # type: ignore[no-untyped-def]
    channel, cell, every, scale, one, least, tiny, lost, w, sure, left
):
    """Combiners of channel matrices, and what is left to the library."""
    lanes, cells, users = channel.shape[:3]
    signal, noise = np.zeros(LOWER * 2 * WIDTH, w.real.dtype), np.zeros(LOWER * 2 * WIDTH, w.real.dtype)
    vector, known = np.zeros(SIZE * 2 * WIDTH, signal.dtype), np.zeros(WIDTH, signal.dtype)
    for lane in range(lanes):
        for first in range(0, users, WIDTH):
            width = min(WIDTH, users - first)
            signal[:] = 0
            noise[:] = 0
            for station in range(cells):
                for u in range(width):
                    entries = signal if cell[lane, first + u] == station else noise
                    _add_matrix(channel[lane, station, first + u], scale, u, entries)
            strongest_of_block(every, signal, noise, one, least, tiny, lost, vector, known)
            _write((first, width), vector, known, signal, noise, w[lane], sure[lane], left[lane])


_of_matrices = Loop(matrix_combiners, "c5 i2 n x x x x x C3 B2 C5")
_of_paths = Loop(path_combiners, "c4 r4 c5 n n n x x r1 x x x C3 B2 C5")
