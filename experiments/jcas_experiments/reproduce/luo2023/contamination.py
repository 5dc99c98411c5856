"""Pilot contamination: what estimators make of pilots that all stations send at once (luo2023 Sec. I, our own figure).

The paper says that SPOMP alleviates pilot pollution (spec estimation 1.11). One slot without delay, the same networks
with pilots of their own for every station and with the same pilots for all; the error is that of the serving links.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from jcas_baselines import ADMM

from jcas_env.physics.beamforming import serving_link
from jcas_env.physics.estimation import spomp
from jcas_env.scenarios.multicell import MultiCell, MultiCellConfig
from jcas_env.scenarios.multicell.knowledge.sounding import amplitude, sound_antennas
from jcas_env.tree import stack

from ...links import decibel, decibel_interval
from ...statistics import mean_and_interval
from ..figure import Effort, FigureRecipe, Table
from .estimation_cost import STYLES, full_power_snr_db

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from jcas_env.scenarios.multicell.state import ChannelNoise, State

ONE_PATH = "spomp-1"
"""SPOMP that looks for a single path: what contamination cannot touch as long as the serving line of sight leads."""
ESTIMATORS = ("ls", "mmse", "omp", "spomp", ONE_PATH)
SNRS_DB = (0.0, 10.0, 20.0, 30.0)
OURS = ("spomp", ONE_PATH)
PILOTS = {"own": False, "shared": True}
"""Value of ``pilot_reuse`` by column name."""


def _points(effort: Effort) -> list[tuple[str, float]]:
    return list(product(ESTIMATORS, SNRS_DB[1::2] if effort.quick else SNRS_DB))


def _compute(effort: Effort) -> Iterator[dict[str, Any]]:
    seeds = range(effort.seed, effort.seed + effort.pick(60, 12))
    for estimator, snr_db in effort.left(_points(effort)):
        row: dict[str, Any] = {"estimator": estimator, "pilot_snr_db": snr_db}
        for name, reuse in PILOTS.items():
            known = "spomp" if estimator == ONE_PATH else estimator
            config = MultiCellConfig.preset("luo2023-static", estimator=known, pilot_reuse=reuse)
            power = config.power_budget * 10 ** ((snr_db - full_power_snr_db()) / 10)
            scenario = MultiCell(config.with_fields({"pilot_power": power}))
            draws = stack([scenario.draw_initial(np.random.default_rng(seed)) for seed in seeds])
            state = scenario.initial(draws)
            if estimator == ONE_PATH:
                error, utility = _one_path_errors(scenario, state, draws.first.noise), np.full(len(seeds), np.nan)
            else:
                error = state.csi.nmse
                utility = scenario.truth(state).utility(ADMM().solve(scenario.problem(state)).allocation)
            row[name], row[f"{name}_ci95"] = decibel_interval(error.mean(axis=-1))
            row[f"{name}_median"] = decibel(np.median(error))
            row[f"{name}_utility"], row[f"{name}_utility_ci95"] = mean_and_interval(utility)
        yield row


def _one_path_errors(scenario: MultiCell, state: State, noise: ChannelNoise) -> np.ndarray:
    """NMSE of the serving links, (networks, users), when SPOMP keeps the strongest path of every link alone."""
    heard = sound_antennas(scenario.config, state.air, noise)
    found = spomp(heard.received, None, heard.noise_power, paths=1).channel[..., -1, :, :]
    own, true = (
        serving_link(channel, state.cell)
        for channel in (found, state.air.channel / amplitude(state.air.path_loss_db)[..., None, None])
    )
    return np.sum(np.abs(own - true) ** 2, axis=(-2, -1)) / np.sum(np.abs(true) ** 2, axis=(-2, -1))


def _draw(figure: Figure, table: Table) -> None:
    left, right = figure.subplots(1, 2)
    for estimator in ESTIMATORS:
        part = table.where(estimator=estimator)
        style, colour = STYLES.get(estimator, "d-"), f"C{ESTIMATORS.index(estimator)}"
        for name, width in (("own", 0.8), ("shared", 2.0)):
            label = f"{'spomp, one path' if estimator == ONE_PATH else estimator}, {name} pilots"
            left.plot(part["pilot_snr_db"], part[name], style, color=colour, lw=width, ms=5, mfc="none", label=label)
            right.plot(part["pilot_snr_db"], part[f"{name}_utility"], style, color=colour, lw=width, ms=5, mfc="none")
    left.set(xlabel="pilot SNR of the median link [dB]", ylabel="NMSE of the serving links [dB]")
    right.set(xlabel="pilot SNR of the median link [dB]", ylabel="true utility of ADMM [Mbit/s]")
    right.set_ylim(bottom=0)
    figure.legend(loc="outside lower center", ncols=len(ESTIMATORS), frameon=False, fontsize=8)


def _verdict(table: Table) -> list[str]:
    lines = []
    for snr_db in sorted(set(table["pilot_snr_db"])):
        told = []
        for estimator in ESTIMATORS:
            row = table.where(pilot_snr_db=snr_db, estimator=estimator)
            cost = row["shared_utility"][0] / row["own_utility"][0] - 1.0
            told.append(
                f"{estimator} {row['own'][0]:.1f} -> {row['shared'][0]:.1f} dB"
                + ("" if np.isnan(cost) else f", utility {cost:+.0%}")
            )
        lines.append(f"pilot SNR {snr_db:g} dB, own -> shared pilots: " + "; ".join(told) + ".")
    best = table.where(pilot_snr_db=table["pilot_snr_db"].max())
    gains = [best.where(estimator="ls")["shared"][0] - best.where(estimator=name)["shared"][0] for name in OURS]
    lines.append(
        f"At the highest SNR and with shared pilots SPOMP is {gains[0]:.1f} dB better than LS, with one path "
        f"{gains[1]:.1f} dB. That SPOMP alleviates pilot pollution is "
        + ("reproduced." if gains[0] >= 3.0 else "not reproduced (3 dB asked for): angles do not say whose path it is.")
    )
    return lines


FIGURES = {
    "pilot-contamination": FigureRecipe(
        title="Pilots of every station's own, or shared by all: error of the serving links (our own figure)",
        columns=("estimator", "pilot_snr_db", "own", "shared", "own_median", "shared_median"),
        extra=("own_ci95", "shared_ci95", "own_utility", "own_utility_ci95", "shared_utility", "shared_utility_ci95"),
        compute=_compute,
        size=lambda effort: len(_points(effort)),
        draw=_draw,
        verdict=_verdict,
    )
}
