"""What is physically there: the drop of an episode, and how users, fading and channels move on from slot to slot."""

from __future__ import annotations

from ....physics.arrays import steering_update, steering_vector
from ....physics.channel import path_gains
from ....physics.geometry import hexagon_point, link_geometry
from ....physics.motion import autoregressive_fading, gauss_markov, move_in_cell, phase_walk, two_state_chain
from ....physics.propagation import path_loss_umi_db
from ....types import Array, array_namespace, device
from ..config import KEEP_OUT, MultiCellConfig
from ..state import Air, Initial, Innovation
from .layout import Layout


def drop(config: MultiCellConfig, layout: Layout, draws: Initial) -> Air:
    """Users dropped into their hexagons, with fresh fading: slot -1 of an episode (spec multicell 2.1, 2.2)."""
    xp = array_namespace(draws.drop)
    layout = layout.like(draws.drop)
    offset = hexagon_point(draws.drop, radius=config.radius, keep_out=KEEP_OUT)
    return propagate(
        config,
        layout,
        Air(
            position=layout.stations[layout.hexagon] + offset,
            velocity=config.speed / 2.0**0.5 * draws.velocity,
            user_axis=draws.user_axis,
            los_phase=draws.los_phase,
            scatter=draws.scatter,
            blocked=xp.zeros(draws.los_phase.shape, dtype=xp.bool, device=device(draws.drop)),
            aod_cos=draws.aod_cos,
            aoa_cos=draws.aoa_cos,
            path_loss_db=None,
            gains=None,
            arrival=None,
            departure=None,
        ),
    )


def move(config: MultiCellConfig, layout: Layout, air: Air, innovation: Innovation) -> Air:
    """The next slot: mobility, blockage and fading advance by one step (spec multicell 8.1, 8.2, 8.5)."""
    layout = layout.like(air.position)
    velocity = gauss_markov(air.velocity, innovation.velocity, memory=config.velocity_memory, rms_speed=config.speed)
    position, velocity = move_in_cell(
        air.position,
        velocity,
        layout.stations[layout.hexagon],
        slot=config.slot,
        radius=config.radius,
        keep_out=KEEP_OUT,
    )
    blocked = air.blocked
    if config.blockage:
        blocked = two_state_chain(
            blocked, innovation.blockage, enter=config.blockage_enter, leave=config.blockage_leave
        )
    rho = config.fading_correlation
    return propagate(
        config,
        layout,
        air._replace(
            position=position,
            velocity=velocity,
            blocked=blocked,
            los_phase=phase_walk(air.los_phase, innovation.los_phase, correlation=rho),
            scatter=autoregressive_fading(air.scatter, innovation.scatter, correlation=rho),
        ),
    )


def propagate(config: MultiCellConfig, layout: Layout, air: Air) -> Air:
    """Complete a slot: lines of sight, path loss, path gains and steering vectors follow from the rest."""
    xp = array_namespace(air.position)
    distance, departure, arrival = link_geometry(air.position, layout.stations, layout.axes, air.user_axis)
    aod_cos = xp.concat([departure[..., None], air.aod_cos[..., 1:]], axis=-1)
    aoa_cos = xp.concat([arrival[..., None], air.aoa_cos[..., 1:]], axis=-1)
    path_loss_db = path_loss_umi_db(xp.maximum(distance, KEEP_OUT), carrier_hz=config.carrier_hz)
    gains = link_gains(config, air.los_phase, air.scatter, path_loss_db, air.blocked)
    return air._replace(
        path_loss_db=path_loss_db,
        aod_cos=aod_cos,
        aoa_cos=aoa_cos,
        gains=gains,
        arrival=_steering(aoa_cos, air.arrival, antennas=config.ue_antennas),
        departure=_steering(-aod_cos, air.departure, antennas=config.bs_antennas),
    )


def _steering(cosine: Array, last: Array | None, *, antennas: int) -> Array:
    """Steering vectors of all paths, (..., paths) -> (..., paths, antennas) complex [-].

    Scattered paths keep their directions in an episode, and so their vectors of the slot before, ``last``, where there
    is one.
    """
    if last is None:
        return steering_vector(cosine, antennas=antennas)
    return steering_update(cosine, last)


def link_gains(config: MultiCellConfig, los_phase: Array, scatter: Array, path_loss_db: Array, blocked: Array) -> Array:
    """Path gains of links under this configuration, blockage included.

    ``los_phase``, ``path_loss_db``, ``blocked`` (...,); ``scatter`` (..., fading paths); returns (..., paths).
    """
    xp = array_namespace(scatter, path_loss_db)
    gains = path_gains(
        los_phase,
        scatter,
        path_loss_db,
        antennas=config.bs_antennas * config.ue_antennas,
        rician_factor=config.rician_factor,
    )
    if not config.blockage:
        return gains
    loss = 10.0 ** (-config.blockage_loss_db / 20.0)
    sight = xp.where(blocked, loss, xp.ones_like(path_loss_db))[..., None]
    return xp.concat([gains[..., :1] * sight, gains[..., 1:]], axis=-1)
