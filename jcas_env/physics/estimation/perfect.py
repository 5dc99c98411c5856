"""Perfect channel knowledge: the reference against which estimators are measured."""

from __future__ import annotations

from ...types import Array, array_namespace, device
from .estimate import Estimate


def perfect(channel: Array, aod_cos: Array, aoa_cos: Array, gains: Array) -> Estimate:
    """Report the truth: ``H^ = H``, every path at its true angles (spec estimation 2.1).

    Parameters
    ----------
    channel : Array, shape (..., snapshots, rx_antennas, tx_antennas), complex
        True channel [-].
    aod_cos, aoa_cos : Array, shape (..., paths)
        True direction cosines [-].
    gains : Array, shape (..., snapshots, paths), complex
        True path gains [-].

    Returns
    -------
    Estimate
        Without error: zero variance, zero iterations.
    """
    xp = array_namespace(channel, aod_cos, aoa_cos, gains)
    links = aod_cos.shape[:-1]
    yes = xp.ones(links, dtype=xp.bool, device=device(gains))
    return Estimate(
        channel=channel,
        aod_cos=aod_cos,
        aoa_cos=aoa_cos,
        gains=gains,
        active=xp.ones(aod_cos.shape, dtype=xp.bool, device=device(gains)),
        ok=yes,
        identifiable=yes,
        variance=xp.zeros_like(aod_cos),
        iterations=xp.zeros(links, dtype=xp.int64, device=device(gains)),
    )
