"""Sums of rows of complex numbers that stand as real ones, real and imaginary parts in turn.

A complex number times a row becomes two real numbers times it: loops over neighbours, of which a processor does several
in one instruction. ``x + jy`` times a row r, summed over terms, is A + jB with A the sum of x r and B that of y r.
"""

from __future__ import annotations

import numpy as np

from .waves import helper

SIDE_BY_SIDE = 16
"""Rows that are shorter than a few vectors of numbers are filled up with zeros to a multiple of this many columns."""


def as_real(values: np.ndarray) -> np.ndarray:
    """Complex numbers (..., n) as real ones (..., 2 n), the same memory."""
    return values.view(values.real.dtype)


@helper
def sum_rows(factors, rows, first, second):  # type: ignore[no-untyped-def]
    """A and B, the sums of parts of complex ``factors`` (terms,) times rows (terms, columns), two terms at a time."""
    columns = first.size
    first[:] = 0
    second[:] = 0
    terms = factors.size
    for m in range(0, terms - 1, 2):
        a, b, c, d = factors[m].real, factors[m].imag, factors[m + 1].real, factors[m + 1].imag
        one, two = rows[m], rows[m + 1]
        for x in range(columns):
            first[x] += a * one[x] + c * two[x]
            second[x] += b * one[x] + d * two[x]
    if terms % 2 == 1:
        a, b, one = factors[terms - 1].real, factors[terms - 1].imag, rows[terms - 1]
        for x in range(columns):
            first[x] += a * one[x]
            second[x] += b * one[x]


@helper
def turn_row(row, out):  # type: ignore[no-untyped-def]
    """The row times j."""
    for m in range(row.size // 2):
        out[2 * m], out[2 * m + 1] = -row[2 * m + 1], row[2 * m]


@helper
def add_row(factor, row, turned, out):  # type: ignore[no-untyped-def]
    """Add a complex factor times a row, of which :func:`turn_row` is at hand."""
    a, b = factor.real, factor.imag
    for x in range(out.size):
        out[x] += a * row[x] + b * turned[x]
