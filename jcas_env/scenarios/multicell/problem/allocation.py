"""What an allocator decides, and what it earns."""

from __future__ import annotations

from typing import NamedTuple

from ....types import Array


class MultiCellAllocation(NamedTuple):
    """What an allocator decides, in physical units, with the grouping that it was made for."""

    power: Array
    """(..., 2, users): power of each service, communication first [W]."""
    bandwidth: Array
    """(..., 2, users): band of the user's group for each service, repeated over its members [Hz]."""
    group: Array
    """(..., users) integer: group label inside the cell."""


class MultiCellOutcome(NamedTuple):
    """What an allocation earns; in an environment also how well the network knew the channels."""

    rate: Array
    """(..., users): data rate R^C [bit/s]."""
    positioning_rate: Array
    """(..., users): positioning rate R^O [bit/s]."""
    utility: Array
    """(...,): configured reward, Mbit/s, its logarithm, or slots of arrivals."""
    violation: Array
    """(...,): largest relative violation of a constraint; zero where feasible."""
    nmse: Array | None = None
    """(..., users): error of the serving channel on which the allocation was decided, relative to its power [-]."""
    backlog_ms: Array | None = None
    """(..., users): backlog after the slot, as the time in which as much arrives on average; with queues [ms]."""
    arrived: Array | None = None
    """(..., users): what arrived in the slot [bit]."""
    served: Array | None = None
    """(..., users): what was delivered in it [bit]."""
    angle_variance: Array | None = None
    """(..., users): variance of the angle after the slot's positioning; with ``kalman`` [rad^2]."""
