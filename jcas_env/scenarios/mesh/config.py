"""Configuration of the mesh scenario: every number that is not drawn at random."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import floor
from typing import Any, Literal

from ...checks import require
from ...units import dbm_to_watt, thermal_noise_density
from ..configuration import (
    Configuration,
    ObservationForm,
    Precision,
    check_choices,
    check_counts,
    check_range,
    is_number,
)

Objective = Literal["sum", "log"]
References = Literal["frame", "reset"]


@dataclass(frozen=True, kw_only=True)
class MeshConfig(Configuration):
    """An anchor that positions its users and serves them with data on the same subcarriers (lu2022, spec mesh 2).

    ``MeshConfig.preset("A")`` and ``preset("B")`` are the two calibrations of the transmit power that the paper's
    figures need (spec mesh 5.24). Raises ``ValueError`` that names the field, the rule and the value.
    """

    users: int = 30
    """Users of the anchor."""
    carrier_hz: float = 60e9
    """Carrier frequency [Hz]."""
    bandwidth: float = 1e9
    """Band B [Hz]; it holds ``floor(B / subcarrier_spacing)`` subcarriers."""
    subcarrier_spacing: float = 150e3
    """Spacing of the subcarriers [Hz]; symbols last its reciprocal (no cyclic prefix)."""
    tx_antennas: int = 30
    """Elements of the anchor's array."""
    rx_antennas: int = 30
    """Elements of a user's array."""
    frame: float = 10e-3
    """Frame T_F that positioning and data share [s]."""
    networking_time: float = 0.0
    """Control stage T_A before every frame; rates and positioning symbols shrink by T_F / (T_A + T_F) [s]."""

    power: float = 0.1
    """Transmit power, equal over all subcarriers: 20 dBm in calibration A [W]."""
    subcarrier_power: float | None = None
    """Power of each subcarrier [W]; replaces ``power`` and so keeps the density when the band changes."""
    noise_figure_db: float = 7.0
    """Noise figure of a user's receiver [dB]."""
    temperature: float = 290.0
    """Noise temperature [K]."""
    absorption_db_km: float = 15.0
    """Absorption by oxygen [dB/km]."""
    beam_split: float = 0.25
    """eta, the share of a beam's power that looks at the slope of the array response, in (0, 1)."""

    rate_floor: float = 100e6
    """R*, least data rate of every user [bit/s]; 0: none."""
    positioning_weight: float = 0.5
    """rho of the ``sum`` objective, mu of the ``log`` objective, in [0, 1]."""
    objective: Objective = "sum"
    """``sum`` of normalised positioning and rate, or the jointly concave sum of their logarithms (``log``)."""
    uniformity: float = 1.0
    """gamma, what a squared radian of orientation error is worth [m^2/rad^2]."""
    share_min: float = 1e-3
    """beta_lo, least share of the frame for positioning (and for data)."""
    least_subcarriers: int = 2
    """Subcarriers that every action gives to every user."""
    penalty: float = 1.0
    """kappa, price of a user's relative shortfall from the rate floor in the reward."""
    references: References = "frame"
    """Whether the normalisers E_ref, R_ref belong to every frame, or to the first of an episode (``reset``)."""

    distance_min: float = 4.0
    """Least distance of a user from the anchor [m]."""
    distance_max: float = 20.0
    """Largest distance of a user from the anchor [m]."""
    angle_min_deg: float = 30.0
    """Least angle from an array's axis, of departure and arrival; the largest is its supplement [deg]."""
    horizon: int = 100
    """Frames in an episode; 1 makes a one-step task."""
    interval: float = 1.0
    """Time between decisions [s]."""
    speed: float = 0.5
    """Root mean square speed of the users along each axis [m/s]."""
    velocity_memory: float = 0.9
    """Correlation of a user's velocity in successive intervals."""
    turn_deg: float = 2.0
    """Standard deviation of a user's rotation in an interval [deg]."""

    logit_scale: float = 5.0
    """Logits per unit of an action."""
    observation: ObservationForm = "dict"
    """``dict``: structured; ``flat``: one vector for MLPs."""
    dtype: Precision = "float64"
    """Precision of the simulation."""

    def __post_init__(self) -> None:
        _check_numbers(self)
        check_choices(self, _CHOICES)
        _check_sizes(self)

    @property
    def subcarriers(self) -> int:
        """N, whole subcarriers in the band."""
        return floor(self.bandwidth / self.subcarrier_spacing * (1.0 + 1e-12))

    @property
    def power_per_subcarrier(self) -> float:
        """Transmit power of a subcarrier [W]."""
        return self.power / self.subcarriers if self.subcarrier_power is None else self.subcarrier_power

    @property
    def noise_density(self) -> float:
        """Noise power density at a receiver, k T F [W/Hz]."""
        return thermal_noise_density(self.temperature, self.noise_figure_db)

    @classmethod
    def presets(cls) -> Mapping[str, Mapping[str, Any]]:
        """``PRESETS``."""
        return PRESETS


_CALIBRATION_B = {"power": dbm_to_watt(2.0)}

PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "A": {},
    "B": _CALIBRATION_B,
    # One frame an episode: the instances of the tables of spec mesh 4.
    "lu2022-static": {"horizon": 1},
    # The power at which the mean rate of lu2022 Fig. 5 comes out, and the one of Fig. 6 (spec mesh 5.24).
    "lu2022-fig5": {"horizon": 1},
    "lu2022-fig6": {"horizon": 1} | _CALIBRATION_B,
}
"""Settings by name. Calibration A (20 dBm) is the default; B is 2 dBm."""

_CHOICES: dict[str, Any] = {
    "objective": Objective,
    "references": References,
    "observation": ObservationForm,
    "dtype": Precision,
}
_POSITIVE = (
    "carrier_hz",
    "bandwidth",
    "subcarrier_spacing",
    "frame",
    "power",
    "temperature",
    "uniformity",
    "distance_min",
    "interval",
    "logit_scale",
)
_NON_NEGATIVE = ("networking_time", "absorption_db_km", "rate_floor", "penalty", "speed", "turn_deg")


def _check_numbers(config: MeshConfig) -> None:
    check_counts(config, ("users", "horizon", "least_subcarriers", "tx_antennas", "rx_antennas"))
    check_range(config, _POSITIVE, "positive", lambda x: x > 0)
    check_range(config, _NON_NEGATIVE, "at least 0", lambda x: x >= 0)
    check_range(config, ("positioning_weight", "velocity_memory"), "in [0, 1]", lambda x: 0 <= x <= 1)
    check_range(config, ("noise_figure_db",), "finite", lambda _: True)
    check_range(config, ("share_min",), "in (0, 0.5)", lambda x: 0 < x < 0.5)
    arrays = ("tx_antennas", "rx_antennas")
    check_range(config, arrays, "of at least 2, for one element has no direction", lambda x: x >= 2)
    check_range(config, ("beam_split",), "in (0, 1), or the information is singular", lambda x: 0 < x < 1)
    check_range(config, ("angle_min_deg",), "in (0, 90), for endfire has no direction", lambda x: 0 < x < 90)
    power = config.subcarrier_power
    ok = power is None or (is_number(power) and power > 0)
    require(ok, f"`subcarrier_power` must be a positive number or None, got {power!r}")


def _check_sizes(config: MeshConfig) -> None:
    """Distances in order, and a band that holds what every action gives to every user."""
    farthest = config.distance_max
    ok = is_number(farthest) and farthest > config.distance_min
    require(ok, f"`distance_max` must exceed `distance_min` = {config.distance_min:g} m, got {farthest!r}")
    need = config.users * config.least_subcarriers
    require(
        config.subcarriers >= need,
        f"`bandwidth` must hold {need} subcarriers, {config.least_subcarriers} for each of {config.users} users, "
        f"got {config.subcarriers}",
    )
