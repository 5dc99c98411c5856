r"""Receive combiners of channels that are sums of few paths: nothing of the size of a channel matrix is made.

With the paths of a link in :math:`B = (g_1 a_N(w_1), \dots)` and :math:`K_{lm} = a_M(v_l)^H a_M(v_m)`,

.. math:: H H^H = B\, K^*\, B^H,

and K is real where the phase reference is the centroid (:func:`.steering_correlation`): it follows from differences of
direction cosines, whatever the number of antennas.
"""

from __future__ import annotations

from itertools import combinations

from ...compiled.dispatch import compiled
from ...types import Array, array_namespace
from ..arrays import steering_correlation
from ..channel import PathChannel
from .eigenvectors import strongest_over_noise_last
from .small_matrices import batch_first


def path_gram_last(beams: Array, aod_cos: Array, /, *, tx_antennas: int) -> Array:
    r"""Gram matrices :math:`H H^H` of links, batch axes last.

    ``beams`` B (paths, rx_antennas, ...) complex of any unit, ``aod_cos`` v (paths, ...) [-] ->
    (rx_antennas, rx_antennas, ...) Hermitian, in the square of that unit (spec multicell 2.3).
    """
    xp = array_namespace(beams, aod_cos)
    paths = range(beams.shape[0])
    mixed = [beams[path, ...] for path in paths]  # becomes K B^T
    for one, other in combinations(paths, 2):
        (alike,) = steering_correlation(aod_cos[one, ...] - aod_cos[other, ...], antennas=tx_antennas)
        mixed[one] = mixed[one] + alike * beams[other, ...]
        mixed[other] = mixed[other] + alike * beams[one, ...]
    parts = [mixed[path][:, None, ...] * xp.conj(beams[path, ...])[None, ...] for path in paths]
    return sum(parts[1:], parts[0])


@compiled("combiners")
def gev_combiner_of_paths(channel: PathChannel, /, *, crowd: int, power: float, noise_power: float) -> Array:
    """Combiner :func:`.beamforming.gev_combiner` of at most four antennas where every cell serves as many users.

    Parameters
    ----------
    channel : PathChannel
        Of every station to every user, (..., cells, users); users stand in the order of their cells.
    crowd : int
        Users of each cell.
    power, noise_power : float
        Power of a base station and noise power at the user [W].

    Returns
    -------
    Array, shape (..., users, rx_antennas), complex
        Of any norm; that of a user whose serving link is zero is arbitrary [-] (spec multicell 2.3).
    """
    xp = array_namespace(channel.gains)
    *batch, cells, users, paths = channel.gains.shape
    rx, tx = channel.arrival.shape[-1], channel.departure.shape[-1]
    split = (-1, cells, cells, crowd)  # lanes, station, serving cell, user of the cell
    gains, cosine = (xp.reshape(xp.moveaxis(part, -1, 0), (paths, *split)) for part in (channel.gains, channel.aod_cos))
    # Powers of noise are one where interference is measured; any scale does for the signal.
    arrival = xp.reshape(xp.moveaxis(channel.arrival, (-2, -1), (0, 1)), (paths, rx, *split))
    beams = ((power / tx) ** 0.5 * gains / noise_power**0.5)[:, None, ...] * arrival
    gram = path_gram_last(beams, cosine, tx_antennas=tx)
    noise, signal = [], []
    for cell in range(cells):
        others = [gram[:, :, :, station, cell, :] for station in range(cells) if station != cell]
        signal.append(gram[:, :, :, cell, cell, :])
        noise.append(sum(others[1:], others[0]) if others else xp.zeros_like(signal[-1]))
    flat = (rx, rx, -1)
    vector = strongest_over_noise_last(
        xp.reshape(xp.stack(signal, axis=-2), flat), xp.reshape(xp.stack(noise, axis=-2), flat)
    )
    return batch_first(vector, (*batch, users))
