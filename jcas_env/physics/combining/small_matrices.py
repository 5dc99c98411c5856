r"""Tiny Hermitian matrices with the batch axis last: closed forms instead of one library call for each matrix.

A library spends a microsecond and more on a matrix of 4 x 4 before it computes anything. With the batch on the last
axis every step is one operation on all matrices, (n, n, elements). The eigenproblem is that of spec multicell 2.3.
"""

from __future__ import annotations

from ...types import Array, array_namespace, device

SIZE = 4
"""Rows and columns of which the largest eigenvector has a closed form; smaller matrices are padded with zeros."""

LAGUERRE_STEPS = 5
"""Steps towards the largest eigenvalue; their order is cubic."""

LEAST_DISTANCE = 1e-2
"""Least relative distance of the two largest eigenvalues for which the steps have converged."""

_PAIRS = ((0, 0, 0, 1, 1, 2), (1, 2, 3, 2, 3, 3))
"""Pairs of columns, first and second, in the order of :func:`_minors`."""


def batch_last(matrix: Array, /) -> Array:
    """Matrices (..., n, m) of any unit as (n, m, elements), of the same unit [-] (spec multicell 2.3)."""
    xp = array_namespace(matrix)
    flat = xp.reshape(matrix, (-1, *matrix.shape[-2:]))
    entries = xp.permute_dims(flat, (1, 2, 0))
    return xp.reshape(xp.reshape(entries, (-1,)), entries.shape)  # laid out in the order of its axes


def batch_first(vector: Array, batch: tuple[int, ...], /) -> Array:
    """Vectors (n, elements) of any unit as (*batch, n), of the same unit [-] (spec multicell 2.3).

    Laid out in the order of its axes: sums over n then round alike, however many elements there are.
    """
    xp = array_namespace(vector)
    return xp.reshape(xp.reshape(xp.matrix_transpose(vector), (-1,)), (*batch, vector.shape[0]))


def lower_factor(matrix: Array, /) -> list[Array]:
    """Columns of Cholesky's factor L of Hermitian positive definite matrices, :math:`A = L L^H`.

    (n, n, elements) [-] -> n arrays of shape (n - k, elements), those below and on the diagonal [-]
    (spec multicell 2.3).
    """
    xp = array_namespace(matrix)
    columns = []
    for _ in range(matrix.shape[0]):
        column = matrix[:, 0, ...] / xp.sqrt(xp.real(matrix[0, 0, ...]))
        columns.append(column)
        matrix = matrix[1:, 1:, ...] - column[1:, None, ...] * xp.conj(column[None, 1:, ...])
    return columns


def solve_lower(factor: list[Array], right: Array, /) -> Array:
    """:math:`L^{-1} B` for the columns of :func:`lower_factor`; (n, m, elements) -> (n, m, elements) [-].

    In the unit of B (spec multicell 2.3).
    """
    solved = []
    for column in factor:
        solved.append(right[0, ...] / column[0, ...])
        right = right[1:, ...] - column[1:, None, ...] * solved[-1]
    return array_namespace(right).stack(solved)


def solve_upper(factor: list[Array], right: Array, /) -> Array:
    """:math:`L^{-H} b` for the columns of :func:`lower_factor`; (n, elements) -> (n, elements) [-].

    In the unit of b (spec multicell 2.3).
    """
    xp = array_namespace(right)
    solved: list[Array] = []
    for k in range(len(factor) - 1, -1, -1):
        known = right[k, ...]
        for entry, value in zip(range(1, len(solved) + 1), solved, strict=True):
            known = known - xp.conj(factor[k][entry, ...]) * value
        solved.insert(0, known / factor[k][0, ...])
    return xp.stack(solved)


def dominant_eigenvector_last(matrix: Array, /) -> tuple[Array, Array]:
    r"""Unit eigenvector of the largest eigenvalue of Hermitian positive semidefinite matrices, n at most 4.

    With powers' traces :math:`t_k = \operatorname{tr} A^k` the characteristic polynomial is known (Newton's
    identities), its largest root is :math:`\lambda`, and :math:`\operatorname{adj}(A - \lambda I)` has rank one:
    whatever it multiplies becomes the eigenvector. A step of Rayleigh's quotient iteration,
    :math:`v' = \operatorname{adj}(A - \rho I)\, v`, makes the cube of its error: what is left is that of any algorithm,
    the rounding unit over the relative distance of the two largest eigenvalues.

    Parameters
    ----------
    matrix : Array, shape (n, n, elements), complex
        A, of any unit.

    Returns
    -------
    vector : Array, shape (n, elements), complex
        Unit norm, of arbitrary phase [-] (spec multicell 2.3).
    sure : Array, shape (elements,), bool
        Whether the largest two eigenvalues are farther apart than ``LEAST_DISTANCE``. Elsewhere, and for a zero matrix,
        the vector is finite and nothing more.
    """
    xp = array_namespace(matrix)
    size = matrix.shape[0]
    total = xp.real(trace(matrix))
    some = total > 0
    scaled = _padded(matrix / xp.where(some, total, xp.ones_like(total)))
    square = product(scaled, scaled)
    pairs = ((scaled, scaled), (square, scaled), (square, square))
    t2, t3, t4 = (xp.where(some, _real_inner(*pair), xp.ones_like(total)) for pair in pairs)
    c2 = (1.0 - t2) / 2.0
    c3 = (c2 - t2 + t3) / 3.0
    c4 = (c3 - c2 * t2 + t3 - t4) / 4.0
    root, apart = largest_root(c2, c3, c4, above=xp.sqrt(xp.sqrt(t4)))
    identity = xp.eye(SIZE, dtype=matrix.dtype, device=device(matrix))[..., None]
    vector = _unit(adjugate_product(scaled - root * identity, _largest_column(square)))
    quotient = _real_inner(vector, _times(scaled, vector))
    vector = _unit(adjugate_product(scaled - quotient * identity, vector))
    agreed = xp.abs(quotient - root) <= 0.1 * LEAST_DISTANCE * root
    return vector[:size, ...], some & agreed & (apart > LEAST_DISTANCE)


def power_vector_last(matrix: Array, /) -> Array:
    r"""Unit vector that Hermitian matrices amplify almost as much as any: the largest column of :math:`A^{64}`.

    Of eigenvalues that are almost equal it takes part in all, which amplify alike; what has less than nine tenths of
    the largest is gone (0.9^64 = 1e-3). No matrix is asked how it is made (spec multicell 2.3).

    (n, n, elements) of any unit -> (n, elements) [-]; zeros for a zero matrix.
    """
    xp, power = array_namespace(matrix), matrix
    for _ in range(6):
        total = xp.real(trace(power))
        power = power / xp.where(total > 0, total, xp.ones_like(total))  # keeps every power in single precision
        power = product(power, power)
    return _unit(_largest_column(power))


def largest_root(c2: Array, c3: Array, c4: Array, /, *, above: Array) -> tuple[Array, Array]:
    r"""Largest root of :math:`p(x) = x^4 - x^3 + c_2 x^2 - c_3 x + c_4`, whose roots are real and not negative.

    By Laguerre's method from ``above``, which no root exceeds; it converges from there.

    All (elements,) [-]. Returns the root x, and how far it stands from the other roots :math:`x_k`:
    :math:`p'(x)/x^3 = \prod_k (1 - x_k/x)`, 0 for a double root and 1 where the others vanish
    (spec multicell 2.3).
    """
    xp = array_namespace(c2)
    x, tiny = above, float(xp.finfo(c2.dtype).smallest_normal)
    for _ in range(LAGUERRE_STEPS):
        value, slope, bend = _quartic(x, c2, c3, c4)
        spread = xp.sqrt(xp.maximum((9.0 * slope) * slope - (24.0 * value) * bend, 0.0))
        # Nothing but rounding leads up, or below the mean of the roots: at a multiple root both terms vanish.
        x = xp.maximum(x - 4.0 * xp.maximum(value, 0.0) / xp.maximum(slope + spread, tiny), 1.0 / SIZE)
    return x, _quartic(x, c2, c3, c4)[1] / x**3


def _quartic(x: Array, c2: Array, c3: Array, c4: Array) -> tuple[Array, Array, Array]:
    """Value, slope and half the second derivative of the polynomial of :func:`largest_root`, by Horner's scheme."""
    b1 = x - 1.0
    b2 = b1 * x + c2
    b3 = b2 * x - c3
    d1 = b1 + x
    d2 = d1 * x + b2
    return b3 * x + c4, d2 * x + b3, (d1 + x) * x + d2


def adjugate_product(matrix: Array, vector: Array, /) -> Array:
    r"""Product :math:`\operatorname{adj}(A)\, b` for 4 x 4 matrices, singular or not.

    :math:`\operatorname{adj}(A) A = \det(A) I`. Laplace's expansion along pairs of rows: columns 0 and 1 of the
    adjugate are made of minors of rows 2 and 3, columns 2 and 3 of minors of rows 0 and 1.

    ``matrix`` (..., 4, elements) of four rows, ``vector`` (4, elements) -> (4, elements), of any units [-]
    (spec multicell 2.3).
    """
    even, odd = matrix[0::2, ...], matrix[1::2, ...]
    first, second = vector[0::2, None, ...], vector[1::2, None, ...]
    products = _cofactors(_minors(odd, even), first * odd - second * even)
    return products[0, ...] + products[1, ...]


def _minors(odd: Array, even: Array) -> Array:
    """Minors 2 x 2 of rows 2 and 3, then of 0 and 1: columns 01, 02, 03, 12, 13, 23, shape (2, 6, elements).

    ``even`` (2, 4, elements) are rows 0 and 2, ``odd`` rows 1 and 3.
    """
    xp = array_namespace(odd)
    even, odd = xp.flip(even, axis=0), xp.flip(odd, axis=0)
    i, j = (xp.asarray(part, dtype=xp.int64, device=device(odd)) for part in _PAIRS)
    left, right = (xp.take(even, part, axis=1) for part in (i, j))
    return left * xp.take(odd, j, axis=1) - right * xp.take(odd, i, axis=1)


def _cofactors(minors: Array, row: Array) -> Array:
    """Cofactors that three rows leave, two of them in the minors (2, 6, elements): (2, 4, elements), likewise."""
    a, b, c, d = (row[:, k, ...] for k in range(SIZE))
    m01, m02, m03, m12, m13, m23 = (minors[:, k, ...] for k in range(6))
    return array_namespace(row).stack(
        [
            b * m23 - c * m13 + d * m12,
            c * m03 - a * m23 - d * m02,
            a * m13 - b * m03 + d * m01,
            b * m02 - a * m12 - c * m01,
        ],
        axis=1,
    )


def _padded(matrix: Array) -> Array:
    """Zeros around (n, n, elements) up to 4 x 4."""
    xp = array_namespace(matrix)
    size, _, count = matrix.shape
    if size == SIZE:
        return matrix
    where = {"dtype": matrix.dtype, "device": device(matrix)}
    wide = xp.concat([matrix, xp.zeros((size, SIZE - size, count), **where)], axis=1)
    return xp.concat([wide, xp.zeros((SIZE - size, SIZE, count), **where)], axis=0)


def trace(matrix: Array, /) -> Array:
    """Trace of matrices (n, n, elements), (elements,), of their unit [-] (spec multicell 2.3)."""
    terms = [matrix[k, k, ...] for k in range(matrix.shape[0])]
    return sum(terms[1:], terms[0])


def product(one: Array, two: Array, /) -> Array:
    """Matrices times matrices, (n, k, elements) and (k, m, elements) -> (n, m, elements), of any units [-].

    As the combiners need it (spec multicell 2.3).
    """
    terms = [one[:, k, None, ...] * two[None, k, ...] for k in range(two.shape[0])]
    return sum(terms[1:], terms[0])


def _times(matrix: Array, vector: Array) -> Array:
    """Matrices times vectors, (n, k, elements) and (k, elements) -> (n, elements)."""
    terms = [matrix[:, k, ...] * vector[k, ...] for k in range(vector.shape[0])]
    return sum(terms[1:], terms[0])


def _real_inner(one: Array, two: Array) -> Array:
    """Real part of inner products over all axes but the last, (elements,)."""
    xp = array_namespace(one)
    return xp.sum(xp.real(one) * xp.real(two) + xp.imag(one) * xp.imag(two), axis=tuple(range(one.ndim - 1)))


def _unit(vector: Array) -> Array:
    """Scale (n, elements) to unit norm; zeros stay."""
    xp = array_namespace(vector)
    norm = xp.sqrt(_real_inner(vector, vector))
    return vector / xp.where(norm > 0, norm, xp.ones_like(norm))


def _largest_column(matrix: Array) -> Array:
    """Column (n, elements) with the largest entry on the diagonal: most of the eigenvector's length is seen there."""
    xp = array_namespace(matrix)
    own = xp.stack([xp.real(matrix[k, k, ...]) for k in range(matrix.shape[0])])
    best = xp.argmax(own, axis=0)[None, None, ...]
    index = xp.broadcast_to(best, (matrix.shape[0], 1, matrix.shape[-1]))
    return xp.take_along_axis(matrix, index, axis=1)[:, 0, ...]
