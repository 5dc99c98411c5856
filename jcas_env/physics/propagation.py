"""Large-scale propagation: path loss."""

from __future__ import annotations

from math import log10

from array_api_compat import array_namespace

from ..types import Array


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
