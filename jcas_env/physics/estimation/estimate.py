"""What every channel estimator returns."""

from __future__ import annotations

from typing import NamedTuple

from ...batching import unrows
from ...tree import tree_map
from ...types import Array, array_namespace, surely_all


class Estimate(NamedTuple):
    """Estimated channel of a batch of links, and how far it can be trusted.

    Leading ``...`` are links. The angles of a link are constant over its snapshots, the gains are not (spec
    estimation 1.1); a caller that has one snapshot passes and receives a snapshots axis of length one. Estimators
    flag bad data, they never raise on it: a link whose data are not finite or all zero has ``ok`` False, no path and
    a zero channel. Estimators that know no paths (``ls``, ``mmse``) report none: ``active`` False, gains zero.
    """

    channel: Array
    """(..., snapshots, rx_antennas, tx_antennas) complex: estimated channel matrices [-]; one with ``last``."""
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


def report(estimate: Estimate, links: tuple[int, ...]) -> Estimate:
    """Blank the bad links of a flat estimate and give it the batch axes ``links`` back.

    Fields of shape (links, ...) become (*links, ...), in the units [-] of :class:`Estimate` (spec estimation 6.8).
    """
    xp = array_namespace(estimate.channel)
    good = estimate.ok

    def blank(value: Array) -> Array:
        return xp.where(xp.reshape(good, (-1, *(1,) * (value.ndim - 1))), value, xp.zeros_like(value))

    if not surely_all(good):
        estimate = tree_map(blank, estimate)._replace(identifiable=estimate.identifiable)
    return estimate if len(links) == 1 else unrows(estimate, links)


def without_paths(estimate: Estimate, data: Array, noise_power: Array) -> Estimate:
    r"""Clear what is not active; a link without an active path gets the flat estimate :math:`Z F^H/(1 + \sigma^2)`.

    ``data`` is Z F^H, (links, snapshots, rx_antennas, tx_antennas) complex, ``noise_power`` sigma^2, (links,) [-]
    (spec estimation 2.6).
    """
    xp = array_namespace(data)
    active = estimate.active
    empty = ~xp.any(active, axis=-1)[:, None, None, None]
    return estimate._replace(
        channel=xp.where(empty, data / (1.0 + noise_power)[:, None, None, None], estimate.channel),
        gains=xp.where(active[:, None], estimate.gains, xp.zeros_like(estimate.gains)),
        variance=xp.where(active, estimate.variance, xp.zeros_like(estimate.variance)),
    )
