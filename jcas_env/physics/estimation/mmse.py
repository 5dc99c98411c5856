"""Linear minimum mean square error with the covariance of the angle law."""

from __future__ import annotations

from math import pi
from typing import Literal, get_args

from ...checks import require
from ...types import Array, array_namespace, device
from .estimate import Estimate, report
from .pilots import Pilots, pathless, prepare

AngleLaw = Literal["theta", "cosine"]
"""Which of angle and direction cosine is uniform."""


def angle_covariance(like: Array, antennas: int, law: AngleLaw = "theta") -> Array:
    r"""Covariance of the entries of :math:`\sqrt{M} a_M` over the angle law, (antennas, antennas) [-].

    .. math:: R_{mm'} = J_0(\pi (m - m')) = \frac{1}{\pi} \int_0^{\pi} \cos(\pi (m-m') \cos\theta)\, d\theta

    for theta uniform, the identity for its cosine uniform. The integrand is periodic, so the midpoint sum converges
    faster than any power once its step resolves the fastest oscillation; dtype and device are those of the real
    array ``like`` (spec estimation 2.3).
    """
    xp = array_namespace(like)
    kind = {"dtype": like.dtype, "device": device(like)}
    if law == "cosine":
        return xp.eye(antennas, **kind)
    points = 4 * antennas + 32
    angle = (xp.arange(points, **kind) + 0.5) * (pi / points)
    by_lag = xp.mean(xp.cos(pi * xp.arange(antennas, **kind)[:, None] * xp.cos(angle)), axis=-1)
    element = xp.arange(antennas, device=device(like))
    lag = xp.abs(element[:, None] - element[None, :])
    return xp.reshape(xp.take(by_lag, xp.reshape(lag, (-1,))), (antennas, antennas))


def mmse(
    received: Array, beams: Array | None, noise_power: Array, *, paths: int, angle_law: AngleLaw = "theta"
) -> Estimate:
    r"""Linear MMSE estimate under :math:`h \sim \mathcal{CN}(0, R_M \otimes R_N)` (spec estimation 2.3).

    .. math:: \hat h = R\, \Phi^H (\Phi R\, \Phi^H + \sigma^2 I)^{-1} y, \qquad
              \Phi R\, \Phi^H = (F^T R_M F^*) \otimes R_N = (V \Gamma V^H) \otimes (U \Lambda U^T)

    The two small eigendecompositions replace the inverse of a PN x PN matrix: the data are rotated, divided by
    :math:`\lambda_n \gamma_p + \sigma^2` and rotated back.

    Parameters
    ----------
    received, beams, noise_power, paths
        As for :func:`~jcas_env.physics.estimation.ls.ls`; links are scaled to E|H_nm|^2 = 1.
    angle_law : {"theta", "cosine"}
        Prior law of the angles: theta uniform on [0, pi), or its cosine uniform on [-1, 1).

    Returns
    -------
    Estimate
        Without paths.
    """
    require(angle_law in get_args(AngleLaw), f"`angle_law` must be one of {get_args(AngleLaw)}, got {angle_law!r}")
    pilots = prepare(received, beams, noise_power, paths)
    return report(pathless(_wiener(pilots, angle_law), pilots, paths), received.shape[:-3])


def _wiener(pilots: Pilots, angle_law: AngleLaw) -> Array:
    xp = array_namespace(pilots.data)
    real, kind = pilots.noise_power, pilots.data.dtype
    r_tx, r_rx = (
        xp.astype(angle_covariance(real, size, angle_law), kind) for size in (pilots.tx_antennas, pilots.rx_antennas)
    )
    back = r_tx if pilots.beams is None else xp.conj(xp.matrix_transpose(pilots.beams)) @ r_tx
    seen = r_tx if pilots.beams is None else back @ pilots.beams
    # back = F^H R and seen = F^H R F are the conjugates of what the formula names; R is real.
    gamma, v = xp.linalg.eigh(seen)
    value, u = xp.linalg.eigh(r_rx)
    gamma, back, v = (x if pilots.beams is not None else x[None, None] for x in (gamma, back, v))
    rotated = xp.matrix_transpose(u) @ pilots.data @ v[:, :, None]
    level = value[:, None] * gamma[:, :, None, None, :] + pilots.noise_power[:, None, None, None, None]
    x = (u * value) @ (rotated / level) @ xp.conj(xp.matrix_transpose(v))[:, :, None] @ back[:, :, None]
    return xp.reshape(x, (x.shape[0], pilots.snapshots, pilots.rx_antennas, pilots.tx_antennas))
