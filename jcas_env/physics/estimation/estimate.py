"""What every channel estimator returns."""

from __future__ import annotations

from typing import NamedTuple

from ...types import Array


class Estimate(NamedTuple):
    """Estimated channel of a batch of links, and how far it can be trusted.

    Leading ``...`` are links. Estimators flag bad data, they never raise on it.
    """

    channel: Array
    """(..., rx_antennas, tx_antennas) complex: estimated channel matrix [-]."""
    aod_cos: Array
    """(..., paths): direction cosines of departure [-]."""
    aoa_cos: Array
    """(..., paths): direction cosines of arrival [-]."""
    gains: Array
    """(..., paths) complex: path gains [-]."""
    active: Array
    """(..., paths) bool: which paths are reported."""
    ok: Array
    """(...,) bool: the data were finite and not all zero."""
    identifiable: Array
    """(...,) bool: the measurements support the number of paths."""
    variance: Array
    """(..., paths): posterior variance of the gains [-]."""
    iterations: Array
    """(...,) integer: iterations spent."""
