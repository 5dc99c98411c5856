"""Random links, and what each estimator makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jcas_env.physics.channel import snapshot_channels
from jcas_env.physics.estimation import (
    ESTIMATORS,
    Estimate,
    angle_covariance_bound,
    measure,
    nmse,
    nmse_bound,
    pilot_beams,
)

from .statistics import mean_and_interval


class Links(NamedTuple):
    """A batch of links and their pilot data."""

    aod_cos: np.ndarray
    """(links, paths)"""
    aoa_cos: np.ndarray
    """(links, paths)"""
    gains: np.ndarray
    """(links, snapshots, paths) complex"""
    channel: np.ndarray
    """(links, snapshots, rx_antennas, tx_antennas) complex"""
    received: np.ndarray
    """(links, snapshots, rx_antennas, pilots) complex"""
    beams: np.ndarray | None
    """(links, snapshots, tx_antennas, pilots) complex, or None for one pilot per antenna"""
    noise_power: np.ndarray
    """(links,)"""

    @property
    def sizes(self) -> dict[str, int]:
        """Numbers of antennas, as keywords."""
        return {"rx_antennas": self.channel.shape[-2], "tx_antennas": self.channel.shape[-1]}


def complex_normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Independent CN(0, 1) samples."""
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) * np.sqrt(0.5)


def random_cosines(rng: np.random.Generator, links: int, paths: int) -> np.ndarray:
    """Direction cosines of angles uniform in [0, pi)."""
    return np.cos(rng.uniform(0.0, np.pi, (links, paths)))


def draw_links(
    rng: np.random.Generator,
    links: int,
    *,
    tx_antennas: int,
    rx_antennas: int,
    paths: int,
    snr_db: float,
    snapshots: int = 6,
    pilots: int | None = None,
    angles: tuple[np.ndarray, np.ndarray] | None = None,
    path_power: Sequence[float] | None = None,
) -> Links:
    """Draw links with E|H_nm|^2 = 1 and measure them (spec estimation 1.1 to 1.5).

    Parameters
    ----------
    rng
        Generator.
    links, tx_antennas, rx_antennas, paths, snapshots : int
        Sizes; gains are independent over the snapshots, angles constant.
    snr_db : float
        1/sigma^2 per complex measurement [dB]; ``inf`` for clean data.
    pilots : int or None
        Random beams per snapshot, less than ``tx_antennas``; None for one pilot per antenna.
    angles : pair of arrays (links, paths), or None
        Direction cosines of departure and arrival; None draws them.
    path_power : sequence of ``paths`` numbers, or None
        Mean powers of the paths, of any scale; None for equal ones.
    """
    if angles is None:
        aod = random_cosines(rng, links, paths)
        aoa = random_cosines(rng, links, paths) if rx_antennas > 1 else np.zeros((links, paths))
    else:
        aod, aoa = (np.broadcast_to(np.asarray(part, dtype=float), (links, paths)) for part in angles)
    share = np.ones(paths) if path_power is None else np.asarray(path_power, dtype=float)
    gains = complex_normal(rng, links, snapshots, paths) * np.sqrt(tx_antennas * rx_antennas * share / share.sum())
    channel = snapshot_channels(gains, aoa, aod, rx_antennas=rx_antennas, tx_antennas=tx_antennas)
    beams = None if pilots is None else random_beams(rng, links, snapshots, tx_antennas, pilots)
    noise_power = np.full(links, 10.0 ** (-snr_db / 10.0))
    noise = complex_normal(rng, links, snapshots, rx_antennas, pilots or tx_antennas)
    return Links(aod, aoa, gains, channel, measure(channel, beams, noise_power, noise), beams, noise_power)


def random_beams(rng: np.random.Generator, links: int, snapshots: int, tx_antennas: int, pilots: int) -> np.ndarray:
    """Pilot beams of spec estimation 1.5, new for each snapshot and link."""
    shape = (links, snapshots, tx_antennas)
    columns = np.argsort(rng.random(shape), axis=-1)[..., :pilots]
    return pilot_beams(columns, rng.uniform(0.0, 2.0 * np.pi, shape))


def run(name: str, links: Links, *, paths: int | None = None, **options: Any) -> Estimate:
    """Estimate of the links by an estimator that works on pilot data; ``paths`` defaults to the true number."""
    paths = paths or links.aod_cos.shape[-1]
    return ESTIMATORS[name](links.received, links.beams, links.noise_power, paths=paths, **options)


def error(estimate: Estimate, links: Links) -> np.ndarray:
    """NMSE of each link."""
    return nmse(estimate.channel, links.channel)


def bound(links: Links) -> np.ndarray:
    """Counting bound of the NMSE of each link, one pilot per antenna."""
    return nmse_bound(links.channel, links.noise_power, paths=links.aod_cos.shape[-1])


def decibel(values: np.ndarray) -> float:
    """Mean of linear values in dB."""
    return float(10.0 * np.log10(np.mean(values)))


def decibel_interval(values: np.ndarray) -> tuple[float, float]:
    """Mean in dB, and the half-width of its 95 % interval, carried over from the linear scale [dB]."""
    mean, half = mean_and_interval(values)
    return float(10.0 * np.log10(mean)), float(10.0 / np.log(10.0) * half / mean)


def angle_errors(estimate: Estimate, links: Links) -> tuple[np.ndarray, np.ndarray]:
    """Errors of the angles over their root bounds, and which paths were found, both (links, angles).

    Every true path is matched with the nearest estimated departure; a path further than a beam width 1/M away counts
    as not found, its arrival with it (spec estimation 9.4).
    """
    paths = links.aod_cos.shape[-1]
    distance = _apart(estimate.aod_cos[:, None, :], links.aod_cos[:, :, None])
    match = np.abs(distance).argmin(axis=-1)
    found = np.abs(distance).min(axis=-1) <= 1.0 / links.channel.shape[-1]
    crb = angle_covariance_bound(
        links.aod_cos, links.aoa_cos, links.gains, links.noise_power, links.beams, **links.sizes
    )
    root = np.sqrt(np.diagonal(crb, axis1=-2, axis2=-1))
    errors = [_apart(np.take_along_axis(estimate.aod_cos, match, axis=-1), links.aod_cos) / root[:, :paths]]
    if root.shape[-1] > paths:
        errors.append(_apart(np.take_along_axis(estimate.aoa_cos, match, axis=-1), links.aoa_cos) / root[:, paths:])
    return np.concatenate(errors, axis=-1), np.concatenate([found] * len(errors), axis=-1)


def _apart(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Difference of direction cosines on their period 2."""
    return (one - two + 1.0) % 2.0 - 1.0
