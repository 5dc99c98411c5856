"""Angles against their Cramér-Rao bound and positions against theirs, estimator by estimator: a figure of our own.

Angles: three well separated paths, M = 16, N = 2 (spec estimation 9.4). Positions: networks of three cells, each user
found from its departures at the stations (spec multicell 2.7); the SNR is then that of the median serving link.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from jcas_env.scenarios.multicell import MultiCell, MultiCellConfig

from ...links import Links, angle_errors, draw_links, run
from ..figure import Effort, FigureRecipe, Table
from .estimation_cost import STYLES, full_power_snr_db

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from jcas_env.scenarios.multicell.knowledge.positions import PositionFix

ESTIMATORS = ("spomp", "omp")
SNRS_DB = (0.0, 10.0, 20.0, 30.0)
SEPARATED = (np.array([-0.5, 0.05, 0.6]), np.array([0.3, -0.4, 0.1]))
"""Well separated directions of departure and arrival (spec estimation 10.8)."""
KEPT = 0.99
"""Share of the located users, those of least error over bound, whose root mean square is taken."""


def separated(rng: np.random.Generator, count: int, *, rx: int, snr_db: float) -> Links:
    """Links with one path (one receive antenna) or three well separated ones, jittered by +-0.01, M = 16."""
    centres = (np.array([0.2]), np.zeros(1)) if rx == 1 else SEPARATED
    angles = [u + rng.uniform(-0.01, 0.01, (count, len(u))) * (k == 0 or rx > 1) for k, u in enumerate(centres)]
    return draw_links(
        rng, count, tx_antennas=16, rx_antennas=rx, paths=len(centres[0]), snr_db=snr_db, angles=(angles[0], angles[1])
    )


def ratios(name: str, links: Links) -> tuple[list[float], np.ndarray]:
    """Root mean square of angle errors over root bounds, for v and, with two antennas, for w; which were found."""
    errors, found = angle_errors(run(name, links), links)
    paths = links.aod_cos.shape[-1]
    parts = [slice(k, k + paths) for k in range(0, errors.shape[-1], paths)]
    return [float(np.sqrt(np.mean(errors[:, part][found[:, part]] ** 2))) for part in parts], found


def fixes(estimator: str, snr_db: float, seeds: range) -> PositionFix:
    """Where an estimator finds the users of random networks."""
    config = MultiCellConfig.preset("luo2023-static", estimator=estimator)
    power = config.power_budget * 10 ** ((snr_db - full_power_snr_db()) / 10)
    scenario = MultiCell(config.with_fields({"pilot_power": power}))
    return scenario.later(scenario.sample(seeds)).fix


def _compute(effort: Effort) -> Iterator[dict[str, Any]]:
    for estimator, snr_db in effort.left(product(ESTIMATORS, SNRS_DB)):
        links = separated(np.random.default_rng(effort.seed), effort.pick(3000, 300), rx=2, snr_db=snr_db)
        (departure, arrival), found = ratios(estimator, links)
        fix = fixes(estimator, snr_db, range(effort.seed, effort.seed + effort.pick(40, 5)))
        error, bound = fix.error[fix.located], fix.bound[fix.located]
        kept = np.sort(error / bound)[: int(KEPT * error.size)]
        yield {
            "estimator": estimator,
            "snr_db": snr_db,
            "departure_ratio": departure,
            "arrival_ratio": arrival,
            "found": float(found.mean()),
            "located": float(fix.located.mean()),
            "position_error_m": float(np.median(error)),
            "position_bound_m": float(np.median(bound)),
            "position_ratio": float(np.sqrt(np.mean(kept**2))),
        }


def _draw(figure: Figure, table: Table) -> None:
    left, right = figure.subplots(1, 2)
    for colour, estimator in enumerate(ESTIMATORS):
        part = table.where(estimator=estimator)
        for name, width in (("departure", 2.0), ("arrival", 0.8)):
            left.semilogy(
                part["snr_db"], part[f"{name}_ratio"], STYLES[estimator], color=f"C{colour}", lw=width,
                mfc="none", label=f"{estimator}, {name}",
            )  # fmt: skip
        for name, width in (("error", 2.0), ("bound", 0.8)):
            right.semilogy(
                part["snr_db"], part[f"position_{name}_m"], STYLES[estimator], color=f"C{colour}", lw=width,
                mfc="none", label=f"{estimator}, {name}",
            )  # fmt: skip
    left.axhline(1.0, color="black", lw=0.8)
    left.set(xlabel="SNR [dB]", ylabel="rms angle error over its Cramér-Rao bound")
    right.set(xlabel="pilot SNR of the median link [dB]", ylabel="position, median [m]")
    for axes in (left, right):
        axes.legend(frameon=False, fontsize=8)


def _verdict(table: Table) -> list[str]:
    lines = []
    for estimator in ESTIMATORS:
        part = table.where(estimator=estimator)
        told = [
            f"{snr:g} dB: angles {v:.2f} (v) and {w:.2f} (w) times the bound, {located:.1%} of users located, median "
            f"{1e3 * error:.0f} mm, error {ratio:.2f} times the bound"
            for snr, v, w, located, error, ratio in zip(
                *(part[name] for name in ("snr_db", "departure_ratio", "arrival_ratio")),
                *(part[name] for name in ("located", "position_error_m", "position_ratio")),
                strict=True,
            )
        ]
        lines.append(f"{estimator}: " + "; ".join(told) + ".")
    return lines


FIGURES = {
    "estimation-bounds": FigureRecipe(
        title="Angles and positions against their Cramér-Rao bounds (our own figure)",
        columns=(
            "estimator", "snr_db", "departure_ratio", "arrival_ratio", "found",
            "located", "position_error_m", "position_bound_m", "position_ratio",
        ),
        compute=_compute,
        size=lambda _: len(ESTIMATORS) * len(SNRS_DB),
        draw=_draw,
        verdict=_verdict,
    )
}  # fmt: skip
