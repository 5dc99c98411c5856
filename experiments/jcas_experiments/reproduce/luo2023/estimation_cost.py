"""What imperfect channel knowledge costs each allocator: a figure of our own (spec estimation 8).

One slot without delay, so that estimation is all that separates the known channel from the true one. The pilot SNR is
that of a measurement of the median serving link; every point sees the same networks.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from jcas_baselines import ADMM, EqualAllocation, Exact

from jcas_env.physics.beamforming import serving_link
from jcas_env.scenarios.multicell import MultiCell, MultiCellConfig
from jcas_env.scenarios.multicell.knowledge.sounding import pilot_noise_power

from ...statistics import mean_and_interval
from ..figure import Effort, FigureRecipe, Table, intervals

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ALLOCATORS = {"admm": ADMM(), "exact": Exact(), "equal": EqualAllocation()}
ESTIMATORS = ("perfect", "spomp", "crb", "omp", "mmse", "ls")
PRECODERS = ("mrt", "zf")
SNRS_DB = (-10.0, 0.0, 10.0, 20.0, 30.0)
STYLES = {"perfect": "k-", "spomp": "o-", "crb": "+:", "omp": "s--", "mmse": "^-.", "ls": "v:"}


@cache
def full_power_snr_db() -> float:
    """SNR of a measurement of the median serving link when pilots have the whole power budget."""
    config = MultiCellConfig.preset("luo2023-static")
    scenario = MultiCell(config)
    state = scenario.sample(range(20))
    noise = serving_link(pilot_noise_power(config, state.air.path_loss_db)[..., None], state.cell)
    return float(-10.0 * np.log10(np.median(noise)))


def _points(effort: Effort) -> list[tuple[str, str, float]]:
    snrs = SNRS_DB[:: effort.pick(1, 2)]
    return list(product(PRECODERS, ESTIMATORS, snrs))


def _compute(effort: Effort) -> Iterator[dict[str, Any]]:
    for precoder, estimator, snr_db in effort.left(_points(effort)):
        config = MultiCellConfig.preset("luo2023-static", precoder=precoder, estimator=estimator)
        config = config.with_fields({"pilot_power": config.power_budget * 10 ** ((snr_db - full_power_snr_db()) / 10)})
        scenario = MultiCell(config)
        seeds = range(effort.seed, effort.seed + effort.pick(60, 12))
        state = scenario.sample(seeds)
        known, truth = scenario.problem(state), scenario.truth(state)
        row: dict[str, Any] = {"precoder": precoder, "estimator": estimator, "pilot_snr_db": snr_db}
        row["nmse_db"] = float(10.0 * np.log10(max(state.csi.nmse.mean(), 1e-20)))
        for name, solver in ALLOCATORS.items():
            utility = truth.utility(solver.solve(known).allocation)
            row[name], row[f"{name}_ci95"] = mean_and_interval(utility)
        yield row


def _draw(figure: Figure, table: Table) -> None:
    for axes, precoder in zip(figure.subplots(1, 2), PRECODERS, strict=True):
        for estimator in ESTIMATORS:
            part = table.where(precoder=precoder, estimator=estimator)
            axes.plot(part["pilot_snr_db"], part["admm"], STYLES[estimator], label=estimator, ms=5, mfc="none")
        axes.set(
            xlabel="pilot SNR of the median link [dB]",
            ylabel="true utility of ADMM [Mbit/s]",
            title=f"{precoder.upper()} beams",
        )
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False, fontsize=8)


def _verdict(table: Table) -> list[str]:
    lines = []
    for precoder in PRECODERS:
        part = table.where(precoder=precoder)
        best = part["pilot_snr_db"].max()
        for estimator in ESTIMATORS[1:]:
            costs = []
            for snr_db in (best, 10.0) if 10.0 in part["pilot_snr_db"] else (best,):
                here = part.where(estimator=estimator, pilot_snr_db=snr_db)
                free = part.where(estimator="perfect", pilot_snr_db=snr_db)
                told = ", ".join(f"{name} {here[name][0] / free[name][0] - 1.0:+.1%}" for name in ALLOCATORS)
                costs.append(f"at {snr_db:g} dB {told} (NMSE {here['nmse_db'][0]:.1f} dB)")
            lines.append(f"{precoder.upper()}, {estimator} against perfect knowledge: " + "; ".join(costs) + ".")
    return lines


FIGURES = {
    "estimation-cost": FigureRecipe(
        title="What channel estimation costs: true utility against pilot SNR (our own figure)",
        columns=("precoder", "estimator", "pilot_snr_db", "nmse_db", *ALLOCATORS),
        extra=intervals(ALLOCATORS),
        compute=_compute,
        size=lambda effort: len(_points(effort)),
        draw=_draw,
        verdict=_verdict,
    )
}
