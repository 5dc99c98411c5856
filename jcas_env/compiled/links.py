"""Loops of what links are made of: steering vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from .dispatch import Loop, in_order, one_precision
from .waves import cosine, entries_of, helper, sine, wave_table


def steering_update_loop(cosines: np.ndarray, last: np.ndarray, /) -> Any:
    """:func:`jcas_env.physics.arrays.steering_update`."""
    if cosines.size == 0 or last.shape[:-1] != cosines.shape or not one_precision(cosines, last):
        return NotImplemented
    cosines, last = in_order(cosines, last)
    *_, paths, antennas = last.shape
    vectors = np.empty_like(last)
    flat = (-1, paths, antennas)
    scale = antennas**-0.5
    table = wave_table(cosines.dtype)
    _update(cosines.reshape((-1, paths)), last.reshape(flat), scale, table, vectors.reshape(flat))
    return vectors


@helper
def steer(cosine_of_angle, scale, k, out):  # type: ignore[no-untyped-def]
    """Steering vector of one direction by doubling, as ``steering_vector``."""
    turn = (k[2] + k[3]) * cosine_of_angle
    middle = -k[1] * type(scale)(out.size - 1) * turn
    out[0] = complex(scale * cosine(middle, k), scale * sine(middle, k))
    real, imag = cosine(turn, k), sine(turn, k)
    filled = 1
    while filled < out.size:
        for m in range(min(filled, out.size - filled)):
            a, b = out[m].real, out[m].imag
            out[filled + m] = complex(a * real - b * imag, a * imag + b * real)
        real, imag = real * real - imag * imag, real * imag + imag * real
        filled *= 2


def update_steering(cosines, last, scale, table, vectors):  # type: ignore[no-untyped-def]
    """Steering vectors of links whose first path alone has moved."""
    k = entries_of(table)
    for link in range(cosines.shape[0]):
        steer(cosines[link, 0], scale, k, vectors[link, 0])
        vectors[link, 1:] = last[link, 1:]


_update = Loop(update_steering, "r2 c3 x r1 C3")
