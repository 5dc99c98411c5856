"""What every channel estimator returns."""

from __future__ import annotations

from typing import NamedTuple

from ...types import Array


class Estimate(NamedTuple):
    """Estimated channel of a batch of links, and how far it can be trusted.

    Leading ``...`` are links. The angles of a link are constant over its snapshots, the gains are not (spec
    estimation 1.1); a caller that has one snapshot passes and receives a snapshots axis of length one. Estimators
    flag bad data, they never raise on it: a link whose data are not finite or all zero has ``ok`` False, no path and
    a zero channel. Estimators that know no paths (``ls``, ``mmse``) report none: ``active`` False, gains zero.
    """

    channel: Array
    """(..., snapshots, rx_antennas, tx_antennas) complex: estimated channel matrices [-]."""
    aod_cos: Array
    """(..., paths): direction cosines of departure, in [-1, 1) [-]."""
    aoa_cos: Array
    """(..., paths): direction cosines of arrival, in [-1, 1) [-]."""
    gains: Array
    """(..., snapshots, paths) complex: path gains, zero for a path that is not reported [-]."""
    active: Array
    """(..., paths) bool: which paths are reported."""
    ok: Array
    """(...,) bool: the data were finite and not all zero."""
    identifiable: Array
    """(...,) bool: the measurements support the number of paths (spec estimation 6.5)."""
    variance: Array
    """(..., paths): posterior variance of the gains, mean over the snapshots [-]."""
    iterations: Array
    """(...,) integer: iterations spent."""
