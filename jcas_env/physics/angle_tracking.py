"""How well a user's angle is known from slot to slot: a scalar Kalman filter's variance."""

from __future__ import annotations

from math import pi

from ..types import Array, array_namespace

UNKNOWN = pi**2 / 3.0
"""Variance of an angle of which nothing is known, uniform over 2 pi [rad^2]."""


def predict_variance(variance: Array, distance: Array, /, *, rms_speed: float, slot: float) -> Array:
    r"""Variance at the beginning of the next slot, after the user has moved.

    .. math:: s^- = \min\Big(s + \Big(\frac{v_\mathrm{rms} \Delta t}{d}\Big)^2,\; \frac{\pi^2}{3}\Big)

    Parameters
    ----------
    variance : Array, shape (...,)
        After the last slot's measurement [rad^2].
    distance : Array, shape (...,)
        From the station, positive [m].
    rms_speed, slot : float
        Speed [m/s] and slot length [s].

    Returns
    -------
    Array, shape (...,)
        [rad^2] (spec multicell 8.6).
    """
    xp = array_namespace(variance, distance)
    return xp.clip(variance + (rms_speed * slot / distance) ** 2, max=UNKNOWN)


def update_variance(variance: Array, sensitivity: Array, snr: Array, symbols: Array, /) -> Array:
    r"""Variance after a slot's measurement, the product form of which the filter's gain is a part.

    .. math:: \frac1s = \frac1{s^-} + \frac1r, \qquad r = \frac{1}{2 v^2 x\, n}, \qquad n = \Delta t\, B^O

    Parameters
    ----------
    variance : Array, shape (...,)
        Before the measurement [rad^2].
    sensitivity : Array, shape (...,)
        :math:`v^2`, see :func:`.information.angle.angle_information` [1/rad^2].
    snr, symbols : Array, shape (...,)
        SINR x of the positioning service and number n of its symbols in the slot [-].

    Returns
    -------
    Array, shape (...,)
        [rad^2] (spec multicell 8.6).
    """
    return variance / (1.0 + 2.0 * variance * sensitivity * snr * symbols)
