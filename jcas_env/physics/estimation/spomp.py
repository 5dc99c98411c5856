"""Structured perturbed orthogonal matching pursuit: angles beyond the grid (luo2023 Algorithm 1, repaired)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from itertools import zip_longest
from math import exp
from typing import NamedTuple

from ...batching import blocks, gather, indices, joined, rows, scatter
from ...checks import require
from ...types import Array, array_namespace, surely_all
from ..channel import snapshot_channels
from .estimate import Estimate, report, without_paths
from .pilots import Pilots, clean, flat_links, identifiable
from .search.atoms import snapshots_first
from .search.coarse import make_grid
from .search.misfit import excess
from .search.newton import fit
from .search.pursuit import polished_pursuit, start_ridge
from .search.refinement import Refinement, Track, fresh, refine
from .search.tracking import Paths, track


class Start(NamedTuple):
    """Paths of an earlier slot from which a link is refined instead of searched (spec estimation 8.4)."""

    aod_cos: Array
    """(..., paths) [-]"""
    aoa_cos: Array
    """(..., paths) [-]"""
    active: Array
    """(..., paths) bool"""


RECOMMENDED = Refinement()
"""What spec estimation 2.6 recommends."""

WARM_ITERATIONS = 3
"""Most iterations of a link that starts from an earlier slot."""

TRACKED = 4096
"""Links that are tracked at a time: their data stay in the cache."""


class Data(NamedTuple):
    """Data of links on one axis, as :func:`.pilots.flat_links` returns them."""

    received: Array
    """(links, snapshots, rx_antennas, pilots) complex"""
    beams: Array | None
    """(links, snapshots, tx_antennas, pilots) complex, or None"""
    noise_power: Array
    """(links,)"""


def spomp(
    received: Array,
    beams: Array | None,
    noise_power: Array,
    *,
    paths: int,
    grid: int = 100,
    pfa: float | None = 1e-3,
    start: Start | None = None,
    last: bool = False,
    refinement: Refinement = RECOMMENDED,
) -> Estimate:
    r"""Super-resolution estimate of angles and gains of every link (spec estimation 2.6).

    Stage 1 picks paths on a grid as :func:`~jcas_env.physics.estimation.omp.omp` and polishes the angles of all picks
    jointly after each. Stage 2 alternates between the weights of a log-sum penalty, the gains, and damped Gauss-Newton
    steps of the angles,

    .. math:: \min_{g, v, w}\; \sum_t \lVert y_t - B_t(v, w) g_t \rVert^2 + \frac{1}{\lambda} g_t^H D g_t, \qquad
              D_l = \frac{1}{\overline{|g_l|^2} + \mathrm{var}_l + \delta}, \qquad
              \lambda = \min\Big(\frac{T P N}{r}, \frac{1}{\sigma^2}\Big)

    and drops paths below the noise. Every link stops on its own.

    Parameters
    ----------
    received : Array, shape (..., snapshots, rx_antennas, pilots), complex
        Pilot data Z, links scaled to E|H_nm|^2 = 1 [-].
    beams : Array, shape (..., snapshots, tx_antennas, pilots), complex, or None
        Pilot beams F with orthonormal columns; None for one pilot per antenna.
    noise_power : Array, shape (...,)
        sigma^2 of a complex measurement [-].
    paths : int
        Number of paths L, or an upper bound of it (then with ``Refinement(prune=2.5)``).
    grid : int
        Grid points per side of stage 1.
    pfa : float or None
        False-alarm probability of a link without any path; None reports every link's paths.
    start : Start or None
        Paths of an earlier slot: they replace stage 1 and leave at most three iterations; links that they do not
        explain are estimated from nothing. With one pilot per antenna the links are tracked
        (:func:`~jcas_env.physics.estimation.search.tracking.track`).
    last : bool
        Whether the channel of the last snapshot alone is written down.
    refinement : Refinement
        Weights, polish, rescue, pruning and iterations.

    Returns
    -------
    Estimate
        A link without a detected path carries the flat estimate :math:`Z F^H/(1 + \sigma^2)`.

    Raises
    ------
    ValueError
        On malformed arguments; never on data (spec estimation 6).
    """
    require(isinstance(grid, int) and grid >= 2, f"`grid` must be an integer of at least 2, got {grid!r}")
    require(pfa is None or 0.0 < pfa < 1.0, f"`pfa` must lie between 0 and 1, got {pfa!r}")
    links = received.shape[:-3]
    data = Data(*flat_links(received, beams, noise_power, paths))
    count = data.noise_power.shape[0]
    known = None if start is None else _flat_start(start, received, paths)
    follows = known is not None and data.beams is None
    size = TRACKED if follows else None
    parts = [clean(*part) for part in blocks(data, count, size)]
    search = partial(_paths, paths=paths, grid=grid, refinement=refinement)
    if known is not None and follows:
        found = _followed(parts, blocks(known, count, size), search, refinement.prune)
    else:
        found = joined([search(*part) for part in zip_longest(parts, [] if known is None else blocks(known, count))])
    estimates = [_estimate(*part, pfa, last) for part in zip(parts, blocks(found, count, size), strict=True)]
    return report(joined(estimates), links)


def spomp_as_printed(
    received: Array, beams: Array | None, noise_power: Array, *, paths: int, grid: int = 100, iterations: int = 12
) -> Estimate:
    """luo2023 Algorithm 1 as printed, except for what cannot work at all (spec estimation 4, 5).

    Log-sum weights, strict stages, one gradient step of fixed length per iteration, no rescue, no detection. It
    documents the defects: 16 dB over the bound at an SNR of 30 dB. Shapes, units and errors as for :func:`spomp`.
    """
    printed = Refinement(weight="log", polish=0, rescue=False, iterations=iterations, gradient=True)
    return spomp(received, beams, noise_power, paths=paths, grid=grid, pfa=None, refinement=printed)


def _paths(pilots: Pilots, start: Start | None, *, paths: int, grid: int, refinement: Refinement) -> Paths:
    """Paths of links by searching the grid, or by refining a start; where that leaves more than noise, by both."""
    if start is None:
        return _written(_cold(pilots, paths, grid, refinement))
    return _written(_warm(pilots, start, grid, refinement))


def _written(track: Track) -> Paths:
    state = track.fit
    return Paths(
        state.aod_cos, state.aoa_cos, snapshots_first(state.gains), track.active, track.variance, track.iterations
    )


def _followed(parts: list[Pilots], starts: list[Start], search: Callable[..., Paths], prune: float) -> Paths:
    """Paths of links that are tracked, and refined or searched where they are lost: those of all parts at once."""
    tracked = [track(pilots, known, prune) for pilots, known in zip(parts, starts, strict=True)]
    found, lost = joined([paths for paths, _ in tracked]), [mask for _, mask in tracked]
    xp = array_namespace(lost[0])
    where = [indices(mask) for mask in lost]
    some = [k for k, index in enumerate(where) if index.shape[0] > 0]
    if not some:
        return found
    again = [search(*(joined([gather(of[k], where[k]) for k in some]) for of in (parts, starts)))]
    return scatter(found, xp.concat(lost), joined(again))


def _cold(pilots: Pilots, paths: int, grid: int, refinement: Refinement) -> Track:
    """Search on the grid, then refine."""
    found = polished_pursuit(pilots, make_grid(pilots, grid, grid, single=True), paths, refinement.polish)
    return refine(pilots, fresh(found), refinement, grid)


def _flat_start(start: Start, received: Array, paths: int) -> Start:
    """Check a start and flatten its links; paths without finite angles are not active."""
    xp = array_namespace(received)
    shape = (*received.shape[:-3], paths)
    shapes = [tuple(part.shape) for part in start]
    require(all(part == shape for part in shapes), f"`start` must hold three arrays of shape {shape}, got {shapes}")
    aod, aoa, active = rows(start, received.shape[:-3])
    fine = xp.isfinite(aod) & xp.isfinite(aoa)
    return Start(xp.where(fine, aod, 0.0), xp.where(fine, aoa, 0.0), active & fine)


def _warm(pilots: Pilots, start: Start, grid: int, refinement: Refinement) -> Track:
    """Refine from known paths; links whose residual stays above the noise start again from nothing."""
    xp = array_namespace(pilots.data)
    aod, aoa, active = start
    paths = aod.shape[-1]
    ridge = xp.broadcast_to(start_ridge(pilots, paths), aod.shape)
    known = fresh(fit(pilots, aod, aoa, ridge, active), active)
    short = replace(refinement, iterations=min(refinement.iterations, WARM_ITERATIONS), rescue=False)
    track = refine(pilots, known, short, grid)
    lost = excess(pilots, track.fit) & pilots.ok
    if not bool(xp.any(lost)):
        return track
    again = _cold(gather(pilots, indices(lost)), paths, grid, refinement)
    return scatter(track, lost, again)


def _estimate(pilots: Pilots, found: Paths, pfa: float | None, last: bool) -> Estimate:
    """Test every link for a path and write the estimate down."""
    xp = array_namespace(pilots.data)
    rx, tx, power = pilots.rx_antennas, pilots.tx_antennas, found.variance
    active = found.active
    if pfa is not None:
        level = detection_level(rx * tx, pilots.snapshots, pfa)
        power = xp.mean(xp.real(found.gains) ** 2 + xp.imag(found.gains) ** 2, axis=1) + found.variance
        power = xp.where(active, power, xp.zeros_like(power))
        active = active & (xp.max(power, axis=-1) >= (level - 1.0) * pilots.noise_power)[:, None]
    written = found.gains[:, -1:, :] if last else found.gains
    estimate = Estimate(
        channel=snapshot_channels(written, found.aoa_cos, found.aod_cos, rx_antennas=rx, tx_antennas=tx),
        aod_cos=found.aod_cos,
        aoa_cos=found.aoa_cos,
        gains=found.gains,
        active=active,
        ok=pilots.ok,
        identifiable=identifiable(pilots, active.shape[-1]),
        variance=found.variance,
        iterations=found.iterations,
    )
    if surely_all(active):
        return estimate
    matrices = pilots.matrices
    return without_paths(estimate, matrices[:, -1:, ...] if last else matrices, pilots.noise_power)


@lru_cache(maxsize=64)
def detection_level(entries: int, snapshots: int, pfa: float) -> float:
    r"""Level x of the strongest path over the noise below which a link is called empty (spec estimation 2.6).

    .. math:: 2 M N\, \Pr\big(\Gamma(T, 1)/T > x\big) = p_{fa}, \qquad
              \Pr(\Gamma(T, 1) > z) = e^{-z} \sum_{k < T} \frac{z^k}{k!}

    A scalar [-]. 2 M N is about the number of independent directions; ``entries`` is M N. For T = 6 and pfa = 1e-3,
    x = 3.514 for 2 M N = 32. Found by bisection.
    """
    low, high = 0.0, 1e3

    def tail(x: float) -> float:
        z, term, total = snapshots * x, 1.0, 1.0
        for k in range(1, snapshots):
            term *= z / k
            total += term
        return total * exp(-z) if z < 700.0 else 0.0

    for _ in range(80):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if 2 * entries * tail(middle) > pfa else (low, middle)
    return high
