r"""Atoms of the pilot model, their angle derivatives, and what data and Gram matrices say about them.

Of a path with direction cosines (v, w) the data see the atom

.. math:: b(v, w) = c(v) \otimes a_N(w), \qquad c(v) = F^T a_M(v)^*, \qquad
          \partial_v b = \dot c \otimes a_N, \qquad \partial_w b = c \otimes \dot a_N

Inner products of atoms are products of the inner products of their factors, so every Gram block is a Hadamard
product of two small matrices and no column of length P N is ever written out (spec estimation 3.5).
"""

from __future__ import annotations

from math import pi
from typing import NamedTuple

from array_api_compat import array_namespace, device

from ...types import Array
from ..arrays import element_positions, steering_vector


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
    """(links, groups, R, R) complex: inner products of the columns."""
    projection: Array
    """(links, groups, R, snapshots of a group) complex: inner products of the columns with the data."""


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
    """Factors of the atoms and of their derivatives, row by row in the order of :class:`Jets`."""
    xp = array_namespace(aod_cos)
    tx, rx, beams = aperture
    a = steering_vector(aod_cos, antennas=tx)
    both = xp.concat([a, (1j * pi * element_positions(aod_cos, tx)) * a], axis=-2)
    c = departure_factor(beams, both)
    a = steering_vector(aoa_cos, antennas=rx)[:, None]
    if rx == 1:
        return c, xp.concat([a, a], axis=-2)
    slope = (1j * pi * element_positions(aoa_cos, rx)) * a
    return xp.concat([c, c[..., : aod_cos.shape[-1], :]], axis=-2), xp.concat([a, a, slope], axis=-2)


def gram(c: Array, a: Array) -> Array:
    """Inner products of columns ``c kron a``: Hadamard product of those of the factors."""
    xp = array_namespace(c)
    product = xp.conj(c) @ xp.matrix_transpose(c)
    return product if a.shape[-1] == 1 else product * (xp.conj(a) @ xp.matrix_transpose(a))


def project(data: Array, c: Array, a: Array) -> Array:
    """Inner products of columns ``c kron a`` with the data, (links, groups, R, snapshots of a group)."""
    xp = array_namespace(c)
    q = departures_of(data, c)
    return q[..., 0, :] if a.shape[-1] == 1 else xp.sum(xp.conj(a)[..., None] * q, axis=-2)


def departures_of(data: Array, c: Array) -> Array:
    """Inner products of the transmit factors with the data, (links, groups, R, rx_antennas, snapshots)."""
    xp = array_namespace(c)
    *batch, pilots, rx, snapshots = data.shape
    q = xp.conj(c) @ xp.reshape(data, (*batch, pilots, rx * snapshots))
    return xp.reshape(q, (*q.shape[:-1], rx, snapshots))


def jets(aperture: Aperture, data: Array, aod_cos: Array, aoa_cos: Array, active: Array) -> Jets:
    """Correlations of the atoms at given angles with their derivatives and the data; inactive paths give zeros.

    ``aod_cos``, ``aoa_cos`` and ``active`` (links, paths); ``data`` as in ``Pilots.data``.
    """
    xp = array_namespace(aod_cos)
    c, a = jet_factors(aperture, aod_cos, aoa_cos)
    if not bool(xp.all(active)):
        on = xp.concat([active] * (c.shape[-2] // active.shape[-1]), axis=-1)[:, None, :, None]
        c = xp.where(on, c, xp.zeros_like(c))
    return Jets(gram=gram(c, a), projection=project(data, c, a))


def projected_curvature(gram: Array, pulled: Array, gains: Array) -> Array:
    r"""Curvature of the fit in the angles, :math:`\operatorname{Re} \sum_t G_t^H [D^H D - D^H B X_t] G_t`.

    Parameters
    ----------
    gram : Array, shape (links, groups, R, R), complex
        As in :class:`Jets`.
    pulled : Array, shape (links, groups, paths, angles), complex
        X, the derivatives' projection onto the atoms: :math:`(B^H B + \Lambda)^{-1} B^H D`.
    gains : Array, shape (links, groups, paths, snapshots of a group), complex

    Returns
    -------
    Array, shape (links, angles, angles)
    """
    xp = array_namespace(gram)
    paths, angles = pulled.shape[-2:]
    inner = gram[..., paths:, paths:] - gram[..., paths:, :paths] @ pulled
    # W_kl = sum over the snapshots of a group of g_k^* g_l, the same for every pair of blocks
    weight = xp.concat([gains] * (angles // paths), axis=-2)
    return xp.sum(xp.real(inner * (xp.conj(weight) @ xp.matrix_transpose(weight))), axis=1)


def diagonal(values: Array) -> Array:
    """Matrices with the given last axis on their diagonal."""
    xp = array_namespace(values)
    size = values.shape[-1]
    return values[..., None] * xp.eye(size, dtype=values.dtype, device=device(values))


def snapshots_first(gains: Array) -> Array:
    """From (links, groups, paths, snapshots of a group) to (links, snapshots, paths)."""
    xp = array_namespace(gains)
    links, groups, paths, snapshots = gains.shape
    return xp.reshape(xp.matrix_transpose(gains), (links, groups * snapshots, paths))


def groups_first(gains: Array, beams: Array | None) -> Array:
    """Inverse of :func:`snapshots_first`: one group for P = M, one per snapshot for compressed pilots."""
    xp = array_namespace(gains)
    return xp.matrix_transpose(gains)[:, None] if beams is None else gains[..., None]
