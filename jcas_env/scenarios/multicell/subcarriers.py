"""Whole subcarriers: rounding the bands of a cell's groups by the method of the largest remainder."""

from __future__ import annotations

from array_api_compat import array_namespace, device

from ...types import Array


def whole_subcarriers(bandwidth: Array, cell: Array, group: Array, /, *, spacing: float) -> Array:
    r"""Round the bands of a cell's groups and services to whole subcarriers, at least one each.

    Of the :math:`K = \lfloor \sum x \rfloor` subcarriers that a cell's bands :math:`x = B/\Delta` hold, each of
    the n (group, service) pairs first gets one. The other K - n are shared in proportion to
    :math:`\max(x - 1, 0)`: whole parts first, then one each to the largest remainders, ties to the lower
    index. Where every x is at least one and their sum whole, this is plain largest-remainder rounding.

    Parameters
    ----------
    bandwidth : Array, shape (..., 2, users)
        Band of the user's group for each service [Hz].
    cell, group : Array, shape (..., users), integer
        Serving cell and group label.
    spacing : float
        Subcarrier spacing Delta [Hz].

    Returns
    -------
    Array, shape (..., 2, users)
        Multiples of ``spacing`` [Hz]; the sum over a cell's groups does not rise (spec multicell 0).
    """
    xp = array_namespace(bandwidth, cell, group)
    users = cell.shape[-1]
    index = xp.arange(users, device=device(cell))
    same_cell = cell[..., :, None] == cell[..., None, :]
    mates = same_cell & (group[..., :, None] == group[..., None, :])
    leads = ~xp.any(mates & (index[None, :] < index[:, None]), axis=-1)  # first user of its group

    # One item per user and service on the last axis; only those of leading users count.
    def items(value: Array) -> Array:
        return xp.concat([value, value], axis=-1)

    counts = xp.broadcast_to(items(leads), (*bandwidth.shape[:-2], 2 * users))
    carriers = xp.reshape(bandwidth, (*bandwidth.shape[:-2], 2 * users)) / spacing
    rivals = items(xp.concat([same_cell, same_cell], axis=-2)) & counts[..., None, :]

    def cell_sum(value: Array) -> Array:
        return (xp.astype(rivals, value.dtype) @ value[..., None])[..., 0]

    one = xp.astype(counts, carriers.dtype)
    pairs = cell_sum(one)
    total = xp.floor(cell_sum(carriers) * (1.0 + 1e-12) + 1e-9)
    above = xp.clip(carriers - 1.0, min=0.0)
    demand = cell_sum(above)
    proportion = xp.where(demand > 0, above / xp.where(demand > 0, demand, 1.0), 1.0 / pairs)
    quota = xp.clip(total - pairs, min=0.0) * proportion
    whole = xp.floor(quota + 1e-9)
    remainder = quota - whole
    left = xp.clip(total - pairs, min=0.0) - cell_sum(whole)
    position = xp.arange(2 * users, device=device(cell))
    ahead = (remainder[..., None, :] > remainder[..., :, None]) | (
        (remainder[..., None, :] == remainder[..., :, None]) & (position[None, :] < position[:, None])
    )
    rank = xp.sum(xp.astype(rivals & ahead, carriers.dtype), axis=-1)
    chosen = 1.0 + whole + xp.astype(rank < left - 0.5, carriers.dtype)
    chosen = xp.reshape(chosen * spacing, bandwidth.shape)
    # Followers take the band of the user that leads their group.
    lead = xp.astype(mates & leads[..., None, :], bandwidth.dtype)
    return chosen @ xp.matrix_transpose(lead)
