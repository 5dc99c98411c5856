"""What an allocator decides, and what it earns."""

from __future__ import annotations

from typing import NamedTuple

from ...types import Array


class MassiveMIMOAllocation(NamedTuple):
    """Power of the streams and of the sensing beam, per transmit antenna.

    The base station radiates ``tx_antennas * (sum(power) + sensing_power)``.
    """

    power: Array
    """(..., users): p_k = xi_k gamma_k, power of a user's stream per transmit antenna [W]."""
    sensing_power: Array
    """(...,): T, sum of eta_k, power of the sensing beam per transmit antenna [W]."""


class MassiveMIMOOutcome(NamedTuple):
    """What an allocation earns on the truth."""

    rate: Array
    """(..., users): data rate R_k [bit/s/Hz]."""
    utility: Array
    """(...,): configured reward."""
    violation: Array
    """(...,): excess of the radiated power over the budget, relative to it; zero where feasible."""
    crb: Array
    """(...,): Cramér-Rao bound of the target's angle in this frame, inf without information [rad^2]."""
    crb_min: Array
    """(...,): least bound that the power budget reaches at the predicted angle [rad^2]."""
    feasible: Array
    """(...,) bool: whether the demanded bound is reachable in this frame at the predicted angle."""
    variance: Array
    """(...,): tracker's variance after this frame's measurement [rad^2]."""
    beam_error: Array
    """(...,): predicted minus true angle [rad]."""
    sensing_share: Array
    """(...,): share of the sensing beam in the radiated power [-]; zero if nothing is radiated."""
    cost: Array
    """(...,): max(0, log10(variance / variance_limit)), for a learned multiplier [-]."""
