r"""Regularised gains at given angles, and the damped Gauss-Newton step that moves the angles.

For a ridge :math:`\Lambda = \operatorname{diag}(D)/\lambda` the gains that minimise

.. math:: S = \sum_t \lVert y_t - B_t g_t \rVert^2 + g_t^H \Lambda g_t

are eliminated, so S is a function of the angles alone (variable projection). With G_t = diag(g_t, g_t) and D_t the
derivatives of the atoms,

.. math:: g_t = K_t^{-1} B_t^H y_t, \quad K_t = B_t^H B_t + \Lambda, \qquad
          c = \operatorname{Re} \sum_t G_t^H D_t^H (y_t - B_t g_t) = -\tfrac12 \nabla S, \qquad
          Q = \operatorname{Re} \sum_t G_t^H \big[D_t^H D_t - D_t^H B_t K_t^{-1} B_t^H D_t\big] G_t

(luo2023 eqs. 25-27 repaired, spec estimation 2.6). All quantities are numbers [-]; their shapes are in :class:`Fit`.
"""

from __future__ import annotations

from typing import NamedTuple

from ....tree import tree_map
from ....types import Array, array_namespace, at_hand, device, surely_all
from ..pilots import Pilots
from .atoms import Jets, diagonal, jets, over_groups, path_power, projected_curvature, solve

START_DAMPING = 1e-3
"""mu of a fresh link; a larger one means that the last step was rejected."""


class Fit(NamedTuple):
    """Angles of a batch of links with the gains that suit them best."""

    aod_cos: Array
    """(links, paths)"""
    aoa_cos: Array
    """(links, paths)"""
    jets: Jets
    """Correlations at these angles."""
    ridge: Array
    """(links, paths): Lambda; any positive number for inactive paths."""
    gains: Array
    """(links, groups, paths, columns), see :mod:`.atoms`."""
    pulled: Array
    """(links, groups, paths, angles): K_t^-1 B_t^H D_t."""
    cost: Array
    """(links,): S."""
    spread: Array
    """(links, paths): diagonal of the inverse of K_t, mean over the snapshots; meaningless for inactive paths."""


def ridge_floor(like: Array) -> float:
    """Least ridge, a scalar [-], far below the noise: keeps K regular where paths coincide (spec estimation 2.6)."""
    return 64.0 * float(array_namespace(like).finfo(like.dtype).eps)


def jitter(like: Array) -> float:
    """Ridge of Gram matrices, singular where paths coincide: 1e-9, in single precision a multiple of eps, () [-].

    ``like`` (...,) says the precision (spec estimation 6.4).
    """
    return max(1e-9, ridge_floor(like))


def fit(pilots: Pilots, aod_cos: Array, aoa_cos: Array, ridge: Array, active: Array) -> Fit:
    """Best gains at given angles with a positive ridge; arrays are (links, paths) [-]. Inactive paths get no gain.

    luo2023 eq. 25, spec estimation 2.6.
    """
    return refit(pilots, aod_cos, aoa_cos, jets(pilots.aperture, pilots.data, aod_cos, aoa_cos, active), ridge)


def refit(pilots: Pilots, aod_cos: Array, aoa_cos: Array, known: Jets, ridge: Array) -> Fit:
    """As :func:`fit` where the correlations of the active paths at these angles are known; (links, paths) [-].

    luo2023 eq. 25, spec estimation 2.6.
    """
    xp = array_namespace(known.gram)
    paths = ridge.shape[-1]
    matched, cross = known.projection[..., :paths, :], known.gram[..., :paths, paths:]
    k = known.gram[..., :paths, :paths] + diagonal(xp.astype(ridge, matched.dtype, copy=False))[:, None]
    # All three of gains, pulled derivatives and spread are wanted: one small inverse serves them.
    inverse = xp.linalg.inv(k) if at_hand(k) else xp.linalg.inv_ex(k)[0]  # as in `solve`
    gains = inverse @ matched
    return Fit(
        aod_cos=aod_cos,
        aoa_cos=aoa_cos,
        jets=known,
        ridge=ridge,
        gains=gains,
        pulled=inverse @ cross,
        cost=pilots.energy - xp.sum(over_groups(xp.real(xp.vecdot(matched, gains))), axis=-1),
        spread=over_groups(xp.real(xp.linalg.diagonal(inverse))) / inverse.shape[1],
    )


def slope(state: Fit) -> Array:
    """Slope c, (links, angles) [-]: v of all paths and then w of all paths (v alone for one receive antenna).

    Minus half the gradient of S (luo2023 eq. 26, spec estimation 2.6).
    """
    xp = array_namespace(state.gains)
    paths, angles = state.pulled.shape[-2:]
    known = state.jets
    error = known.projection[..., paths:, :] - known.gram[..., paths:, :paths] @ state.gains
    weight = xp.concat([state.gains] * (angles // paths), axis=-2)
    return over_groups(xp.real(xp.vecdot(weight, error)))


def curvature(state: Fit) -> Array:
    """Curvature Q, (links, angles, angles) [-] (spec estimation 2.6)."""
    return projected_curvature(state.jets.gram, state.pulled, state.gains)


def residual_energy(state: Fit) -> Array:
    r""":math:`r = \sum_t \lVert y_t - B_t g_t \rVert^2 = S - \sum_t g_t^H \Lambda g_t`, (links,) [-].

    Spec estimation 2.6.
    """
    xp = array_namespace(state.cost)
    return state.cost - xp.sum(state.ridge * path_power(state.gains, 1), axis=-1)


def newton_step(state: Fit, damping: Array) -> Array:
    """Solution of ``(Q + mu diag Q + 1e-9 max diag Q) step = c``, (links, angles) [-], ``damping`` mu (links,).

    The third term keeps a flat direction from exploding (spec estimation 2.6).
    """
    xp = array_namespace(damping)
    q = curvature(state)
    scale = xp.linalg.diagonal(q)
    flat = xp.astype(scale <= 0.0, scale.dtype)
    lift = damping[:, None] * scale + 1e-9 * xp.max(scale, axis=-1, keepdims=True) + flat
    return solve(q + diagonal(lift), slope(state)[..., None])[..., 0]


def clipped(pilots: Pilots, step: Array, paths: int) -> Array:
    """A step of the angles, (links, angles) [-], limited to 0.5/M for v and 0.5/N for w (spec estimation 0, 2.6)."""
    xp = array_namespace(step)
    index = xp.arange(step.shape[-1], device=device(step))
    limit = xp.where(index < paths, 0.5 / pilots.tx_antennas, 0.5 / pilots.rx_antennas)
    limit = xp.astype(limit, step.dtype)
    return xp.minimum(xp.maximum(step, -limit), limit)


def wrap(u: Array) -> Array:
    """Direction cosine (...,) in [-1, 1) [-]; the gain absorbs the sign (-1)^(M-1) of a wrap (spec estimation 1.1)."""
    xp = array_namespace(u)
    return u - 2.0 * xp.floor((u + 1.0) / 2.0)


def moved(pilots: Pilots, state: Fit, step: Array, active: Array) -> Fit:
    """Fit after a step of the angles, (links, angles) [-] (spec estimation 2.6)."""
    paths = state.ridge.shape[-1]
    aod = wrap(state.aod_cos + step[:, :paths])
    aoa = state.aoa_cos if pilots.rx_antennas == 1 else wrap(state.aoa_cos + step[:, paths:])
    return fit(pilots, aod, aoa, state.ridge, active)


def damped_step(pilots: Pilots, state: Fit, damping: Array, active: Array) -> tuple[Fit, Array]:
    """One Gauss-Newton step of every link, kept where S does not rise, with the damping of the next one.

    ``damping`` (links,) [-], ``active`` (links, paths) bool (spec estimation 0, 2.6).
    """
    xp = array_namespace(damping)
    step = clipped(pilots, newton_step(state, damping), state.ridge.shape[-1])
    trial = moved(pilots, state, step, active)
    # S is a difference of two energies: below its round-off a rise says nothing.
    accept = trial.cost <= state.cost + ridge_floor(damping) * pilots.energy
    mu = xp.where(accept, xp.maximum(0.2 * damping, 1e-8), 8.0 * damping + 1e-3)
    return choose(accept, trial, state), mu


def choose(condition: Array, yes: Fit, no: Fit) -> Fit:
    """Link by link one of two fits, by a condition (links,) bool; units [-] of :class:`Fit` (spec estimation 2.6)."""
    xp = array_namespace(condition)
    if surely_all(condition):
        return yes

    def pick(a: Array, b: Array) -> Array:
        return xp.where(xp.reshape(condition, (-1, *(1,) * (a.ndim - 1))), a, b)

    return tree_map(pick, yes, no)
