"""Configuration of the mesh scenario: every number that is not drawn at random."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import floor
from typing import Annotated, Any, Literal

from ...checks import require
from ...physics.propagation import free_space_gain
from ...units import dbm_to_watt, thermal_noise_density
from ..configuration import Configuration, ObservationForm, Precision
from ..kinds import Choice, Integer, Number, OrNone

Objective = Literal["sum", "log"]
References = Literal["frame", "reset"]


LEAST_SNR, LARGEST_SNR = 1e-9, 1e15
"""Ratios of a subcarrier with which all formulas work in single precision, too [-]."""


@dataclass(frozen=True, kw_only=True)
class MeshConfig(Configuration):
    """An anchor that positions its users and serves them with data on the same subcarriers (lu2022, spec mesh 2).

    ``MeshConfig.preset("A")`` and ``preset("B")`` are the two calibrations of the transmit power that the paper's
    figures need (spec mesh 5.24). Raises ``ValueError`` that names the field, the rule and the value.
    """

    users: Annotated[int, Integer(1, 4096)] = 30
    """Users of the anchor."""
    carrier_hz: Annotated[float, Number(1e8, 1e12)] = 60e9
    """Carrier frequency [Hz]."""
    bandwidth: Annotated[float, Number(1e3, 1e12)] = 1e9
    """Band B [Hz]; it holds ``floor(B / subcarrier_spacing)`` subcarriers."""
    subcarrier_spacing: Annotated[float, Number(1.0, 1e10)] = 150e3
    """Spacing of the subcarriers [Hz]; symbols last its reciprocal (no cyclic prefix)."""
    tx_antennas: Annotated[int, Integer(2, 4096)] = 30
    """Elements of the anchor's array."""
    rx_antennas: Annotated[int, Integer(2, 4096)] = 30
    """Elements of a user's array."""
    frame: Annotated[float, Number(1e-6, 10.0)] = 10e-3
    """Frame T_F that positioning and data share [s]."""
    networking_time: Annotated[float, Number(0.0, 10.0)] = 0.0
    """Control stage T_A before every frame; rates and positioning symbols shrink by T_F / (T_A + T_F) [s]."""

    power: Annotated[float, Number(1e-6, 1e6)] = 0.1
    """Transmit power, equal over all subcarriers: 20 dBm in calibration A [W]."""
    subcarrier_power: Annotated[float | None, OrNone(Number(1e-12, 1e6))] = None
    """Power of each subcarrier [W]; replaces ``power`` and so keeps the density when the band changes."""
    noise_figure_db: Annotated[float, Number(-20.0, 60.0)] = 7.0
    """Noise figure of a user's receiver [dB]."""
    temperature: Annotated[float, Number(1.0, 1e6)] = 290.0
    """Noise temperature [K]."""
    absorption_db_km: Annotated[float, Number(0.0, 1e3)] = 15.0
    """Absorption by oxygen [dB/km]."""
    beam_split: Annotated[float, Number(1e-3, 0.999)] = 0.25
    """eta, the share of a beam's power that looks at the slope of the array response, in (0, 1)."""

    rate_floor: Annotated[float, Number(0.0, 1e12)] = 100e6
    """R*, least data rate of every user [bit/s]; 0: none."""
    positioning_weight: Annotated[float, Number(0.0, 1.0)] = 0.5
    """rho of the ``sum`` objective, mu of the ``log`` objective, in [0, 1]."""
    objective: Annotated[Objective, Choice(Objective)] = "sum"
    """``sum`` of normalised positioning and rate, or the jointly concave sum of their logarithms (``log``)."""
    uniformity: Annotated[float, Number(1e-6, 1e6)] = 1.0
    """gamma, what a squared radian of orientation error is worth [m^2/rad^2]."""
    share_min: Annotated[float, Number(1e-6, 0.499)] = 1e-3
    """beta_lo, least share of the frame for positioning (and for data)."""
    least_subcarriers: Annotated[int, Integer(1, 10**6)] = 2
    """Subcarriers that every action gives to every user."""
    penalty: Annotated[float, Number(0.0, 1e6)] = 1.0
    """kappa, price of a user's relative shortfall from the rate floor in the reward."""
    references: Annotated[References, Choice(References)] = "frame"
    """Whether the normalisers E_ref, R_ref belong to every frame, or to the first of an episode (``reset``)."""

    distance_min: Annotated[float, Number(0.1, 1e4)] = 4.0
    """Least distance of a user from the anchor [m]."""
    distance_max: Annotated[float, Number(0.1, 1e4)] = 20.0
    """Largest distance of a user from the anchor [m]."""
    angle_min_deg: Annotated[float, Number(0.1, 89.9)] = 30.0
    """Least angle from an array's axis, of departure and arrival; the largest is its supplement [deg]."""
    horizon: Annotated[int, Integer(1, 10**9)] = 100
    """Frames in an episode; 1 makes a one-step task."""
    interval: Annotated[float, Number(1e-6, 1e3)] = 1.0
    """Time between decisions [s]."""
    speed: Annotated[float, Number(0.0, 1e3)] = 0.5
    """Root mean square speed of the users along each axis [m/s]."""
    velocity_memory: Annotated[float, Number(0.0, 1.0)] = 0.9
    """Correlation of a user's velocity in successive intervals."""
    turn_deg: Annotated[float, Number(0.0, 360.0)] = 2.0
    """Standard deviation of a user's rotation in an interval [deg]."""

    logit_scale: Annotated[float, Number(0.01, 40.0)] = 5.0
    """Logits per unit of an action."""
    observation: Annotated[ObservationForm, Choice(ObservationForm)] = "dict"
    """``dict``: structured; ``flat``: one vector for MLPs."""
    dtype: Annotated[Precision, Choice(Precision)] = "float64"
    """Precision of the simulation."""

    def check_relations(self) -> None:
        """Distances in order, and a band that holds what every action gives to every user."""
        nearest, farthest = self.distance_min, self.distance_max
        require(farthest > nearest, f"`distance_max` must exceed `distance_min` = {nearest:g} m, got {farthest!r}")
        need = self.users * self.least_subcarriers
        require(
            self.subcarriers >= need,
            f"`bandwidth` must hold {need} subcarriers, {self.least_subcarriers} for each of {self.users} users, "
            f"got {self.subcarriers}",
        )
        ok = self.subcarriers >= 2
        require(ok, f"`bandwidth` must hold 2 subcarriers, for one resolves no delay, got {self.subcarriers}")
        heard = [self.snr(distance) for distance in (farthest, nearest)]
        require(
            heard[0] >= LEAST_SNR and heard[1] <= LARGEST_SNR,
            "`power`, `noise_figure_db`, antennas, `carrier_hz`, `absorption_db_km` and distances make a ratio of "
            f"signal to noise from {heard[0]:.3g} to {heard[1]:.3g}; it must stay in [{LEAST_SNR:g}, {LARGEST_SNR:g}]",
        )

    def snr(self, distance: Any) -> Any:
        """Signal to noise ratio of a subcarrier and symbol at distances [m], any shape [-]."""
        gain = free_space_gain(distance, carrier_hz=self.carrier_hz, absorption_db_km=self.absorption_db_km)
        budget = self.power_per_subcarrier / (self.noise_density * self.subcarrier_spacing)
        return budget * self.tx_antennas * self.rx_antennas * gain

    @property
    def entries(self) -> Mapping[str, float]:
        """Entries of what a user may share with another, and of the band in ten rows."""
        return {
            "`users` by `users`": self.users**2,
            "subcarriers of `bandwidth` and `subcarrier_spacing`": 10.0 * self.subcarriers,
        }

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
