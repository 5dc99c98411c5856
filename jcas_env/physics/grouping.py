"""Which cell serves a user, and which users of a cell share a band."""

from __future__ import annotations

from ..compiled.dispatch import compiled
from ..types import Array, array_namespace, constant, device
from .beamforming import (
    NULL_TOLERANCE,
    Combiner,
    beams,
    channel_correlation,
    combiner,
    effective_channel,
    interference_spectrum,
    leakage,
)
from .membership import same_label

BITS = 62
"""Users that a mask of 64 bits can hold, sign left alone."""


def assign_cells(channel: Array, /, *, kind: Combiner, power: float, noise_power: float) -> Array:
    r"""Serve every user from the cell that exposes it least to the others (luo2023 Algorithm 2, stage 1).

    For each candidate cell ``i`` the smallest singular value of the joint interference channel is found;
    the smallest wins. Candidates whose square is below 1e-9 of the largest tie: their differences are
    rounding noise, and the strongest signal :math:`\lVert H_{i,j}^H w \rVert^2` decides.

    Parameters
    ----------
    channel : Array, shape (..., cells, users, rx_antennas, tx_antennas), complex
        Known channel of every base station to every user [-].
    kind, power, noise_power
        Combiner and its parameters, as in :func:`combiner`.

    Returns
    -------
    Array, shape (..., users), int64
        Serving cell; cells get unequal numbers of users (spec multicell 3.1).
    """
    xp = array_namespace(channel)
    *batch, cells, users, _, _ = channel.shape
    smallest, signal = [], []
    for candidate in range(cells):
        cell = xp.full((*batch, users), candidate, dtype=xp.int64, device=device(channel))
        values, _ = interference_spectrum(channel, cell)
        square = values[..., -1] ** 2
        tie = square <= NULL_TOLERANCE * values[..., 0] ** 2
        smallest.append(xp.where(tie, xp.zeros_like(square), square))
        w = combiner(channel, cell, kind=kind, power=power, noise_power=noise_power)
        effective = effective_channel(channel, w)
        signal.append(xp.sum(xp.abs(effective) ** 2, axis=(-3, -1)) - leakage(effective, cell))
    least, strength = xp.stack(smallest, axis=-1), xp.stack(signal, axis=-1)
    best = least == xp.min(least, axis=-1, keepdims=True)
    return xp.argmax(xp.where(best, strength, -xp.ones_like(strength)), axis=-1)


def first_fit_groups(
    correlation: Array, cell: Array, threshold: Array | float, /, *, crowd: int | None = None
) -> Array:
    r"""Partition the users of each cell into groups of weakly correlated channels.

    Users are taken in index order; each joins the first group of its cell whose members all have
    :math:`\rho < \alpha` with it, else it opens a new group.

    Parameters
    ----------
    correlation : Array, shape (..., users, users)
        Correlation of serving channels [-].
    cell : Array, shape (..., users), integer
        Serving cell.
    threshold : float or Array, shape (..., users)
        Grouping threshold alpha of the user's cell, positive; above 1 every cell is one group [-].
    crowd : int or None
        Users of each cell, where all have as many and users stand in the order of their cells: cells then go side by
        side, and each looks at its own users alone.

    Returns
    -------
    Array, shape (..., users), int64
        Group label inside the cell, ``0 .. groups - 1`` in order of opening (luo2023 Algorithm 2, stage 2,
        as first fit: spec multicell 3.3, 5.15).
    """
    xp = array_namespace(correlation, cell)
    users = cell.shape[-1]
    if crowd is not None and crowd < users:
        by_cell = (*correlation.shape[:-2], users // crowd, crowd)
        blocks = [correlation[..., k : k + crowd, k : k + crowd] for k in range(0, users, crowd)]
        if not isinstance(threshold, float | int):
            threshold = xp.reshape(threshold, by_cell)
        side_by_side = first_fit_groups(xp.stack(blocks, axis=-3), xp.reshape(cell, by_cell), threshold)
        return xp.reshape(side_by_side, correlation.shape[:-1])
    if not isinstance(threshold, float | int):
        threshold = threshold[..., None]
    conflict = (correlation >= threshold) & same_label(cell)
    return _fit_by_masks(conflict) if users <= BITS else _fit_by_rows(conflict)


@compiled("beams")
def matched_groups(
    effective: Array, cell: Array, threshold: Array, /, *, crowd: int | None
) -> tuple[Array, Array, Array]:
    """Correlation, groups and matched beams of users, as they follow from one another.

    :func:`.channel_correlation` (..., users, users) [-], :func:`first_fit_groups` (..., users) and :func:`.beams` of
    kind ``mrt`` (..., users, tx_antennas) [-], whose arguments these are (spec multicell 2.4, 3.2, 3.3).
    """
    correlation = channel_correlation(effective, cell, crowd=crowd)
    group = first_fit_groups(correlation, cell, threshold, crowd=crowd)
    return correlation, group, beams(effective, cell, group, precoder="mrt", crowd=crowd)


def _fit_by_masks(conflict: Array) -> Array:
    """First fit with the users of a group as bits of an integer: conflicts (..., users, users) to labels (..., users).

    A user fits where no bit of a group is among those that it conflicts with; users of other cells never are.
    """
    xp = array_namespace(conflict)
    users = conflict.shape[-1]
    bit = constant(tuple(1 << user for user in range(users)), conflict)
    enemies = xp.sum(xp.where(conflict, bit, xp.zeros_like(bit)), axis=-1)
    groups = xp.zeros((users, *enemies.shape[:-1]), dtype=xp.int64, device=device(conflict))
    number = xp.reshape(xp.arange(users, dtype=xp.int64, device=device(conflict)), (users, *(1,) * (enemies.ndim - 1)))
    chosen = []
    for user in range(users):
        free = (groups & enemies[None, ..., user]) == 0
        own = xp.argmax(xp.astype(free, xp.int8), axis=0)
        chosen.append(own)
        groups = groups | xp.where(number == own, bit[user], xp.zeros_like(bit[user]))
    return xp.stack(chosen, axis=-1)


def _fit_by_rows(conflict: Array) -> Array:
    """First fit of any number of users, as :func:`_fit_by_masks`."""
    xp = array_namespace(conflict)
    users = conflict.shape[-1]
    label = xp.arange(users, dtype=xp.int64, device=device(conflict))
    # `closed[u, k]`: some user already in group k of u's cell is too correlated with u.
    closed = xp.zeros(conflict.shape, dtype=xp.bool, device=device(conflict))
    chosen = []
    for user in range(users):
        own = xp.min(xp.where(closed[..., user, :], users, label), axis=-1, keepdims=True)
        chosen.append(own)
        closed = closed | (conflict[..., :, user, None] & (label == own)[..., None, :])
    return xp.concat(chosen, axis=-1)
