"""Loop of :mod:`jcas_env.physics.estimation.search.tracking`: the pass over the data of a link."""

from __future__ import annotations

from typing import Any

import numpy as np

from .dispatch import Loop, in_order, one_precision
from .links import steer
from .rows import SIDE_BY_SIDE, sum_rows
from .waves import entries_of, helper, wave_table


def looked_loop(data: np.ndarray, aod: np.ndarray, aoa: np.ndarray, active: np.ndarray, /) -> Any:
    """:func:`jcas_env.physics.estimation.search.tracking.looked`."""
    links, groups, snapshots, rx, tx = data.shape
    if groups != 1 or data.size == 0 or not one_precision(data, aod, aoa):
        return NotImplemented
    data, aod, aoa, active = in_order(data, aod, aoa, active)
    paths = aod.shape[1]
    sides = 2 if rx == 1 else 3
    seen = np.empty((links, sides * paths, snapshots), dtype=data.dtype)
    matched = np.empty((sides * paths, paths, links), dtype=aod.dtype)
    numbers = (tx**-0.5, rx**-0.5, wave_table(aod.dtype))
    _looked(data.reshape((links, snapshots, rx, tx)), aod, aoa, active, *numbers, seen, matched)
    return seen, matched


@helper
def _differentiate(vector, k, slope):  # type: ignore[no-untyped-def]
    """Derivative of a steering vector in its direction cosine."""
    pi = k[2] + k[3]
    for m in range(vector.size):
        turn = pi * (type(pi)(m) - k[1] * type(pi)(vector.size - 1))
        slope[m] = complex(-turn * vector[m].imag, turn * vector[m].real)


@helper
def _project(data, rows, sums, heard):  # type: ignore[no-untyped-def]
    """Products ``heard`` (vectors, rx) of a snapshot (rx, tx) with vectors in ``rows``, as :mod:`.rows` has them."""
    for n in range(data.shape[0]):
        sum_rows(data[n], rows, sums[0], sums[1])
        for v in range(heard.shape[0]):
            real, imag = sums[0, 2 * v] - sums[1, 2 * v + 1], sums[0, 2 * v + 1] + sums[1, 2 * v]
            heard[v, n] = complex(real, imag)


@helper
def _received(vector, heard):  # type: ignore[no-untyped-def]
    """Product of the conjugate of a receive vector with what is heard; a single antenna hears what it hears."""
    total = vector[0].conjugate() * heard[0]
    for n in range(1, vector.size):
        total += vector[n].conjugate() * heard[n]
    return total


@helper
def _matched(one, other):  # type: ignore[no-untyped-def]
    """Real part of the product of a vector with the conjugate of another."""
    total = one[0].real * other[0].real + one[0].imag * other[0].imag
    for t in range(1, one.size):
        total += one[t].real * other[t].real + one[t].imag * other[t].imag
    return total


def look(data, aod, aoa, active, tx_scale, rx_scale, table, seen, matched):  # type: ignore[no-untyped-def]
    """Inner products of atoms and derivatives with the data of links, and the sums of their products."""
    links, snapshots, rx, tx = data.shape
    paths, k, kind = aod.shape[1], entries_of(table), data.dtype
    wide = SIDE_BY_SIDE * ((4 * paths + SIDE_BY_SIDE - 1) // SIDE_BY_SIDE)
    rows, sums = np.zeros((tx, wide), matched.dtype), np.empty((2, wide), matched.dtype)
    vector, slope, heard = np.empty(tx, kind), np.empty(tx, kind), np.empty((2 * paths, rx), kind)
    receive, turning = np.empty((paths, rx), kind), np.empty((paths, rx), kind)
    for link in range(links):
        for path in range(paths):
            steer(aod[link, path], tx_scale, k, vector)
            _differentiate(vector, k, slope)
            for m in range(tx):
                rows[m, 2 * path], rows[m, 2 * path + 1] = vector[m].real, vector[m].imag
                rows[m, 2 * (paths + path)], rows[m, 2 * (paths + path) + 1] = slope[m].real, slope[m].imag
            steer(aoa[link, path], rx_scale, k, receive[path])
            _differentiate(receive[path], k, turning[path])
            if rx == 1:
                receive[path, 0] = k[0]
        for t in range(snapshots):
            _project(data[link, t], rows, sums, heard)
            for path in range(paths):
                on = active[link, path]
                seen[link, path, t] = _received(receive[path], heard[path]) if on else 0
                seen[link, paths + path, t] = _received(receive[path], heard[paths + path]) if on else 0
                if rx > 1:
                    seen[link, 2 * paths + path, t] = _received(turning[path], heard[path]) if on else 0
        for one in range(seen.shape[1]):
            for other in range(paths):
                matched[one, other, link] = _matched(seen[link, one], seen[link, other])


_looked = Loop(look, "c4 r2 r2 b2 x x r1 C3 R3")
