"""Loop of :mod:`jcas_env.physics.estimation.known_angles`: a least-squares problem of few gains for each link."""

from __future__ import annotations

from typing import Any

import numpy as np

from .dispatch import Loop, in_order, one_precision
from .links import steer
from .rows import add_row, as_real, sum_rows, turn_row
from .waves import entries_of, helper, wave_table


def fitted_gains_loop(
    data: np.ndarray, beams: Any, aod: np.ndarray, aoa: np.ndarray, on: np.ndarray, rho: np.ndarray, /
) -> Any:
    """:func:`jcas_env.physics.estimation.known_angles.fitted_gains`, of one frame."""
    links, groups, frames, rx, pilots = data.shape
    if groups * frames != 1 or data.size == 0 or not one_precision(data, beams, aod, aoa, rho):
        return NotImplemented
    data, beams, aod, aoa, on, rho = in_order(data, beams, aod, aoa, on, rho)
    paths, tx = aod.shape[1], beams.shape[2]
    gains, spread = np.empty((links, 1, paths), dtype=data.dtype), np.empty((links, paths), dtype=aod.dtype)
    channel = np.empty((links, 1, rx, tx), dtype=data.dtype)
    _fitted(
        data.reshape((links, rx, pilots)),
        as_real(beams.reshape((links, tx, pilots))),
        aod,
        aoa,
        on,
        np.broadcast_to(rho[:, 0], (links,)).copy(),
        tx**-0.5,
        rx**-0.5,
        wave_table(aod.dtype),
        gains.reshape((links, paths)),
        spread,
        as_real(channel.reshape((links, rx, tx))),
    )
    return gains, spread, channel


@helper
def _inner(one, two):  # type: ignore[no-untyped-def]
    """Product of the conjugate of a vector with another."""
    total = one[0].conjugate() * two[0]
    for n in range(1, one.size):
        total += one[n].conjugate() * two[n]
    return total


@helper
def _solve(matrix):  # type: ignore[no-untyped-def]
    """Replace the right-hand sides behind a square matrix by the solutions, rows exchanged as they need to be."""
    size, width = matrix.shape
    for k in range(size):
        pivot, most = k, abs(matrix[k, k].real) + abs(matrix[k, k].imag)
        for row in range(k + 1, size):
            here = abs(matrix[row, k].real) + abs(matrix[row, k].imag)
            if here > most:
                pivot, most = row, here
        head = matrix[pivot, k]
        square = head.real * head.real + head.imag * head.imag
        inverse = complex(head.real / square, -head.imag / square)
        for column in range(k, width):
            value = matrix[pivot, column]
            matrix[pivot, column] = matrix[k, column]
            matrix[k, column] = value * inverse
        for row in range(size):
            factor = matrix[row, k]
            if row != k:
                for column in range(k, width):
                    matrix[row, column] -= factor * matrix[k, column]


@helper
def _look(data, beams, vectors, rx_vectors, sums, seen, system, right):  # type: ignore[no-untyped-def]
    """Factors of the atoms behind beams, their products into ``system``, and those with the data into ``right``."""
    paths = vectors.shape[0]
    for path in range(paths):
        sum_rows(vectors[path], beams, sums[0], sums[1])
        for p in range(seen.shape[1]):
            real, imag = sums[0, 2 * p] + sums[1, 2 * p + 1], sums[1, 2 * p] - sums[0, 2 * p + 1]
            seen[path, p] = complex(real, imag)
    for i in range(paths):
        for j in range(paths):
            system[i, j] = _inner(seen[i], seen[j]).conjugate() * _inner(rx_vectors[i], rx_vectors[j])
        total = system[i, i] - system[i, i]
        for n in range(data.shape[0]):
            heard = seen[i, 0] * data[n, 0]
            for p in range(1, data.shape[1]):
                heard += seen[i, p] * data[n, p]
            total += heard * rx_vectors[i, n].conjugate()
        right[i] = total


def fit_gains(  # type: ignore[no-untyped-def]
    data, beams, aod, aoa, on, rho, tx_scale, rx_scale, table, gains, spread, channel
):
    """Gains of links at angles that are known, the diagonals of their inverses, and channels."""
    links, rx, pilots = data.shape
    paths, tx = aod.shape[1], beams.shape[1]
    k = entries_of(table)
    vectors, rx_vectors = np.empty((paths, tx), data.dtype), np.empty((paths, rx), data.dtype)
    seen, right = np.empty((paths, pilots), data.dtype), np.empty(paths, data.dtype)
    system = np.empty((paths, 2 * paths + 1), data.dtype)
    sums, row, turned = np.empty((2, 2 * pilots), rho.dtype), np.empty(2 * tx, rho.dtype), np.empty(2 * tx, rho.dtype)
    for link in range(links):
        for path in range(paths):
            steer(aod[link, path], tx_scale, k, vectors[path])
            steer(aoa[link, path], rx_scale, k, rx_vectors[path])
        _look(data[link], beams[link], vectors, rx_vectors, sums, seen, system, right)
        for i in range(paths):
            for j in range(paths):
                if not (on[link, i] and on[link, j]):
                    system[i, j] = 0
                system[i, paths + 1 + j] = 1 if i == j else 0
            system[i, i] += rho[link] if on[link, i] else rho[link] + k[0]
            system[i, paths] = right[i] if on[link, i] else 0
        _solve(system)
        channel[link, :, :] = 0
        for path in range(paths):
            gain = system[path, paths]
            gains[link, path], spread[link, path] = gain, system[path, paths + 1 + path].real
            for m in range(tx):
                row[2 * m], row[2 * m + 1] = vectors[path, m].real, -vectors[path, m].imag
            turn_row(row, turned)
            for n in range(rx):
                add_row(gain * rx_vectors[path, n], row, turned, channel[link, n])


_fitted = Loop(fit_gains, "c3 r3 r2 r2 b2 r1 x x r1 C2 R2 R3")
