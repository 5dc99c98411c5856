"""Multipath MIMO channels from path gains and angles."""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

from ..batching import small_product
from ..compiled.dispatch import compiled
from ..types import Array, array_namespace
from .arrays import steering_vector, turned


class PathChannel(NamedTuple):
    r"""Channels as sums of plane waves, :math:`H = \sum_l g_l\, a_N(w_l)\, a_M(v_l)^H` (luo2023 eq. 4).

    A link of L paths says all that follows from its N x M matrix, in fewer numbers.
    """

    gains: Array
    """(..., paths) complex: g [-]."""
    aod_cos: Array
    """(..., paths): direction cosines v of departure [-]."""
    arrival: Array
    """(..., paths, rx_antennas) complex: steering vectors a_N(w) [-]."""
    departure: Array
    """(..., paths, tx_antennas) complex: conjugate steering vectors a_M(v)^* [-]."""

    @property
    def matrix(self) -> Array:
        """(..., rx_antennas, tx_antennas) complex: the matrices H [-]."""
        return steered_channels(self.gains[..., None, :], self.arrival, self.departure)[..., 0, :, :]

    def behind(self, combiner: Array) -> Array:
        """Channels behind combiners, (..., cells, users, tx_antennas) complex: :func:`behind_combiner` [-]."""
        return behind_combiner(self, combiner)


@compiled("beams")
def behind_combiner(channel: PathChannel, combiner: Array, /) -> Array:
    r"""Channels behind combiners w, :math:`H^H w = \sum_l (g_l\, w^H a_N(w_l))^* a_M(v_l)`.

    ``combiner`` (..., users, rx_antennas) for links (..., cells, users) -> (..., cells, users, tx_antennas), as
    :func:`.beamforming.effective_channel` of the matrices [-] (spec multicell 2.4).
    """
    xp = array_namespace(channel.gains, combiner)
    heard = channel.gains * small_product(channel.arrival, xp.conj(combiner)[..., None, :, :, None])[..., 0]
    return xp.conj(small_product(heard[..., None, :], channel.departure)[..., 0, :])


def path_gains(
    los_phase: Array, scatter: Array, path_loss_db: Array, /, *, antennas: int, rician_factor: float | None
) -> Array:
    r"""Complex gains of the paths of a link, line of sight first.

    .. math:: g_0 = 10^{-PL/20} \sqrt{MN}\, \sqrt{\tfrac{K}{K+1}}\; e^{j\varphi}, \qquad
              g_l = 10^{-PL/20} \sqrt{MN}\, \sqrt{\tfrac{1}{(K+1)(L-1)}}\; s_l

    Parameters
    ----------
    los_phase : Array, shape (...,)
        Phase of the line of sight [rad].
    scatter : Array, shape (..., paths) or (..., paths - 1), complex
        Small-scale fading, CN(0, 1) in each entry: of the scattered paths, or of all paths where
        ``rician_factor`` is None.
    path_loss_db : Array, shape (...,)
        Path loss [dB].
    antennas : int
        M N, the number of entries of the channel matrix: steering vectors have unit norm, so this factor
        restores the array gain that luo2023 eq. 4 lacks (spec multicell 5.1).
    rician_factor : float or None
        K, power of the line of sight over that of all scattered paths [-]. None: every path, path 0
        included, is CN(0, 1/L), luo2023 eq. 4 to the letter (spec multicell 5.27); the phase is unused.

    Returns
    -------
    Array, shape (..., paths), complex
        Amplitude gains, so that ``E ||H||_F^2 = M N 10^(-PL/10)`` [-].
    """
    xp = array_namespace(los_phase, scatter, path_loss_db)
    amplitude = (10.0 ** (-path_loss_db / 20.0) * sqrt(antennas))[..., None]
    if rician_factor is None:
        return amplitude * scatter / sqrt(scatter.shape[-1])
    los = sqrt(rician_factor / (rician_factor + 1.0)) * turned(los_phase[..., None])
    scattered = scatter / sqrt((rician_factor + 1.0) * max(scatter.shape[-1], 1))
    return amplitude * xp.concat([los, scattered], axis=-1)


def multipath_channel(gains: Array, aoa_cos: Array, aod_cos: Array, /, *, rx_antennas: int, tx_antennas: int) -> Array:
    r"""Channel matrix of a sum of plane waves.

    .. math:: H = \sum_l g_l\, a_N(w_l)\, a_M(v_l)^H

    Parameters
    ----------
    gains : Array, shape (..., paths), complex
        Path gains [-].
    aoa_cos, aod_cos : Array, shape (..., paths)
        Direction cosines of arrival w and departure v [-].
    rx_antennas, tx_antennas : int
        N at the user, M at the base station [-].

    Returns
    -------
    Array, shape (..., rx_antennas, tx_antennas), complex
        Amplitude ratio [-] (luo2023 eq. 4, spec multicell 2.2).
    """
    several = snapshot_channels(gains[..., None, :], aoa_cos, aod_cos, rx_antennas=rx_antennas, tx_antennas=tx_antennas)
    return several[..., 0, :, :]


def snapshot_channels(gains: Array, aoa_cos: Array, aod_cos: Array, /, *, rx_antennas: int, tx_antennas: int) -> Array:
    """Channel matrices of several snapshots that share their angles, as :func:`multipath_channel`.

    Parameters
    ----------
    gains : Array, shape (..., snapshots, paths), complex
        Path gains [-].
    aoa_cos, aod_cos : Array, shape (..., paths)
        Direction cosines of arrival and departure [-].
    rx_antennas, tx_antennas : int
        N at the user, M at the base station [-].

    Returns
    -------
    Array, shape (..., snapshots, rx_antennas, tx_antennas), complex
        Amplitude ratio [-]; one matrix product per link, for all snapshots together (spec estimation 1.1).
    """
    rx = steering_vector(aoa_cos, antennas=rx_antennas)
    tx = steering_vector(-aod_cos, antennas=tx_antennas)  # the conjugate
    return steered_channels(gains, rx, tx)


def steered_channels(gains: Array, arrival: Array, departure: Array, /) -> Array:
    r"""Channel matrices of :func:`snapshot_channels` whose steering vectors are at hand.

    ``gains`` (..., snapshots, paths) [-]; ``arrival`` :math:`a_N(w_l)` (..., paths, rx_antennas) and ``departure``
    :math:`a_M(v_l)^* = a_M(-v_l)` (..., paths, tx_antennas), complex [-] -> (..., snapshots, rx_antennas, tx_antennas)
    [-] (spec multicell 2.2).
    """
    xp = array_namespace(gains, arrival, departure)
    received = gains[..., :, None, :] * xp.matrix_transpose(arrival)[..., None, :, :]
    *links, snapshots, rx_antennas, paths = received.shape
    channels = small_product(xp.reshape(received, (*links, snapshots * rx_antennas, paths)), departure)
    return xp.reshape(channels, (*channels.shape[:-2], snapshots, rx_antennas, departure.shape[-1]))
