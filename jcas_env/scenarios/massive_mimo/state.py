"""State of the cell and its target, and the randomness of a reset and of a frame."""

from __future__ import annotations

from typing import NamedTuple

from ...types import Array


class State(NamedTuple):
    """A decision: gains and echo of this frame, the target, and what the tracker believes."""

    slot: Array
    """(...,) integer: frames played in this episode."""
    distance: Array
    """(..., users): distance of the users, fixed in an episode [m]."""
    shadowing_db: Array
    """(..., users): x_k [dB]."""
    echo_db: Array
    """(...,): e, strength of the echo against its mean [dB]."""
    angle: Array
    """(...,): true angle of the target, from broadside [rad]."""
    estimate: Array
    """(...,): predicted angle, where the sensing beam points [rad]."""
    variance: Array
    """(...,): V, variance of the estimate after the last frame's measurement [rad^2]."""
    energy: Array
    """(...,): energy left in this episode, inf without a budget [W frames]."""


class Innovation(NamedTuple):
    """All randomness of a frame: standard normals."""

    measurement: Array
    """(...,): noise of the angle's measurement."""
    shadowing: Array
    """(..., users): drives x_k."""
    echo: Array
    """(...,): drives e."""
    angle: Array
    """(...,): drives the target."""


class Initial(NamedTuple):
    """All randomness of a reset."""

    area: Array
    """(..., users) uniforms: place in the cell, uniform over its area."""
    shadowing: Array
    """(..., users) standard normals."""
    echo: Array
    """(...,) standard normal."""
    angle: Array
    """(...,) uniform."""
    error: Array
    """(...,) standard normal: error of the first estimate."""
