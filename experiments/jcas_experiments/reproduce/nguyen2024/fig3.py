"""nguyen2024 Fig. 3: sum rate and CRB over the number of antennas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from jcas_baselines import Exact

from ...statistics import mean_and_interval
from ..figure import Effort, FigureRecipe, Table, intervals
from .setting import LABELS, METHODS, problems

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TOTALS = (10, 20, 30, 40, 50, 60, 70, 80)
WEAK_DB = -15.0
"""SNR of an echo so weak that the demand binds."""


def _compute(effort: Effort) -> Iterator[dict[str, Any]]:
    for antennas in effort.left(TOTALS):
        size = {"tx_antennas": antennas // 2, "rx_antennas": antennas // 2}
        problem = problems(effort.pick(2000, 300), effort.seed, **size)
        row: dict[str, Any] = {"antennas": antennas}
        for name, solver in METHODS.items():
            solution = solver.solve(problem)
            row[name], row[f"{name}_ci95"] = mean_and_interval(solution.objective)
            row[f"crb_{name}"] = float(solution.details["crb"].mean())
        weak = problems(effort.pick(2000, 300), effort.seed, snr_sen_db=WEAK_DB, **size)
        solution = Exact().solve(weak)
        row["proposed_weak_echo"] = float(solution.objective.mean())
        row["crb_weak_echo"] = float(solution.details["crb"].mean())
        row["sensing_share_weak_echo"] = float((solution.allocation.sensing_power / weak.largest_total).mean())
        yield row


def _draw(figure: Figure, table: Table) -> None:
    rate, crb = figure.subplots(1, 2)
    for colour, name in enumerate(METHODS):
        look = {"color": f"C{colour}", "label": LABELS[name]}
        rate.errorbar(table["antennas"], table[name], table[f"{name}_ci95"], fmt="o-", ms=4, capsize=2, **look)
        crb.semilogy(table["antennas"], table[f"crb_{name}"], "os^"[colour] + "-", ms=5, mfc="none", **look)
    look = {"ls": "--", "marker": "v", "color": "C4", "label": f"proposed, echo at {WEAK_DB:g} dB"}
    rate.plot(table["antennas"], table["proposed_weak_echo"], **look)
    crb.semilogy(table["antennas"], table["crb_weak_echo"], **look)
    crb.axhline(1e-3, color="black", lw=0.8)
    crb.annotate("demanded", (10, 1e-3), xytext=(2, 4), textcoords="offset points", fontsize=8)
    rate.set(xlabel="antennas, half of them transmit", ylabel="sum rate [bit/s/Hz]")
    crb.set(xlabel="antennas, half of them transmit", ylabel="CRB of the angle [rad$^2$]")
    rate.legend(frameon=False, fontsize=8)
    crb.legend(frameon=False, fontsize=8)


def _verdict(table: Table) -> list[str]:
    rising = all((np.diff(table[name]) > 0).all() for name in METHODS)
    falling = all((np.diff(table[f"crb_{name}"]) < 0).all() for name in METHODS)
    shares = table["sensing_share_weak_echo"]
    feasible = np.isfinite(shares)
    pairs = zip(table["antennas"][feasible], shares[feasible], strict=True)
    told = ", ".join(f"{share:.3f} with {antennas:g}" for antennas, share in pairs if share > 0)
    binding = [f"{n:g}" for n in table["antennas"][np.isclose(table["crb_proposed"], 1e-3)]]
    missed = ", ".join(f"{antennas:g}" for antennas in table["antennas"][~feasible])
    return [
        "'More antennas raise the rates and lower the CRB of all approaches': proposed "
        f"{table['proposed'][0]:.2f} to {table['proposed'][-1]:.2f} bit/s/Hz, CRB {table['crb_proposed'][0]:.1e} to "
        f"{table['crb_proposed'][-1]:.1e}; " + ("reproduced." if rising and falling else "not reproduced."),
        f"'CRB <= 1e-3': largest {table['crb_proposed'].max():.2e}; the constraint binds with "
        f"{', '.join(binding) or 'no'} antennas only.",
        f"With an echo at {WEAK_DB:g} dB sensing costs rate: out of reach with {missed} antennas, share of the sensing "
        f"beam {told}, none beyond.",
    ]


FIGURES = {
    "nguyen-fig3": FigureRecipe(
        title="nguyen2024 Fig. 3: sum rate and CRB over the number of antennas",
        columns=("antennas", *(column for name in METHODS for column in (name, f"crb_{name}"))),
        extra=(
            *intervals(METHODS),
            "proposed_weak_echo",
            "crb_weak_echo",
            "sensing_share_weak_echo",
        ),
        compute=_compute,
        size=lambda effort: len(TOTALS),  # noqa: ARG005
        draw=_draw,
        verdict=_verdict,
    ),
}
