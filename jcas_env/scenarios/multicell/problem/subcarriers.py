"""Whole subcarriers: rounding the bands of a cell's groups by the method of the largest remainder."""

from __future__ import annotations

from ....physics.membership import opens_group, same_group, same_label
from ....physics.rounding import largest_remainder
from ....types import Array, array_namespace, rounding


def whole_floor(floor: Array, /, *, spacing: float) -> Array:
    r"""Least band of a group in whole subcarriers, :math:`\Delta \max(1, \lceil B_\mathrm{thr}/\Delta \rceil)`.

    ``floor`` any shape, real floating [Hz] -> same shape [Hz].
    """
    xp = array_namespace(floor)
    return spacing * xp.clip(xp.ceil(floor / spacing * (1.0 - rounding(floor))), min=1.0)


def whole_subcarriers(bandwidth: Array, cell: Array, group: Array, /, *, spacing: float, floor: Array) -> Array:
    r"""Round the bands of a cell's groups to whole subcarriers, service by service.

    A service's bands :math:`x = B/\Delta` in a cell hold :math:`K = \lfloor \sum_g x_g \rfloor` subcarriers. Each
    of its G groups first gets its floor :math:`k = B_\mathrm{thr}/\Delta`. The other :math:`K - \sum_g k_g` are
    shared in proportion to :math:`\max(x - k, 0)`: whole parts first, then one each to the largest remainders, ties
    to the lower index. Where every x is at least k and their sum whole, this is plain largest-remainder rounding.

    Where the floors need more than K, no rounding keeps them all: the K subcarriers are then shared by the largest
    remainder alone, and groups may be left with none. More than K is never given out.

    Parameters
    ----------
    bandwidth : Array, shape (..., 2, users)
        Band of the user's group for each service [Hz].
    cell, group : Array, shape (..., users), integer
        Serving cell and group label.
    spacing : float
        Subcarrier spacing Delta [Hz].
    floor : Array, shape (..., users)
        Least band of a group, a multiple of ``spacing``, at least one: :func:`whole_floor` [Hz].

    Returns
    -------
    Array, shape (..., 2, users)
        Multiples of ``spacing`` [Hz]; the sum over the groups of a cell and service does not rise
        (spec multicell 0).
    """
    xp = array_namespace(bandwidth, cell, group)
    mates = same_group(cell, group)
    leads = opens_group(mates)  # the first user of a group stands for it
    rivals = (same_label(cell) & leads[..., None, :])[..., None, :, :]

    def cell_sum(value: Array) -> Array:
        return (xp.astype(rivals, value.dtype) @ value[..., None])[..., 0]

    carriers = bandwidth / spacing
    # Sums of whole numbers may fall short of them by rounding: 9.999... subcarriers are 10.
    total = xp.floor(cell_sum(carriers) * (1.0 + rounding(carriers)))
    least = xp.zeros_like(carriers) + xp.round(floor / spacing)[..., None, :]
    needed = cell_sum(least)
    # Floors that do not fit are dropped, all of the service's, and the subcarriers shared without them.
    kept = needed <= total
    least, left = xp.where(kept, least, 0.0), xp.where(kept, total - needed, total)
    above = xp.clip(carriers - least, min=0.0)
    demand = cell_sum(above)  # zero where all groups sit on their floors: what is left is shared equally
    groups = cell_sum(xp.ones_like(carriers))
    quota = left * xp.where(demand > 0, above / xp.where(demand > 0, demand, 1.0), 1.0 / groups)
    chosen = spacing * (least + largest_remainder(quota, left, rivals))
    # Followers take the band of the user that leads their group.
    lead = xp.astype(mates & leads[..., None, :], bandwidth.dtype)
    return chosen @ xp.matrix_transpose(lead)
