r"""Pilots: what the base stations send to learn the channel of a slot, and what the users receive.

Links are divided by their large-scale amplitude, so that E|H_nm|^2 = 1 and a measurement has the noise power

.. math:: \sigma^2 = \frac{N_0 B_{\max}}{P_\mathrm{pilot}}\, 10^{PL/10}

(spec estimation 1.5, 8.2, 8.3). Angles are measured with T frames of one pilot per antenna, which share the angles of
the slot; the last frame carries its gains. Between angle measurements one frame of a few beams finds the gains.
"""

from __future__ import annotations

from math import log, pi, sqrt
from typing import NamedTuple

from ....physics.channel import steered_channels
from ....physics.estimation.pilots import drawn_beams, heard_antennas, heard_beams, measure
from ....physics.motion import autoregressive_fading
from ....types import Array, array_namespace
from ..config import MultiCellConfig
from ..network.motion import link_gains
from ..state import Air, ChannelNoise


class Sounding(NamedTuple):
    """Pilot data of all links in a slot, scaled to E|H_nm|^2 = 1."""

    received: Array
    """(..., cells, users, frames, ue_antennas, pilots) complex: data Z [-]."""
    beams: Array | None
    """(..., cells, users, frames, bs_antennas, pilots) complex: pilot beams; None: one pilot per antenna."""
    noise_power: Array
    """(..., cells, users): sigma^2 of a measurement [-]."""


def amplitude(path_loss_db: Array) -> Array:
    """Large-scale amplitude of every link, 10^(-PL/20) without blockage, (..., cells, users) [-]."""
    return 10.0 ** (-path_loss_db / 20.0)


def pilot_noise_power(config: MultiCellConfig, path_loss_db: Array) -> Array:
    """Noise power of a measurement after scaling, (..., cells, users) [-]."""
    return config.noise_density * config.band_budget / config.pilot_watt / amplitude(path_loss_db) ** 2


def frame_gains(config: MultiCellConfig, air: Air, noise: ChannelNoise) -> Array:
    r"""Path gains of the frames of a slot, scaled to unit large-scale gain.

    Backwards from the last frame, which is the slot itself: scattered paths follow an AR(1) process of correlation
    rho, and the phase of the line of sight a random walk whose :math:`e^{j\varphi}` has the same correlation,
    of variance :math:`-2 \ln\rho`.

    Returns
    -------
    Array, shape (..., cells, users, frames, paths), complex
        [-] (spec estimation 8.3)
    """
    xp = array_namespace(air.gains)
    rho = config.frame_rho
    # A walk of a whole turn is as good as independent: the correlation left is 3e-9.
    step = min(sqrt(-2.0 * log(rho)) if rho > 0 else 2.0 * pi, 2.0 * pi)
    phase, scatter = air.los_phase, air.scatter
    phases, scatters = [phase], [scatter]
    for frame in range(noise.frame_phase.shape[-1]):
        phase = phase + step * noise.frame_phase[..., frame]
        scatter = autoregressive_fading(scatter, noise.frame_scatter[..., frame, :], correlation=rho)
        phases.insert(0, phase)
        scatters.insert(0, scatter)
    still = xp.zeros_like(air.path_loss_db)[..., None]
    blocked = None if air.blocked is None else air.blocked[..., None]
    return link_gains(config, xp.stack(phases, axis=-1), xp.stack(scatters, axis=-2), still, blocked)


def sound_antennas(config: MultiCellConfig, air: Air, noise: ChannelNoise) -> Sounding:
    """Every base station sounds every user with one pilot per antenna, in as many frames as noise was drawn for."""
    paths = (frame_gains(config, air, noise), air.arrival, air.departure)
    noise_power = pilot_noise_power(config, air.path_loss_db)
    if config.pilot_reuse:
        return _reused(air.path_loss_db, steered_channels(*paths), None, noise_power, noise.pilots)
    return Sounding(heard_antennas(*paths, noise_power, noise.pilots), None, noise_power)


def sound_beams(config: MultiCellConfig, air: Air, noise: ChannelNoise) -> Sounding:
    """One frame of ``pilots`` random constant-modulus beams, for the gains on known angles (spec estimation 8.5)."""
    pilots = min(config.pilots, config.bs_antennas)
    beams = drawn_beams(noise.beam_order, noise.beam_phase, pilots=pilots)[..., None, :, :]
    noise_power, scale = pilot_noise_power(config, air.path_loss_db), amplitude(air.path_loss_db)
    if not config.pilot_reuse:
        return Sounding(heard_beams(air.paths, scale, beams, noise_power, noise.beam_pilots), beams, noise_power)
    beams = array_namespace(beams).broadcast_to(beams[..., :1, :, :, :, :], beams.shape)
    channel = (air.channel / scale[..., None, None])[..., None, :, :]
    return _reused(air.path_loss_db, channel, beams, noise_power, noise.beam_pilots)


def _reused(
    path_loss_db: Array, channel: Array, beams: Array | None, noise_power: Array, pilot_noise: Array
) -> Sounding:
    """Data of links, given their channels at unit scale, where all stations send the same pilots at once.

    Each user hears their sum and takes it for every station's channel (spec estimation 1.11).
    """
    xp = array_namespace(channel)
    scale = amplitude(path_loss_db)[..., None, None, None]
    channel = xp.sum(channel * scale, axis=-5, keepdims=True) / scale
    pilot_noise = pilot_noise[..., :1, :, :, :, :]  # one signal at each user, whichever station it stands for
    return Sounding(measure(channel, beams, noise_power, pilot_noise), beams, noise_power)
