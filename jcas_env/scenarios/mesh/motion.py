"""Motion of the users inside the sector that the anchor serves."""

from __future__ import annotations

from ...types import Array, array_namespace


def reflect(value: Array, low: float, high: float) -> tuple[Array, Array]:
    """Fold numbers into [low, high] by mirrors at both ends, as often as needed.

    Returns the folded value and whether the direction of motion is reversed, both (...,).
    """
    xp = array_namespace(value)
    width = high - low
    turn = xp.floor((value - low) / width)
    odd = turn - 2.0 * xp.floor(turn / 2.0) > 0.5
    rest = value - low - turn * width
    folded = low + xp.where(odd, width - rest, rest)
    inside = (value >= low) & (value <= high)  # what needs no mirror keeps every bit
    return xp.where(inside, value, xp.clip(folded, min=low, max=high)), odd & ~inside


def fold_into_sector(
    position: Array, velocity: Array, *, distances: tuple[float, float], angles: tuple[float, float]
) -> tuple[Array, Array, Array]:
    r"""Fold distance and direction of users into the sector, and reverse the velocity component that left it.

    .. math:: v = v_r u(\theta) + v_\perp u_\perp(\theta) \;\to\; v' = \pm v_r u(\theta') \pm v_\perp u_\perp(\theta')

    Parameters
    ----------
    position, velocity : Array, shape (..., users, 2)
        After the step, seen from the anchor [m], [m/s].
    distances, angles : pair of float
        Least and largest distance [m] and direction [rad].

    Returns
    -------
    position, velocity : Array, shape (..., users, 2)
    angle : Array, shape (..., users)
        Direction theta' of the new position [rad] (spec mesh 6).
    """
    xp = array_namespace(position, velocity)
    distance = xp.hypot(position[..., 0], position[..., 1])
    angle = xp.atan2(position[..., 1], position[..., 0])
    near, turned_back = reflect(distance, *distances)
    direction, turned_round = reflect(angle, *angles)
    cos, sin = xp.cos(angle), xp.sin(angle)
    radial = velocity[..., 0] * cos + velocity[..., 1] * sin
    across = velocity[..., 1] * cos - velocity[..., 0] * sin
    radial = xp.where(turned_back, -radial, radial)
    across = xp.where(turned_round, -across, across)
    cos, sin = xp.cos(direction), xp.sin(direction)
    return (
        near[..., None] * xp.stack([cos, sin], axis=-1),
        xp.stack([radial * cos - across * sin, radial * sin + across * cos], axis=-1),
        direction,
    )
