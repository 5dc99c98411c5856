"""Total least squares ESPRIT for one receive antenna."""

from __future__ import annotations

from math import pi

from ...checks import require
from ...types import Array, array_namespace
from ..arrays import steering_vector
from .estimate import Estimate, report
from .pilots import Pilots, pathless, prepare


def esprit(received: Array, beams: Array | None, noise_power: Array, *, paths: int) -> Estimate:
    r"""Angles of departure from the shift invariance of the array (spec estimation 2.5).

    The conjugated data of a snapshot are :math:`\sum_l g_l^* a_M(v_l)` plus noise. Of the L dominant eigenvectors E of
    their covariance over the snapshots, averaged forward and backward, the rotation from the first M - 1 rows to the
    last M - 1, by total least squares, has the eigenvalues :math:`e^{j \pi v_l}`. The paper speaks of the angle of
    arrival; with one antenna at the user it is that of departure (spec estimation 5.22).

    Parameters
    ----------
    received, beams, noise_power
        As for :func:`~jcas_env.physics.estimation.ls.ls`, with one receive antenna and one pilot per antenna.
    paths : int
        L, less than M.

    Returns
    -------
    Estimate
        Gains by least squares with a relative cut-off of 1e-6 of the singular values [-].

    Raises
    ------
    ValueError
        More than one receive antenna, compressed pilots, or ``paths`` not below the number of antennas.
    """
    pilots = prepare(received, beams, noise_power, paths)
    require(pilots.rx_antennas == 1, f"`received` must have 1 receive antenna for esprit, got {pilots.rx_antennas}")
    require(pilots.beams is None, f"`beams` must be None or square for esprit, got {received.shape[-1]} pilots")
    ok = paths < pilots.tx_antennas
    require(ok, f"`paths` must be less than the {pilots.tx_antennas} antennas for esprit, got {paths}")
    return report(_estimate(pilots, paths), received.shape[:-3])


def _estimate(pilots: Pilots, paths: int) -> Estimate:
    xp = array_namespace(pilots.data)
    row = xp.matrix_transpose(pilots.data[:, 0, :, 0, :])  # (links, antennas, snapshots)
    aod = _rotation_angles(xp.conj(row), paths)
    response = xp.conj(xp.matrix_transpose(steering_vector(aod, antennas=pilots.tx_antennas)))
    gains = xp.linalg.pinv(response, rtol=1e-6) @ row
    channel = xp.matrix_transpose(response @ gains)[:, :, None]
    return pathless(channel, pilots, paths)._replace(
        aod_cos=aod,
        gains=xp.matrix_transpose(gains),
        active=xp.ones_like(aod, dtype=xp.bool),
    )


def _rotation_angles(x: Array, paths: int) -> Array:
    """Direction cosines (links, paths) of plane waves in the snapshots ``x`` (links, antennas, snapshots)."""
    xp = array_namespace(x)
    covariance = x @ xp.conj(xp.matrix_transpose(x))
    covariance = covariance + xp.flip(xp.conj(covariance), axis=(-2, -1))
    signal = xp.linalg.eigh(covariance)[1][..., -paths:]
    both = xp.concat([signal[..., :-1, :], signal[..., 1:, :]], axis=-1)
    null = xp.linalg.eigh(xp.conj(xp.matrix_transpose(both)) @ both)[1][..., :paths]
    rotation = -null[..., :paths, :] @ xp.linalg.pinv(null[..., paths:, :])
    value = xp.linalg.eigvals(rotation)
    angle = xp.atan2(xp.imag(value), xp.real(value)) / pi
    return xp.where(angle >= 1.0, -xp.ones_like(angle), angle)
