"""How the results of each scenario are shown: columns, units, and the two panels of the picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jcas_env.units import MEGA


@dataclass(frozen=True)
class Column:
    """A metric of an evaluation as a column of the table and a key of the JSON file."""

    key: str
    """Name in the JSON file, with the unit."""
    title: str
    """Heading of the table."""
    metric: str
    """Name in ``Evaluation.metrics``."""
    scale: float = 1.0
    """What the metric is multiplied by."""
    format: str = ".2f"
    """Format of a cell."""
    over: str | None = None
    """Metric by whose mean it is divided, if any."""
    note: str = ""
    """What it means, for a column that only some tasks of a scenario have."""

    def mean(self, metrics: Mapping[str, np.ndarray]) -> float:
        """The column's figure, mean over episodes; NaN for a ratio to zero."""
        value = self.scale * float(metrics[self.metric].mean())
        if self.over is None:
            return value
        total = float(metrics[self.over].mean())
        return value / total if total else float("nan")


@dataclass(frozen=True)
class View:
    """Presentation of one scenario."""

    columns: tuple[Column, ...]
    """Metrics beside the utility, in order."""
    axes: tuple[str, str]
    """Keys of the columns on the horizontal and vertical axis of the trade-off."""
    labels: tuple[str, str]
    """Labels of these axes."""
    unit: Callable[[Any], str]
    """Unit of the utility under a configuration."""
    legend: str
    """What the columns mean, one or two sentences."""
    describe: Callable[[Any], str]
    """A configuration in a few words, for the title of the picture."""
    logarithmic: Callable[[Any], bool] = lambda config: False  # noqa: ARG005
    """Whether the utility of a configuration is a mean of logarithms, so that differences count and not ratios."""
    log: tuple[bool, bool] = (False, False)
    """Whether the axes of the trade-off are logarithmic."""
    rate_unit: tuple[float, str] = (1 / MEGA, "Mbit/s")
    """Scale and unit of the users' rates in the distribution."""

    def column(self, key: str) -> Column:
        """The column of a key."""
        return next(column for column in self.columns if column.key == key)


RATES = (
    Column("rate_mbps", "R_C", "rate", 1 / MEGA),
    Column("positioning_rate_mbps", "R_O", "positioning_rate", 1 / MEGA),
    Column("p5_rate_mbps", "p5", "p5_rate", 1 / MEGA),
    Column("jain", "Jain", "jain"),
)

QUEUES = (
    Column(
        "backlog_ms",
        "backlog",
        "backlog_ms",
        format=".1f",
        note="backlog: what waits after a slot, as the time in which as much arrives [ms].",
    ),
    Column(
        "delivered", "delivered", "served", format=".3f", over="arrived", note="delivered: bits sent over bits arrived."
    ),
)
"""Columns of tasks with queues."""

VIEWS: dict[str, View] = {
    "multicell": View(
        columns=(*QUEUES, *RATES),
        axes=("rate_mbps", "positioning_rate_mbps"),
        labels=("data rate per user [Mbit/s]", "positioning rate per user [Mbit/s]"),
        unit=lambda config: {"rate": "Mbit/s", "fair": "ln Mbit/s", "delay": "minus slots of arrivals"}[config.reward],
        legend=(
            "R_C, R_O: data and positioning rate per user [Mbit/s]; "
            "p5, Jain: 5th percentile and fairness of R_C over users."
        ),
        logarithmic=lambda config: config.reward == "fair",
        describe=lambda config: (
            f"{config.cells} cells x {config.users_per_cell} users, "
            f"{config.bs_antennas} x {config.ue_antennas} antennas"
        ),
    ),
    "mesh": View(
        columns=(
            Column("rate_mbps", "rate", "rate", 1 / MEGA, ".1f"),
            Column("p5_rate_mbps", "p5", "p5_rate", 1 / MEGA, ".1f"),
            Column("peb_mm", "PEB", "peb", 1e3, ".4f"),
            Column("oeb_urad", "OEB", "oeb", 1e6, ".3f"),
            Column("positioning_share", "share", "positioning_share", format=".3f"),
        ),
        axes=("rate_mbps", "peb_mm"),
        labels=("data rate per user [Mbit/s]", "position error bound, mean over users [mm]"),
        unit=lambda config: "normalised sum" if config.objective == "sum" else "normalised logarithms",
        legend=(
            "rate, p5: data rate per user, mean and 5th percentile [Mbit/s]; PEB [mm] and OEB [urad]: position and "
            "orientation error bound, mean over users; share: part of the frame for positioning."
        ),
        logarithmic=lambda config: config.objective == "log",
        describe=lambda config: (
            f"{config.users} users, {config.subcarriers} subcarriers, "
            f"{config.tx_antennas} x {config.rx_antennas} antennas"
        ),
    ),
    "massive-mimo": View(
        columns=(
            Column("rate_bit_s_hz", "R", "rate"),
            Column("p5_rate_bit_s_hz", "p5", "p5_rate"),
            Column("jain", "Jain", "jain"),
            Column("variance_mrad2", "V", "variance", 1e3),
            Column("cost_decades", "cost", "cost"),
            Column("sensing_share", "T/S", "sensing_share"),
            Column("feasible_share", "reach", "feasible"),
        ),
        axes=("rate_bit_s_hz", "variance_mrad2"),
        labels=("data rate per user [bit/s/Hz]", "variance of the target's angle [1e-3 rad²]"),
        unit=lambda config: "bit/s/Hz" if config.reward == "constrained" else "bit/s/Hz, less a price per decade",
        legend=(
            "R, p5, Jain: data rate per user [bit/s/Hz], its 5th percentile and fairness; V: variance of the angle "
            "after a frame [1e-3 rad^2]; cost: decades of V above its limit; T/S: sensing share of the radiated power; "
            "reach: share of frames whose own CRB can meet the demand."
        ),
        describe=lambda config: (
            f"{config.users} users and a target, {config.tx_antennas} x {config.rx_antennas} antennas, "
            f"echo {config.snr_sen_db:g} dB"
        ),
        log=(False, True),
        rate_unit=(1.0, "bit/s/Hz"),
    ),
}
"""Presentation by scenario."""
