"""Configuration of the massive MIMO scenario: every number that is not drawn at random."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import pi, radians
from typing import Any, Literal

from ...checks import require
from ...units import db_to_linear
from ..configuration import Configuration, Precision, check_choices, check_counts, check_range, is_number

Reward = Literal["tracking", "frame", "constrained"]
Objective = Literal["sum", "min"]
Action = Literal["full", "share"]
Tracker = Literal["kalman", "one-sigma"]


@dataclass(frozen=True, kw_only=True)
class MassiveMIMOConfig(Configuration):
    """Base station with many antennas that serves users and tracks a target (nguyen2024, spec mimo 2, 7).

    By default the sequential task: a target that moves, an echo that fades, a tracker whose variance is to stay
    below a limit. ``MassiveMIMOConfig.preset("nguyen2024")`` is the paper's single frame. Raises ``ValueError`` that
    names the field, the rule and the value.
    """

    users: int = 4
    """Single-antenna users K."""
    tx_antennas: int = 15
    """Transmit antennas N_t of the base station."""
    rx_antennas: int = 15
    """Receive antennas N_r; with one antenna (and the sensing beam alone) an echo has no angle."""
    radius: float = 500.0
    """Radius of the cell [m]."""
    reference_distance: float = 100.0
    """Least distance of a user, at which the median gain is one [m]."""
    path_loss_exponent: float = 3.2
    """nu."""
    shadowing_db: float = 8.0
    """Standard deviation of the log-normal shadowing, 0 dB median [dB]."""

    power_budget: float = 1.0
    """Radiated power P_t [W]."""
    pilot_power: float = 0.01
    """Power p_p of a pilot symbol [W]."""
    pilot_length: int = 10
    """Symbols tau_p of the orthonormal pilots, at least one per user."""
    coherence_length: int = 100
    """Symbols tau_c of a coherence interval; what the pilots leave carries data."""
    snr_com_db: float = 20.0
    """P_t over the noise at a user (and of the pilots) [dB]."""
    snr_sen_db: float = -15.0
    """P_t over the scaled echo noise, mean over the fading of the echo [dB]."""

    reward: Reward = "tracking"
    """``tracking``: sum rate minus a price on the tracker's variance above its limit; ``frame``: minus a price on the
    frame's CRB above its limit; ``constrained``: sum rate, the cost stands in ``info``."""
    objective: Objective = "sum"
    """Utility of the rates: their sum, or the least."""
    penalty: float = 10.0
    """lambda, price of a decade above the limit [bit/s/Hz]."""
    crb_limit: float = 1e-3
    """CRB_0, demanded bound in every frame where the reward is ``frame`` [rad^2]."""
    variance_limit: float = 1e-3
    """V_max, limit of the tracker's variance [rad^2]; the other rewards demand it of every frame's CRB from allocators
    that know no tracker."""
    rate_floor: float = 0.0
    """Least rate that allocators who can shall guarantee each user [bit/s/Hz]; not enforced on the air."""

    shadowing_memory: float = 0.95
    """Correlation of a user's shadowing in successive frames."""
    echo_std_db: float = 6.0
    """Standard deviation of the echo's strength [dB]."""
    echo_memory: float = 0.9
    """Correlation of the echo's strength in successive frames."""
    drift_deg: float = 1.5
    """Standard deviation of the target's step in a frame [deg]."""
    target_angle: float | None = None
    """Angle of the target in the first frame, from broadside [rad]; None: uniform within ``angle_spread``."""
    angle_spread: float = 0.7
    """Largest angle of a target in the first frame [rad]."""
    angle_limit: float = 1.2
    """The target turns back to this angle if it would pass it [rad]."""
    initial_variance: float | None = None
    """Variance of the first predicted angle [rad^2]; None: ``variance_limit``."""
    tracker: Tracker = "kalman"
    """``kalman``: the estimate follows noisy measurements; ``one-sigma``: the beam is always one predicted standard
    deviation (at most 0.5 rad) off, for planning without luck."""
    energy_budget: float | None = None
    """Energy of an episode as a share of full power in every frame; None: no budget."""

    action: Action = "full"
    """``full``: stream logits, sensing share and total power; ``share``: the sensing share alone, at full power and
    with water-filled streams."""
    logit_scale: float = 5.0
    """Logits per unit of an action."""
    horizon: int = 50
    """Frames in an episode."""
    dtype: Precision = "float64"
    """Precision of the simulation."""

    def __post_init__(self) -> None:
        check_counts(self, _COUNTS)
        check_range(self, _POSITIVE, "above 0", lambda x: x > 0)
        check_range(self, _NON_NEGATIVE, "at least 0", lambda x: x >= 0)
        check_range(self, _UNIT, "in [0, 1]", lambda x: 0 <= x <= 1)
        check_range(self, ("snr_com_db", "snr_sen_db"), "of decibels", lambda _: True)
        check_choices(self, _CHOICES)
        _check_relations(self)

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

_COUNTS = ("users", "tx_antennas", "rx_antennas", "pilot_length", "coherence_length", "horizon")
_POSITIVE = (
    "radius",
    "reference_distance",
    "power_budget",
    "pilot_power",
    "crb_limit",
    "variance_limit",
    "angle_limit",
    "logit_scale",
)
_NON_NEGATIVE = (
    "path_loss_exponent",
    "shadowing_db",
    "penalty",
    "rate_floor",
    "echo_std_db",
    "drift_deg",
    "angle_spread",
)
_UNIT = ("shadowing_memory", "echo_memory")
_CHOICES = {"reward": Reward, "objective": Objective, "action": Action, "tracker": Tracker, "dtype": Precision}


def _check_relations(config: MassiveMIMOConfig) -> None:
    ok = config.pilot_length >= config.users
    require(ok, f"`pilot_length` must be at least `users` ({config.users}) for orthonormal pilots, "
        f"got {config.pilot_length}")  # fmt: skip
    ok = config.coherence_length > config.pilot_length
    require(ok, f"`coherence_length` must exceed `pilot_length` ({config.pilot_length}), got {config.coherence_length}")
    ok = config.radius >= config.reference_distance
    require(ok, f"`radius` must be at least `reference_distance` ({config.reference_distance} m), got {config.radius}")
    limit = config.angle_limit
    require(limit < pi / 2, f"`angle_limit` must be below pi/2 rad, where an array sees no angle, got {limit}")
    ok = config.angle_spread <= limit
    require(ok, f"`angle_spread` must be at most `angle_limit` ({limit} rad), got {config.angle_spread}")
    angle = config.target_angle
    ok = angle is None or (is_number(angle) and abs(angle) <= limit)
    require(ok, f"`target_angle` must be None or a number within {limit} rad, got {angle!r}")
    variance = config.initial_variance
    ok = variance is None or (is_number(variance) and variance >= 0)
    require(ok, f"`initial_variance` must be None or a number at least 0, got {variance!r}")
    energy = config.energy_budget
    ok = energy is None or (is_number(energy) and 0 < energy <= 1)
    require(ok, f"`energy_budget` must be None or a number in (0, 1], got {energy!r}")
