"""State of the network and the randomness of a reset and of a slot."""

from __future__ import annotations

from typing import NamedTuple

from ...physics.channel import PathChannel
from ...types import Array


class Air(NamedTuple):
    """What is physically there in a slot: users, paths, channels."""

    position: Array
    """(..., users, 2): positions [m]."""
    velocity: Array
    """(..., users, 2): velocities [m/s]."""
    user_axis: Array
    """(..., users): azimuth of the users' array axes, fixed in an episode [rad]."""
    los_phase: Array
    """(..., cells, users): phase of the line of sight [rad]."""
    scatter: Array
    """(..., cells, users, fading paths) complex: small-scale fading, CN(0, 1)."""
    blocked: Array
    """(..., cells, users) bool: blocked lines of sight."""
    path_loss_db: Array
    """(..., cells, users): path loss, without blockage [dB]."""
    aod_cos: Array
    """(..., cells, users, paths): direction cosines of departure, line of sight first [-]."""
    aoa_cos: Array
    """(..., cells, users, paths): direction cosines of arrival [-]."""
    gains: Array
    """(..., cells, users, paths) complex: path gains [-]."""
    arrival: Array
    """(..., cells, users, paths, ue_antennas) complex: steering vectors of arrival; scattered paths keep theirs [-]."""
    departure: Array
    """(..., cells, users, paths, bs_antennas) complex: conjugate steering vectors of departure, likewise [-]."""

    @property
    def paths(self) -> PathChannel:
        """Channels as their paths."""
        return PathChannel(self.gains, self.aod_cos, self.arrival, self.departure)

    @property
    def channel(self) -> Array:
        """(..., cells, users, ue_antennas, bs_antennas) complex: channel matrices, made anew [-]."""
        return self.paths.matrix


class Csi(NamedTuple):
    """Channel knowledge that the network acts on, with what follows from it: combiners, beams, groups."""

    channel: Array
    """(..., cells, users, bs_antennas) complex: known effective channels, behind the combiners [-]."""
    combiner: Array
    """(..., users, ue_antennas) complex: receive combiners, unit norm."""
    beam: Array
    """(..., users, bs_antennas) complex: transmit beams, unit norm."""
    group: Array
    """(..., users) integer: group label inside the cell."""
    correlation: Array
    """(..., users, users): correlation of the serving channels [-]."""
    gain: Array
    """(..., users, users): power gain of every beam at every user, receiver first [-]."""
    leakage: Array
    """(..., users): lambda_j^2 [-]."""
    sensing_gain: Array
    """(..., users): positioning factor kappa at the estimated line of sight [-]."""
    error: Array
    """(..., users): expected error of the serving channel, relative to its power; what the network knows of it [-]."""
    nmse: Array
    """(..., users): true error of the serving channel, relative to its power; nobody in the network knows it [-]."""


class Sight(NamedTuple):
    """What was last measured of angles: where the users are follows from it, :func:`.positions.find_users`."""

    aod_cos: Array
    """(..., cells, users, paths): direction cosines of departure [-]."""
    aoa_cos: Array
    """(..., cells, users, paths): direction cosines of arrival [-]."""
    active: Array
    """(..., cells, users, paths) bool: paths that were found."""
    gains: Array
    """(..., cells, users, frames, paths) complex: gains, links scaled to unit large-scale gain [-]."""
    noise_power: Array
    """(..., cells, users): noise power of a measurement on that scale [-]."""
    position: Array
    """(..., users, 2): where the users were; nobody in the network knows it [m]."""


class Memory(NamedTuple):
    """What the network remembers of the last measurement of angles (spec estimation 8.3)."""

    aod_cos: Array
    """(..., cells, users, paths): direction cosines of departure [-]."""
    aoa_cos: Array
    """(..., cells, users, paths): direction cosines of arrival [-]."""
    active: Array
    """(..., cells, users, paths) bool: paths that were found."""
    sight: Sight
    """All that was measured then."""
    age: Array
    """(...,) integer: slots since the measurement, in NumPy as :attr:`State.slot`."""


class Traffic(NamedTuple):
    """Data that comes in; all zero without queues."""

    rate: Array
    """(..., users): mean arrivals, fixed in an episode [bit/s]."""
    arrivals: Array
    """(..., users): what arrives in slot t; nobody knows it at the decision [bit]."""
    waited: Array
    """(..., users): slots since one that delivered a slot's mean arrivals, or all there was [-]."""


class State(NamedTuple):
    """A decision: knowledge of slot t - 1 (t without delay), truth of slot t, in which the allocation acts."""

    slot: Array
    """(...,) integer: slots played in this episode. Clocks are NumPy's wherever the rest lives: they decide what a slot
    does, and nobody waits for a device to tell the time."""
    cell: Array
    """(..., users) integer: serving cell, fixed in an episode (no handover)."""
    air: Air
    """Truth of slot t."""
    csi: Csi
    """Knowledge on which the allocation of slot t acts."""
    memory: Memory
    """Angles and positions as last measured."""
    last_power: Array
    """(..., 2, users): powers on the air in the last slot, equal in the first [W]."""
    queue: Array
    """(..., users): backlog at the decision, before the arrivals of slot t; zero without queues [bit]."""
    traffic: Traffic
    """Data that comes in."""
    angle_variance: Array
    """(..., users): variance of the angles before the positioning of slot t, the prior in kappa [rad^2]."""


class ChannelNoise(NamedTuple):
    """Randomness of a slot's channel estimate. Parts that configuration or slot do not use have size zero."""

    pilots: Array
    """(..., cells, users, frames, ue_antennas, bs_antennas) complex CN(0, 1): receiver noise of the pilots, one
    for each antenna."""
    frame_scatter: Array
    """(..., cells, users, frames - 1, fading paths) complex CN(0, 1): fading of the frames before the last."""
    frame_phase: Array
    """(..., cells, users, frames - 1): standard normals, phases of the lines of sight in these frames."""
    beam_pilots: Array
    """(..., cells, users, 1, ue_antennas, pilots) complex CN(0, 1): receiver noise of the pilot beams, with which gains
    alone are measured."""
    beam_order: Array
    """(..., cells, users, bs_antennas) uniforms: their order picks the columns of the pilot beams."""
    beam_phase: Array
    """(..., cells, users, bs_antennas) uniforms: phases of the pilot beams, in turns."""
    surrogate: Array
    """(..., cells, users, count): standard normals of the statistical surrogate."""
    error: Array
    """(..., cells, users, ue_antennas, bs_antennas) complex CN(0, 1): the i.i.d. error of ``csi_nmse``."""


class Innovation(NamedTuple):
    """All randomness of a slot. Parts that configuration or slot do not use have size zero."""

    velocity: Array
    """(..., users, 2): standard normals that drive the motion."""
    los_phase: Array
    """(..., cells, users): standard normals that drive the phase."""
    scatter: Array
    """(..., cells, users, fading paths) complex: CN(0, 1) that drive the fading."""
    blockage: Array
    """(..., cells, users) uniforms, or size 0 without blockage."""
    noise: ChannelNoise
    """Noise of the channel estimate that is made in this step."""
    arrivals: Array
    """(..., users) uniforms: what arrives in the slot that begins, or size 0 without queues."""


class Initial(NamedTuple):
    """All randomness of a reset: the drop, the angles, the first fading, and the step from slot -1 to 0."""

    drop: Array
    """(..., users, 2) uniforms: place in the hexagon."""
    velocity: Array
    """(..., users, 2): standard normals."""
    user_axis: Array
    """(..., users): azimuth of the users' array axes [rad]."""
    aod_cos: Array
    """(..., cells, users, paths): direction cosines of departure of the paths, entry 0 unused [-]."""
    aoa_cos: Array
    """(..., cells, users, paths): direction cosines of arrival, entry 0 unused [-]."""
    los_phase: Array
    """(..., cells, users): phases [rad]."""
    scatter: Array
    """(..., cells, users, fading paths) complex CN(0, 1)."""
    noise: ChannelNoise
    """Noise of the channel estimate in slot -1."""
    first: Innovation
    """From slot -1 to slot 0."""
