"""Simultaneous orthogonal matching pursuit on a grid of angle pairs, with or without a polish after every pick."""

from __future__ import annotations

from ....types import Array, array_namespace, device
from ..pilots import Pilots
from .atoms import columns, correlation, diagonal, factors, project, solve
from .coarse import Grid, angles_at, residual_image, strongest
from .newton import START_DAMPING, Fit, damped_step, fit, ridge_floor


def matching_pursuit(pilots: Pilots, grid: Grid, paths: int) -> tuple[Array, Array, Array]:
    r"""Pick grid points one by one; after every pick all gains are fitted anew (spec estimation 2.4).

    .. math:: j^* = \arg\max_j \sum_t \frac{|b_{tj}^H r_t|^2}{\lVert b_{tj} \rVert^2}

    Returns
    -------
    aod_cos, aoa_cos : Array, shape (links, paths)
        Direction cosines of the picks [-].
    gains : Array, shape (links, groups, paths, columns)
        Least squares [-]; the ridge at the level of round-off matters only where picks are linearly dependent.
    """
    xp = array_namespace(pilots.data)
    image, picks = grid.image, []
    ridge = ridge_floor(pilots.noise_power)
    for pick in range(paths):
        picks.append(angles_at(grid, strongest(grid, image)))
        aod, aoa = (xp.concat(list(angles), axis=-1) for angles in zip(*picks, strict=True))
        s, a = factors(pilots.aperture, aod, aoa)
        gram = correlation(pilots.aperture, (aod, aoa), (aod, aoa))
        matched = columns(project(pilots.data, s, a), pilots.beams)
        gains = solve(gram + ridge * diagonal(xp.ones_like(gram[0, 0, 0])), matched)
        if pick + 1 < paths:
            image = residual_image(grid, s, a, gains)
    return aod, aoa, gains


def start_ridge(pilots: Pilots, paths: int | Array) -> Array:
    r"""Ridge of the first fits, before powers are known: :math:`\max(10^{-6}, 0.1 \sigma^2 k/(MN))`.

    (links, 1) [-], after k = ``paths`` picks (spec estimation 2.6).
    """
    xp = array_namespace(pilots.noise_power)
    antennas = pilots.tx_antennas * pilots.rx_antennas
    return xp.maximum(0.1 * pilots.noise_power * paths / antennas, max(1e-6, ridge_floor(pilots.noise_power)))[:, None]


def polished_pursuit(pilots: Pilots, grid: Grid, paths: int, polish: int) -> Fit:
    """Stage 1 of SPOMP: after every pick, ``polish`` damped Gauss-Newton steps on the angles of all picks so far.

    The fit has (links, paths) direction cosines [-] (spec estimation 2.6).
    """
    xp = array_namespace(pilots.data)
    image = grid.image
    state: Fit | None = None
    for pick in range(paths):
        aod, aoa = angles_at(grid, strongest(grid, image))
        if state is not None:
            aod = xp.concat([state.aod_cos, aod], axis=-1)
            aoa = xp.concat([state.aoa_cos, aoa], axis=-1)
        active = xp.ones(aod.shape, dtype=xp.bool, device=device(aod))
        ridge = xp.broadcast_to(start_ridge(pilots, pick + 1), aod.shape)
        state = fit(pilots, aod, aoa, ridge, active)
        damping = xp.full(pilots.ok.shape, START_DAMPING, dtype=aod.dtype, device=device(aod))
        for _ in range(polish):
            state, damping = damped_step(pilots, state, damping, active)
        if pick + 1 < paths:
            image = residual_image(grid, *factors(pilots.aperture, state.aod_cos, state.aoa_cos), state.gains)
    assert state is not None
    return state
