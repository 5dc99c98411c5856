"""Large-scale propagation: path loss."""

from __future__ import annotations

from math import log10, pi

from ..types import Array, array_namespace
from ..units import SPEED_OF_LIGHT


def path_loss_umi_db(distance: Array, /, *, carrier_hz: float) -> Array:
    r"""Line-of-sight path loss of a street canyon, 3GPP UMi.

    .. math:: PL(d) = 32.4 + 21 \log_{10} d + 20 \log_{10} f_\mathrm{GHz} \quad [\mathrm{dB}]

    Parameters
    ----------
    distance : Array, shape (...,)
        Distance between base station and user [m], positive.
    carrier_hz : float
        Carrier frequency [Hz]; the model is fitted from 0.5 to 100 GHz.

    Returns
    -------
    Array, shape (...,)
        Path loss [dB], without shadowing and oxygen absorption.

    References
    ----------
    3GPP TR 38.901 table 7.4.1-1; spec multicell 2.2.
    """
    xp = array_namespace(distance)
    return 32.4 + 21.0 * xp.log10(distance) + 20.0 * log10(carrier_hz / 1e9)


def free_space_gain(distance: Array, /, *, carrier_hz: float, absorption_db_km: float = 0.0) -> Array:
    r"""Power gain of a line of sight between isotropic antennas, with absorption by the air.

    .. math:: G(d) = \Big(\frac{\lambda}{4\pi d}\Big)^2\, 10^{-A d/10^4}, \qquad \lambda = c/f_c

    Parameters
    ----------
    distance : Array, shape (...,)
        Distance d [m], positive.
    carrier_hz : float
        Carrier frequency [Hz].
    absorption_db_km : float
        Absorption A [dB/km]; oxygen takes about 15 at 60 GHz.

    Returns
    -------
    Array, shape (...,)
        Received over transmitted power [-] (spec mesh 1.2).
    """
    wavelength = SPEED_OF_LIGHT / carrier_hz
    return (wavelength / (4.0 * pi * distance)) ** 2 * 10.0 ** (-absorption_db_km * distance / 1e4)
