"""Whether paths explain the data of a link."""

from __future__ import annotations

from math import sqrt

from ....batching import gather, indices, scatter
from ....types import Array, array_namespace
from ..pilots import Pilots
from .atoms import factors, path_power, residual
from .newton import Fit, ridge_floor


def excess(pilots: Pilots, state: Fit) -> Array:
    """Whether a link's residual is more than noise, :func:`above_noise`, (links,) bool [-] (spec estimation 2.6)."""
    return above_noise(pilots, state.cost, (state.aod_cos, state.aoa_cos), state.gains, state.ridge)


def above_noise(pilots: Pilots, cost: Array, angles: tuple[Array, Array], gains: Array, ridge: Array) -> Array:
    r"""Whether a link's cost is more than noise: :math:`S > \sigma^2 (n + 3 \sqrt{n})`, n = T P N [-].

    S is at hand as a difference of energies. Where rounding may decide, as it does in single precision from an SNR
    of about 45 dB, it is summed from the residual,
    :math:`S = \sum_t \lVert y_t - B_t g_t \rVert^2 + g_t^H \Lambda g_t`.

    The floor of the ridge is no prior and does not count: in single precision it alone weighs more than the noise.

    ``cost`` S (links,), ``angles`` (v, w) and ``ridge`` (links, paths), ``gains`` (links, groups, paths, columns) [-]
    -> (links,) bool (spec estimation 2.6).
    """
    xp = array_namespace(cost)
    n = pilots.measurements
    limit = pilots.noise_power * (n + 3.0 * sqrt(n))
    above = cost > limit
    floor = ridge_floor(cost)
    doubtful = xp.abs(cost - limit) <= 4.0 * floor * pilots.energy
    if not bool(xp.any(doubtful)):
        return above
    index = indices(doubtful)
    some, aod, aoa, gains, ridge, limit = (gather(part, index) for part in (pilots, *angles, gains, ridge, limit))
    left = residual(some.data, *factors(some.aperture, aod, aoa), gains)
    flat = xp.reshape(left, (left.shape[0], -1))
    exact = xp.real(xp.vecdot(flat, flat)) + xp.sum(xp.clip(ridge - floor, min=0.0) * path_power(gains, 1), axis=-1)
    return scatter(above, doubtful, exact > limit)
