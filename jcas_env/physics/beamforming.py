"""Receive combiners, transmit beams, and the gains they leave between every beam and every user.

Signal model of user ``j`` served by cell ``i``: ``y = w_j^H (sum_n H_{n,j} x_n + noise)``, so the channel
that base station ``n`` effectively sees is ``h_{n,j} = H_{n,j}^H w_j`` and a beam ``f`` of that station
reaches the user with gain ``|h_{n,j}^H f|^2``. One stream per user; vectors have unit norm
(spec multicell 2.3, 2.4, 5.28).
"""

from __future__ import annotations

from math import prod
from typing import Literal

from ..batching import small_product
from ..compiled.dispatch import compiled
from ..types import Array, array_namespace, device
from .combining.eigenvectors import dominant_eigenvector, finite_or_unit, strongest_over_noise
from .membership import one_hot, same_group

Combiner = Literal["svd", "null_mrc", "gev"]
Precoder = Literal["mrt", "zf"]

NULL_TOLERANCE = 1e-9
"""Singular values whose square is below this share of the largest square count as zero (spec multicell 2.3)."""


def serving_link(links: Array, cell: Array, crowd: int | None = None) -> Array:
    """Select each user's serving base station: ``(..., cells, users, *rest)`` to ``(..., users, *rest)``.

    ``cell`` has shape (..., users); ``links`` has two trailing axes behind users (channel matrices) or
    one (effective channels, path gains). ``crowd`` as in :func:`effective_gain`: rows are then cut and not gathered.
    """
    xp = array_namespace(links, cell)
    rest = links.ndim - cell.ndim - 1
    if crowd is not None:
        behind = (slice(None),) * rest
        starts = enumerate(range(0, links.shape[-1 - rest], crowd))
        own = [links[(..., station, slice(start, start + crowd), *behind)] for station, start in starts]
        return xp.concat(own, axis=-1 - rest) if len(own) > 1 else own[0]
    lead, tail = links.shape[: links.ndim - rest - 2], links.shape[links.ndim - rest :]
    cells, users = links.shape[len(lead) : len(lead) + 2]
    # One index a row of links, not one an entry: take_along_axis would need the latter.
    scene = cells * xp.arange(prod(lead), dtype=cell.dtype, device=device(cell))
    station = xp.reshape(xp.broadcast_to(cell, (*lead, users)), (-1, users)) + scene[:, None]
    row = users * station + xp.arange(users, dtype=cell.dtype, device=device(cell))
    rows = xp.take(xp.reshape(links, (-1, *tail)), xp.reshape(row, (-1,)), axis=0)
    return xp.reshape(rows, (*lead, users, *tail))


def interference_covariance(channel: Array, cell: Array) -> Array:
    r"""Gram matrix of the joint interference channel, :math:`T_j^H T_j = \sum_{n \ne i} H_{n,j} H_{n,j}^H`.

    ``channel`` (..., cells, users, rx, tx) complex [-], ``cell`` (..., users) -> (..., users, rx, rx), Hermitian [-]
    (spec multicell 2.3).
    """
    xp = array_namespace(channel, cell)
    gram = small_product(channel, xp.conj(xp.matrix_transpose(channel)))
    other = ~one_hot(cell, channel.shape[-4])
    return xp.sum(xp.where(other[..., None, None], gram, xp.zeros_like(gram)), axis=-4)


def interference_spectrum(channel: Array, cell: Array) -> tuple[Array, Array]:
    r"""Singular values and right singular vectors of the joint interference channel.

    .. math:: T_j = \operatorname{vstack}_{n \ne i} H_{n,j}^H \in \mathbb{C}^{(C-1)M \times N}

    Parameters
    ----------
    channel : Array, shape (..., cells, users, rx_antennas, tx_antennas), complex
        Channel of every base station to every user [-].
    cell : Array, shape (..., users), integer
        Serving cell.

    Returns
    -------
    values : Array, shape (..., users, rx_antennas)
        Singular values in descending order [-].
    vectors : Array, shape (..., users, rx_antennas, rx_antennas), complex
        Right singular vectors in columns, a full unitary matrix [-] (luo2023 Sec. III-A, spec multicell 2.3).
        Both are NaN where a channel is not finite.
    """
    xp = array_namespace(channel, cell)
    *batch, cells, users, rx, tx = channel.shape
    other = ~one_hot(cell, cells)
    masked = xp.where(other[..., None, None], channel, xp.zeros_like(channel))
    stacked = xp.reshape(xp.moveaxis(masked, -4, -2), (*batch, users, rx, cells * tx))
    if cells * tx < rx:  # pad, so that the reduced factorisation holds all of the null space
        padding = xp.zeros((*batch, users, rx, rx - cells * tx), dtype=channel.dtype, device=device(channel))
        stacked = xp.concat([stacked, padding], axis=-1)
    finite, safe = finite_or_unit(stacked)
    left, values, _ = xp.linalg.svd(safe, full_matrices=False)  # T^H = U S V^H, so T = V S U^H
    nan = float("nan")
    return xp.where(finite[..., None], values, nan), xp.where(finite[..., None, None], left, nan)


def normalise(vector: Array) -> Array:
    """Scale to unit norm along the last axis; a zero vector becomes the first unit vector e_1.

    (..., n) of any unit -> (..., n) [-]. Zero links are legal (spec multicell 6.11): they get a valid direction and a
    gain of exactly zero.
    """
    xp = array_namespace(vector)
    norm = xp.linalg.vector_norm(vector, axis=-1, keepdims=True)
    first = xp.arange(vector.shape[-1], device=device(vector)) == 0
    first = xp.astype(first, vector.dtype)
    safe = xp.where(norm > 0, norm, xp.ones_like(norm))
    return xp.where(norm > 0, vector / safe, first)


def constant_modulus(vector: Array) -> Array:
    r"""Phase-only version of a beam or combiner, :math:`e^{j \angle v_k}/\sqrt{n}`.

    (..., n) complex -> (..., n) complex, of unit norm [-]; a zero entry gets the phase 0 (spec multicell 5.28).
    """
    xp = array_namespace(vector)
    modulus = xp.abs(vector)
    phase = xp.where(modulus > 0, vector / xp.where(modulus > 0, modulus, 1.0), xp.ones_like(vector))
    return phase / vector.shape[-1] ** 0.5


def svd_combiner(channel: Array, cell: Array) -> Array:
    """Receive vector that hears least of the other cells: the last right singular vector of T_j.

    luo2023 Sec. III-A with one stream (spec multicell 2.3, 5.6). Arbitrary where the interference leaves
    a null space of several dimensions; ``null_mrc_combiner`` is the choice there. Shapes and units as in
    :func:`combiner`.
    """
    return interference_spectrum(channel, cell)[1][..., :, -1]


def null_mrc_combiner(channel: Array, cell: Array) -> Array:
    r"""Maximum-ratio combining inside the null space of the interference.

    .. math:: V_0 = \{v_k : \sigma_k^2 \le 10^{-9} \sigma_1^2\}, \qquad
              w = V_0\; \mathrm{eig}_{\max}\big(V_0^H H_{i,j} H_{i,j}^H V_0\big)

    and ``V_0`` is the last right singular vector alone where the null space is empty. Computed with the
    projector on ``V_0``, so that users with null spaces of different dimensions share one batch.
    Shapes and units as in :func:`combiner` (spec multicell 2.3).
    """
    xp = array_namespace(channel, cell)
    values, vectors = interference_spectrum(channel, cell)
    null = values**2 <= NULL_TOLERANCE * values[..., :1] ** 2
    last = xp.arange(values.shape[-1], device=device(values)) == values.shape[-1] - 1
    basis = vectors * xp.astype(null | last, vectors.dtype)[..., None, :]
    seen = xp.conj(xp.matrix_transpose(basis)) @ serving_link(channel, cell)
    inner = dominant_eigenvector(seen @ xp.conj(xp.matrix_transpose(seen)))
    return normalise((basis @ inner[..., None])[..., 0])


def gev_combiner(channel: Array, cell: Array, *, power: Array | float, noise_power: Array | float) -> Array:
    """Combiner of the largest signal to interference plus noise ratio, :func:`gev_direction` scaled to unit norm.

    Shapes and units as in :func:`combiner` (spec multicell 2.3).
    """
    return normalise(gev_direction(channel, cell, power=power, noise_power=noise_power))


@compiled("combiners")
def gev_direction(channel: Array, cell: Array, /, *, power: Array | float, noise_power: Array | float) -> Array:
    r"""Vector of the largest signal to interference plus noise ratio.

    .. math:: \max_{\lVert w \rVert = 1} \frac{w^H H_{i,j} H_{i,j}^H w}
              {w^H \big( \tfrac{P}{M} T_j^H T_j + \sigma^2 I \big) w}

    by whitening with the Cholesky factor of the denominator. Other cells are taken to radiate ``power``
    isotropically. Shapes and units as in :func:`combiner`, of any norm; what it is for a user whose serving link is
    zero is arbitrary (spec multicell 2.3).
    """
    covariance = power / channel.shape[-1] * interference_covariance(channel, cell)
    own = serving_link(channel, cell)
    return strongest_over_noise(own, covariance / noise_power)


def combiner(
    channel: Array, cell: Array, /, *, kind: Combiner, power: Array | float, noise_power: Array | float
) -> Array:
    """Receive combiner of every user.

    Parameters
    ----------
    channel : Array, shape (..., cells, users, rx_antennas, tx_antennas), complex
        Known channel of every base station to every user [-].
    cell : Array, shape (..., users), integer
        Serving cell.
    kind : {"svd", "null_mrc", "gev"}
        See the functions of these names.
    power, noise_power : float
        Power of a base station and noise power at the user [W]; used by ``gev`` alone.

    Returns
    -------
    Array, shape (..., users, rx_antennas), complex
        Unit norm [-]. A user whose serving link is zero gets e_1 (spec multicell 2.3, 6.11).
    """
    xp = array_namespace(channel, cell)
    if kind == "svd":
        vector = svd_combiner(channel, cell)
    elif kind == "null_mrc":
        vector = null_mrc_combiner(channel, cell)
    elif kind == "gev":
        vector = gev_combiner(channel, cell, power=power, noise_power=noise_power)
    else:
        raise ValueError(f"`kind` must be svd, null_mrc or gev, got {kind!r}")
    dead = xp.all(serving_link(channel, cell) == 0, axis=(-2, -1))
    return xp.where(dead[..., None], normalise(xp.zeros_like(vector)), vector)


def effective_channel(channel: Array, combiner: Array, /) -> Array:
    """Channel behind the combiner, ``h_{n,j} = H_{n,j}^H w_j``.

    ``channel`` (..., cells, users, rx, tx) and ``combiner`` (..., users, rx) give
    (..., cells, users, tx), complex [-] (spec multicell 2.4).
    """
    xp = array_namespace(channel, combiner)
    return xp.conj(small_product(xp.conj(combiner)[..., None, :, None, :], channel)[..., 0, :])


def leakage(effective: Array, cell: Array, /) -> Array:
    r"""What the combiner lets through of the other cells, :math:`\lambda_j^2 = \lVert T_j w_j \rVert^2`.

    ``effective`` (..., cells, users, tx), ``cell`` (..., users) -> (..., users) [-] (spec multicell 2.3, 4.1).
    """
    xp = array_namespace(effective, cell)
    energy = xp.sum(xp.real(effective) ** 2 + xp.imag(effective) ** 2, axis=-1)
    return xp.sum(xp.where(one_hot(cell, effective.shape[-3]), xp.zeros_like(energy), energy), axis=-2)


def channel_correlation(effective: Array, cell: Array, /, *, crowd: int | None = None) -> Array:
    r"""Correlation of the users' serving channels.

    .. math:: \rho_{jk} = \frac{|h_j^H h_k|}{\lVert h_j \rVert \lVert h_k \rVert}

    Parameters
    ----------
    effective : Array, shape (..., cells, users, tx_antennas), complex
        Effective channels [-].
    cell : Array, shape (..., users), integer
        Serving cell; meaningful between users of one cell.
    crowd : int or None
        As in :func:`effective_gain`.

    Returns
    -------
    Array, shape (..., users, users)
        In [0, 1]; zero in the row and column of a user whose channel is zero (luo2023 eq. 28-29 with one
        stream, spec multicell 3.2, 5.16, 6.11).
    """
    xp = array_namespace(effective, cell)
    h = serving_link(effective, cell, crowd)
    norm = xp.linalg.vector_norm(h, axis=-1, keepdims=True)
    unit = xp.where(norm > 0, h / xp.where(norm > 0, norm, xp.ones_like(norm)), xp.zeros_like(h))
    product = xp.conj(unit) @ xp.matrix_transpose(unit)
    return xp.sqrt(xp.real(product) ** 2 + xp.imag(product) ** 2)  # of at most 1: no need for a careful modulus


def beams(effective: Array, cell: Array, group: Array, /, *, precoder: Precoder, crowd: int | None = None) -> Array:
    r"""Unit-norm transmit beam of every user.

    ``mrt``: :math:`f_j = h_{i,j}/\lVert h_{i,j} \rVert`. ``zf``: with the channels of a cell's group in the
    columns of A, :math:`F = A (A^H A)^+`, columns scaled to unit norm, so that the sum of the powers is
    what a station radiates.

    Parameters
    ----------
    effective : Array, shape (..., cells, users, tx_antennas), complex
        Known effective channels [-].
    cell, group : Array, shape (..., users), integer
        Serving cell and group label inside it.
    precoder : {"mrt", "zf"}
    crowd : int or None
        As in :func:`effective_gain`.

    Returns
    -------
    Array, shape (..., users, tx_antennas), complex
        A user whose channel is zero gets e_1 (luo2023 eq. 12 repaired, spec multicell 2.4, 5.4, 5.5).
    """
    xp = array_namespace(effective, cell, group)
    matched = normalise(serving_link(effective, cell, crowd))
    if precoder == "mrt":
        return matched
    if precoder != "zf":
        raise ValueError(f"`precoder` must be mrt or zf, got {precoder!r}")
    # Rows of `matched` are the channels, so the Gram matrix of the columns of A is conj(rows) rows^T. Masked
    # to pairs of a group it is block diagonal, and the pseudo-inverse inverts every block on its own.
    gram = xp.conj(matched) @ xp.matrix_transpose(matched)
    gram = xp.where(same_group(cell, group), gram, xp.zeros_like(gram))
    finite, safe = finite_or_unit(gram)
    inverse = xp.where(finite[..., None, None], xp.linalg.pinv(safe), float("nan"))
    return normalise(xp.matrix_transpose(inverse) @ matched)


def effective_gain(effective: Array, beam: Array, cell: Array, /, *, crowd: int | None = None) -> Array:
    r"""Power gain of every beam at every user, :math:`G_{jm} = |h_{c(m), j}^H f_m|^2`.

    Parameters
    ----------
    effective : Array, shape (..., cells, users, tx_antennas), complex
        Effective channels [-].
    beam : Array, shape (..., users, tx_antennas), complex
        Unit-norm beams [-].
    cell : Array, shape (..., users), integer
        Serving cell, which transmits the user's beam.
    crowd : int or None
        Users of each cell, where all have as many and users stand in the order of their cells: a station's channels
        then meet its own beams alone, a row of ``crowd``, and not all of them, of which most are put aside.

    Returns
    -------
    Array, shape (..., users, users)
        Receiver first [-] (spec multicell 2.4). Under MRT inside a cell it equals
        ``G_jj rho_jk^2``.
    """
    xp = array_namespace(effective, beam, cell)
    *batch, cells, users, antennas = effective.shape
    own = beam[..., None, :, :] if crowd is None else xp.reshape(beam, (*batch, cells, crowd, antennas))
    amplitude = effective @ xp.conj(xp.matrix_transpose(own))  # the conjugate: there are fewer beams than channels
    gain = xp.real(amplitude) ** 2 + xp.imag(amplitude) ** 2
    if crowd is not None:
        return xp.reshape(xp.moveaxis(gain, -3, -2), (*batch, users, users))
    transmits = one_hot(cell, cells)[..., :, None, :]
    return xp.sum(xp.where(transmits, gain, xp.zeros_like(gain)), axis=-3)


@compiled("beams")
def passed(effective: Array, beam: Array, cell: Array, /, *, crowd: int | None) -> tuple[Array, Array]:
    """What combiners let pass: :func:`effective_gain` (..., users, users) and :func:`leakage` (..., users).

    Arguments, units [-] and ``crowd`` as there (spec multicell 2.3, 2.4).
    """
    return effective_gain(effective, beam, cell, crowd=crowd), leakage(effective, cell)
