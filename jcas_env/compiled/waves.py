"""Sine and cosine as polynomials: straight lines of code, of which a processor does several in one instruction.

A library's sine differs from machine to machine in its last digit; these do not. ``TABLE`` in the precision of the
arrays goes into a loop, which hands its entries to the helpers as a tuple, read once.
"""

from __future__ import annotations

from functools import cache
from math import factorial, pi, sin

import numba
import numpy as np

helper = numba.njit(error_model="numpy", forceinline=True)

TERMS = 10
"""Terms after the first: the next one is below 1e-18 where |x| is at most a quarter of a turn."""


@cache
def wave_table(precision: np.dtype) -> np.ndarray:
    """1, 1/2, pi in two parts, of which small multiples of the first are exact, and the series of the sine."""
    digits = 24 if precision == np.float64 else 8
    high = round(pi * 2**digits) / 2**digits
    series = [(-1) ** k / factorial(2 * k + 1) for k in range(1, TERMS + 1)]
    low = (pi - high) + sin(pi)  # the sine is what pi lacks
    return np.asarray([1.0, 0.5, high, low, 1.0 / pi, *series], dtype=precision)


@helper
def entries_of(table):  # type: ignore[no-untyped-def]
    """The table as a tuple."""
    return (
        table[0], table[1], table[2], table[3], table[4], table[5], table[6], table[7],
        table[8], table[9], table[10], table[11], table[12], table[13], table[14],
    )  # fmt: skip


@helper
def half_turns(x, k):  # type: ignore[no-untyped-def]
    """Nearest multiple of pi to x, the rest, and the sign (-1)^n of its sine."""
    turns = np.rint(x * k[4])
    pairs = turns * k[1]
    return (x - turns * k[2]) - turns * k[3], k[0] if pairs == np.rint(pairs) else -k[0]


@helper
def small_sine(x, k):  # type: ignore[no-untyped-def]
    """Sine of x for |x| up to pi/2."""
    z = x * x
    tail = k[11] + z * (k[12] + z * (k[13] + z * k[14]))
    tail = k[7] + z * (k[8] + z * (k[9] + z * (k[10] + z * tail)))
    return x + x * (z * (k[5] + z * (k[6] + z * tail)))


@helper
def sine(x, k):  # type: ignore[no-untyped-def]
    """Sine of x for x of a few turns."""
    rest, sign = half_turns(x, k)
    return sign * small_sine(rest, k)


@helper
def cosine(x, k):  # type: ignore[no-untyped-def]
    """Cosine of x for x of a few turns."""
    turns = np.rint(x * k[4] + k[1])
    # x = (turns - 1/2) pi + rest, so that cos x = (-1)^turns sin(rest).
    middle = turns - k[1]
    rest = (x - middle * k[2]) - middle * k[3]
    pairs = turns * k[1]
    value = small_sine(rest, k)
    return value if pairs == np.rint(pairs) else -value
