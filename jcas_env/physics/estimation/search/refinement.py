"""Stage 2 of SPOMP: weights, gains and angles in turn, link by link until each has settled."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal, NamedTuple, get_args

from ....batching import gather, indices, reassemble, retire, scatter
from ....checks import require
from ....types import Array, array_namespace, device
from ..pilots import Pilots
from .atoms import factors, path_power
from .coarse import Grid, angles_at, make_grid, residual_image, strongest
from .misfit import excess
from .newton import (
    START_DAMPING,
    Fit,
    choose,
    curvature,
    damped_step,
    fit,
    moved,
    newton_step,
    refit,
    residual_energy,
    ridge_floor,
    slope,
)
from .pursuit import start_ridge

TOLERANCE = 1e-3
"""Relative change of the gains at which a link has settled."""
STATIONARY = 1e-2
"""Noise powers of cost below which the next angle step of a link is not worth the while."""
STEPS = 2
"""Angle steps of an iteration."""
RESCUE_AFTER = (1, 3)
"""Iterations after which links with too large a residual look for their paths again."""
RESCUE_STEPS = 6
"""Angle steps for a path that has been picked again."""
CLEAN = 1e-6
"""Noise over data power below which stuck links are always rescued: there, one local minimum outweighs all noise."""
GRADIENT_RATE = 0.3
"""eta of the gradient step, in units of the largest curvature at the start."""


Weight = Literal["eb", "log"]
"""Weights of the paths: ``eb`` counts the posterior variance of the gain, ``log`` is luo2023 eq. 23."""


@dataclass(frozen=True)
class Refinement:
    """How SPOMP polishes, refines and prunes (spec estimation 2.6). Raises ``ValueError`` on malformed values."""

    weight: Weight = "eb"
    """Weights of the paths; ``log`` leaves the posterior variance of the gains out of D."""
    polish: int = 1
    """Joint angle steps after every pick of stage 1."""
    rescue: bool | None = None
    """Whether links whose residual stays above the noise look for each of their paths again on a fine grid. None:
    where the coarse stage may fail, that is for ``grid < 2 M``, P < M, and links of more than 60 dB."""
    prune: float = 1.0
    """Drop a path when its power falls below this many noise powers; 2.5 where ``paths`` is an upper bound."""
    iterations: int = 12
    """Most iterations of stage 2, of two angle steps each."""
    gradient: bool = False
    """One gradient step of fixed length per iteration, as luo2023 eq. 27, instead of the damped Gauss-Newton steps."""

    def __post_init__(self) -> None:
        require(self.weight in get_args(Weight), f"`weight` must be one of {get_args(Weight)}, got {self.weight!r}")
        require(self.polish >= 0, f"`polish` must not be negative, got {self.polish!r}")
        require(self.iterations >= 1, f"`iterations` must be at least 1, got {self.iterations!r}")
        require(self.prune >= 0.0, f"`prune` must not be negative, got {self.prune!r}")

    def rescue_below(self, pilots: Pilots, grid: int) -> float:
        """Noise over data power below which stuck links look for their paths again [-]."""
        if self.rescue is None and (grid < 2 * pilots.tx_antennas or pilots.beams is not None):
            return inf
        return {None: CLEAN, True: inf, False: 0.0}[self.rescue]


class Track(NamedTuple):
    """Where the refinement of a batch of links stands."""

    fit: Fit
    """Current angles and gains."""
    active: Array
    """(links, paths) bool: paths that are kept."""
    variance: Array
    """(links, paths): posterior variance of the gains, zero before the first iteration."""
    damping: Array
    """(links,): mu of the next step."""
    rate: Array
    """(links,): length of the gradient step, fixed at the start."""
    iterations: Array
    """(links,) integer: iterations spent."""


def fresh(found: Fit, active: Array | None = None) -> Track:
    """Track that begins at a fit; all paths are kept unless ``active`` (links, paths) says otherwise.

    The rate [-] of a gradient step is fixed here (spec estimation 0, 2.6).
    """
    xp = array_namespace(found.cost)
    where = {"device": device(found.cost)}
    links = found.cost.shape
    steepest = xp.max(xp.linalg.diagonal(curvature(found)), axis=-1)
    return Track(
        fit=found,
        active=xp.ones(found.ridge.shape, dtype=xp.bool, **where) if active is None else active,
        variance=xp.zeros_like(found.ridge),
        damping=xp.full(links, START_DAMPING, dtype=found.cost.dtype, **where),
        rate=GRADIENT_RATE / xp.where(steepest > 0.0, steepest, xp.ones_like(steepest)),
        iterations=xp.zeros(links, dtype=xp.int64, **where),
    )


def refine(pilots: Pilots, track: Track, plan: Refinement, grid: int) -> Track:
    """Iterate until every link has settled; links that have are set aside.

    A link whose residual is still more than noise does not settle as long as a step promises more: the gains of close
    paths may change little while the angles are still far from their place. ``grid`` is the number of grid points per
    side of the coarse stage [-]; shapes (links, ...) are in :class:`Track` (spec estimation 2.6).
    """
    xp = array_namespace(pilots.data)
    rescue = plan.rescue_below(pilots, grid)
    live = xp.arange(pilots.ok.shape[0], device=device(pilots.data))
    pieces: list[Track] = []
    index: list[Array] = []
    for iteration in range(1, plan.iterations + 1):
        before = track.fit.gains
        track = iterate(pilots, track, plan)
        stuck = excess(pilots, track.fit)
        settled = _settled(before, track)
        if not plan.gradient:
            settled = settled & (~stuck | _stationary(pilots, track, stuck & settled, iteration))
        if rescue and iteration in RESCUE_AFTER:
            stuck = stuck & (pilots.noise_power * pilots.measurements < rescue * pilots.energy)
            track = _rescue(pilots, track, stuck, grid)
        if iteration == plan.iterations or bool(xp.all(settled)):
            break
        if bool(xp.any(settled)):
            (which, piece), (live, track, pilots) = retire(settled, (live, track), pilots)
            pieces.append(piece)
            index.append(which)
    return reassemble([*pieces, track], [*index, live]) if pieces else track


def _rescue(pilots: Pilots, track: Track, stuck: Array, grid: int) -> Track:
    """Apply :func:`rescued` to the links of a mask."""
    if not bool(array_namespace(stuck).any(stuck)):
        return track
    index = indices(stuck)
    return scatter(track, stuck, rescued(gather(pilots, index), gather(track, index), grid))


def _stationary(pilots: Pilots, track: Track, stuck: Array, iteration: int) -> Array:
    """Noisy links of a mask whose next angle step promises less than a hundredth of the noise, rescues being over."""
    xp = array_namespace(stuck)
    stuck = stuck & (pilots.noise_power * pilots.measurements >= CLEAN * pilots.energy)
    if iteration < max(RESCUE_AFTER) or not bool(xp.any(stuck)):
        return xp.zeros_like(stuck)
    some = gather(track, indices(stuck))
    promised = xp.vecdot(slope(some.fit), newton_step(some.fit, some.damping))
    return scatter(stuck, stuck, promised <= STATIONARY * gather(pilots.noise_power, indices(stuck)))


def _settled(before: Array, track: Track) -> Array:
    """Gains changed by less than the tolerance and the last angle step was accepted, (links,)."""
    xp = array_namespace(before)
    change = xp.sum(xp.abs(track.fit.gains - before) ** 2, axis=(1, 2, 3))
    size = xp.sum(xp.abs(track.fit.gains) ** 2, axis=(1, 2, 3))
    return (change <= TOLERANCE**2 * size) & (track.damping <= START_DAMPING)


def iterate(pilots: Pilots, track: Track, plan: Refinement) -> Track:
    """One iteration: weights (luo2023 eqs. 23, 24), angles, gains (eq. 25), pruning (spec estimation 2.6).

    Shapes (links, ...) and units [-] are in :class:`Track`.
    """
    xp = array_namespace(pilots.data)
    state, active = track.fit, track.active
    paths, antennas = active.shape[-1], pilots.tx_antennas * pilots.rx_antennas
    # 1/lambda = max(r/d, sigma^2) with d = T P N
    level = xp.maximum(residual_energy(state) / pilots.measurements, pilots.noise_power)[:, None]
    power = path_power(state.gains, pilots.snapshots) + 1e-6 * antennas / paths
    ridge = level / (power + track.variance if plan.weight == "eb" else power)
    ridge = xp.maximum(ridge, ridge_floor(ridge))
    state = refit(pilots, state.aod_cos, state.aoa_cos, state.jets, ridge)
    damping = track.damping
    if plan.gradient:
        state = moved(pilots, state, track.rate[:, None] * slope(state), active)
    else:
        for _ in range(STEPS):
            state, damping = damped_step(pilots, state, damping, active)
    variance = xp.where(active, level * state.spread, 0.0)
    kept = active & (path_power(state.gains, pilots.snapshots) + variance >= plan.prune * pilots.noise_power[:, None])
    if bool(xp.any(kept != active)):
        state = fit(pilots, state.aod_cos, state.aoa_cos, state.ridge, kept)
        variance = xp.where(kept, level * state.spread, 0.0)
    return track._replace(fit=state, active=kept, variance=variance, damping=damping, iterations=track.iterations + 1)


def rescued(pilots: Pilots, track: Track, points: int) -> Track:
    """Take out each path in turn and pick it again from the residual on a fine grid; keep what lowers S clearly.

    Both sides of the comparison use the ridge of the first fits, which does not know the powers of the paths: the
    weight of the path that is taken out says nothing about the one that is found. ``points`` [-] per side of the grid;
    shapes (links, ...) are in :class:`Track` (spec estimation 2.6).
    """
    xp = array_namespace(pilots.data)
    paths = track.active.shape[-1]
    grid = make_grid(pilots, max(points, 2 * pilots.tx_antennas), max(points, 2 * pilots.rx_antennas))
    ridge = xp.broadcast_to(start_ridge(pilots, paths), track.active.shape)
    best, active = track.fit, track.active
    cost = fit(pilots, best.aod_cos, best.aoa_cos, ridge, active).cost
    changed = xp.zeros_like(pilots.ok)
    for path in range(paths):
        this = xp.arange(paths, device=device(ridge)) == path
        trial = _picked_again(pilots, grid, best, ridge, active, this)
        better = trial.cost < cost - 4.0 * pilots.noise_power
        best, cost = choose(better, trial, best), xp.where(better, trial.cost, cost)
        active, changed = active | (better[:, None] & this), changed | better
    fresh_variance = xp.where(active, pilots.noise_power[:, None] * best.spread, 0.0)
    return track._replace(
        fit=best,
        active=active,
        variance=xp.where(changed[:, None], fresh_variance, track.variance),
        damping=xp.where(changed, xp.full_like(cost, START_DAMPING), track.damping),
    )


def _picked_again(pilots: Pilots, grid: Grid, state: Fit, ridge: Array, active: Array, this: Array) -> Fit:
    """Fit in which path ``this`` (a mask over the paths) is replaced by the strongest one of the residual."""
    xp = array_namespace(ridge)
    without = fit(pilots, state.aod_cos, state.aoa_cos, ridge, active & ~this)
    image = residual_image(grid, *factors(pilots.aperture, state.aod_cos, state.aoa_cos), without.gains)
    aod, aoa = angles_at(grid, strongest(grid, image))
    active = active | this
    trial = fit(pilots, xp.where(this, aod, state.aod_cos), xp.where(this, aoa, state.aoa_cos), ridge, active)
    damping = xp.full_like(state.cost, START_DAMPING)
    for _ in range(RESCUE_STEPS):
        trial, damping = damped_step(pilots, trial, damping, active)
    return trial
