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
from .pilots import Pilots


class Jets(NamedTuple):
    """Correlations of the atoms of a link, the L atoms first, then their derivatives in v, then those in w.

    R = L (atoms alone), 2 L (one receive antenna: no w) or 3 L rows.
    """

    gram: Array
    """(links, groups, R, R) complex: inner products of the columns."""
    projection: Array
    """(links, groups, R, snapshots of a group) complex: inner products of the columns with the data."""


def departure_factor(pilots: Pilots, vector: Array) -> Array:
    """Factor :math:`F^T a^*` of transmit vectors (links, paths, tx_antennas): (links, groups, paths, pilots)."""
    xp = array_namespace(vector)
    seen = xp.conj(vector)[:, None]
    return seen if pilots.beams is None else seen @ pilots.beams


def factors(pilots: Pilots, aod_cos: Array, aoa_cos: Array) -> tuple[Array, Array]:
    """Factors c (links, groups, paths, pilots) and a_N (links, 1, paths, rx_antennas) of the atoms."""
    c = departure_factor(pilots, steering_vector(aod_cos, antennas=pilots.tx_antennas))
    return c, steering_vector(aoa_cos, antennas=pilots.rx_antennas)[:, None]


def jet_factors(pilots: Pilots, aod_cos: Array, aoa_cos: Array) -> tuple[Array, Array]:
    """Factors of the atoms and of their derivatives, row by row in the order of :class:`Jets`."""
    xp = array_namespace(aod_cos)
    tx, rx = pilots.tx_antennas, pilots.rx_antennas
    a = steering_vector(aod_cos, antennas=tx)
    both = xp.concat([a, (1j * pi * element_positions(aod_cos, tx)) * a], axis=-2)
    c = departure_factor(pilots, both)
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


def project(pilots: Pilots, c: Array, a: Array) -> Array:
    """Inner products of columns ``c kron a`` with the data, (links, groups, R, snapshots of a group)."""
    xp = array_namespace(c)
    q = departures_of(pilots.data, c)
    return q[..., 0, :] if a.shape[-1] == 1 else xp.sum(xp.conj(a)[..., None] * q, axis=-2)


def departures_of(data: Array, c: Array) -> Array:
    """Inner products of the transmit factors with the data, (links, groups, R, rx_antennas, snapshots)."""
    xp = array_namespace(c)
    *batch, pilots, rx, snapshots = data.shape
    q = xp.conj(c) @ xp.reshape(data, (*batch, pilots, rx * snapshots))
    return xp.reshape(q, (*q.shape[:-1], rx, snapshots))


def jets(pilots: Pilots, aod_cos: Array, aoa_cos: Array, active: Array) -> Jets:
    """Correlations of the atoms at given angles with their derivatives and the data; inactive paths give zeros.

    ``aod_cos``, ``aoa_cos`` and ``active`` (links, paths).
    """
    xp = array_namespace(aod_cos)
    c, a = jet_factors(pilots, aod_cos, aoa_cos)
    if not bool(xp.all(active)):
        on = xp.concat([active] * (c.shape[-2] // active.shape[-1]), axis=-1)[:, None, :, None]
        c = xp.where(on, c, xp.zeros_like(c))
    return Jets(gram=gram(c, a), projection=project(pilots, c, a))


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
