"""Configuration of the multi-cell scenario: every number that is not drawn at random."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np

from ...checks import require
from ...physics.beamforming import Combiner, Precoder
from ...physics.estimation import ESTIMATORS
from ...physics.geometry import LAYOUTS
from ...physics.motion import clarke_correlation
from ...physics.rates import Noise, PositioningGain
from ...types import ROUNDING
from ...units import db_to_linear, noise_density
from ..configuration import Configuration, ObservationForm, Precision
from ..kinds import Boolean, Choice, Integer, Number, OneOrEach, OrNone, Several
from .problem.subcarriers import whole_floor

Reward = Literal["rate", "fair", "delay"]
Objective = Literal[Reward, "drain"]
"""What a problem can be scored by: the rewards, and the squared backlog, for allocators that plan."""
Intercell = Literal["printed", "bound"]
Assignment = Literal["geometric", "svd"]

KEEP_OUT = 2.0
"""Least distance between a user and its base station [m] (spec multicell 2.1)."""


MOST_SUBCARRIERS = 10**5
"""Whole subcarriers whose band, a sum in single precision, still fits the budget to that precision [-]."""

PEAK_EFFICIENCY = 100.0
"""More than any data rate over its band [bit/s/Hz]: by it the packets of a slot are bounded before rates are known."""


@dataclass(frozen=True, kw_only=True)
class MultiCellConfig(Configuration):
    """Multi-cell mmWave network that serves data and positions its users (luo2023, spec multicell 0).

    Defaults are the physically right formulas where luo2023 has misprints; sizes, correlations and what pilots cost
    are choices. ``MultiCellConfig.preset(name)`` gives the settings of the paper's figures. Raises ``ValueError`` that
    names the field, the rule and the value.
    """

    cells: Annotated[int, Choice(LAYOUTS)] = 3
    """Number of cells, 1, 3 or 7."""
    users_per_cell: Annotated[int, Integer(1, 256)] = 12
    """Users dropped into each hexagon."""
    radius: Annotated[float, Number(5.0, 1e4)] = 30.0
    """Circumradius of a hexagonal cell [m]."""
    carrier_hz: Annotated[float, Number(1e8, 1e12)] = 60e9
    """Carrier frequency [Hz]."""
    bs_antennas: Annotated[int, Integer(1, 1024)] = 20
    """Elements M of a base station's array."""
    ue_antennas: Annotated[int, Integer(1, 256)] = 4
    """Elements N of a user's array."""

    paths: Annotated[int, Integer(1, 256)] = 3
    """Paths L of a link: one line of sight and L - 1 scattered."""
    rician_db: Annotated[float | None, OrNone(Number(-60.0, 60.0))] = 9.0
    """Power of the line of sight over that of all scattered paths [dB]. None: all paths are CN(0, 1/L),
    luo2023 eq. 4 to the letter."""
    clusters: Annotated[
        tuple[int, int, float] | None, OrNone(Several((Integer(1, 64), Integer(1, 64), Number(0.0, 180.0))))
    ] = None
    """(clusters, paths per cluster, angular spread [deg]): scattered angles gather in clusters; replaces
    ``paths`` by the product. None: independent angles."""
    noise_density_dbm_hz: Annotated[float, Number(-220.0, -130.0)] = -174.0
    """Thermal noise power density [dBm/Hz]."""
    noise_figure_db: Annotated[float, Number(-20.0, 40.0)] = 7.0
    """Noise figure of a user's receiver [dB]."""

    power_budget: Annotated[float, Number(1e-6, 1e6)] = 10.0
    """Power of a base station [W]."""
    band_budget: Annotated[float, Number(1e3, 1e12)] = 10e6
    """Band of a base station [Hz]; all of them use the same band."""
    floor: Annotated[float, Number(0.0, 0.5)] = 0.01
    """Least power of a user and service, and least band of a group and service, as a share of the budget."""
    subcarrier_spacing: Annotated[float, Number(1.0, 1e10)] = 150e3
    """Spacing of the subcarriers [Hz]."""
    whole_subcarriers: Annotated[bool, Boolean()] = False
    """Round bands to whole subcarriers on the air, service by service (largest remainder, at least one for each group).
    A band too narrow for one group is refused here; how many groups a cell has is the scene's, and a scene with more
    than the band has subcarriers is infeasible: solvers say so, and any action transmits the fallback."""

    positioning_share: Annotated[float | None, OrNone(Number(1e-6, 0.999999))] = None
    """Share of power and band that positioning gets in every cell; None leaves it to the allocator."""
    service_weight: Annotated[tuple[float, float], Several((Number(0.0, 1e6), Number(0.0, 1e6)))] = (1.0, 1.5)
    """Weights of data rate and positioning rate in the reward. With (1, 1) and a free share the linear
    reward always runs to the communication end."""
    reward: Annotated[Reward, Choice(Reward)] = "rate"
    """``rate``: weighted sum of the rates; ``fair``: weighted sum of their logarithms; ``delay``: minus the mean
    backlog in slots of arrivals, which turns the queues on."""
    prior_variance: Annotated[float, Number(1e-12, 10.0)] = 0.01
    """Variance of a user's angle before a slot's positioning [rad^2]."""
    kalman: Annotated[bool, Boolean()] = False
    """Let the slots' positioning narrow this variance and motion widen it; it is then the first slot's."""

    estimator: Annotated[str, Choice(ESTIMATORS)] = "spomp"
    """Source of the channel knowledge: a file of ``jcas_env/physics/estimation``. ``perfect`` is the truth, ``crb`` a
    fast statistical stand-in for ``spomp``."""
    snapshots: Annotated[int, Integer(1, 256)] = 6
    """Pilot frames T from which angles are measured."""
    grid: Annotated[int, Integer(2, 1000)] = 100
    """Grid points per side on which ``omp`` and ``spomp`` begin their search."""
    angle_coherence: Annotated[int, Integer(1, 10**9)] = 5
    """Slots between two measurements of angles and positions; in between ``spomp`` and ``crb`` keep the angles and
    measure gains alone. An angle drifts by v t/d: keep this below 0.1 d/(M v dt)."""
    pilots: Annotated[int, Integer(1, 1024)] = 8
    """Pilot beams P of a slot in which gains alone are measured; at least two measurements per path, P N >= 2 L."""
    frame_rho: Annotated[float, Number(0.0, 1.0)] = 0.0
    """Correlation of the path gains of successive pilot frames; 0: independent, a choice. What is consistent
    with ``fading_correlation`` = 0.9 between slots, for frames back to back, 0.4 ms of 10 ms, is 0.9^0.04 = 0.996."""
    pilot_power: Annotated[float | None, OrNone(Number(1e-6, 1e9))] = None
    """Power of the pilots [W]; None: the whole power budget."""
    pilot_reuse: Annotated[bool, Boolean()] = False
    """All stations send the same pilots at the same time (pilot contamination). It costs ``spomp`` as much as ``ls``:
    both end at an NMSE of -4.8 dB however strong the pilots, because angles do not say whose path it is; the strongest
    path alone stays at -9.3 dB (figure ``pilot-contamination``). Not modelled by ``crb``, which refuses it."""
    pilot_overhead: Annotated[bool, Boolean()] = False
    """Subtract the time that pilots take from the rates."""
    csi_nmse: Annotated[float, Number(0.0, 100.0)] = 0.0
    """Power of an extra i.i.d. error on every known channel, relative to the channel."""
    csi_delay: Annotated[int, Choice((0, 1))] = 1
    """Age of the channel knowledge when an allocation acts [slots], 0 or 1."""
    combiner: Annotated[Combiner | None, OrNone(Choice(Combiner))] = None
    """Receive combiner; None: ``null_mrc`` where the user has more antennas than the other cells have
    paths, ``N > (C-1) L``, else ``gev``."""
    precoder: Annotated[Precoder, Choice(Precoder)] = "mrt"
    """Transmit beams."""
    analog: Annotated[bool, Boolean()] = False
    """Constant-modulus (phase-only) combiners and beams."""
    noise: Annotated[Noise, Choice(Noise)] = "per_hertz"
    """Noise in the true rates: of the group's band, or of the whole band as in luo2023 eq. 14."""
    positioning_gain: Annotated[PositioningGain, Choice(PositioningGain)] = "classical"
    """Positioning factor, ``paper`` as printed in luo2023 eq. 17."""
    intercell: Annotated[Intercell, Choice(Intercell)] = "printed"
    """Inter-cell term of the relaxed problem: (C-1) lambda^2 P as printed, or the valid bound lambda^2 P."""
    assignment: Annotated[Assignment, Choice(Assignment)] = "geometric"
    """Serving cell: the hexagon of the drop, or luo2023 Algorithm 2 stage 1."""
    grouping_threshold: Annotated[float | tuple[float, ...], OneOrEach(Number(1e-6, 10.0))] = 0.4
    """Correlation from which users of a cell are put into different groups; one number or one per cell."""

    horizon: Annotated[int, Integer(1, 10**9)] = 100
    """Slots in an episode; 1 makes a one-step task."""
    slot: Annotated[float, Number(1e-6, 10.0)] = 0.01
    """Slot length [s]."""
    speed: Annotated[float, Number(0.0, 1e3)] = 1.0
    """Root mean square speed of the users [m/s]."""
    velocity_memory: Annotated[float, Number(0.0, 1.0)] = 0.9
    """Correlation of a user's velocity in successive slots."""
    fading_correlation: Annotated[float, Number(0.0, 1.0)] = 0.9
    """Correlation of the scattered paths in successive slots; 1 freezes the fading. A modelling choice, with
    ``frame_rho``: at 60 GHz and 1 m/s fading decorrelates in about 2 ms, so that slots of 10 ms hardly correlate and
    the frames inside of one do. The pair that follows from the speed is :attr:`clarke_correlations`, for the defaults
    the preset ``clarke``."""
    blockage: Annotated[bool, Boolean()] = False
    """Block lines of sight at random."""
    blockage_enter: Annotated[float, Number(0.0, 1.0)] = 0.01
    """Probability that a clear line of sight is blocked in the next slot."""
    blockage_leave: Annotated[float, Number(0.0, 1.0)] = 0.1
    """Probability that a blocked line of sight is clear in the next slot."""
    blockage_loss_db: Annotated[float, Number(0.0, 60.0)] = 15.0
    """Loss of a blocked line of sight [dB]."""

    queues: Annotated[bool, Boolean()] = False
    """Let data arrive at random and wait in a queue for each user; always so with the ``delay`` reward."""
    load: Annotated[float, Number(0.0, 10.0)] = 0.7
    """Mean arrivals of all users over the sum of their data rates under equal allocation at reset."""
    packet_bits: Annotated[float, Number(1.0, 1e9)] = 12000.0
    """Size of the packets, which arrive in Poisson numbers [bit]; larger ones are burstier at the same load."""

    logit_scale: Annotated[float, Number(0.01, 40.0)] = 5.0
    """Logits per unit of an action."""
    observation: Annotated[ObservationForm, Choice(ObservationForm)] = "dict"
    """``dict``: structured; ``flat``: one vector for MLPs."""
    dtype: Annotated[Precision, Choice(Precision)] = "float64"
    """Precision of the simulation. ``float32`` halves its memory and takes a quarter off its time."""

    def check_relations(self) -> None:
        """Lists with an entry for each cell, floors that fit, pilots that measure enough."""
        _check_lists(self)
        _check_floors(self)
        _check_pilots(self)

    @property
    def entries(self) -> Mapping[str, float]:
        """Entries of channels, pilots, paths, gains and packets."""
        links = self.cells * self.users
        pair = links * self.bs_antennas * self.ue_antennas
        searched = self.grid if "grid" in ESTIMATORS[self.estimator].needs else 0
        packets = self.load * PEAK_EFFICIENCY * self.band_budget * self.slot / self.packet_bits
        return {
            "channels of `users_per_cell`, `bs_antennas` and `ue_antennas`": pair,
            "pilots of `users_per_cell`, `bs_antennas`, `ue_antennas` and `snapshots`": pair * self.pilot_frames,
            "searches of `users_per_cell`, `grid`, `ue_antennas` and `snapshots`": links
            * searched
            * self.ue_antennas
            * self.pilot_frames,
            "`paths` or `clusters` of all links": links * self.total_paths * (self.bs_antennas + self.ue_antennas),
            "gains of `users_per_cell` users": self.cells * self.users**2,
            "packets of `slot`, `band_budget`, `load` and `packet_bits`": self.has_queues * self.users * packets,
        }

    @property
    def users(self) -> int:
        """Users in all cells."""
        return self.cells * self.users_per_cell

    @property
    def crowd(self) -> int | None:
        """Users of every cell, in whose order users then stand; None where a scene decides who is served where."""
        return self.users_per_cell if self.assignment == "geometric" else None

    @property
    def ratio_scale(self) -> bool:
        """Whether the reward is one of rates alone: neither logarithms nor backlogs."""
        return self.reward == "rate"

    @property
    def has_queues(self) -> bool:
        """Whether data waits in queues."""
        return self.queues or self.reward == "delay"

    @property
    def total_paths(self) -> int:
        """Paths of a link, clusters included."""
        return self.paths if self.clusters is None else self.clusters[0] * self.clusters[1]

    @property
    def combiner_kind(self) -> Combiner:
        """The receive combiner in force."""
        if self.combiner is not None:
            return self.combiner
        return "null_mrc" if self.ue_antennas > (self.cells - 1) * self.total_paths else "gev"

    @property
    def knows_paths(self) -> bool:
        """Whether channels are known as the sums of paths that they are: nothing is estimated, and no error added."""
        return self.estimator == "perfect" and not self.csi_nmse

    @property
    def rician_factor(self) -> float | None:
        """Linear Rician factor, or None."""
        return None if self.rician_db is None else db_to_linear(self.rician_db)

    @property
    def pilot_watt(self) -> float:
        """Power of the pilots [W]."""
        return self.power_budget if self.pilot_power is None else self.pilot_power

    @property
    def pilot_frames(self) -> int:
        """Pilot frames of a slot in which angles are measured."""
        return ESTIMATORS[self.estimator].pilot_frames(self.snapshots)

    def pilot_share(self, *, measures_angles: bool) -> float:
        """Share of a slot's symbols that pilots take: stations one after the other, unless they reuse pilots.

        T M symbols for each station where angles are measured, M for the estimators that see one frame, P where
        gains alone are measured (spec estimation 8.10).
        """
        symbols = self.slot * self.subcarrier_spacing
        if self.estimator == "perfect":
            return 0.0
        estimator = ESTIMATORS[self.estimator]
        beams = self.pilot_frames * self.bs_antennas
        if estimator.keeps_angles and not measures_angles:
            beams = min(self.pilots, self.bs_antennas)
        return beams * (1 if self.pilot_reuse else self.cells) / symbols

    @property
    def frame_interval(self) -> float:
        """Time from one pilot frame of a station to its next [s]: one symbol for each antenna, stations in turn."""
        stations = 1 if self.pilot_reuse else self.cells
        return stations * self.bs_antennas / self.subcarrier_spacing

    @property
    def clarke_correlations(self) -> tuple[float, float]:
        """``fading_correlation`` and ``frame_rho`` that follow from speed and carrier, :func:`.clarke_correlation`.

        Negative ones count as zero: an autoregressive process with a negative correlation would alternate.
        """
        slots, frames = (
            max(0.0, clarke_correlation(interval, speed=self.speed, carrier_hz=self.carrier_hz))
            for interval in (self.slot, self.frame_interval)
        )
        return slots, frames

    @property
    def noise_density(self) -> float:
        """Noise power density at a receiver [W/Hz]."""
        return noise_density(self.noise_figure_db, self.noise_density_dbm_hz)

    @classmethod
    def presets(cls) -> Mapping[str, Mapping[str, Any]]:
        """``PRESETS``."""
        return PRESETS


_STATIC: dict[str, Any] = {
    "estimator": "perfect",
    "csi_delay": 0,
    "horizon": 1,
    "positioning_share": 0.5,
    "service_weight": (1.0, 1.0),
}

PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    # One slot, perfect channel knowledge of the same slot: the setting of the tables of spec multicell 10.
    "luo2023-static": _STATIC,
    # Every choice as printed in the paper, its mistakes included (spec multicell 0, last column but one).
    "luo2023-paper": _STATIC
    | {
        "ue_antennas": 18,
        "combiner": "svd",
        "noise": "constant",
        "positioning_gain": "paper",
        "grouping_threshold": (0.4, 0.3, 0.5),
    },
    "luo2023-fig6": _STATIC
    | {
        "bs_antennas": 32,
        "ue_antennas": 16,
        "power_budget": 5.0,
        "band_budget": 100e6,
        "positioning_share": 0.1,
        "floor": 1e-4,
    },
    "luo2023-fig7": _STATIC | {"ue_antennas": 16, "band_budget": 100e6, "grouping_threshold": (0.4, 0.3, 0.5)},
    "luo2023-fig8": _STATIC | {"ue_antennas": 18},
    # The queues of spec multicell 10.5: knowledge one slot old, blockage, 40 slots.
    "delay": _STATIC | {"reward": "delay", "csi_delay": 1, "horizon": 40, "blockage": True},
    # Fading as fast as walking users see it, between slots and between the pilot frames of a slot.
    "clarke": {"fading_correlation": 0.159, "frame_rho": 0.938},
    "luo2023-fig9": _STATIC | {"ue_antennas": 18, "power_budget": 5.0, "grouping_threshold": (0.4, 0.3, 0.5)},
}
"""Settings by name; the figures' sweeps are made with keywords on top (spec multicell 10.8)."""


def _check_lists(config: MultiCellConfig) -> None:
    """Lists with one entry for each cell, and weights that leave a reward."""
    weights, thresholds = config.service_weight, config.grouping_threshold
    require(max(weights) >= 1e-3, f"`service_weight` must have a weight of at least 0.001, got {weights!r}")
    ok = not isinstance(thresholds, tuple) or len(thresholds) == config.cells
    require(ok, f"`grouping_threshold` must be one number or {config.cells}, one per cell, got {thresholds!r}")


def _check_pilots(config: MultiCellConfig) -> None:
    """Pilots must support the paths and leave time for data (spec estimation 8.5, 8.10)."""
    if config.estimator == "perfect":
        return
    measured, least = min(config.pilots, config.bs_antennas) * config.ue_antennas, 2 * config.total_paths
    require(
        measured >= least,
        f"`pilots` is too small: {config.total_paths} paths need pilots x ue_antennas >= {least} measurements of a "
        f"link, got {config.pilots!r} pilots and {config.ue_antennas} antennas",
    )
    require(
        config.estimator != "esprit" or config.ue_antennas == 1,
        f"`estimator` esprit knows departures only and needs `ue_antennas` = 1, got {config.ue_antennas!r}",
    )
    require(
        config.estimator != "crb" or not config.pilot_reuse,
        "`pilot_reuse` must be False for `estimator` crb, which imitates spomp on pilots of every station's own",
    )
    time = config.pilot_share(measures_angles=True) if config.pilot_overhead else 0.0
    require(
        time < 1.0,
        f"`pilot_overhead`: the pilots of a slot take {time:.3g} of it; lower `snapshots` or lengthen `slot`",
    )


def _check_floors(config: MultiCellConfig) -> None:
    """Floors must fit into both services of every cell (spec multicell 0)."""
    crowd = config.users_per_cell if config.assignment == "geometric" else config.users
    least = crowd * config.floor
    share = config.positioning_share
    demand = f"{crowd} users with floors of {config.floor:g} of a budget need {least:g} in each service"
    require(
        least <= 0.5 * (1.0 + ROUNDING),
        f"`floor` is too large: {demand}, and two services share a budget of 1; got {config.floor!r}",
    )
    if share is not None:
        ok = least <= min(share, 1 - share) * (1.0 + ROUNDING)
        require(ok, f"`positioning_share` must lie in ({least:g}, {1 - least:g}): {demand}; got {share!r}")
    if config.whole_subcarriers:
        _check_subcarriers(config)


def _check_subcarriers(config: MultiCellConfig) -> None:
    """The band must hold the floor of one group and service, in whole subcarriers; more groups are the scene's."""
    spacing, share = config.subcarrier_spacing, config.positioning_share
    held = config.band_budget / spacing
    require(
        held <= MOST_SUBCARRIERS,
        f"`whole_subcarriers`: `band_budget` must hold at most {MOST_SUBCARRIERS} subcarriers, got {held:g}",
    )
    room = config.band_budget * (0.5 if share is None else min(share, 1.0 - share))
    least = float(whole_floor(np.asarray(config.floor * config.band_budget), spacing=spacing))
    require(
        least <= room * (1.0 + ROUNDING),
        f"`whole_subcarriers`: a group needs {least:g} Hz of each service ({round(least / spacing)} times "
        f"`subcarrier_spacing`), and a service has {room:g} Hz of `band_budget` {config.band_budget:g}",
    )
