"""The eigenvectors that combiners are made of."""

from __future__ import annotations

from ...batching import indices, scatter, small_product
from ...types import Array, array_namespace, at_hand, device
from .small_matrices import (
    SIZE,
    batch_first,
    batch_last,
    dominant_eigenvector_last,
    lower_factor,
    power_vector_last,
    solve_lower,
    solve_upper,
    trace,
)

LOST = 8.0
"""Rounding units of the interference's power below which nothing is known of the rest."""


def dominant_eigenvector(matrix: Array) -> Array:
    """Unit eigenvector of the largest eigenvalue of Hermitian matrices (spec multicell 2.3).

    (..., n, n) of any unit -> (..., n) [-]. NaN where a matrix is not finite: a library raises there, for all of them.
    """
    xp = array_namespace(matrix)
    finite, safe = finite_or_unit(matrix)
    return xp.where(finite[..., None], xp.linalg.eigh(safe)[1][..., :, -1], float("nan"))


def finite_or_unit(matrix: Array) -> tuple[Array, Array]:
    """Which matrices are finite, and the matrices with a unit one in place of those that are not.

    (..., n, m) of any unit -> (...,) bool and (..., n, m) in that unit [-]. For libraries that raise on a whole batch
    for one matrix that is not finite (spec multicell 2.3).
    """
    xp = array_namespace(matrix)
    finite = xp.all(xp.isfinite(matrix), axis=(-2, -1))
    unit = xp.eye(*matrix.shape[-2:], dtype=matrix.dtype, device=device(matrix))
    return finite, xp.where(finite[..., None, None], matrix, unit)


def strongest_over_noise(own: Array, interference: Array) -> Array:
    r"""Vector w of the largest :math:`w^H S S^H w / (w^H (Q + I) w)`, by whitening with Cholesky's factor.

    ``own`` S (..., rx, tx) complex of any unit, ``interference`` Q (..., rx, rx) Hermitian [-] -> (..., rx) of any
    norm [-].
    Up to four receive antennas in closed form with the batch axis last, which is the eigenvector that the library finds
    (:func:`.dominant_eigenvector_last`); the library does larger ones, and those whose two largest eigenvalues are
    almost equal; on a device :func:`.power_vector_last` does these (spec multicell 2.3).
    """
    xp = array_namespace(own, interference)
    *batch, rx, _ = own.shape
    parts = xp.maximum(xp.abs(xp.real(own)), xp.abs(xp.imag(own)))  # any scale does, and roots take time
    scale = xp.max(parts, axis=(-2, -1), keepdims=True)
    own = own / xp.where(scale > 0, scale, xp.ones_like(scale))
    if rx > SIZE:
        identity = xp.eye(rx, dtype=own.dtype, device=device(own))
        level = noise_beside(xp.real(xp.linalg.trace(interference)))[..., None, None]
        finite, noise = finite_or_unit(interference + level * identity)
        factor = xp.where(finite[..., None, None], xp.linalg.cholesky(noise), float("nan"))
        white = xp.linalg.solve(factor, own)
        inner = dominant_eigenvector(white @ xp.conj(xp.matrix_transpose(white)))
        return xp.linalg.solve(xp.conj(xp.matrix_transpose(factor)), inner[..., None])[..., 0]
    gram = small_product(own, xp.conj(xp.matrix_transpose(own)))
    vector = strongest_over_noise_last(batch_last(gram), batch_last(interference))
    return batch_first(vector, tuple(batch))


def noise_beside(interference: Array) -> Array:
    r"""Noise that whitening takes beside an interference of a power :math:`\operatorname{tr} Q`.

    .. math:: \max(1, 8\, \varepsilon \operatorname{tr} Q)

    One, unless rounding of Q (unit :math:`\varepsilon`) is more than that: Q + I may then be indefinite, and the
    whitened signal would follow the rounding. Above it all directions without interference count as equally good.

    (...,) [-] -> (...,) [-] (spec multicell 2.3).
    """
    xp = array_namespace(interference)
    return xp.clip(LOST * float(xp.finfo(interference.dtype).eps) * interference, min=1.0)


def strongest_over_noise_last(signal: Array, interference: Array) -> Array:
    r"""Vector w of the largest :math:`w^H Y w / (w^H (Q + I) w)`, as :func:`strongest_over_noise` for n at most 4.

    ``signal`` Y (n, n, elements) Hermitian of any unit, ``interference`` Q (n, n, elements) Hermitian [-] ->
    (n, elements) of any norm [-] (spec multicell 2.3).
    """
    xp = array_namespace(signal, interference)
    identity = xp.eye(signal.shape[0], dtype=signal.dtype, device=device(signal))
    level = noise_beside(xp.real(trace(interference)))
    factor = lower_factor(interference + level * identity[..., None])
    half = solve_lower(factor, signal)
    white = solve_lower(factor, xp.conj(xp.permute_dims(half, (1, 0, 2))))
    inner, sure = dominant_eigenvector_last(white)
    if not at_hand(sure):  # nobody waits for a device to say which those are
        inner = xp.where(sure, inner, power_vector_last(white))
    elif not bool(xp.all(sure)):
        doubtful = indices(~sure)
        found = dominant_eigenvector(xp.permute_dims(xp.take(white, doubtful, axis=-1), (2, 0, 1)))
        inner = xp.matrix_transpose(scatter(xp.matrix_transpose(inner), ~sure, found))
    return solve_upper(factor, inner)
