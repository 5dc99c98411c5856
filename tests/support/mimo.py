"""Fixed cases and random layouts of spec mimo 5."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from jcas_env import MassiveMIMO, MassiveMIMOConfig, MassiveMIMOProblem
from jcas_env.physics.mrt import estimate_variance

GAIN = np.array([0.5, 0.1, 0.02, 0.004])


def case(antennas: int = 15, snr_com: float = 20.0, snr_sen: Any = 5.0, **changes: Any) -> MassiveMIMOProblem:
    """A case of spec mimo 5 in mW: P_t = 1000, E = 100. ``snr_sen`` may be an array: a batch."""
    noise, echo = 1000.0 / 10 ** (snr_com / 10.0), 1000.0 / 10.0 ** (np.asarray(snr_sen) / 10.0)
    gain = changes.pop("large_scale_gain", GAIN)
    gain = np.broadcast_to(gain, (*echo.shape, gain.shape[-1]))
    variance = estimate_variance(gain, np.full(gain.shape[:-1], noise), pilot_energy=100.0)
    settings = {
        "large_scale_gain": gain,
        "estimate_variance": variance,
        "noise_power": noise,
        "echo_noise": echo,
        "power_budget": 1000.0,
        "crb_limit": 1e-3,
        "tx_antennas": antennas,
        "rx_antennas": antennas,
        "rate_factor": 0.9,
    }
    return MassiveMIMOProblem(**(settings | changes))


def frames(count: int, seed: int = 0, preset: str = "nguyen2024", **changes: Any) -> tuple[MassiveMIMO, Any]:
    """A scenario and a batch of first states, lane i of seed + i."""
    scenario = MassiveMIMO(MassiveMIMOConfig.preset(preset, **changes))
    return scenario, scenario.sample(range(seed, seed + count))


def layouts(count: int, seed: int = 0, **changes: Any) -> MassiveMIMOProblem:
    """The paper's random layouts with N_t = N_r, one batch."""
    antennas = changes.pop("antennas", 15)
    scenario, state = frames(count, seed, tx_antennas=antennas, rx_antennas=antennas, **changes)
    return scenario.problem(state)


def random_problem(rng: np.random.Generator, count: int, **changes: Any) -> MassiveMIMOProblem:
    """Random gains, noises and demands, aligned; about half of them bind, some are infeasible."""
    gain = 10.0 ** rng.uniform(-3.0, 0.5, (count, 4))
    noise = 10.0 ** rng.uniform(-1.0, 2.0, count)
    angle = rng.uniform(-1.0, 1.0, count)
    settings = {"tx_antennas": 12, "rx_antennas": 10, "crb_limit": 1e-3, "target_angle": angle, "rate_factor": 0.9}
    return MassiveMIMOProblem(
        large_scale_gain=gain,
        estimate_variance=estimate_variance(gain, noise, pilot_energy=100.0),
        noise_power=noise,
        echo_noise=10.0 ** rng.uniform(2.5, 4.0, count),
        power_budget=1000.0,
        **(settings | changes),
    )


def part(problem: MassiveMIMOProblem, lanes: np.ndarray) -> MassiveMIMOProblem:
    """Some elements of a batch with one axis."""
    values = {item.name: getattr(problem, item.name) for item in fields(problem)}
    taken = {name: value[lanes] if np.ndim(value) else value for name, value in values.items()}
    return MassiveMIMOProblem(**taken)
