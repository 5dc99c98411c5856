r"""Pilot measurements: what the air delivers, and the form in which the estimators read it.

The model (spec estimation 1, luo2023 eqs. 2-4 with the repairs of spec estimation 5): in snapshot t of a link

.. math:: Z_t = H_t F_t + \text{noise}, \qquad H_t = \sum_l g_{tl}\, a_N(w_l)\, a_M(v_l)^H, \qquad F_t^H F_t = I

with M transmit and N receive antennas, P pilot beams and white noise of variance sigma^2 per complex entry.
"""

from __future__ import annotations

from math import pi, prod
from typing import NamedTuple

from ...batching import blocks, joined, rows, small_product, unrows
from ...checks import require
from ...compiled.dispatch import compiled
from ...types import Array, array_namespace, at_hand, device
from ..channel import PathChannel, steered_channels
from .estimate import Estimate
from .search.atoms import Aperture

LINKS_AT_ONCE = 216
"""Links whose pilots are received at a time."""

RELATIVE_NOISE_FLOOR = 1e-12
"""Least noise power, as a fraction of the mean power of the data (spec estimation 6.9)."""


def pilot_beams(column: Array, phase: Array) -> Array:
    r"""Random constant-modulus pilot beams: columns of a DFT matrix behind one random phase per antenna.

    .. math:: F_{mp} = \frac{1}{\sqrt{M}}\, e^{j \phi_m}\, e^{-2 \pi j\, m\, c_p / M}

    Parameters
    ----------
    column : Array, shape (..., pilots), integer
        Distinct columns c of the DFT matrix, 0 .. M - 1.
    phase : Array, shape (..., tx_antennas)
        Phases phi [rad].

    Returns
    -------
    Array, shape (..., tx_antennas, pilots), complex
        Orthonormal columns, every entry of modulus 1/sqrt(M) (spec estimation 1.5).
    """
    xp = array_namespace(column, phase)
    antennas = phase.shape[-1]
    # One exponential an antenna: the columns of the DFT matrix are looked up.
    element = xp.arange(antennas, dtype=phase.dtype, device=device(phase))
    dft = xp.exp(-2j * pi / antennas * (element[:, None] * element)) / antennas**0.5
    columns = xp.reshape(xp.take(dft, xp.reshape(column, (-1,)), axis=0), (*column.shape, antennas))
    return xp.matrix_transpose(columns * xp.exp(1j * phase)[..., None, :])


@compiled("pilots")
def drawn_beams(order: Array, turns: Array, /, *, pilots: int) -> Array:
    """:func:`pilot_beams` of uniforms: the least ``pilots`` of ``order`` pick the columns, ``turns`` are the phases.

    Both (..., tx_antennas) [-] -> (..., tx_antennas, pilots) complex [-] (spec estimation 8.5).
    """
    return pilot_beams(array_namespace(order).argsort(order, axis=-1)[..., :pilots], 2.0 * pi * turns)


@compiled("pilots")
def heard_beams(channel: PathChannel, amplitude: Array, beams: Array, noise_power: Array, noise: Array, /) -> Array:
    """:func:`measure` of beams in one frame, of links that are sums of paths, divided by their ``amplitude`` (...,).

    ``noise_power`` (...,), ``beams`` (..., 1, tx_antennas, pilots), ``noise`` (..., 1, rx_antennas, pilots) -> the
    shape of the noise [-] (spec estimation 8.5).
    """
    # Beams meet the few paths of a link, not its matrix of antennas.
    gains = (channel.gains / amplitude[..., None])[..., None, :]
    heard = steered_channels(gains, channel.arrival, small_product(channel.departure, beams[..., 0, :, :]))
    return measure(heard, None, noise_power, noise)


@compiled("pilots")
def heard_antennas(gains: Array, arrival: Array, departure: Array, noise_power: Array, noise: Array, /) -> Array:
    """:func:`measure` of one pilot per antenna, of links that are sums of paths.

    Arguments of :func:`.channel.steered_channels`, ``noise_power`` (...,) and ``noise`` (..., snapshots, rx_antennas,
    tx_antennas) -> the shape of the noise [-] (spec estimation 1.5). A few links at a time: their channels stay in the
    cache until the noise is added; on a device all together.
    """
    links = noise_power.shape
    flat = [rows(part, links, part.ndim - len(links)) for part in (gains, arrival, departure, noise_power, noise)]
    size = LINKS_AT_ONCE if at_hand(noise_power) else prod(links)
    parts = zip(*(blocks(part, prod(links), size) for part in flat), strict=True)
    pieces = [measure(steered_channels(*paths), None, power, random) for *paths, power, random in parts]
    return unrows(joined(pieces), links)


def measure(channel: Array, beams: Array | None, noise_power: Array, noise: Array) -> Array:
    r"""Pilot data :math:`Z_t = H_t F_t + \sigma\, n_t` (spec estimation 1.5).

    Parameters
    ----------
    channel : Array, shape (..., snapshots, rx_antennas, tx_antennas), complex
        H [-].
    beams : Array, shape (..., snapshots, tx_antennas, pilots), complex, or None
        F with orthonormal columns. None: one pilot per antenna, undone at the receiver, ``Z = H + noise``.
    noise_power : Array, shape (...,)
        sigma^2 [-].
    noise : Array, shape (..., snapshots, rx_antennas, pilots), complex
        CN(0, 1) samples [-].

    Returns
    -------
    Array, shape (..., snapshots, rx_antennas, pilots), complex
        Z [-].
    """
    xp = array_namespace(channel, noise)
    clean = channel if beams is None else channel @ beams
    return clean + xp.sqrt(noise_power)[..., None, None, None] * noise


class Pilots(NamedTuple):
    """Checked data of a flat batch of links; bad links hold harmless numbers.

    Snapshots that share their beams form a group: all of them for P = M, one per group for P < M. Atoms and Gram
    matrices are then computed once per group.
    """

    data: Array
    """(links, groups, snapshots of a group, rx_antennas, pilots) complex: the order in which they are received."""
    beams: Array | None
    """(links, groups, tx_antennas, pilots) complex, or None for P = M."""
    noise_power: Array
    """(links,): sigma^2, floored."""
    energy: Array
    """(links,): sum of |Z|^2."""
    ok: Array
    """(links,) bool."""

    @property
    def tx_antennas(self) -> int:
        """M."""
        return self.data.shape[4] if self.beams is None else self.beams.shape[2]

    @property
    def rx_antennas(self) -> int:
        """N."""
        return self.data.shape[3]

    @property
    def aperture(self) -> Aperture:
        """Arrays and beams."""
        return Aperture(self.tx_antennas, self.rx_antennas, self.beams)

    @property
    def snapshots(self) -> int:
        """T."""
        return self.data.shape[1] * self.data.shape[2]

    @property
    def measurements(self) -> int:
        """T P N, complex measurements of a link."""
        return self.snapshots * self.data.shape[4] * self.rx_antennas

    @property
    def matrices(self) -> Array:
        """Data as ``Z F^H`` per snapshot, (links, snapshots, rx_antennas, tx_antennas): least squares for H."""
        xp = array_namespace(self.data)
        z = self.data
        if self.beams is not None:
            z = z @ xp.conj(xp.matrix_transpose(self.beams))[:, :, None]
        return xp.reshape(z, (z.shape[0], self.snapshots, self.rx_antennas, self.tx_antennas))


def prepare(received: Array, beams: Array | None, noise_power: Array, paths: int) -> Pilots:
    """Check the arguments of an estimator, flatten its links and replace bad ones by harmless numbers.

    Arguments as for :func:`~jcas_env.physics.estimation.ls.ls`. A square F is unitary and is undone at once
    (spec estimation 1.5).

    Raises
    ------
    ValueError
        Wrong shapes, more pilots than antennas, no path, negative or NaN noise power (spec estimation 6.13).
    """
    return clean(*flat_links(received, beams, noise_power, paths))


def flat_links(
    received: Array, beams: Array | None, noise_power: Array, paths: int
) -> tuple[Array, Array | None, Array]:
    """First half of :func:`prepare`: checked arguments, their links on one axis (spec estimation 6.13).

    ``received`` (..., snapshots, rx, pilots), ``beams`` (..., snapshots, tx, pilots) or None, ``noise_power`` (...,) ->
    (links, ...) each [-].
    """
    xp = array_namespace(received)
    _check_received(received, paths)
    links, pilots = received.shape[:-3], received.shape[-1]
    noise_power = _noise(received, noise_power)
    z = rows(received, links)
    if beams is not None:
        _check_beams(received, beams)
        beams = rows(beams, links, 3)
        if beams.shape[-2] == pilots:
            z, beams = z @ xp.conj(xp.matrix_transpose(beams)), None
    return z, beams, noise_power


def clean(z: Array, beams: Array | None, noise_power: Array) -> Pilots:
    """Second half of :func:`prepare`: of links, (links, ...) each, of :func:`flat_links` [-] (spec estimation 6.8)."""
    xp = array_namespace(z)
    # Bad links hold ones, so that they neither warn nor disturb the others; they are blanked at the end.
    flat = xp.reshape(z, (z.shape[0], -1))
    if not at_hand(z):
        return _cleaned_there(z, flat, beams, noise_power)
    finite = xp.isfinite(noise_power) & xp.all(xp.isfinite(flat), axis=-1)
    if not bool(xp.all(finite)):
        flat = xp.where(finite[:, None], flat, xp.ones_like(flat))
    energy = xp.real(xp.vecdot(flat, flat))
    ok = finite if bool(xp.all(energy > 0)) else finite & xp.any(flat != 0, axis=-1)
    if not bool(xp.all(ok)):
        flat = xp.where(ok[:, None], flat, xp.ones_like(flat))
        energy = xp.real(xp.vecdot(flat, flat))
        noise_power = xp.where(ok, noise_power, xp.ones_like(noise_power))
    return _pilots(xp.reshape(flat, z.shape), beams, noise_power, energy, ok)


def _cleaned_there(z: Array, flat: Array, beams: Array | None, noise_power: Array) -> Pilots:
    """:func:`clean` on a device, in one pass and without a question: by the energy, finite where all numbers are.

    A link whose energy is beyond the range of its precision is bad here.
    """
    xp = array_namespace(z)
    energy = xp.linalg.vector_norm(flat, axis=-1) ** 2
    ok = xp.isfinite(noise_power) & xp.isfinite(energy) & (energy > 0)
    energy = xp.where(ok, energy, float(flat.shape[-1]))
    z = xp.reshape(xp.where(ok[:, None], flat, 1.0), z.shape)
    return _pilots(z, beams, xp.where(ok, noise_power, 1.0), energy, ok)


def _pilots(z: Array, beams: Array | None, noise_power: Array, energy: Array, ok: Array) -> Pilots:
    """Data of links in groups, their noise floored."""
    floor = RELATIVE_NOISE_FLOOR * energy / prod(z.shape[1:])
    return Pilots(
        data=z[:, None] if beams is None else z[:, :, None],
        beams=beams,
        noise_power=array_namespace(z).maximum(noise_power, floor),
        energy=energy,
        ok=ok,
    )


def _check_received(received: Array, paths: int) -> None:
    xp = array_namespace(received)
    require(
        received.ndim >= 3,
        f"`received` must have shape (..., snapshots, rx_antennas, pilots), got {tuple(received.shape)}",
    )
    require(xp.isdtype(received.dtype, "complex floating"), f"`received` must be complex, got {received.dtype}")
    require(prod(received.shape) > 0, f"`received` must not be empty, got shape {tuple(received.shape)}")
    require(isinstance(paths, int) and paths >= 1, f"`paths` must be a positive integer, got {paths!r}")


def _noise(received: Array, noise_power: Array) -> Array:
    xp = array_namespace(received)
    real = xp.real(received[..., 0, 0, 0])
    noise_power = xp.asarray(noise_power, dtype=real.dtype, device=device(received))
    links = real.shape
    ok = noise_power.ndim <= len(links) and all(
        size in (1, full) for size, full in zip(noise_power.shape[::-1], links[::-1], strict=False)
    )
    require(ok, f"`noise_power` must broadcast to the links {tuple(links)}, got shape {tuple(noise_power.shape)}")
    if at_hand(noise_power):
        require(bool(xp.all(noise_power >= 0)), "`noise_power` must not be negative or NaN")
    return rows(noise_power, links, 0)


def _check_beams(received: Array, beams: Array) -> None:
    snapshots, _, pilots = received.shape[-3:]
    ok = beams.ndim >= 3 and beams.shape[-3] in (1, snapshots) and beams.shape[-1] == pilots
    require(
        ok,
        f"`beams` must have shape (..., {snapshots}, tx_antennas, {pilots}) for `received` of shape "
        f"{tuple(received.shape)}, got {tuple(beams.shape)}",
    )
    require(
        pilots <= beams.shape[-2],
        f"`beams` must have at most as many pilots as antennas, got {pilots} pilots for {beams.shape[-2]} antennas",
    )


def identifiable(pilots: Pilots, paths: int) -> Array:
    r"""Whether measurements support the unknowns: :math:`L \le PN/2` and :math:`L + n_a/(2T) < PN`, (links,) bool.

    L, P, N, T and n_a are counts [-], n_a = L angles for N = 1, else 2L (spec estimation 6.5).
    """
    xp = array_namespace(pilots.data)
    per_snapshot = pilots.data.shape[4] * pilots.rx_antennas
    angles = paths if pilots.rx_antennas == 1 else 2 * paths
    yes = paths <= per_snapshot / 2 and paths + angles / (2 * pilots.snapshots) < per_snapshot
    return xp.full(pilots.ok.shape, yes, dtype=xp.bool, device=device(pilots.data))


def pathless(channel: Array, pilots: Pilots, paths: int) -> Estimate:
    """Flat estimate of a channel without a statement about its paths (spec estimation 2.2, 2.3).

    ``channel`` (links, snapshots, rx_antennas, tx_antennas) complex [-].
    """
    xp = array_namespace(channel)
    links = channel.shape[0]
    where = {"device": device(channel)}
    angle = xp.zeros((links, paths), dtype=pilots.noise_power.dtype, **where)
    return Estimate(
        channel=channel,
        aod_cos=angle,
        aoa_cos=angle,
        gains=xp.zeros((links, pilots.snapshots, paths), dtype=channel.dtype, **where),
        active=xp.zeros((links, paths), dtype=xp.bool, **where),
        ok=pilots.ok,
        identifiable=identifiable(pilots, paths),
        variance=angle,
        iterations=xp.zeros((links,), dtype=xp.int64, **where),
    )
