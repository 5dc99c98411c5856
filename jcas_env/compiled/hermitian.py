"""The eigenproblem of a combiner, a block of users side by side: Cholesky's factor, largest root, eigenvector.

The steps are those of :mod:`jcas_env.physics.combining.small_matrices`, written out for matrices of 4 x 4 (smaller ones
have zeros around them): straight lines of code, which a processor does for several users in one instruction.
"""

from __future__ import annotations

from math import sqrt

from .waves import helper

SIZE, LEAST_DISTANCE, LAGUERRE_STEPS, LOST = 4, 1e-2, 5, 8.0
"""As in :mod:`jcas_env.physics.combining`."""

WIDTH = 16
"""Users of a block. Loops over them count to a variable of this value: compilers take small loops apart otherwise."""

LOWER = 10
"""Entries of a Hermitian matrix, 00 10 11 20 21 22 30 31 32 33: row i, column k is number i (i + 1)/2 + k."""


@helper
def entry_of(matrix, number, u):  # type: ignore[no-untyped-def]
    """Complex entry of a user's matrix."""
    return complex(matrix[number * 2 * WIDTH + u], matrix[(number * 2 + 1) * WIDTH + u])


@helper
def _put(matrix, number, u, value):  # type: ignore[no-untyped-def]
    matrix[number * 2 * WIDTH + u] = value.real
    matrix[(number * 2 + 1) * WIDTH + u] = value.imag


@helper
def _times(real, value):  # type: ignore[no-untyped-def]
    """A real number times a complex one."""
    return complex(real * value.real, real * value.imag)


@helper
def _square(value):  # type: ignore[no-untyped-def]
    """Squared modulus."""
    return value.real * value.real + value.imag * value.imag


@helper
def _inner(one, two):  # type: ignore[no-untyped-def]
    """Real part of the product of one with the conjugate of the other."""
    return one.real * two.real + one.imag * two.imag


@helper
def _quartic(x, one, c2, c3, c4):  # type: ignore[no-untyped-def]
    """As ``small_matrices._quartic``."""
    b1 = x - one
    b2 = b1 * x + c2
    b3 = b2 * x - c3
    d1 = b1 + x
    d2 = d1 * x + b2
    return b3 * x + c4, d2 * x + b3, (d1 + x) * x + d2


@helper
def _largest_root(c2, c3, c4, above, one, tiny):  # type: ignore[no-untyped-def]
    """As ``small_matrices.largest_root``."""
    four = one + one + one + one
    nine, zero = four + four + one, one - one
    many = (four + one + one) * four
    x, lowest = above, one / four
    for _ in range(LAGUERRE_STEPS):
        value, slope, bend = _quartic(x, one, c2, c3, c4)
        inside = (nine * slope) * slope - (many * value) * bend
        spread = sqrt(inside if inside > zero else zero * inside)
        below = slope + spread
        down = x - four * (value if value > zero else zero * value) / (below if below > tiny else tiny)
        x = down if down > lowest else lowest + zero * down
    return x, _quartic(x, one, c2, c3, c4)[1] / (x * x * x)


@helper
def _cofactors(first, last, a, b, c, d):  # type: ignore[no-untyped-def]
    """Cofactors that the row (a, b, c, d) and the two rows leave: as ``small_matrices._cofactors``."""
    m01 = first[0] * last[1] - first[1] * last[0]
    m02 = first[0] * last[2] - first[2] * last[0]
    m03 = first[0] * last[3] - first[3] * last[0]
    m12 = first[1] * last[2] - first[2] * last[1]
    m13 = first[1] * last[3] - first[3] * last[1]
    m23 = first[2] * last[3] - first[3] * last[2]
    return (
        b * m23 - c * m13 + d * m12,
        c * m03 - a * m23 - d * m02,
        a * m13 - b * m03 + d * m01,
        b * m02 - a * m12 - c * m01,
    )


@helper
def _adjugate_product(rows, v):  # type: ignore[no-untyped-def]
    """As ``small_matrices.adjugate_product``, of unit norm; zeros stay."""
    r0, r1, r2, r3 = rows
    upper = _cofactors(
        r2, r3,
        v[0] * r1[0] - v[1] * r0[0], v[0] * r1[1] - v[1] * r0[1],
        v[0] * r1[2] - v[1] * r0[2], v[0] * r1[3] - v[1] * r0[3],
    )  # fmt: skip
    lower = _cofactors(
        r0, r1,
        v[2] * r3[0] - v[3] * r2[0], v[2] * r3[1] - v[3] * r2[1],
        v[2] * r3[2] - v[3] * r2[2], v[2] * r3[3] - v[3] * r2[3],
    )  # fmt: skip
    x0, x1, x2, x3 = upper[0] + lower[0], upper[1] + lower[1], upper[2] + lower[2], upper[3] + lower[3]
    norm = sqrt(_square(x0) + _square(x1) + _square(x2) + _square(x3))
    scale = norm / norm / norm if norm != 0 else norm
    return _times(scale, x0), _times(scale, x1), _times(scale, x2), _times(scale, x3)


@helper
def _shifted(lower, shift):  # type: ignore[no-untyped-def]
    """Rows of A - shift I, of A's lower entries."""
    a00, a10, a11, a20, a21, a22, a30, a31, a32, a33 = lower
    return (
        (a00 - shift, a10.conjugate(), a20.conjugate(), a30.conjugate()),
        (a10, a11 - shift, a21.conjugate(), a31.conjugate()),
        (a20, a21, a22 - shift, a32.conjugate()),
        (a30, a31, a32, a33 - shift),
    )


@helper
def _dominant(lower, trace, one, least, tiny):  # type: ignore[no-untyped-def]
    """As ``small_matrices.dominant_eigenvector_last``, of lower entries over their ``trace``."""
    a00, a10, a11, a20, a21, a22, a30, a31, a32, a33 = lower
    two = one + one
    d0, d1, d2, d3 = a00.real, a11.real, a22.real, a33.real
    # The square, whose lower entries are needed: for its traces, and its largest column to begin with.
    s00 = d0 * d0 + _square(a10) + _square(a20) + _square(a30)
    s11 = d1 * d1 + _square(a10) + _square(a21) + _square(a31)
    s22 = d2 * d2 + _square(a20) + _square(a21) + _square(a32)
    s33 = d3 * d3 + _square(a30) + _square(a31) + _square(a32)
    s10 = _times(d0 + d1, a10) + a21.conjugate() * a20 + a31.conjugate() * a30
    s20 = _times(d0 + d2, a20) + a21 * a10 + a32.conjugate() * a30
    s30 = _times(d0 + d3, a30) + a31 * a10 + a32 * a20
    s21 = _times(d1 + d2, a21) + a20 * a10.conjugate() + a32.conjugate() * a31
    s31 = _times(d1 + d3, a31) + a30 * a10.conjugate() + a32 * a21
    s32 = _times(d2 + d3, a32) + a30 * a20.conjugate() + a31 * a21.conjugate()
    t2 = s00 + s11 + s22 + s33
    off = _inner(s10, a10) + _inner(s20, a20) + _inner(s30, a30) + _inner(s21, a21) + _inner(s31, a31)
    t3 = s00 * d0 + s11 * d1 + s22 * d2 + s33 * d3 + two * (off + _inner(s32, a32))
    off = _square(s10) + _square(s20) + _square(s30) + _square(s21) + _square(s31) + _square(s32)
    t4 = s00 * s00 + s11 * s11 + s22 * s22 + s33 * s33 + two * off
    if not trace > 0:
        t2 = t3 = t4 = one
    c2 = (one - t2) / two
    c3 = (c2 - t2 + t3) / (two + one)
    c4 = (c3 - c2 * t2 + t3 - t4) / (two + two)
    root, apart = _largest_root(c2, c3, c4, sqrt(sqrt(t4)), one, tiny)
    best, v0, v1, v2, v3 = s00, complex(s00, one - one), s10, s20, s30
    if s11 > best:
        best, v0, v1, v2, v3 = s11, s10.conjugate(), complex(s11, one - one), s21, s31
    if s22 > best:
        best, v0, v1, v2, v3 = s22, s20.conjugate(), s21.conjugate(), complex(s22, one - one), s32
    if s33 > best:
        v0, v1, v2, v3 = s30.conjugate(), s31.conjugate(), s32.conjugate(), complex(s33, one - one)
    v0, v1, v2, v3 = _adjugate_product(_shifted(lower, root), (v0, v1, v2, v3))
    off = _inner(a10 * v0, v1) + _inner(a20 * v0, v2) + _inner(a30 * v0, v3)
    off += _inner(a21 * v1, v2) + _inner(a31 * v1, v3) + _inner(a32 * v2, v3)
    quotient = d0 * _square(v0) + d1 * _square(v1) + d2 * _square(v2) + d3 * _square(v3) + two * off
    vector = _adjugate_product(_shifted(lower, quotient), (v0, v1, v2, v3))
    agreed = abs(quotient - root) <= least / (two * (two + two) + two) * root
    return vector, trace > 0 and agreed and apart > least


@helper
def _factor(noise, u, lost, one):  # type: ignore[no-untyped-def]
    """Lower factor L of Q + level I of a user: reciprocals of its diagonal, and what is below."""
    d0, d1, d2, d3 = noise[u], noise[2 * 2 * WIDTH + u], noise[5 * 2 * WIDTH + u], noise[9 * 2 * WIDTH + u]
    rounding = lost * (d0 + d1 + d2 + d3)
    level = rounding if rounding > one else one
    r0 = one / sqrt(level + d0)
    l10 = _times(r0, entry_of(noise, 1, u))
    l20 = _times(r0, entry_of(noise, 3, u))
    l30 = _times(r0, entry_of(noise, 6, u))
    r1 = one / sqrt(level + d1 - _square(l10))
    l21 = _times(r1, entry_of(noise, 4, u) - l20 * l10.conjugate())
    l31 = _times(r1, entry_of(noise, 7, u) - l30 * l10.conjugate())
    r2 = one / sqrt(level + d2 - _square(l20) - _square(l21))
    l32 = _times(r2, entry_of(noise, 8, u) - l30 * l20.conjugate() - l31 * l21.conjugate())
    r3 = one / sqrt(level + d3 - _square(l30) - _square(l31) - _square(l32))
    return (r0, r1, r2, r3), (l10, l20, l21, l30, l31, l32)


@helper
def _solved_lower(inverse, below, x):  # type: ignore[no-untyped-def]
    """L^-1 x of a column x, by what :func:`_factor` gives."""
    r0, r1, r2, r3 = inverse
    l10, l20, l21, l30, l31, l32 = below
    x0, x1, x2, x3 = x
    y0 = _times(r0, x0)
    y1 = _times(r1, x1 - l10 * y0)
    y2 = _times(r2, x2 - l20 * y0 - l21 * y1)
    return y0, y1, y2, _times(r3, x3 - l30 * y0 - l31 * y1 - l32 * y2)


@helper
def _solved_upper(inverse, below, x):  # type: ignore[no-untyped-def]
    """L^-H x of a column x."""
    r0, r1, r2, r3 = inverse
    l10, l20, l21, l30, l31, l32 = below
    x0, x1, x2, x3 = x
    y3 = _times(r3, x3)
    y2 = _times(r2, x2 - l32.conjugate() * y3)
    y1 = _times(r1, x1 - l21.conjugate() * y2 - l31.conjugate() * y3)
    return _times(r0, x0 - l10.conjugate() * y1 - l20.conjugate() * y2 - l30.conjugate() * y3), y1, y2, y3


@helper
def _columns(entries, u, zero):  # type: ignore[no-untyped-def]
    """Columns of a Hermitian matrix of which the lower entries are stored."""
    y10, y20, y21 = entry_of(entries, 1, u), entry_of(entries, 3, u), entry_of(entries, 4, u)
    y30, y31, y32 = entry_of(entries, 6, u), entry_of(entries, 7, u), entry_of(entries, 8, u)
    d0, d1 = complex(entries[u], zero), complex(entries[2 * 2 * WIDTH + u], zero)
    d2, d3 = complex(entries[5 * 2 * WIDTH + u], zero), complex(entries[9 * 2 * WIDTH + u], zero)
    return (
        (d0, y10, y20, y30),
        (y10.conjugate(), d1, y21, y31),
        (y20.conjugate(), y21.conjugate(), d2, y32),
        (y30.conjugate(), y31.conjugate(), y32.conjugate(), d3),
    )


@helper
def _put_lower(entries, u, matrix):  # type: ignore[no-untyped-def]
    """Lower entries of a matrix, row by row, to those of user u."""
    a, b, c, d, e, f, g, h, i, j = matrix
    _put(entries, 0, u, a)
    _put(entries, 1, u, b)
    _put(entries, 2, u, c)
    _put(entries, 3, u, d)
    _put(entries, 4, u, e)
    _put(entries, 5, u, f)
    _put(entries, 6, u, g)
    _put(entries, 7, u, h)
    _put(entries, 8, u, i)
    _put(entries, 9, u, j)


@helper
def strongest_of_block(  # type: ignore[no-untyped-def]
    every, signal, noise, one, least, tiny, lost, vector, sure
):
    """As ``eigenvectors.strongest_over_noise_last``, of a block of users.

    ``signal`` Y and ``noise`` Q (LOWER, 2, WIDTH) become L^-1 Y L^-H and L; ``vector`` (SIZE, 2, WIDTH), all in one row
    each, and ``sure`` (WIDTH,) are found. ``lost`` is ``eigenvectors.LOST`` rounding units.
    """
    zero = one - one
    for u in range(every):
        inverse, below = _factor(noise, u, lost, one)
        c0, c1, c2, c3 = _columns(signal, u, zero)
        # L^-1 Y, and L^-1 (L^-1 Y)^H, whose columns are the rows of the former.
        h00, h10, h20, h30 = _solved_lower(inverse, below, c0)
        h01, h11, h21, h31 = _solved_lower(inverse, below, c1)
        h02, h12, h22, h32 = _solved_lower(inverse, below, c2)
        h03, h13, h23, h33 = _solved_lower(inverse, below, c3)
        row = (h00.conjugate(), h01.conjugate(), h02.conjugate(), h03.conjugate())
        w00, w10, w20, w30 = _solved_lower(inverse, below, row)
        row = (h10.conjugate(), h11.conjugate(), h12.conjugate(), h13.conjugate())
        _, w11, w21, w31 = _solved_lower(inverse, below, row)
        row = (h20.conjugate(), h21.conjugate(), h22.conjugate(), h23.conjugate())
        _, _, w22, w32 = _solved_lower(inverse, below, row)
        row = (h30.conjugate(), h31.conjugate(), h32.conjugate(), h33.conjugate())
        _, _, _, w33 = _solved_lower(inverse, below, row)
        trace = w00.real + w11.real + w22.real + w33.real
        each = one / trace if trace > zero else one
        lower = (
            _times(each, w00), _times(each, w10), _times(each, w11), _times(each, w20), _times(each, w21),
            _times(each, w22), _times(each, w30), _times(each, w31), _times(each, w32), _times(each, w33),
        )  # fmt: skip
        eigenvector, known = _dominant(lower, trace, one, least, tiny)
        b0, b1, b2, b3 = _solved_upper(inverse, below, eigenvector)
        sure[u] = one if known else zero
        # What the library needs where that is not so, in place of Q and Y.
        r0, r1, r2, r3 = inverse
        l10, l20, l21, l30, l31, l32 = below
        l00, l11 = complex(one / r0, zero), complex(one / r1, zero)
        l22, l33 = complex(one / r2, zero), complex(one / r3, zero)
        _put_lower(noise, u, (l00, l10, l11, l20, l21, l22, l30, l31, l32, l33))
        _put_lower(signal, u, (w00, w10, w11, w20, w21, w22, w30, w31, w32, w33))
        _put(vector, 0, u, b0)
        _put(vector, 1, u, b1)
        _put(vector, 2, u, b2)
        _put(vector, 3, u, b3)
