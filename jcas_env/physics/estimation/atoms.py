r"""Atoms of the pilot model, their angle derivatives, and what data and Gram matrices say about them.

Of a path with direction cosines (v, w) the data see the atom

.. math:: b(v, w) = c(v) \otimes a_N(w), \qquad c(v) = F^T a_M(v)^*, \qquad
          \partial_v b = \dot c \otimes a_N, \qquad \partial_w b = c \otimes \dot a_N

Inner products of atoms are products of the inner products of their factors, so every Gram block is a Hadamard
product of two small matrices and no column of length P N is ever written out (spec estimation 3.5).

With one pilot per antenna the Gram matrices are real and known in closed form
(:func:`~jcas_env.physics.arrays.steering_correlation`). Real and imaginary parts of gains and data are then separate
*columns* of one real least-squares problem: S snapshots give 2 S real columns. Compressed pilots keep S complex ones.
All formulas hold for both.
"""

from __future__ import annotations

from math import pi
from typing import NamedTuple

from array_api_compat import array_namespace, device

from ...types import Array
from ..arrays import element_positions, steering_correlation, steering_vector


class Aperture(NamedTuple):
    """What stands between the angles of a link and its data: two arrays and the pilot beams."""

    tx_antennas: int
    rx_antennas: int
    beams: Array | None
    """(links, groups, tx_antennas, pilots) complex, or None for P = M."""


class Jets(NamedTuple):
    """Correlations of the atoms of a link, the L atoms first, then their derivatives in v, then those in w.

    R = L (atoms alone), 2 L (one receive antenna: no w) or 3 L rows.
    """

    gram: Array
    """(links, groups, R, R): inner products; real for P = M, else complex."""
    projection: Array
    """(links, groups, R, columns): inner products with the columns of the data."""


def columns(snapshots: Array, beams: Array | None) -> Array:
    """Snapshots (..., S) complex as columns: their real and imaginary parts (..., 2 S) for P = M, else as they are."""
    xp = array_namespace(snapshots)
    return snapshots if beams is not None else xp.concat([xp.real(snapshots), xp.imag(snapshots)], axis=-1)


def from_columns(values: Array) -> Array:
    """Inverse of :func:`columns`: (..., S) complex."""
    xp = array_namespace(values)
    if not xp.isdtype(values.dtype, "real floating"):
        return values
    half = values.shape[-1] // 2
    return values[..., :half] + 1j * values[..., half:]


def departure_factor(beams: Array | None, vector: Array) -> Array:
    """Factor :math:`F^T a^*` of transmit vectors (links, paths, tx_antennas): (links, groups, paths, pilots)."""
    xp = array_namespace(vector)
    seen = xp.conj(vector)[:, None]
    return seen if beams is None else seen @ beams


def factors(aperture: Aperture, aod_cos: Array, aoa_cos: Array) -> tuple[Array, Array]:
    """Factors c (links, groups, paths, pilots) and a_N (links, 1, paths, rx_antennas) of the atoms."""
    c = departure_factor(aperture.beams, steering_vector(aod_cos, antennas=aperture.tx_antennas))
    return c, steering_vector(aoa_cos, antennas=aperture.rx_antennas)[:, None]


def jet_factors(aperture: Aperture, aod_cos: Array, aoa_cos: Array) -> tuple[Array, Array]:
    """Factors of atoms and derivatives: [c, dc/dv] and [a_N, da_N/dw], on a paths axis of twice the length."""
    xp = array_namespace(aod_cos)
    tx, rx, beams = aperture
    a = steering_vector(aod_cos, antennas=tx)
    c = departure_factor(beams, xp.concat([a, (1j * pi * element_positions(aod_cos, tx)) * a], axis=-2))
    a = steering_vector(aoa_cos, antennas=rx)
    return c, xp.concat([a, (1j * pi * element_positions(aoa_cos, rx)) * a], axis=-2)[:, None]


def project(data: Array, c: Array, a: Array) -> Array:
    """Inner products of columns ``c kron a`` with the data, (links, groups, paths, snapshots of a group) complex."""
    return receive(departures_of(data, c), a)


def receive(departures: Array, a: Array) -> Array:
    """Second half of :func:`project`: contract the receive antennas."""
    xp = array_namespace(departures)
    if a.shape[-1] == 1:
        return departures[..., 0, :]
    return xp.sum(xp.conj(a)[..., None] * departures, axis=-2)


def departures_of(data: Array, c: Array) -> Array:
    """Inner products of the transmit factors with the data, (links, groups, R, rx_antennas, snapshots)."""
    xp = array_namespace(c)
    *batch, pilots, rx, snapshots = data.shape
    q = xp.conj(c) @ xp.reshape(data, (*batch, pilots, rx * snapshots))
    return xp.reshape(q, (*q.shape[:-1], rx, snapshots))


def project_jets(data: Array, c: Array, a: Array) -> Array:
    """Projections of the data onto atoms and derivatives, (links, groups, R, snapshots of a group) complex."""
    xp = array_namespace(c)
    paths = c.shape[-2] // 2
    q = departures_of(data, c)
    if a.shape[-1] == 1:
        return q[..., 0, :]
    a, slope = a[..., :paths, :], a[..., paths:, :]
    both = xp.concat([a, a], axis=-2)
    return xp.concat([receive(q, both), receive(q[..., :paths, :, :], slope)], axis=-2)


def correlation(aperture: Aperture, one: tuple[Array, Array], two: tuple[Array, Array]) -> Array:
    """Inner products of atoms at two sets of angles (v, w), (links, groups, paths, paths)."""
    if aperture.beams is None:
        v, w = (q[:, None, None, :] - p[:, None, :, None] for p, q in zip(one, two, strict=True))
        (tx,) = steering_correlation(v, antennas=aperture.tx_antennas)
        (rx,) = steering_correlation(w, antennas=aperture.rx_antennas)
        return tx * rx
    (c, a), (d, b) = factors(aperture, *one), factors(aperture, *two)
    return _inner(c, d) * _inner(a, b)


def _inner(one: Array, two: Array) -> Array:
    xp = array_namespace(one)
    return xp.conj(one) @ xp.matrix_transpose(two)


def jet_gram(aperture: Aperture, aod_cos: Array, aoa_cos: Array, jet: tuple[Array, Array] | None = None) -> Array:
    """Gram matrix of atoms and derivatives; ``jet`` are their factors, needed for compressed pilots only."""
    paths = aod_cos.shape[-1]
    if aperture.beams is None:
        return _blocks(
            _closed_form(aod_cos, aperture.tx_antennas),
            None if aperture.rx_antennas == 1 else _closed_form(aoa_cos, aperture.rx_antennas),
        )
    c, a = jet_factors(aperture, aod_cos, aoa_cos) if jet is None else jet
    tx, rx = _quarters(_inner(c, c), paths), _quarters(_inner(a, a), paths)
    return _blocks(tx, None if aperture.rx_antennas == 1 else rx)


Quarters = tuple[Array, Array, Array, Array]
"""Inner products ``a_i^H a_j, a_i^H da_j, da_i^H a_j, da_i^H da_j``."""


def _closed_form(u: Array, antennas: int) -> Quarters:
    d, slope, bend = steering_correlation(u[:, None, None, :] - u[:, None, :, None], antennas=antennas, derivatives=2)
    return d, slope, -slope, -bend


def _quarters(inner: Array, paths: int) -> Quarters:
    return (
        inner[..., :paths, :paths],
        inner[..., :paths, paths:],
        inner[..., paths:, :paths],
        inner[..., paths:, paths:],
    )


def _blocks(tx: Quarters, rx: Quarters | None) -> Array:
    """Gram matrix from the inner products of its factors; without receive factors only the block of v."""
    xp = array_namespace(tx[0])
    c, c_d, d_c, d_d = tx
    if rx is None:
        return xp.concat([xp.concat([c, c_d], axis=-1), xp.concat([d_c, d_d], axis=-1)], axis=-2)
    a, a_e, e_a, e_e = rx
    rows = [
        [c * a, c_d * a, c * a_e],
        [d_c * a, d_d * a, d_c * a_e],
        [c * e_a, c_d * e_a, c * e_e],
    ]
    return xp.concat([xp.concat(row, axis=-1) for row in rows], axis=-2)


def jets(aperture: Aperture, data: Array, aod_cos: Array, aoa_cos: Array, active: Array) -> Jets:
    """Correlations of the atoms at given angles with their derivatives and the data; inactive paths give zeros.

    ``aod_cos``, ``aoa_cos`` and ``active`` (links, paths); ``data`` as in ``Pilots.data``.
    """
    xp = array_namespace(aod_cos)
    c, a = jet_factors(aperture, aod_cos, aoa_cos)
    gram = jet_gram(aperture, aod_cos, aoa_cos, (c, a))
    projection = columns(project_jets(data, c, a), aperture.beams)
    if not bool(xp.all(active)):
        on = xp.concat([active] * (gram.shape[-1] // active.shape[-1]), axis=-1)[:, None, :, None]
        projection = xp.where(on, projection, xp.zeros_like(projection))
        gram = xp.where(on & xp.matrix_transpose(on), gram, xp.zeros_like(gram))
    return Jets(gram=gram, projection=projection)


def projected_curvature(gram: Array, pulled: Array, gains: Array) -> Array:
    r"""Curvature of the fit in the angles, :math:`\operatorname{Re} \sum_t G_t^H [D^H D - D^H B X_t] G_t`.

    Parameters
    ----------
    gram : Array, shape (links, groups, R, R)
        As in :class:`Jets`.
    pulled : Array, shape (links, groups, paths, angles)
        X, the derivatives' projection onto the atoms: :math:`(B^H B + \Lambda)^{-1} B^H D`.
    gains : Array, shape (links, groups, paths, columns)

    Returns
    -------
    Array, shape (links, angles, angles)
    """
    xp = array_namespace(gram)
    paths, angles = pulled.shape[-2:]
    inner = gram[..., paths:, paths:] - gram[..., paths:, :paths] @ pulled
    # W_kl = sum over the columns of a group of g_k^* g_l, the same for every pair of blocks
    weight = xp.concat([gains] * (angles // paths), axis=-2)
    return xp.sum(xp.real(inner * _inner(weight, weight)), axis=1)


def diagonal(values: Array) -> Array:
    """Matrices with the given last axis on their diagonal."""
    xp = array_namespace(values)
    size = values.shape[-1]
    return values[..., None] * xp.eye(size, dtype=values.dtype, device=device(values))


def path_power(gains: Array, snapshots: int) -> Array:
    """Mean over all snapshots of |g|^2, (links, paths), from columns (links, groups, paths, columns)."""
    xp = array_namespace(gains)
    return xp.sum(xp.real(xp.conj(gains) * gains), axis=(1, 3)) / snapshots


def snapshots_first(gains: Array) -> Array:
    """From columns (links, groups, paths, columns) to (links, snapshots, paths) complex."""
    xp = array_namespace(gains)
    gains = from_columns(gains)
    links, groups, paths, snapshots = gains.shape
    return xp.reshape(xp.matrix_transpose(gains), (links, groups * snapshots, paths))


def groups_first(gains: Array, beams: Array | None) -> Array:
    """Inverse of :func:`snapshots_first`: one group for P = M, one per snapshot for compressed pilots."""
    xp = array_namespace(gains)
    return columns(xp.matrix_transpose(gains)[:, None], None) if beams is None else gains[..., None]
