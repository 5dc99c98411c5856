"""State of the mesh and the randomness of a reset and of a frame."""

from __future__ import annotations

from typing import NamedTuple

from ...types import Array


class State(NamedTuple):
    """A decision: the users stand where the allocation of this frame will find them."""

    slot: Array
    """(...,) integer: frames played in this episode."""
    position: Array
    """(..., users, 2): positions, the anchor at the origin and its array along x [m]."""
    velocity: Array
    """(..., users, 2): velocities [m/s]."""
    orientation: Array
    """(..., users): rotation alpha of the users' array axes [rad]."""
    reference_error: Array
    """(...,): E_ref [m^2]."""
    reference_rate: Array
    """(...,): R_ref [bit/s]."""


class Innovation(NamedTuple):
    """All randomness of a frame."""

    velocity: Array
    """(..., users, 2): standard normals that drive the motion."""
    turn: Array
    """(..., users): standard normals that turn the users."""


class Initial(NamedTuple):
    """All randomness of a reset; distances and angles in the order of the numbered instances of spec mesh 2."""

    distance: Array
    """(..., users): distances from the anchor [m]."""
    aod: Array
    """(..., users): angles of departure theta [rad]."""
    aoa: Array
    """(..., users): angles of arrival phi [rad]."""
    velocity: Array
    """(..., users, 2): standard normals."""
