r"""The coarse stage: energy of a residual over the grid of angle pairs, without a dictionary (spec estimation 3).

With :math:`q_t(v) = z_t a_M(v)` (an N-vector) the energy of a pair of angles is a polynomial in the phase of w,

.. math:: E(v, w) = \sum_t \frac{|b^H r_t|^2}{\lVert b \rVert^2}
          = \frac{1}{N} \Big( C_0 + 2 \operatorname{Re} \sum_{k=1}^{N-1} C_k e^{-j \pi k w} \Big), \qquad
          C_k(v) = \sum_t \sum_n q_t[n+k]\, q_t[n]^*

so the sum over snapshots disappears before the grid of w appears. For P = M every C_k is, in turn, a trigonometric
polynomial of degree M - 1 in v: 2 M samples fix it, and a real matrix carries it to any finer grid.
"""

from __future__ import annotations

from math import pi
from typing import NamedTuple

from ....types import Array, array_namespace, device
from ...arrays import steering_vector
from ..pilots import Pilots
from .atoms import departure_factor, departures_of, from_columns


class Grid(NamedTuple):
    """A grid of angle pairs and how the data of a batch of links project onto it."""

    aod_cos: Array
    """(aod_points,)"""
    aoa_cos: Array
    """(aoa_points,)"""
    probes: Array
    """(links or 1, groups, samples, pilots) complex: unit-norm transmit factors at which q is sampled."""
    interpolation: Array | None
    """(samples, aod_points): from the samples to the grid; None where they coincide."""
    image: Array
    """(links, groups, samples, snapshots of a group, rx_antennas) complex: q of the data."""


def angle_grid(like: Array, points: int) -> Array:
    r"""Grid :math:`u_i = 1 - 2 i / G` of direction cosines (luo2023 eq. 6), (points,) [-], as precise as ``like``."""
    xp = array_namespace(like)
    return 1.0 - xp.arange(points, dtype=like.dtype, device=device(like)) * (2.0 / points)


def make_grid(pilots: Pilots, aod_points: int, aoa_points: int, *, single: bool = False) -> Grid:
    """Lay the grid and project the data onto it; one receive antenna has no angle of arrival, w = 0.

    Grids (aod_points,) and (aoa_points,) [-]; the other shapes are in :class:`Grid` (spec estimation 1.6, 3.1, 3.2).
    ``single`` keeps images in single precision: enough to choose between grid points where the angles are refined
    afterwards.
    """
    xp = array_namespace(pilots.data)
    kind = xp.complex64 if single else pilots.data.dtype
    like, antennas = pilots.noise_power, pilots.tx_antennas
    aod = angle_grid(like, aod_points)
    aoa = xp.zeros_like(aod[:1]) if pilots.rx_antennas == 1 else angle_grid(like, aoa_points)
    sampled = pilots.beams is None and aod_points > 2 * antennas
    points = angle_grid(like, 2 * antennas) if sampled else aod
    probes = departure_factor(pilots.beams, steering_vector(points, antennas=antennas)[None])
    if pilots.beams is not None:
        # Compressed pilots see some directions poorly; a direction that they do not see at all has no energy either.
        norm = xp.sqrt(xp.sum(xp.abs(probes) ** 2, axis=-1, keepdims=True))
        probes = probes / xp.clip(norm, min=1e-9)
    probes = xp.astype(probes, kind, copy=False)
    image = departures_of(xp.astype(pilots.data, kind, copy=False), probes)
    rest = None
    if sampled:
        rest = xp.astype(_interpolation(points, aod, antennas), xp.real(image).dtype, copy=False)
    return Grid(aod_cos=aod, aoa_cos=aoa, probes=probes, interpolation=rest, image=image)


def _interpolation(samples: Array, points: Array, antennas: int) -> Array:
    r"""Values at ``points`` of a trigonometric polynomial of degree M - 1 from its 2 M samples.

    .. math:: h(x) = \frac{1}{2M} \Big(1 + 2 \sum_{d=1}^{M-1} \cos(\pi d x) \Big)
    """
    xp = array_namespace(samples)
    degree = xp.arange(antennas, dtype=samples.dtype, device=device(samples))
    weight = xp.where(degree == 0, xp.ones_like(degree), 2.0 * xp.ones_like(degree)) / (2 * antennas)
    one, two = pi * degree * samples[:, None], pi * degree * points[:, None]
    even = (weight * xp.cos(one)) @ xp.matrix_transpose(xp.cos(two))
    return even + (weight * xp.sin(one)) @ xp.matrix_transpose(xp.sin(two))


def residual_image(grid: Grid, s: Array, a: Array, gains: Array) -> Array:
    """Projection of the residual :math:`y - B g` onto the grid.

    The image of the data less those of the paths: a Dirichlet kernel each (spec estimation 3.4). ``s`` and ``a`` are
    the factors of the atoms, ``gains`` (links, groups, paths, columns). Shaped as ``Grid.image`` [-].
    """
    xp = array_namespace(gains)
    *batch, samples, snapshots, rx = grid.image.shape
    gains, kind = from_columns(gains), grid.image.dtype
    kernel = grid.probes @ xp.astype(xp.conj(xp.matrix_transpose(s)), kind, copy=False)
    field = xp.reshape(gains[..., None] * a[..., None, :], (*gains.shape[:-1], snapshots * rx))
    field = xp.astype(field, kind, copy=False)
    return grid.image - xp.reshape(kernel @ field, (*batch, samples, snapshots, rx))


def lag_energies(grid: Grid, image: Array) -> list[Array]:
    """Real coefficients ``C_0, Re C_1, Im C_1, ...`` over the grid of v, (links, aod_points) each [-].

    Of an image as ``Grid.image`` (spec estimation 3.1).
    """
    xp = array_namespace(image)
    rx = image.shape[-1]
    lags = [xp.sum(xp.real(image) ** 2 + xp.imag(image) ** 2, axis=(1, 3, 4))]
    for k in range(1, rx):
        lag = xp.sum(image[..., k:] * xp.conj(image[..., : rx - k]), axis=(1, 3, 4))
        lags += [xp.real(lag), xp.imag(lag)]
    return lags if grid.interpolation is None else [lag @ grid.interpolation for lag in lags]


def strongest(grid: Grid, image: Array) -> tuple[Array, Array]:
    """Grid point of greatest energy: its indices on the grids of v and w, (links,) each [-] (spec estimation 3.1)."""
    xp = array_namespace(image)
    rx = image.shape[-1]
    lags = lag_energies(grid, image)
    if rx == 1:
        best = xp.argmax(lags[0], axis=-1)
        return best, xp.zeros_like(best)
    if rx == 2:
        return _strongest_of_two(grid, lags)
    count = grid.aoa_cos.shape[0]
    kernel = xp.astype(_kernel(grid.aoa_cos, rx), lags[0].dtype, copy=False)
    energy = xp.reshape(xp.stack(lags, axis=-1) @ kernel, (lags[0].shape[0], -1))
    best = xp.argmax(energy, axis=-1)
    return best // count, best % count


def _kernel(aoa_cos: Array, rx: int) -> Array:
    """Coefficients of :func:`lag_energies` in N E(v, w), (2 rx - 1, aoa_points)."""
    xp = array_namespace(aoa_cos)
    rows = [xp.ones_like(aoa_cos)]
    for k in range(1, rx):
        rows += [2.0 * xp.cos(pi * k * aoa_cos), 2.0 * xp.sin(pi * k * aoa_cos)]
    return xp.stack(rows)


def _strongest_of_two(grid: Grid, lags: list[Array]) -> tuple[Array, Array]:
    """Two receive antennas: for every v the best w is the phase of C_1, rounded to the grid (spec estimation 3.3)."""
    xp = array_namespace(grid.aoa_cos)
    total, real, imag = lags
    count = grid.aoa_cos.shape[0]
    index = xp.astype(xp.round((1.0 - xp.atan2(imag, real) / pi) * (count / 2)), xp.int64) % count
    flat = xp.reshape(index, (-1,))
    phase = pi * xp.astype(grid.aoa_cos, real.dtype, copy=False)
    row, column = (xp.reshape(xp.take(f(phase), flat, axis=0), index.shape) for f in (xp.cos, xp.sin))
    aod = xp.argmax(total + 2.0 * (real * row + imag * column), axis=-1)
    return aod, xp.take_along_axis(index, aod[:, None], axis=-1)[:, 0]


def angles_at(grid: Grid, index: tuple[Array, Array]) -> tuple[Array, Array]:
    """Direction cosines (links, 1) each [-] of a pair of grid indices (links,) (spec estimation 1.6)."""
    xp = array_namespace(grid.aod_cos)
    aod, aoa = index
    return xp.take(grid.aod_cos, aod, axis=0)[:, None], xp.take(grid.aoa_cos, aoa, axis=0)[:, None]
