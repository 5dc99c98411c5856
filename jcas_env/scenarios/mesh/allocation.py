"""What an allocator of the mesh decides, and what it earns."""

from __future__ import annotations

from typing import NamedTuple

from ...types import Array


class MeshAllocation(NamedTuple):
    """Subcarriers of every user, which serve both phases, and the part of the frame that goes to positioning."""

    counts: Array
    """(..., users) real: subcarriers of each user. Whole numbers on the air; a relaxed solution may hold fractions."""
    assignment: Array | None
    """(..., subcarriers) integer: user of each subcarrier, -1 for none. None: a comb of the counts, every user spread
    over the whole band (spec mesh 3.6)."""
    positioning_share: Array
    """(...,): beta, share of the frame for positioning [-]."""


class MeshOutcome(NamedTuple):
    """What an allocation earns."""

    rate: Array
    """(..., users): achieved data rate (1 - beta) R_u [bit/s]."""
    peb: Array
    """(..., users): position error bound; inf where the information is singular [m]."""
    oeb: Array
    """(..., users): orientation error bound; inf where the information is singular [rad]."""
    utility: Array
    """(...,): configured reward [-]."""
    violation: Array
    """(...,): sum of the users' relative shortfalls from the rate floor, and what the share lacks of beta_lo."""
    positioning_share: Array
    """(...,): beta [-]."""
    counts: Array
    """(..., users): subcarriers on the air."""
    feasible: Array
    """(...,) bool: whether any allocation keeps the rate floors."""
    rate_floor_max: Array
    """(...,): largest rate floor that all users can have together, as the share tends to 0 [bit/s]."""
