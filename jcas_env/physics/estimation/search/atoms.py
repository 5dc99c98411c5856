r"""Atoms of the pilot model, their angle derivatives, and what data and Gram matrices say about them.

Of a path with direction cosines (v, w) the data see the atom

.. math:: b(v, w) = s(v)^* \otimes a_N(w), \qquad s(v) = F^H a_M(v), \qquad
          \partial_v b = \dot s^* \otimes a_N, \qquad \partial_w b = s^* \otimes \dot a_N

and the inner product of an atom with data Z is :math:`a_N^H Z s`.

Inner products of atoms are products of the inner products of their factors, so every Gram block is a Hadamard
product of two small matrices and no column of length P N is ever written out (spec estimation 3.5). Links are scaled
to E|H_nm|^2 = 1, so that all quantities are numbers [-]; lower-case letters are those of spec estimation 1.

With one pilot per antenna the Gram matrices are real and known in closed form
(:func:`~jcas_env.physics.arrays.steering_correlation`). Real and imaginary parts of gains and data are then separate
*columns* of one real least-squares problem: S snapshots give 2 S real columns. Compressed pilots keep S complex ones.
All formulas hold for both.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations
from math import isqrt, pi
from typing import NamedTuple

from ....batching import small_product
from ....types import Array, array_namespace, at_hand, constant, device, surely_all
from ...arrays import element_positions, steering_correlation, steering_vector


class Aperture(NamedTuple):
    """Antennas at both ends and pilot beams: what turns the angles of a link into its data."""

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
    """Snapshots (..., S) complex [-] as columns: their real and imaginary parts (..., 2 S) for P = M, else as they are.

    Gram matrices are real for P = M, and real least squares are half the work (spec estimation 3.5).
    """
    xp = array_namespace(snapshots)
    return snapshots if beams is not None else xp.concat([xp.real(snapshots), xp.imag(snapshots)], axis=-1)


def from_columns(values: Array) -> Array:
    """Inverse of :func:`columns`: (..., S) complex [-] (spec estimation 3.5)."""
    xp = array_namespace(values)
    if not xp.isdtype(values.dtype, "real floating"):
        return values
    half = values.shape[-1] // 2
    return values[..., :half] + 1j * values[..., half:]


def conjugate(values: Array) -> Array:
    """Complex conjugate of any shape (...,) [-], without a copy of real values (spec estimation 3.5)."""
    xp = array_namespace(values)
    return values if xp.isdtype(values.dtype, "real floating") else xp.conj(values)


def departure_factor(beams: Array | None, vector: Array) -> Array:
    """Factor :math:`s = F^H a` of transmit vectors, conjugate to the c of spec estimation 3.5.

    (links, paths, tx_antennas) -> (links, groups, paths, pilots), complex [-].
    """
    seen = vector[:, None]
    return seen if beams is None else small_product(seen, conjugate(beams))


def factors(aperture: Aperture, aod_cos: Array, aoa_cos: Array) -> tuple[Array, Array]:
    """Factors s and a_N of the atoms at angles (spec estimation 1.7, 3.5).

    (links, paths) -> (links, groups, paths, pilots) and (links, 1, paths, rx_antennas), complex [-].
    """
    s = departure_factor(aperture.beams, steering_vector(aod_cos, antennas=aperture.tx_antennas))
    return s, steering_vector(aoa_cos, antennas=aperture.rx_antennas)[:, None]


def jet_factors(aperture: Aperture, aod_cos: Array, aoa_cos: Array) -> tuple[Array, Array]:
    """Factors of atoms and derivatives: [s, ds/dv] and [a_N, da_N/dw] (spec estimation 1.10, 3.5).

    On a paths axis of twice the length: (links, groups, 2 paths, pilots) and (links, 1, 2 paths, rx_antennas) [-].
    """
    xp = array_namespace(aod_cos)
    tx, rx, beams = aperture
    a = steering_vector(aod_cos, antennas=tx)
    s = departure_factor(beams, xp.concat([a, (1j * pi * element_positions(aod_cos, tx)) * a], axis=-2))
    a = steering_vector(aoa_cos, antennas=rx)
    return s, xp.concat([a, (1j * pi * element_positions(aoa_cos, rx)) * a], axis=-2)[:, None]


def departures_of(data: Array, s: Array) -> Array:
    """Data seen through transmit factors, :math:`Z s`: (links, groups, R, snapshots of a group, rx_antennas) [-].

    The q of spec estimation 3.1; ``data`` as in ``Pilots.data``, ``s`` (links, groups, R, pilots).
    """
    xp = array_namespace(s)
    *batch, snapshots, rx, pilots = data.shape
    q = small_product(s, xp.matrix_transpose(xp.reshape(data, (*batch, snapshots * rx, pilots))))
    return xp.reshape(q, (*q.shape[:-1], snapshots, rx))


def receive(departures: Array, a: Array) -> Array:
    """Contract the receive antennas of :func:`departures_of` with a_N, (links, groups, R, snapshots of a group) [-].

    :math:`a_N^H q` (spec estimation 3.1).
    """
    xp = array_namespace(departures)
    if a.shape[-1] == 1:
        return departures[..., 0]
    return small_product(departures, xp.conj(a)[..., None])[..., 0]


def project(data: Array, s: Array, a: Array) -> Array:
    """Inner products of atoms with the data, (links, groups, paths, snapshots of a group) complex [-].

    B^H y of spec estimation 2.6.
    """
    return receive(departures_of(data, s), a)


def project_jets(data: Array, s: Array, a: Array) -> Array:
    """Inner products of atoms and derivatives with the data, (links, groups, R, snapshots of a group) complex [-].

    B^H y, then D^H y of spec estimation 2.6; R as in :class:`Jets`.
    """
    xp = array_namespace(s)
    paths = s.shape[-2] // 2
    q = departures_of(data, s)
    if a.shape[-1] == 1:
        return q[..., 0]
    a, slope = a[..., :paths, :], a[..., paths:, :]
    both = xp.concat([a, a], axis=-2)
    return xp.concat([receive(q, both), receive(q[..., :paths, :, :], slope)], axis=-2)


def correlation(
    aperture: Aperture, one: tuple[Array, Array], two: tuple[Array, Array], known: tuple[Array, Array] | None = None
) -> Array:
    """Inner products of atoms at two sets of angles (v, w), (links, groups, paths of one, paths of two) [-].

    The Hadamard product of spec estimation 3.5. ``known`` are the :func:`factors` of the first set, where they are at
    hand; a second set that is the first shares them.
    """
    if aperture.beams is None:
        (tx,), (rx,) = (
            steering_correlation(q[:, None, None, :] - p[:, None, :, None], antennas=antennas)
            for p, q, antennas in zip(one, two, aperture[:2], strict=True)
        )
        return tx * rx
    s, a = factors(aperture, *one) if known is None else known
    r, b = (s, a) if two is one else factors(aperture, *two)
    return conjugate(_inner(s, r)) * _inner(a, b)


def _inner(one: Array, two: Array) -> Array:
    xp = array_namespace(one)
    return small_product(conjugate(one), xp.matrix_transpose(two))


def jet_gram(aperture: Aperture, aod_cos: Array, aoa_cos: Array, jet: tuple[Array, Array] | None = None) -> Array:
    """Gram matrix of atoms and derivatives, (links, groups, R, R) [-]: :class:`Jets` (spec estimation 1.10, 3.5).

    ``jet`` are their factors, needed for compressed pilots only: those of :func:`jet_factors`.
    """
    xp = array_namespace(aod_cos)
    paths = aod_cos.shape[-1]
    if aperture.beams is None:
        gram = xp.permute_dims(jet_gram_last(aperture, aod_cos.T, aoa_cos.T), (2, 0, 1))
        return xp.reshape(xp.reshape(gram, (-1,)), (gram.shape[0], 1, *gram.shape[1:]))  # laid out as it is read
    s, a = jet_factors(aperture, aod_cos, aoa_cos) if jet is None else jet
    tx = conjugate(_inner(s, s))
    if aperture.rx_antennas == 1:
        return tx
    # rows [s, ds, s] against [a, a, da]
    rx = _inner(a, a)
    tx = xp.concat([tx, tx[..., :paths]], axis=-1)
    tx = xp.concat([tx, tx[..., :paths, :]], axis=-2)
    rx = xp.concat([rx[..., :paths], rx], axis=-1)
    return tx * xp.concat([rx[..., :paths, :], rx], axis=-2)


def jet_gram_last(aperture: Aperture, aod_cos: Array, aoa_cos: Array) -> Array:
    """:func:`jet_gram` of one pilot per antenna with the links last, (paths, links) -> (R, R, links), real [-].

    In closed form (spec estimation 3.5); every step is one operation on all links.
    """
    paths, two_sided = aod_cos.shape[0], aperture.rx_antennas > 1
    tx = _looked_up(_closed_form(aod_cos, aperture.tx_antennas), _layout(paths, two_sided, 0))
    if not two_sided:
        return tx
    return tx * _looked_up(_closed_form(aoa_cos, aperture.rx_antennas), _layout(paths, True, 1))


def _closed_form(u: Array, antennas: int) -> Array:
    """Inner products of the steering vectors at u (paths, links) and their derivatives, once per pair i < j of paths.

    Returns (3 + 4 pairs, links): ``[1, 0, |da|^2, D, D', -D', -D'']``, in which the Gram matrix is looked up.
    """
    xp = array_namespace(u)
    first, second = (xp.astype(constant(part, u), xp.int64, copy=False) for part in _pairs(u.shape[0]))
    delta = xp.take(u, second, axis=0) - xp.take(u, first, axis=0)
    d, slope, bend = steering_correlation(delta, antennas=antennas, derivatives=2)
    own = constant((1.0, 0.0, pi**2 / 12.0 * (antennas**2 - 1)), u)
    return xp.concat([xp.broadcast_to(own[:, None], (3, u.shape[-1])), d, slope, -slope, -bend])


def _looked_up(values: Array, layout: tuple[int, ...]) -> Array:
    """Square matrices (R, R, links) whose entries stand in ``values`` (values, links) at the places ``layout``."""
    xp = array_namespace(values)
    size = isqrt(len(layout))
    entries = xp.take(values, constant(layout, values), axis=0)
    return xp.reshape(entries, (size, size, values.shape[-1]))


@lru_cache(maxsize=64)
def _pairs(paths: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Pairs i < j of paths: all i, all j."""
    pairs = list(combinations(range(paths), 2))
    return tuple(i for i, _ in pairs), tuple(j for _, j in pairs)


@lru_cache(maxsize=64)
def _layout(paths: int, two_sided: bool, side: int) -> tuple[int, ...]:
    """Where each entry of a Gram factor stands in the values of :func:`_closed_form`.

    Rows are the atoms, their derivatives in v and, if ``two_sided``, those in w; the factor of the transmit array
    (``side`` 0) is differentiated in the second block, that of the receive array in the third.
    """
    count = paths * (paths - 1) // 2
    place = {pair: k for k, pair in enumerate(combinations(range(paths), 2))}
    blocks = [block == 1 + side for block in range(3 if two_sided else 2)]

    def entry(row: bool, i: int, column: bool, j: int) -> int:
        """Place of the product of atom i with atom j; ``row``, ``column``: whether each is differentiated."""
        if i == j:
            return 0 if row == column == 0 else 2 if row and column else 1
        pair = 3 + place[min(i, j), max(i, j)]
        if row == column:
            return pair + (3 * count if row else 0)
        # a_i^H da_j = D'(u_j - u_i), which is odd; da_i^H a_j is its negative
        return pair + (count if (i < j) == column else 2 * count)

    index = [(block, path) for block in blocks for path in range(paths)]
    return tuple(entry(row, i, column, j) for row, i in index for column, j in index)


def residual(data: Array, s: Array, a: Array, gains: Array) -> Array:
    """What paths leave of the data, :math:`y - B g`, shaped as ``Pilots.data`` [-] (spec estimation 2.6).

    ``s`` and ``a`` are the :func:`factors` of the paths, ``gains`` (links, groups, paths, columns).
    """
    xp = array_namespace(data)
    field = xp.matrix_transpose(from_columns(gains))[..., None, :] * xp.matrix_transpose(a)[..., None, :, :]
    *batch, snapshots, rx, paths = field.shape
    seen = xp.reshape(field, (*batch, snapshots * rx, paths)) @ xp.conj(s)
    return data - xp.reshape(seen, data.shape)


def jets(aperture: Aperture, data: Array, aod_cos: Array, aoa_cos: Array, active: Array) -> Jets:
    """Correlations of the atoms at given angles with their derivatives and the data; inactive paths give zeros.

    ``aod_cos``, ``aoa_cos`` [-] and ``active`` (links, paths); ``data`` as in ``Pilots.data`` (spec estimation 2.6).
    """
    xp = array_namespace(aod_cos)
    s, a = jet_factors(aperture, aod_cos, aoa_cos)
    gram = jet_gram(aperture, aod_cos, aoa_cos, (s, a))
    projection = columns(project_jets(data, s, a), aperture.beams)
    if not surely_all(active):
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
        G [-].

    Returns
    -------
    Array, shape (links, angles, angles)
        Q of spec estimation 2.6 [-].
    """
    xp = array_namespace(gram)
    paths, angles = pulled.shape[-2:]
    inner = gram[..., paths:, paths:] - gram[..., paths:, :paths] @ pulled
    # W_kl = sum over the columns of a group of g_k^* g_l, the same for every pair of blocks
    weight = xp.concat([gains] * (angles // paths), axis=-2)
    return over_groups(xp.real(inner * _inner(weight, weight)))


def over_groups(values: Array) -> Array:
    """Sum over the groups axis, (links, groups, ...) -> (links, ...) [-]; a single group is not copied.

    The sums over t of spec estimation 2.6.
    """
    xp = array_namespace(values)
    return values[:, 0, ...] if values.shape[1] == 1 else xp.sum(values, axis=1)


def diagonal(values: Array) -> Array:
    """Matrices with the given last axis on their diagonal, (..., n) -> (..., n, n) [-] (spec estimation 2.6)."""
    xp = array_namespace(values)
    size = values.shape[-1]
    return values[..., None] * xp.eye(size, dtype=values.dtype, device=device(values))


def solve(matrix: Array, right: Array) -> Array:
    """Solution of ``matrix x = right``, (..., n, n) and (..., n, k) -> (..., n, k), of any units [-].

    That of the library, which on a device is not asked whether a matrix is singular: the answer waits for it (a
    solution that is not finite tells). The inverse of spec estimation 2.6.
    """
    xp = array_namespace(matrix)
    return xp.linalg.solve(matrix, right) if at_hand(matrix) else xp.linalg.solve_ex(matrix, right)[0]


def path_power(gains: Array, snapshots: int) -> Array:
    """Mean over all snapshots of |g|^2, (links, paths) [-], from columns (links, groups, paths, columns).

    The mean_t abs(g_tl)^2 of spec estimation 2.6.
    """
    xp = array_namespace(gains)
    return over_groups(xp.real(xp.vecdot(gains, gains))) / snapshots


def snapshots_first(gains: Array) -> Array:
    """From columns (links, groups, paths, columns) to (links, snapshots, paths) complex [-], g of spec estimation 1."""
    xp = array_namespace(gains)
    gains = from_columns(gains)
    links, groups, paths, snapshots = gains.shape
    return xp.reshape(xp.matrix_transpose(gains), (links, groups * snapshots, paths))


def groups_first(gains: Array, beams: Array | None) -> Array:
    """Inverse of :func:`snapshots_first`, (links, snapshots, paths) complex to (links, groups, paths, columns) [-].

    One group for P = M, one per snapshot for compressed pilots (spec estimation 3.5).
    """
    xp = array_namespace(gains)
    return columns(xp.matrix_transpose(gains)[:, None], None) if beams is None else gains[..., None]
