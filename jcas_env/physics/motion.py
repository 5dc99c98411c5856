"""What changes from slot to slot: motion of the users and small-scale fading."""

from __future__ import annotations

from math import acos, cos, pi, sin, sqrt

from ..types import Array, array_namespace
from ..units import SPEED_OF_LIGHT
from .geometry import in_hexagon


def gauss_markov(velocity: Array, noise: Array, /, *, memory: float, rms_speed: float) -> Array:
    r"""One step of the Gauss-Markov velocity process.

    .. math:: v' = \eta v + \sqrt{1-\eta^2}\, \frac{v_\mathrm{rms}}{\sqrt2}\, n, \qquad n \sim N(0, I_2)

    Parameters
    ----------
    velocity, noise : Array, shape (..., 2)
        Velocity [m/s] and standard normals.
    memory : float
        Correlation eta of successive slots, in [0, 1] [-].
    rms_speed : float
        Stationary root mean square speed [m/s].

    Returns
    -------
    Array, shape (..., 2)
        Next velocity [m/s] (spec multicell 8.1).
    """
    return memory * velocity + sqrt(1.0 - memory**2) * rms_speed / sqrt(2.0) * noise


def move_in_cell(
    position: Array, velocity: Array, centre: Array, /, *, slot: float, radius: float, keep_out: float
) -> tuple[Array, Array]:
    """Advance positions by one slot; a user that would leave its cell turns back.

    ``x' = x + v dt``; where ``x'`` lies outside the hexagon or within ``keep_out`` of its centre,
    ``x' = x`` and ``v' = -v``.

    Parameters
    ----------
    position, velocity : Array, shape (..., users, 2)
        Positions [m] and velocities [m/s].
    centre : Array, shape (..., users, 2)
        Centre of the hexagon that confines each user [m].
    slot, radius, keep_out : float
        Slot length [s], circumradius of the hexagon and radius of the excluded disc [m].

    Returns
    -------
    position, velocity : Array, shape (..., users, 2)
        After the slot (spec multicell 8.1).
    """
    xp = array_namespace(position, velocity, centre)
    proposal = position + velocity * slot
    offset = proposal - centre
    inside = in_hexagon(offset, radius=radius) & (xp.hypot(offset[..., 0], offset[..., 1]) >= keep_out)
    stay = inside[..., None]
    return xp.where(stay, proposal, position), xp.where(stay, velocity, -velocity)


def autoregressive_fading(scatter: Array, innovation: Array, /, *, correlation: float) -> Array:
    r"""AR(1) fading, stationary CN(0, 1): :math:`g' = \rho g + \sqrt{1-\rho^2}\, n`.

    Parameters
    ----------
    scatter, innovation : Array, shape (...,), complex
        Current values and fresh CN(0, 1) samples [-].
    correlation : float
        Lag-one correlation rho in [0, 1] [-] (spec multicell 8.2).

    Returns
    -------
    Array, shape (...,), complex
    """
    return correlation * scatter + sqrt(1.0 - correlation**2) * innovation


def clarke_correlation(interval: float, /, *, speed: float, carrier_hz: float) -> float:
    r"""Correlation of the gain of a moving user's scattered paths after an interval, Clarke's model.

    .. math:: J_0(2 \pi f_D \tau) = \frac{1}{\pi} \int_0^\pi \cos(2 \pi f_D \tau \sin\theta)\, d\theta,
              \qquad f_D = \frac{v f_c}{c}

    of scatterers all around the user. Fading decorrelates in about 0.4/f_D, 1.9 ms at 60 GHz and 1 m/s.

    Parameters
    ----------
    interval : float
        tau [s].
    speed : float
        v [m/s].
    carrier_hz : float
        f_c [Hz].

    Returns
    -------
    float
        A scalar in [-0.41, 1] [-].

    References
    ----------
    R. H. Clarke, *A statistical theory of mobile-radio reception*, Bell Syst. Tech. J. 47, 1968; spec multicell 8.2.
    """
    turn = 2.0 * pi * speed * carrier_hz / SPEED_OF_LIGHT * interval
    points = 32 + int(
        turn
    )  # the midpoint rule of a periodic function is exact but for Bessel functions of order > turn
    return sum(cos(turn * sin(pi * (k + 0.5) / points)) for k in range(points)) / points


def phase_walk(phase: Array, noise: Array, /, *, correlation: float) -> Array:
    r"""Random walk of the line of sight's phase: :math:`\varphi' = \varphi + \arccos(\rho)\, n` [rad].

    ``phase`` and standard normal ``noise`` have shape (...,); ``correlation`` is the rho of
    :func:`autoregressive_fading`, so rho = 1 freezes both (spec multicell 8.2).
    """
    return phase + acos(correlation) * noise


def two_state_chain(state: Array, uniform: Array, /, *, enter: float, leave: float) -> Array:
    """One step of an on-off Markov chain, e.g. blockage of a line of sight.

    Parameters
    ----------
    state : Array, shape (...,), bool
        Whether a link is blocked.
    uniform : Array, shape (...,)
        Uniforms in [0, 1) [-].
    enter, leave : float
        Probabilities [-] of clear -> blocked and blocked -> clear; the blocked share is
        ``enter / (enter + leave)`` in the long run (spec multicell 8.5).

    Returns
    -------
    Array, shape (...,), bool
    """
    xp = array_namespace(state, uniform)
    return xp.where(state, uniform >= leave, uniform < enter)
