"""Least squares: the data themselves."""

from __future__ import annotations

from ...types import Array
from .estimate import Estimate, report
from .pilots import pathless, prepare


def ls(received: Array, beams: Array | None, noise_power: Array, *, paths: int) -> Estimate:
    r"""Minimum-norm least squares :math:`\hat H_t = Z_t F_t^H` (spec estimation 2.2).

    Parameters
    ----------
    received : Array, shape (..., snapshots, rx_antennas, pilots), complex
        Pilot data Z [-].
    beams : Array, shape (..., snapshots, tx_antennas, pilots), complex, or None
        Pilot beams F; None for one pilot per antenna.
    noise_power : Array, shape (...,)
        sigma^2; only checked.
    paths : int
        Length of the paths axis of the answer, on which no path is reported.

    Returns
    -------
    Estimate
        NMSE sigma^2 for P = M.
    """
    pilots = prepare(received, beams, noise_power, paths)
    return report(pathless(pilots.matrices, pilots, paths), received.shape[:-3])
