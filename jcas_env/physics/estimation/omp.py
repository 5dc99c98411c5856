"""Simultaneous orthogonal matching pursuit on the grid."""

from __future__ import annotations

from ...batching import blocks
from ...checks import require
from ...types import Array, array_namespace
from ..channel import snapshot_channels
from .estimate import Estimate, report
from .pilots import pathless, prepare
from .search.atoms import snapshots_first
from .search.coarse import make_grid
from .search.pursuit import matching_pursuit


def omp(received: Array, beams: Array | None, noise_power: Array, *, paths: int, grid: int = 100) -> Estimate:
    """Pick ``paths`` pairs of grid angles that explain all snapshots best (spec estimation 2.4).

    The gains follow by least squares on all picks.

    Parameters
    ----------
    received, beams, noise_power
        As for :func:`~jcas_env.physics.estimation.ls.ls`.
    paths : int
        Number of picks L.
    grid : int
        Grid points per side, G of the angles of departure and of arrival (arrival: none for one receive antenna).

    Returns
    -------
    Estimate
        Angles on the grid; the picks of an explicit dictionary of G^2 columns, which is never formed.

    Notes
    -----
    Cost per pick and link: O(G M N T) flops for the projections of the first pick, then O(G (M + N T)) and
    O(G) transcendental functions for N = 2.
    """
    require(isinstance(grid, int) and grid >= 2, f"`grid` must be an integer of at least 2, got {grid!r}")
    xp = array_namespace(received)
    pilots = prepare(received, beams, noise_power, paths)
    parts = [matching_pursuit(part, make_grid(part, grid, grid), paths) for part in blocks(pilots, pilots.ok.shape[0])]
    aod, aoa, gains = (xp.concat(list(pieces)) for pieces in zip(*parts, strict=True))
    gains = snapshots_first(gains)
    rx, tx = pilots.rx_antennas, pilots.tx_antennas
    channel = snapshot_channels(gains, aoa, aod, rx_antennas=rx, tx_antennas=tx)
    estimate = pathless(channel, pilots, paths)._replace(
        aod_cos=aod,
        aoa_cos=aoa,
        gains=gains,
        active=xp.ones_like(aod, dtype=xp.bool),
        iterations=xp.full_like(pilots.ok, paths, dtype=xp.int64),
    )
    return report(estimate, received.shape[:-3])
