"""The numbered instances of spec mesh 2."""

from __future__ import annotations

import numpy as np

from jcas_env import Mesh, MeshConfig, MeshProblem


def numbered(preset: str, weight: float, seed: int | list[int], **fields) -> MeshProblem:
    """Calibration, rho, seed; a batch where there are several seeds."""
    scenario = Mesh(MeshConfig.preset(preset, positioning_weight=weight, **fields))
    return scenario.problem(scenario.sample(seed))


def identical(users: int = 5, **fields) -> MeshProblem:
    """Users that have everything in common."""
    same = np.ones(users)
    return MeshProblem(**({"distance": 10 * same, "aod": 1.2 * same, "aoa": 1.4 * same, "snr": 1e3 * same,
                           "subcarriers": 6000, "rate_floor": 100e6} | fields))  # fmt: skip


def tiny(ripple_db: float = 0.0, seed: int = 0) -> MeshProblem:
    """Three users, nine subcarriers, a floor that two subcarriers of any user keep at a share of about 0.4."""
    rng = np.random.default_rng(seed)
    snr = 10 ** rng.uniform(2.0, 3.5, 3)
    if ripple_db:
        phase = rng.uniform(0, 2 * np.pi, (3, 1))
        wave = 0.5 * ripple_db * np.cos(2 * np.pi * np.arange(9) / 9 + phase)
        snr = snr[:, None] * 10 ** (wave / 10)
    return MeshProblem(
        distance=rng.uniform(5, 19, 3), aod=rng.uniform(0.6, 2.5, 3), aoa=rng.uniform(0.6, 2.5, 3), snr=snr,
        subcarriers=9, subcarrier_spacing=1e8, rate_floor=7e8, least_subcarriers=2,
    )  # fmt: skip
