"""Constants and unit conversions: everything inside the project is SI, linear, and in radians."""

from __future__ import annotations

from typing import Any

THERMAL_NOISE_DBM_HZ = -174.0
"""Thermal noise power density at room temperature [dBm/Hz] (3GPP convention)."""

MEGA = 1e6
"""One Mbit/s in bit/s, one MHz in Hz."""

SPEED_OF_LIGHT = 299_792_458.0
"""Speed of light in vacuum [m/s]."""

BOLTZMANN = 1.380649e-23
"""Boltzmann's constant [J/K]."""


def db_to_linear(value_db: Any) -> Any:
    """Power ratio ``10^(value_db / 10)`` of a number or an array in dB."""
    return 10.0 ** (value_db / 10.0)


def dbm_to_watt(power_dbm: Any) -> Any:
    """Power in W of a number or an array in dBm."""
    return db_to_linear(power_dbm - 30.0)


def noise_density(noise_figure_db: float, density_dbm_hz: float = THERMAL_NOISE_DBM_HZ) -> float:
    """Noise power density at a receiver's input [W/Hz].

    ``N0 = 10^((density + figure - 30)/10)``; with the defaults of spec multicell 0 (-174 dBm/Hz, 7 dB)
    ``N0 * 10 MHz`` is -97.0 dBm.
    """
    return float(dbm_to_watt(density_dbm_hz + noise_figure_db))


def thermal_noise_density(temperature: float, noise_figure_db: float) -> float:
    """Noise power density ``k T F`` at a receiver's input [W/Hz], for a temperature in K (spec mesh 1.2)."""
    return float(BOLTZMANN * temperature * db_to_linear(noise_figure_db))
