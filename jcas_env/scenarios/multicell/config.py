"""Configuration of the multi-cell scenario: what goes together, what follows from the fields, settings by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ...checks import require
from ...physics.beamforming import Combiner
from ...physics.estimation import ESTIMATORS
from ...physics.motion import clarke_correlation
from ...types import ROUNDING
from ...units import db_to_linear, noise_density
from .problem.subcarriers import whole_floor
from .settings import MultiCellSettings

Objective = Literal["rate", "fair", "delay", "drain"]
"""What a problem can be scored by: the rewards, and the squared backlog, for allocators that plan."""

KEEP_OUT = 2.0
"""Least distance between a user and its base station [m] (spec multicell 2.1)."""


MOST_SUBCARRIERS = 10**5
"""Whole subcarriers whose band, a sum in single precision, still fits the budget to that precision [-]."""

PEAK_EFFICIENCY = 100.0
"""More than any data rate over its band [bit/s/Hz]: by it the packets of a slot are bounded before rates are known."""


@dataclass(frozen=True, kw_only=True)
class MultiCellConfig(MultiCellSettings):
    """Multi-cell mmWave network that serves data and positions its users (luo2023, spec multicell 0).

    ``MultiCellConfig.preset(name)`` gives the settings of the paper's figures. Raises ``ValueError`` that
    names the field, the rule and the value.
    """

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
