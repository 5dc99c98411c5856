"""Random links of the estimation model, and the errors of estimators on them (spec estimation 1)."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from jcas_env.physics.channel import multipath_channel
from jcas_env.physics.estimation import esprit, ls, measure, mmse, nmse, nmse_bound, omp, pilot_beams, spomp


def normal(rng, *shape):
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) / np.sqrt(2)


def links(rng, count, snr_db, *, tx=16, rx=2, paths=3, snapshots=6, pilots=None, aod=None, aoa=None):
    """Links with angles uniform in [0, pi), or given, gains CN(0, MN/L), and their pilot data."""
    aod = np.cos(rng.uniform(0, np.pi, (count, paths))) if aod is None else aod
    aoa = np.cos(rng.uniform(0, np.pi, (count, paths))) if aoa is None else aoa
    aoa = np.zeros_like(aoa) if rx == 1 else aoa
    gains = np.sqrt(tx * rx / paths) * normal(rng, count, snapshots, paths)
    channel = multipath_channel(gains, aoa[:, None], aod[:, None], rx_antennas=rx, tx_antennas=tx)
    noise_power = np.full(count, 10.0 ** (-snr_db / 10))
    beams = None
    if pilots is not None:
        columns = np.argsort(rng.random((count, snapshots, tx)), axis=-1)[..., :pilots]
        beams = pilot_beams(columns, rng.uniform(0, 2 * np.pi, (count, snapshots, tx)))
    noise = normal(rng, count, snapshots, rx, tx if pilots is None else pilots)
    received = measure(channel, beams, noise_power, noise)
    return SimpleNamespace(
        aod=aod, aoa=aoa, gains=gains, channel=channel, noise_power=noise_power, beams=beams, received=received,
        tx=tx, rx=rx, paths=paths,
    )  # fmt: skip


ESTIMATORS = {"ls": ls, "mmse": mmse, "omp": omp, "esprit": esprit, "spomp": spomp}


def estimate(drawn, name, **options):
    paths = options.pop("paths", drawn.paths)
    return ESTIMATORS[name](drawn.received, drawn.beams, drawn.noise_power, paths=paths, **options)


def error_db(drawn, found):
    """Mean of ratios [dB]."""
    return 10 * np.log10(nmse(found.channel, drawn.channel).mean())


def bound_db(drawn):
    return 10 * np.log10(nmse_bound(drawn.channel, drawn.noise_power, paths=drawn.paths).mean())
