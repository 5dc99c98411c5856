"""Gains of paths whose angles are known: the cheap update between two angle estimates."""

from __future__ import annotations

from ...batching import rows
from ...compiled.dispatch import compiled
from ...types import Array, array_namespace, as_array, surely_all
from ..arrays import steering_vector
from ..channel import steered_channels
from .estimate import Estimate, report, without_paths
from .pilots import identifiable, prepare
from .search.atoms import Aperture, columns, correlation, departure_factor, diagonal, project, snapshots_first, solve
from .search.newton import jitter


def gains_on_known_angles(
    received: Array,
    beams: Array | None,
    noise_power: Array,
    aod_cos: Array,
    aoa_cos: Array,
    active: Array | None = None,
    *,
    ridge: Array | float | None = None,
) -> Estimate:
    r"""Least squares for the gains, :math:`g_t = (B_t^H B_t + \rho I)^{-1} B_t^H y_t` (spec estimation 8.5).

    Parameters
    ----------
    received : Array, shape (..., snapshots, rx_antennas, pilots), complex
        Pilot data Z [-].
    beams : Array, shape (..., snapshots, tx_antennas, pilots), complex, or None
        Pilot beams F; None for one pilot per antenna.
    noise_power : Array, shape (...,)
        sigma^2; enters the variances and the estimate of links without a path.
    aod_cos, aoa_cos : Array, shape (..., paths)
        Direction cosines v and w [-].
    active : Array, shape (..., paths), bool, or None
        Paths to use; None for all.
    ridge : float or Array, shape (...,), or None
        rho; None: :func:`.jitter`, which keeps the Gram matrix regular where paths coincide. ``sigma^2 L/(M N)``, the
        inverse of the prior power of a gain, makes it the MMSE estimate of a genie that knows the angles.

    Returns
    -------
    Estimate
        At the given angles. With exact angles and no ridge the error of the channel is
        :math:`\sigma^2 \operatorname{tr}((B^H B)^{-1} A^H A)` per snapshot, A the unprojected atoms. A link without
        an active path carries :math:`Z F^H/(1 + \sigma^2)`.
    """
    xp = array_namespace(received)
    paths, links = aod_cos.shape[-1], received.shape[:-3]
    pilots = prepare(received, beams, noise_power, paths)
    aod, aoa, on = (rows(part, links, 1) for part in (aod_cos, aoa_cos, active))
    on = xp.ones_like(aod, dtype=xp.bool) if active is None else on
    rho = rows(as_array(jitter(aod) if ridge is None else ridge, aod), links, 0)[:, None]
    gains, spread, channel = fitted_gains(pilots.data, pilots.beams, aod, aoa, on, rho)
    estimate = Estimate(
        channel=channel,
        aod_cos=aod,
        aoa_cos=aoa,
        gains=gains,
        active=on,
        ok=pilots.ok,
        identifiable=identifiable(pilots, paths),
        variance=pilots.noise_power[:, None] * spread,
        iterations=xp.zeros_like(pilots.ok, dtype=xp.int64),
    )
    if not surely_all(on):
        estimate = without_paths(estimate, pilots.matrices, pilots.noise_power)
    return report(estimate, links)


@compiled("known_angles")
def fitted_gains(
    data: Array, beams: Array | None, aod: Array, aoa: Array, on: Array, rho: Array, /
) -> tuple[Array, Array, Array]:
    """Gains of flat links at known angles, and the channels that they make, complex [-] (spec estimation 8.5).

    ``data`` and ``beams`` as in :class:`.pilots.Pilots`; ``aod``, ``aoa`` and ``on``, which paths are used, (links,
    paths); ``rho`` (links, 1) [-]. Returns gains (links, snapshots, paths), the diagonal of (B^H B + rho I)^-1,
    (links, paths), and channels (links, snapshots, rx_antennas, tx_antennas).
    """
    xp = array_namespace(data)
    aperture = Aperture(data.shape[4] if beams is None else beams.shape[2], data.shape[3], beams)
    rx, tx = steering_vector(aoa, antennas=aperture.rx_antennas), steering_vector(aod, antennas=aperture.tx_antennas)
    seen = (departure_factor(beams, tx), rx[:, None])
    paths, angles = aod.shape[-1], (aod, aoa)
    matched = columns(project(data, *seen), beams)
    matched = xp.where(on[:, None, :, None], matched, xp.zeros_like(matched))
    gram = correlation(aperture, angles, angles, seen)
    # A path that is not used gets a unit of its own: its gain is 0, and the others do not notice.
    pair = (on[:, :, None] & on[:, None, :])[:, None]
    lift = xp.astype(rho + xp.where(on, xp.zeros_like(aod), xp.ones_like(aod)), gram.dtype)
    k = xp.where(pair, gram, xp.zeros_like(gram)) + diagonal(lift)[:, None]
    identity = xp.broadcast_to(diagonal(xp.ones_like(k[0, 0, 0])), k.shape)
    solved = solve(k, xp.concat([matched, identity], axis=-1))
    spread = xp.mean(xp.real(xp.linalg.diagonal(solved[..., -paths:])), axis=1)
    gains = snapshots_first(solved[..., :-paths])
    return gains, spread, steered_channels(gains, rx, xp.conj(tx))
