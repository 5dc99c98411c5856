"""Statistical stand-in for SPOMP: the truth plus errors drawn from the Bayesian angle bound. For training loops."""

from __future__ import annotations

from typing import NamedTuple

from ...batching import rows, unrows
from ...checks import require
from ...types import Array, array_namespace, as_array, device
from ..channel import snapshot_channels
from .estimate import Estimate, report, without_paths
from .pilots import RELATIVE_NOISE_FLOOR
from .search.atoms import (
    Aperture,
    correlation,
    diagonal,
    groups_first,
    jet_gram,
    over_groups,
    path_power,
    projected_curvature,
    snapshots_first,
)
from .search.newton import jitter, ridge_floor, wrap
from .spomp import detection_level


class TruePaths(NamedTuple):
    """True paths of a flat batch of links; bad links hold harmless numbers."""

    aod_cos: Array
    """(links, paths)"""
    aoa_cos: Array
    """(links, paths)"""
    gains: Array
    """(links, groups, paths, columns), see :mod:`.atoms`"""
    noise_power: Array
    """(links,)"""
    ridge: Array
    """(links, paths): Lambda"""
    strongest: Array
    """(links,): power of the strongest path"""
    ok: Array
    """(links,) bool"""


def crb_normals(*, paths: int, snapshots: int, tx_antennas: int, rx_antennas: int) -> int:
    """Number of standard normal numbers that :func:`crb` uses per link, a scalar [-]: ``2 L + 2 T L + 2 T N M``.

    For the angles, the gains and the channel of a link without a path (spec estimation 7, steps 4, 5 and 7).
    """
    return 2 * paths + 2 * snapshots * (paths + tx_antennas * rx_antennas)


def crb(
    aod_cos: Array,
    aoa_cos: Array,
    gains: Array,
    noise_power: Array,
    normals: Array,
    *,
    tx_antennas: int,
    rx_antennas: int,
    beams: Array | None = None,
    pfa: float | None = 1e-3,
    last: bool = False,
) -> Estimate:
    r"""Draw an estimate with the errors that SPOMP makes, without data and without a search (spec estimation 7).

    .. math:: (v', w') = (v, w) + C^{-T} n, \qquad J = C C^T, \qquad
              g'_t = (B'^H B' + \Lambda)^{-1} \big(B'^H B g_t + \sigma C_2 n'_t\big), \qquad B'^H B' = C_2 C_2^H

    with the information J of :func:`angle_information_matrix`,
    :math:`\Lambda = 0.1 \sigma^2 \operatorname{diag}(1/p_l)`, p_l the mean power of a path, and B' the atoms at the
    drawn angles. Errors are joint over all angles of a link, and the channel is rebuilt from the drawn paths: its error
    has the structure that combiners and beams meet in practice. The part of the noise that moves the angles and the
    part that moves the gains are independent, hence so are the draws.

    Parameters
    ----------
    aod_cos, aoa_cos : Array, shape (..., paths)
        True direction cosines [-].
    gains : Array, shape (..., snapshots, paths), complex
        True gains, links scaled to E|H_nm|^2 = 1 [-].
    noise_power : Array, shape (...,)
        sigma^2 of a complex measurement.
    normals : Array, shape (..., count)
        Standard normal numbers, ``count`` from :func:`crb_normals`: for the angles, for the gains, and for the channel
        of links in which no path is detected.
    tx_antennas, rx_antennas : int
        M, N.
    beams : Array, shape (..., snapshots, tx_antennas, pilots), complex, or None
        Pilot beams; None for one pilot per antenna.
    pfa : float or None
        False-alarm probability of the detection, as for :func:`~jcas_env.physics.estimation.spomp.spomp`.
    last : bool
        Whether the channel of the last snapshot alone is written down.

    Returns
    -------
    Estimate
        Within 0.5 dB of the NMSE of SPOMP from 5 dB up; below 0 dB no accuracy is claimed. A link without a detected
        path carries :math:`(H + \sigma n)/(1 + \sigma^2)`.
    """
    xp = array_namespace(aod_cos, gains, normals)
    links, paths, snapshots = aod_cos.shape[:-1], aod_cos.shape[-1], gains.shape[-2]
    count = crb_normals(paths=paths, snapshots=snapshots, tx_antennas=tx_antennas, rx_antennas=rx_antennas)
    shape = (*links, count)
    require(normals.shape == shape, f"`normals` must have shape {tuple(shape)}, got {tuple(normals.shape)}")
    normals = rows(normals, links)
    aperture = Aperture(tx_antennas, rx_antennas, rows(beams, links, 3))
    truth = _paths(aperture, aod_cos, aoa_cos, gains, noise_power)
    cut = (2 * paths, 2 * paths * (1 + snapshots))
    aod, aoa = _angles(aperture, truth, normals[:, : cut[0]])
    drawn, spread = _gains(aperture, truth, (aod, aoa), normals[:, cut[0] : cut[1]])
    found = truth.ok
    if pfa is not None:
        level = detection_level(tx_antennas * rx_antennas, snapshots, pfa) - 1.0
        found = found & (truth.strongest >= level * truth.noise_power)
    written = slice(snapshots - 1 if last else 0, None)
    size = {"rx_antennas": rx_antennas, "tx_antennas": tx_antennas}
    estimate = Estimate(
        channel=snapshot_channels(drawn[:, written, :], aoa, aod, **size),
        aod_cos=aod,
        aoa_cos=aoa,
        gains=drawn,
        active=xp.broadcast_to(found[:, None], aod.shape),
        ok=truth.ok,
        identifiable=xp.ones_like(truth.ok),
        variance=truth.noise_power[:, None] * spread,
        iterations=xp.zeros_like(truth.ok, dtype=xp.int64),
    )
    if not bool(xp.all(found)):
        true = snapshots_first(truth.gains)[:, written, :]
        clean = snapshot_channels(true, truth.aoa_cos, truth.aod_cos, **size)
        white = _complex_normal(normals[:, cut[1] :], (snapshots, rx_antennas, tx_antennas))[:, written, ...]
        estimate = without_paths(estimate, clean + _column(xp.sqrt(truth.noise_power)) * white, truth.noise_power)
    return report(estimate, links)


def angle_information_matrix(
    aod_cos: Array,
    aoa_cos: Array,
    gains: Array,
    noise_power: Array,
    *,
    tx_antennas: int,
    rx_antennas: int,
    beams: Array | None = None,
) -> Array:
    r"""Bayesian information of the direction cosines of a link, whose inverse is the covariance that :func:`crb` draws.

    .. math:: J = \frac{2}{\sigma^2} \operatorname{Re} \sum_t
              G_t^H \big[D^H D - D^H B (B^H B + \Lambda)^{-1} B^H D\big] G_t
              + \operatorname{diag}\big((2M)^2, (2N)^2\big)

    The prior, of standard deviation 0.5/M and 0.5/N, is the step limit of SPOMP: without it two close paths would be
    moved apart by many beam widths.

    Returns
    -------
    Array, shape (..., angles, angles)
        v of all paths, then w of all paths (only v for one receive antenna) [-] (spec estimation 7, step 3). Parameters
        as for :func:`crb`.
    """
    links = aod_cos.shape[:-1]
    aperture = Aperture(tx_antennas, rx_antennas, rows(beams, links, 3))
    return unrows(_information(aperture, _paths(aperture, aod_cos, aoa_cos, gains, noise_power)), links)


def _column(values: Array) -> Array:
    """Values per link (links,) against (links, snapshots, rx_antennas, tx_antennas) or Gram matrices."""
    return values[:, None, None, None]


def _white(normals: Array, like: Array) -> Array:
    """CN(0, 1) samples as columns of the shape and kind, real or complex, of ``like`` (see :mod:`.atoms`)."""
    if array_namespace(normals).isdtype(like.dtype, "real floating"):
        return array_namespace(normals).reshape(normals * 0.5**0.5, like.shape)
    return _complex_normal(normals, like.shape[1:])


def _complex_normal(normals: Array, shape: tuple[int, ...]) -> Array:
    """CN(0, 1) samples (links, *shape) from twice as many standard normal numbers."""
    xp = array_namespace(normals)
    half = normals.shape[-1] // 2
    return xp.reshape((normals[:, :half] + 1j * normals[:, half:]) * 0.5**0.5, (-1, *shape))


def _paths(aperture: Aperture, aod_cos: Array, aoa_cos: Array, gains: Array, noise_power: Array) -> TruePaths:
    """Check, flatten, and replace bad links by harmless numbers."""
    xp = array_namespace(aod_cos, aoa_cos, gains)
    paths = aod_cos.shape[-1]
    same = aoa_cos.shape == aod_cos.shape and gains.shape[:-2] == aod_cos.shape[:-1] and gains.shape[-1] == paths
    require(
        same,
        f"`gains` must have shape (..., snapshots, paths) for `aod_cos` and `aoa_cos` (..., paths), got "
        f"{tuple(gains.shape)}, {tuple(aod_cos.shape)} and {tuple(aoa_cos.shape)}",
    )
    links = aod_cos.shape[:-1]
    noise = rows(as_array(noise_power, aod_cos), links, 0)
    require(not bool(xp.any(~(noise >= 0.0))), "`noise_power` must not be negative or NaN")
    v, w, g = (rows(part, links) for part in (aod_cos, aoa_cos, gains))
    g = groups_first(g, aperture.beams)
    power = path_power(g, gains.shape[-2])
    strongest = xp.max(power, axis=-1)
    ok = xp.isfinite(xp.sum(power + v + w, axis=-1) + noise) & (strongest > 0.0)
    if not bool(xp.all(ok)):
        v, w, power = (xp.where(ok[:, None], x, xp.ones_like(x)) for x in (v, w, power))
        g = xp.where(_column(ok), g, xp.ones_like(g))
        noise, strongest = (xp.where(ok, x, xp.ones_like(x)) for x in (noise, strongest))
    noise = xp.maximum(noise, RELATIVE_NOISE_FLOOR * strongest)
    ridge = (0.1 * noise[:, None]) / xp.maximum(power, 1e-12 * strongest[:, None]) + jitter(noise)
    return TruePaths(v, w, g, noise, ridge, strongest, ok)


def _information(aperture: Aperture, truth: TruePaths) -> Array:
    """J of :func:`angle_information_matrix`, (links, angles, angles)."""
    xp = array_namespace(truth.ridge)
    paths = truth.ridge.shape[-1]
    known = jet_gram(aperture, truth.aod_cos, truth.aoa_cos)
    ridge = diagonal(xp.astype(truth.ridge, known.dtype, copy=False))[:, None]
    pulled = xp.linalg.solve(known[..., :paths, :paths] + ridge, known[..., :paths, paths:])
    curvature = projected_curvature(known, pulled, truth.gains)
    sides = aperture[:1] if aperture.rx_antennas == 1 else aperture[:2]
    prior = xp.asarray(
        [4.0 * size**2 for size in sides for _ in range(paths)], dtype=curvature.dtype, device=device(curvature)
    )
    return (2.0 / truth.noise_power)[:, None, None] * curvature + diagonal(prior)


def _angles(aperture: Aperture, truth: TruePaths, normals: Array) -> tuple[Array, Array]:
    """Angles with joint errors of covariance 1/J."""
    xp = array_namespace(normals)
    paths = truth.ridge.shape[-1]
    j = _information(aperture, truth)
    if (rounding := ridge_floor(j)) > 1e-9:  # in double precision the prior is regular enough
        j = j + diagonal(rounding * xp.linalg.diagonal(j))
    root = xp.linalg.cholesky(j)
    draw = normals[:, : root.shape[-1], None]
    error = xp.linalg.solve(xp.matrix_transpose(root), draw)[..., 0]
    aod = wrap(truth.aod_cos + error[:, :paths])
    return aod, truth.aoa_cos if aperture.rx_antennas == 1 else wrap(truth.aoa_cos + error[:, paths:])


def _gains(aperture: Aperture, truth: TruePaths, angles: tuple[Array, Array], normals: Array) -> tuple[Array, Array]:
    """Least-squares gains at the drawn angles (links, snapshots, paths), and the diagonal of their inverse matrix."""
    xp = array_namespace(normals)
    paths = truth.ridge.shape[-1]
    both = [xp.concat([drawn, true], axis=-1) for drawn, true in zip(angles, truth[:2], strict=True)]
    inner = correlation(aperture, angles, (both[0], both[1]))
    k, cross = inner[..., :paths], inner[..., paths:]
    root = xp.linalg.cholesky(k + jitter(k) * xp.eye(paths, dtype=k.dtype, device=device(k)))
    seen = cross @ truth.gains + root @ (_column(xp.sqrt(truth.noise_power)) * _white(normals, truth.gains))
    ridge = diagonal(xp.astype(truth.ridge, k.dtype, copy=False))[:, None]
    inverse = xp.linalg.inv(k + ridge)
    return snapshots_first(inverse @ seen), over_groups(xp.real(xp.linalg.diagonal(inverse))) / inverse.shape[1]
