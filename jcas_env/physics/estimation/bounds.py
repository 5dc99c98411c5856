"""Cramér-Rao bounds of angles and channels, which no unbiased estimator beats, and the error of an estimate."""

from __future__ import annotations

from ...batching import rows, unrows
from ...checks import require
from ...types import Array, array_namespace, as_array
from .search.atoms import Aperture, diagonal, groups_first, jet_gram, projected_curvature
from .search.newton import ridge_floor

COINCIDENT = 1e-12
"""Relative lift of matrices that become singular where two paths coincide; more in single precision."""


def nmse(estimated: Array, channel: Array) -> Array:
    r"""Squared error of each link, :math:`\sum_t \lVert \hat H_t - H_t \rVert^2 / \sum_t \lVert H_t \rVert^2`.

    Both (..., snapshots, rx_antennas, tx_antennas) complex [-] -> (...,) [-]. The NMSE of a set of links is the mean of
    these ratios (spec estimation 1.8), which lies 0.2 to 0.3 dB above the ratio of the means.
    """
    xp = array_namespace(estimated, channel)
    return xp.sum(xp.abs(estimated - channel) ** 2, axis=(-3, -2, -1)) / _energy(channel)


def nmse_bound(channel: Array, noise_power: Array, *, paths: int) -> Array:
    r"""Least NMSE of an unbiased estimator of gains and angles, one pilot per antenna (spec estimation 1.9).

    .. math:: \frac{\sigma^2 (T L + n_a/2)}{\sum_t \lVert H_t \rVert^2}, \qquad
              n_a = L \text{ for } N = 1, \text{ else } 2 L

    ``channel`` (..., snapshots, rx_antennas, tx_antennas) complex, ``noise_power`` sigma^2 (...,) -> (...,), all [-].
    It counts the real unknowns; shrinkage may pass below it.
    """
    snapshots, rx = channel.shape[-3:-1]
    angles = paths if rx == 1 else 2 * paths
    return noise_power * (snapshots * paths + angles / 2) / _energy(channel)


def _energy(channel: Array) -> Array:
    xp = array_namespace(channel)
    return xp.sum(xp.abs(channel) ** 2, axis=(-3, -2, -1))


def angle_covariance_bound(
    aod_cos: Array,
    aoa_cos: Array,
    gains: Array,
    noise_power: Array,
    beams: Array | None = None,
    *,
    tx_antennas: int,
    rx_antennas: int,
    active: Array | None = None,
) -> Array:
    r"""Conditional Cramér-Rao bound of all direction cosines of a link, gains unknown (spec estimation 1.10).

    .. math:: \mathrm{CRB} = \frac{\sigma^2}{2} J^{-1}, \qquad
              J = \sum_t \operatorname{Re}\big(G_t^H D_t^H P^{\perp}_t D_t G_t\big)

    with D the derivatives of the atoms B, P_perp the projector onto the complement of B and G_t = diag(g_t, g_t).

    Parameters
    ----------
    aod_cos, aoa_cos : Array, shape (..., paths)
        Direction cosines v and w [-].
    gains : Array, shape (..., snapshots, paths), complex
        Gains g [-].
    noise_power : Array, shape (...,)
        sigma^2.
    beams : Array, shape (..., snapshots, tx_antennas, pilots), complex, or None
        Pilot beams; None for one pilot per antenna.
    tx_antennas, rx_antennas : int
        M, N.
    active : Array, shape (..., paths), bool, or None
        Paths that there are; None for all.

    Returns
    -------
    Array, shape (..., angles, angles)
        v of all paths, then w of all paths (only v for one receive antenna) [-]. For a single path and P = M the first
        entry is :math:`6 \sigma^2 / (\pi^2 (M^2-1) \sum_t |g_t|^2)`. Angles that the data do not determine, those of an
        inactive path among them, have infinite variance and no covariance.
    """
    xp = array_namespace(aod_cos, aoa_cos, gains)
    links, paths = aod_cos.shape[:-1], aod_cos.shape[-1]
    require(gains.shape[-1] == paths, f"`gains` must have {paths} paths, got shape {tuple(gains.shape)}")
    aperture = Aperture(tx_antennas, rx_antennas, rows(beams, links, 3))
    known = jet_gram(aperture, rows(aod_cos, links), rows(aoa_cos, links))
    on = xp.ones_like(aod_cos, dtype=xp.bool) if active is None else active
    g = groups_first(rows(gains, links), aperture.beams)
    inverse = unrows(_inverse(_angle_information(known, g, rows(on, links))), links)
    return 0.5 * as_array(noise_power, aod_cos)[..., None, None] * inverse


def _angle_information(known: Array, gains: Array, on: Array) -> Array:
    """J from the Gram matrices of atoms and derivatives; rows and columns of paths that are not ``on`` are zero."""
    xp = array_namespace(known)
    paths = on.shape[-1]
    there = xp.concat([on] * (known.shape[-1] // paths), axis=-1)[:, None]
    known = xp.where(there[..., :, None] & there[..., None, :], known, xp.zeros_like(known))
    # Absent paths get a unit of their own; the floor keeps coincident ones regular.
    lift = xp.where(on, _least(known), 1.0)[:, None]
    kernel = known[..., :paths, :paths] + diagonal(xp.astype(lift, known.dtype))
    return projected_curvature(known, xp.linalg.solve(kernel, known[..., :paths, paths:]), gains)


def _inverse(information: Array) -> Array:
    """Inverse of J; infinite variance and no covariance for what has no information."""
    xp = array_namespace(information)
    own = xp.linalg.diagonal(information)
    seen = own > 0
    # The curvatures in v and w differ by orders of magnitude: invert at unit diagonal.
    scale = xp.where(seen, 1.0 / xp.sqrt(xp.where(seen, own, 1.0)), 0.0)
    scale = scale[..., :, None] * scale[..., None, :]
    lift = xp.astype(xp.where(seen, _least(information), 1.0), own.dtype)
    inverse = scale * xp.linalg.inv(scale * information + diagonal(lift))
    return xp.where(diagonal(xp.astype(~seen, own.dtype)) > 0, xp.inf, inverse)


def _least(like: Array) -> float:
    return max(COINCIDENT, ridge_floor(like))
