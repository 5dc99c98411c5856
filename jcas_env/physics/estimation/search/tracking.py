r"""SPOMP from known paths: a few Newton steps of all links at once, one pilot per antenna.

With one pilot per antenna all snapshots share the Gram matrix K of a link, so that its data enter the cost, the slope
and the curvature of :mod:`.newton` through one small matrix of inner products alone,

.. math:: \Phi = \operatorname{Re} \sum_t [B, D]^H y_t\, y_t^H B, \qquad
          S = \sum_t \lVert y_t \rVert^2 - \operatorname{tr}(K^{-1} \Phi_B), \qquad
          W = \operatorname{Re} \sum_t g_t g_t^H = K^{-1} \Phi_B K^{-1}

.. math:: c_k = \big[\Phi_D K^{-1} - D^H B\, W\big]_{kk}, \qquad Q = (D^H D - D^H B K^{-1} B^H D) \circ W

(spec estimation 2.6 with the sums over t carried out). After the pass over the data that makes :math:`\Phi` there are
matrices of L x L and 2L x 2L, with the links on their last axis; the snapshots come back when the gains are written
down. All quantities are numbers [-].
"""

from __future__ import annotations

from math import pi
from typing import NamedTuple

from ....batching import reassemble, retire, small_product
from ....compiled.dispatch import compiled
from ....types import Array, array_namespace, device, surely_all
from ...arrays import element_positions, steering_vector
from ...combining.small_matrices import lower_factor, product, solve_lower, solve_upper
from ..pilots import Pilots
from .atoms import correlation, jet_gram_last, path_power, snapshots_first
from .misfit import above_noise
from .newton import START_DAMPING, clipped, ridge_floor, wrap
from .pursuit import start_ridge

VIEWS = 4
"""Most passes over the data of a link; almost all settle after the second."""
NEGLIGIBLE = 1e-2
"""Noise powers of cost that the last step may leave on the table, of the T L + n_a/2 that noise costs anyway."""
LARGEST_LAST = 25.0
"""Noise powers of cost that the last step may still gain."""


class View(NamedTuple):
    """What the data of a batch of links say about atoms at given angles and about their derivatives."""

    seen: Array
    """(links, R, snapshots) complex: inner products :math:`[B, D]^H y_t`, in the order of :class:`.atoms.Jets`."""
    gram: Array
    """(R, R, links): their own inner products."""
    matched: Array
    """(R, paths, links): Phi."""


class Gains(NamedTuple):
    """Gains that suit a view best, summed over the snapshots."""

    inverse: Array
    """(paths, paths, links): :math:`K^{-1}`."""
    weight: Array
    """(paths, paths, links): W."""
    cost: Array
    """(links,): S."""


class Step(NamedTuple):
    """Where a batch of links stands, and its next step."""

    aod_cos: Array
    """(links, paths)"""
    aoa_cos: Array
    """(links, paths)"""
    seen: Array
    """(links, R, snapshots) complex, as in :class:`View`."""
    ridge: Array
    """(links, paths): Lambda."""
    cost: Array
    """(links,): S."""
    move: Array
    """(links, angles): the step of the angles."""
    drop: Array
    """(links,): how much it lowers S as far as S is quadratic."""
    fell: Array
    """(links,) bool: S did not rise in the step that led here."""
    count: Array
    """(links,) integer: views so far."""


class Paths(NamedTuple):
    """Paths of a batch of links."""

    aod_cos: Array
    """(links, paths)"""
    aoa_cos: Array
    """(links, paths)"""
    gains: Array
    """(links, snapshots, paths) complex"""
    active: Array
    """(links, paths) bool"""
    variance: Array
    """(links, paths): posterior variance of the gains."""
    iterations: Array
    """(links,) integer"""


def view(pilots: Pilots, aod_cos: Array, aoa_cos: Array, active: Array) -> View:
    """Pass over the data at angles (links, paths) [-]; inactive paths see nothing (spec estimation 2.6)."""
    xp = array_namespace(aod_cos)
    seen, matched = looked(pilots.data, aod_cos, aoa_cos, active)
    gram = jet_gram_last(pilots.aperture, aod_cos.T, aoa_cos.T)
    if not surely_all(active):
        on = xp.concat([active] * (seen.shape[1] // active.shape[1]), axis=-1)
        gram = xp.where(on.T[:, None] & on.T[None], gram, xp.zeros_like(gram))
    return View(seen, gram, matched)


@compiled("tracking")
def looked(data: Array, aod_cos: Array, aoa_cos: Array, active: Array, /) -> tuple[Array, Array]:
    """Parts ``seen`` and ``matched`` of a :class:`View`; ``data`` as in :class:`.Pilots`, of one group.

    Directions and ``active`` (links, paths) [-] (spec estimation 2.6).
    """
    xp = array_namespace(data)
    links, _, snapshots, rx, tx = data.shape
    paths = aod_cos.shape[1]
    s = _and_derivative(aod_cos, tx, axis=1)
    z = xp.reshape(data, (links, snapshots * rx, tx))
    q = xp.reshape(s @ xp.matrix_transpose(z), (links, 2 * paths, snapshots, rx))
    if rx == 1:
        seen = q[..., 0]
    else:
        a = xp.conj(_and_derivative(aoa_cos, rx, axis=2))
        a = xp.matrix_transpose(xp.reshape(a, (links, 1, paths, 2, rx)))
        both = small_product(xp.reshape(q, (links, 2, paths, snapshots, rx)), a)
        seen = xp.concat([both[:, 0, ..., 0], both[:, 1, ..., 0], both[:, 0, ..., 1]], axis=1)
    if not surely_all(active):
        on = xp.concat([active] * (seen.shape[1] // paths), axis=-1)
        seen = xp.where(on[..., None], seen, xp.zeros_like(seen))
    return seen, links_last(xp.real(small_product(seen, xp.conj(xp.matrix_transpose(seen[:, :paths, :])))))


def _and_derivative(u: Array, antennas: int, axis: int) -> Array:
    """Steering vectors at (links, paths), then their derivatives, joined along an axis."""
    xp = array_namespace(u)
    a = steering_vector(u, antennas=antennas)
    return xp.concat([a, (1j * pi * element_positions(u, antennas)) * a], axis=axis)


def links_last(values: Array) -> Array:
    """(links, ...) as (..., links), laid out in that order, of any unit [-] (spec estimation 3.5)."""
    xp = array_namespace(values)
    moved = xp.permute_dims(values, (*range(1, values.ndim), 0))
    return xp.reshape(xp.reshape(moved, (-1,)), moved.shape)


def inverse_last(matrix: Array) -> Array:
    """Inverse of symmetric positive definite matrices with the links last, (n, n, links), from Cholesky's factor [-].

    :math:`A^{-1} = L^{-T} L^{-1}`; the :math:`K^{-1}` of spec estimation 2.6.
    """
    xp = array_namespace(matrix)
    unit = xp.eye(matrix.shape[0], dtype=matrix.dtype, device=device(matrix))[..., None]
    root = solve_lower(lower_factor(matrix), unit)
    return product(xp.permute_dims(root, (1, 0, 2)), root)


def eliminated(data: View, energy: Array, ridge: Array) -> Gains:
    """Best gains at a view: ``energy`` of the data (links,), ``ridge`` (paths, links) [-] (spec estimation 2.6)."""
    xp = array_namespace(ridge)
    paths = data.matched.shape[1]
    inverse = inverse_last(data.gram[:paths, :paths, ...] + _on_diagonal(ridge, paths))
    fitted = product(inverse, data.matched[:paths, ...])
    return Gains(inverse, product(fitted, inverse), energy - xp.sum(_diagonal(fitted), axis=0))


def _on_diagonal(values: Array, size: int) -> Array:
    """(n, links) or (1, links) on the diagonal of matrices (n, n, links)."""
    xp = array_namespace(values)
    return values[None, ...] * xp.eye(size, dtype=values.dtype, device=device(values))[..., None]


def _diagonal(matrix: Array) -> Array:
    """Diagonal (n, links) of matrices (n, n, links)."""
    return array_namespace(matrix).stack([matrix[k, k, ...] for k in range(matrix.shape[0])])


def path_energy(gains: Gains) -> Array:
    """Squared gains of each path over the snapshots, (paths, links) [-], the diagonal of W (spec estimation 2.6).

    A square, which rounding makes negative where paths almost coincide and one of them has next to no gain.
    """
    return array_namespace(gains.weight).clip(_diagonal(gains.weight), min=0.0)


def slope_and_curvature(data: View, gains: Gains) -> tuple[Array, Array]:
    """Slope c (angles, links) and curvature Q (angles, angles, links) of the cost [-] (spec estimation 2.6).

    Those of :func:`.newton.slope` and :func:`.newton.curvature`, with the sums over the snapshots in Phi and W.
    """
    xp = array_namespace(gains.cost)
    paths, links = data.matched.shape[1:]
    sides = data.matched.shape[0] // paths - 1
    rows = data.gram[paths:, :paths, ...]
    error = data.matched[paths:, ...], rows
    first, second = (xp.reshape(part, (sides, paths, paths, links)) for part in error)
    slope = xp.reshape(xp.sum(first * gains.inverse - second * gains.weight, axis=2), (sides * paths, links))
    inner = data.gram[paths:, paths:, ...] - product(product(rows, gains.inverse), data.gram[:paths, paths:, ...])
    weight = xp.concat([xp.concat([gains.weight] * sides)] * sides, axis=1)
    return slope, inner * weight


def tracking_step(data: View, gains: Gains, damping: float) -> tuple[Array, Array]:
    """Step (angles, links) of the angles, :func:`.newton.newton_step`, and how much it lowers the cost, (links,) [-].

    ``damping`` is mu (spec estimation 2.6).
    """
    xp = array_namespace(gains.cost)
    c, q = slope_and_curvature(data, gains)
    scale = _diagonal(q)
    sides = scale.shape[0] // data.matched.shape[1]
    free = _diagonal(data.gram)[-scale.shape[0] :, ...] * xp.concat([path_energy(gains)] * sides)
    lift = damping * xp.clip(scale, min=0.0) + ridge_floor(free) * free + xp.astype(free <= 0.0, free.dtype)
    factor = _safe_factor(q + _on_diagonal(lift, scale.shape[0]), 0.5 * lift)
    step = solve_upper(factor, solve_lower(factor, c[:, None, ...])[:, 0, ...])
    return step, xp.sum(c * step, axis=0)


def _safe_factor(matrix: Array, least: Array) -> list[Array]:
    """:func:`.lower_factor` of matrices whose pivots are at least ``least`` (n, links) but for rounding.

    No entry of the factor exceeds the root of its row's diagonal. Where paths coincide the projected curvature is
    nothing but rounding: there the bounds keep the step finite, and S decides whether it was any good.
    """
    xp = array_namespace(matrix)
    bound = xp.sqrt(xp.maximum(_diagonal(matrix), least))
    columns = []
    for k in range(matrix.shape[0]):
        root = xp.sqrt(xp.maximum(matrix[0, 0, ...], least[k, ...]))
        below = bound[k + 1 :, ...]
        rest = xp.minimum(xp.maximum(matrix[1:, 0, ...] / root, -below), below)
        columns.append(xp.concat([root[None, ...], rest]))
        matrix = matrix[1:, 1:, ...] - rest[:, None, ...] * rest[None, ...]
    return columns


def track(pilots: Pilots, start: tuple[Array, Array, Array], prune: float) -> tuple[Paths, Array]:
    """Follow the paths ``start`` (v, w and which are active, (links, paths)) into new data.

    Also returns which links it has lost, (links,) bool: S rose in a step, a path has vanished, or the residual is more
    than noise. ``prune`` is that of :class:`.refinement.Refinement` [-] (spec estimation 2.6, 8.4).
    """
    xp = array_namespace(pilots.data)
    aod, aoa, active = start
    live = xp.arange(aod.shape[0], device=device(aod))
    step, part, on = _first_step(pilots, aod, aoa, active), pilots, active
    pieces: list[Step] = []
    index: list[Array] = []
    for count in range(2, VIEWS + 1):
        stops = ~step.fell | _settles(part, step)
        if bool(xp.all(stops)):
            break
        if bool(xp.any(stops)):
            (which, piece), (live, step, part, on) = retire(stops, (live, step), part, on)
            pieces.append(piece)
            index.append(which)
        step = _next_step(part, step, on, count)
    return _finished(pilots, reassemble([*pieces, step], [*index, live]) if pieces else step, active, prune)


def _first_step(pilots: Pilots, aod: Array, aoa: Array, on: Array) -> Step:
    """First step, with the ridge that the powers at the start suggest."""
    xp = array_namespace(aod)
    data = view(pilots, aod, aoa, on)
    guess = eliminated(data, pilots.energy, xp.matrix_transpose(start_ridge(pilots, aod.shape[-1])))
    ridge = _ridge(pilots, path_energy(guess).T / pilots.snapshots, _diagonal(guess.inverse).T)
    return _step_from(pilots, data, (aod, aoa), ridge, 1)


def _next_step(pilots: Pilots, last: Step, on: Array, count: int) -> Step:
    """Look at the data again where the last step leads, and find the next one."""
    paths = last.aod_cos.shape[-1]
    aod = wrap(last.aod_cos + last.move[:, :paths])
    aoa = last.aoa_cos if pilots.rx_antennas == 1 else wrap(last.aoa_cos + last.move[:, paths:])
    step = _step_from(pilots, view(pilots, aod, aoa, on), (aod, aoa), last.ridge, count)
    # S is a difference of two energies: below its round-off a rise says nothing.
    return step._replace(fell=step.cost <= last.cost + ridge_floor(last.cost) * pilots.energy)


def _step_from(pilots: Pilots, data: View, angles: tuple[Array, Array], ridge: Array, count: int) -> Step:
    xp = array_namespace(ridge)
    gains = eliminated(data, pilots.energy, ridge.T)
    move, drop = tracking_step(data, gains, START_DAMPING * 0.2 ** (count - 1))
    return Step(
        *angles,
        seen=data.seen,
        ridge=ridge,
        cost=gains.cost,
        move=clipped(pilots, move.T, ridge.shape[-1]),
        drop=drop,
        fell=xp.ones_like(pilots.ok),
        count=xp.full_like(pilots.ok, count, dtype=xp.int64),
    )


def _ridge(pilots: Pilots, power: Array, spread: Array) -> Array:
    r"""Ridge of paths of a power, and of the ``spread`` of :class:`.newton.Fit`, all (links, paths).

    :math:`D/\lambda` at the cap of lambda, 1/sigma^2, where it is once the residual is noise (spec estimation 2.6).
    """
    xp = array_namespace(power)
    least = 1e-6 * pilots.tx_antennas * pilots.rx_antennas / power.shape[-1]
    noise = pilots.noise_power[:, None]
    return xp.clip(noise / (power + noise * spread + least), min=ridge_floor(power))


def _settles(pilots: Pilots, step: Step) -> Array:
    """Whether a link may take its step without looking at the data again, (links,).

    What is of second order in the step changes S by about the drop times the square of the step, in units of 1/M and
    1/N (a little less: 0.37 times that for a single path).
    """
    xp = array_namespace(step.drop)
    paths = step.aod_cos.shape[-1]
    aod, aoa = xp.abs(step.move[:, :paths]) * pilots.tx_antennas, xp.abs(step.move[:, paths:]) * pilots.rx_antennas
    reach = xp.max(xp.concat([aod, aoa], axis=-1), axis=-1)
    noise = pilots.noise_power
    return (step.drop * reach**2 <= NEGLIGIBLE * noise) & (step.drop <= LARGEST_LAST * noise)


def _finished(pilots: Pilots, step: Step, on: Array, prune: float) -> tuple[Paths, Array]:
    """Take the last step to first order where it settles, write the gains down, and say which links are lost."""
    xp = array_namespace(step.drop)
    paths, noise = on.shape[-1], pilots.noise_power
    settles = _settles(pilots, step)
    move = xp.where(settles[:, None], step.move, xp.zeros_like(step.move))
    turn = move[..., None] * step.seen[:, paths:, :]
    aod, aoa, seen = step.aod_cos + move[:, :paths], step.aoa_cos, step.seen[:, :paths, :] + turn[:, :paths, :]
    if pilots.rx_antennas > 1:
        aoa, seen = aoa + move[:, paths:], seen + turn[:, paths:, :]
    gram = links_last(correlation(pilots.aperture, (aod, aoa), (aod, aoa))[:, 0, ...])
    gram = xp.where(on.T[:, None] & on.T[None], gram, xp.zeros_like(gram))
    first, spread = _solved(gram, seen, step.ridge)
    ridge = _ridge(pilots, path_power(first, pilots.snapshots), spread)
    gains, spread = _solved(gram, seen, ridge)
    change = xp.sum(xp.real(xp.vecdot(seen[:, None, ...], first - gains)), axis=(1, 2))
    variance = xp.where(on, noise[:, None] * spread, xp.zeros_like(spread))
    kept = path_power(gains, pilots.snapshots) + variance >= prune * noise[:, None]
    cost = step.cost - xp.where(settles, step.drop, xp.zeros_like(step.drop)) + change
    lost = ~step.fell | xp.any(on & ~kept, axis=-1)
    lost = lost | above_noise(pilots, cost, (aod, aoa), gains, ridge)
    sign = _sign(aod, pilots.tx_antennas) * _sign(aoa, pilots.rx_antennas)
    gains = snapshots_first(gains) * sign[:, None, :]
    return Paths(wrap(aod), wrap(aoa), gains, on, variance, step.count), lost & pilots.ok


def _sign(u: Array, antennas: int) -> Array:
    """Sign that the gain takes on when the direction cosine of a path is wrapped, (links, paths)."""
    xp = array_namespace(u)
    return xp.where(wrap(u) == u, xp.ones_like(u), (-1.0) ** (antennas - 1) * xp.ones_like(u))


def _solved(gram: Array, seen: Array, ridge: Array) -> tuple[Array, Array]:
    """Gains (links, 1, paths, snapshots) of a ridge, and the diagonal (links, paths) of the inverse of K."""
    xp = array_namespace(seen)
    inverse = inverse_last(gram + _on_diagonal(ridge.T, ridge.shape[-1]))
    first = xp.astype(xp.permute_dims(inverse, (2, 0, 1)), seen.dtype)
    return small_product(first, seen)[:, None, ...], _diagonal(inverse).T
