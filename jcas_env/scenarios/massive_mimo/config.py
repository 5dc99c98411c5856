"""Configuration of the massive MIMO scenario: every number that is not drawn at random."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import radians
from typing import Annotated, Any, Literal

from ...checks import require
from ...units import db_to_linear
from ..configuration import Configuration, ObservationForm, Precision
from ..kinds import Choice, Integer, Number, OrNone

Reward = Literal["tracking", "frame", "constrained"]
Objective = Literal["sum", "min"]
Action = Literal["full", "share"]
Tracker = Literal["kalman", "one-sigma"]


LEAST_GAIN, LEAST_PILOT = 1e-10, 1e-6
"""Median gain, and median ratio of the pilots to their noise, of a user at the edge: shadowing of six standard
deviations leaves estimates that are numbers in single precision [-]."""


@dataclass(frozen=True, kw_only=True)
class MassiveMIMOConfig(Configuration):
    """Base station with many antennas that serves users and tracks a target (nguyen2024, spec mimo 2, 7).

    By default the sequential task: a target that moves, an echo that fades, a tracker whose variance is to stay
    below a limit. ``MassiveMIMOConfig.preset("nguyen2024")`` is the paper's single frame. Raises ``ValueError`` that
    names the field, the rule and the value.
    """

    users: Annotated[int, Integer(1, 4096)] = 4
    """Single-antenna users K."""
    tx_antennas: Annotated[int, Integer(1, 4096)] = 15
    """Transmit antennas N_t of the base station."""
    rx_antennas: Annotated[int, Integer(1, 4096)] = 15
    """Receive antennas N_r; with one antenna (and the sensing beam alone) an echo has no angle."""
    radius: Annotated[float, Number(1.0, 1e5)] = 500.0
    """Radius of the cell [m]."""
    reference_distance: Annotated[float, Number(1.0, 1e5)] = 100.0
    """Least distance of a user, at which the median gain is one [m]."""
    path_loss_exponent: Annotated[float, Number(0.0, 10.0)] = 3.2
    """nu."""
    shadowing_db: Annotated[float, Number(0.0, 10.0)] = 8.0
    """Standard deviation of the log-normal shadowing, 0 dB median [dB]."""

    power_budget: Annotated[float, Number(1e-4, 1e4)] = 1.0
    """Radiated power P_t [W]."""
    pilot_power: Annotated[float, Number(1e-9, 1e4)] = 0.01
    """Power p_p of a pilot symbol [W]."""
    pilot_length: Annotated[int, Integer(1, 10**6)] = 10
    """Symbols tau_p of the orthonormal pilots, at least one per user."""
    coherence_length: Annotated[int, Integer(2, 10**9)] = 100
    """Symbols tau_c of a coherence interval; what the pilots leave carries data."""
    snr_com_db: Annotated[float, Number(-30.0, 60.0)] = 20.0
    """P_t over the noise at a user (and of the pilots) [dB]."""
    snr_sen_db: Annotated[float, Number(-100.0, 100.0)] = -15.0
    """P_t over the scaled echo noise, mean over the fading of the echo [dB]."""

    reward: Annotated[Reward, Choice(Reward)] = "tracking"
    """``tracking``: sum rate minus a price on the tracker's variance above its limit; ``frame``: minus a price on the
    frame's CRB above its limit; ``constrained``: sum rate, the cost stands in ``info``."""
    objective: Annotated[Objective, Choice(Objective)] = "sum"
    """Utility of the rates: their sum, or the least."""
    penalty: Annotated[float, Number(0.0, 1e6)] = 10.0
    """lambda, price of a decade above the limit [bit/s/Hz]."""
    crb_limit: Annotated[float, Number(1e-12, 1e3)] = 1e-3
    """CRB_0, demanded bound in every frame where the reward is ``frame`` [rad^2]."""
    variance_limit: Annotated[float, Number(1e-12, 1e3)] = 1e-3
    """V_max, limit of the tracker's variance [rad^2]; the other rewards demand it of every frame's CRB from allocators
    that know no tracker."""
    rate_floor: Annotated[float, Number(0.0, 1e3)] = 0.0
    """Least rate that allocators who can shall guarantee each user [bit/s/Hz]; not enforced on the air."""

    shadowing_memory: Annotated[float, Number(0.0, 1.0)] = 0.95
    """Correlation of a user's shadowing in successive frames."""
    echo_std_db: Annotated[float, Number(0.0, 20.0)] = 6.0
    """Standard deviation of the echo's strength [dB]."""
    echo_memory: Annotated[float, Number(0.0, 1.0)] = 0.9
    """Correlation of the echo's strength in successive frames."""
    drift_deg: Annotated[float, Number(0.0, 90.0)] = 1.5
    """Standard deviation of the target's step in a frame [deg]."""
    target_angle: Annotated[float | None, OrNone(Number(-1.5, 1.5))] = None
    """Angle of the target in the first frame, from broadside [rad]; None: uniform within ``angle_spread``."""
    angle_spread: Annotated[float, Number(0.0, 1.5)] = 0.7
    """Largest angle of a target in the first frame [rad]."""
    angle_limit: Annotated[float, Number(1e-3, 1.5)] = 1.2
    """The target turns back to this angle if it would pass it [rad]."""
    initial_variance: Annotated[float | None, OrNone(Number(0.0, 1e3))] = None
    """Variance of the first predicted angle [rad^2]; None: ``variance_limit``."""
    tracker: Annotated[Tracker, Choice(Tracker)] = "kalman"
    """``kalman``: the estimate follows noisy measurements; ``one-sigma``: the beam is always one predicted standard
    deviation (at most 0.5 rad) off, for planning without luck."""
    energy_budget: Annotated[float | None, OrNone(Number(1e-6, 1.0))] = None
    """Energy of an episode as a share of full power in every frame; None: no budget."""

    action: Annotated[Action, Choice(Action)] = "full"
    """``full``: stream logits, sensing share and total power; ``share``: the sensing share alone, at full power and
    with water-filled streams."""
    logit_scale: Annotated[float, Number(0.01, 40.0)] = 5.0
    """Logits per unit of an action."""
    observation: Annotated[ObservationForm, Choice(ObservationForm)] = "flat"
    """``flat``: one vector for MLPs; ``dict``: the same numbers, of users and of the frame."""
    horizon: Annotated[int, Integer(1, 10**9)] = 50
    """Frames in an episode."""
    dtype: Annotated[Precision, Choice(Precision)] = "float64"
    """Precision of the simulation."""

    def check_relations(self) -> None:
        """Pilots of all users and data in a coherence interval, distances in order, angles within their limit."""
        ok = self.pilot_length >= self.users
        require(ok, f"`pilot_length` must be at least `users` ({self.users}) for orthonormal pilots, "
            f"got {self.pilot_length}")  # fmt: skip
        ok = self.coherence_length > self.pilot_length
        require(ok, f"`coherence_length` must exceed `pilot_length` ({self.pilot_length}), got {self.coherence_length}")
        ok = self.radius >= self.reference_distance
        require(ok, f"`radius` must be at least `reference_distance` ({self.reference_distance} m), got {self.radius}")
        edge = (self.radius / self.reference_distance) ** -self.path_loss_exponent
        require(edge >= LEAST_GAIN, f"`path_loss_exponent` and `radius` over `reference_distance` must leave a gain of "
            f"{LEAST_GAIN:g} at the edge of the cell, got {edge:.3g}")  # fmt: skip
        heard = edge * self.pilot_energy / self.noise_power
        require(heard >= LEAST_PILOT, f"`pilot_length`, `pilot_power` and `snr_com_db` must leave pilots a ratio of "
            f"{LEAST_PILOT:g} to the noise at the edge of the cell, got {heard:.3g}")  # fmt: skip
        limit = self.angle_limit
        ok = self.angle_spread <= limit
        require(ok, f"`angle_spread` must be at most `angle_limit` ({limit} rad), got {self.angle_spread}")
        angle = self.target_angle
        ok = angle is None or abs(angle) <= limit
        require(ok, f"`target_angle` must be None or within `angle_limit` ({limit} rad), got {angle!r}")

    @property
    def ratio_scale(self) -> bool:
        """Whether the reward is one of rates alone, without a price on variances."""
        return self.reward == "constrained"

    @classmethod
    def presets(cls) -> Mapping[str, Mapping[str, Any]]:
        """``PRESETS``."""
        return PRESETS

    @property
    def noise_power(self) -> float:
        """sigma^2, noise at a user and of the pilots [W]."""
        return self.power_budget / db_to_linear(self.snr_com_db)

    @property
    def pilot_energy(self) -> float:
        """E = tau_p p_p [W]."""
        return self.pilot_length * self.pilot_power

    @property
    def rate_factor(self) -> float:
        """Share of a coherence interval that carries data [-]."""
        return 1.0 - self.pilot_length / self.coherence_length

    @property
    def drift(self) -> float:
        """q, standard deviation of the target's step [rad]."""
        return radians(self.drift_deg)

    @property
    def first_variance(self) -> float:
        """Variance of the first predicted angle [rad^2]."""
        return self.variance_limit if self.initial_variance is None else self.initial_variance

    @property
    def frame_demand(self) -> float:
        """Bound that the known problem demands of a frame [rad^2]."""
        return self.crb_limit if self.reward == "frame" else self.variance_limit

    @property
    def energy(self) -> float:
        """Energy of an episode [W frames]; inf without a budget."""
        if self.energy_budget is None:
            return float("inf")
        return self.energy_budget * self.power_budget * self.horizon


_STATIC: dict[str, Any] = {
    "horizon": 1,
    "reward": "frame",
    "snr_sen_db": 5.0,
    "echo_std_db": 0.0,
    "drift_deg": 0.0,
    "target_angle": 0.0,
    "initial_variance": 0.0,
}

PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    # The paper's single frame; its CRB constraint never binds (spec mimo 0.3).
    "nguyen2024": _STATIC,
    # The same with an echo so weak that sensing costs rate (spec mimo 5, case C).
    "nguyen2024-binding": _STATIC | {"snr_sen_db": -12.0},
    # The three settings of spec mimo 7, with the beam error fixed.
    "tracking-fading": {"tracker": "one-sigma"},
    "tracking-steady": {"tracker": "one-sigma", "echo_std_db": 0.0},
    "tracking-large": {
        "tracker": "one-sigma",
        "tx_antennas": 35,
        "rx_antennas": 35,
        "snr_sen_db": -25.0,
        "echo_std_db": 8.0,
        "drift_deg": 1.0,
        "variance_limit": 3e-4,
    },
}
"""Settings by name."""
