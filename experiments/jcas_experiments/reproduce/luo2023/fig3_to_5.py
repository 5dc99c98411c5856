"""luo2023 Figs. 3 to 5: channel estimation error against SNR, antennas, paths and grid (spec estimation 9).

Random links of unit large-scale gain, angles uniform in [0, pi), gains CN(0, MN/L), six snapshots, one pilot per
antenna. NMSE is the mean over links of each link's ratio; intervals are those of the mean, in decibels.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from jcas_env.physics.channel import multipath_channel
from jcas_env.physics.estimation import Refinement, measure

from ...links import Links, bound, decibel_interval, error, run
from ..figure import Effort, FigureRecipe, Table, intervals

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SNAPSHOTS = 6
LABELS = {"ls": "LS", "mmse": "MMSE", "omp": "OMP", "esprit": "ESPRIT", "spomp": "SPOMP", "bound": "bound"}
STYLES = {"ls": "v:", "mmse": "^-.", "omp": "s--", "esprit": "d-.", "spomp": "o-", "bound": "k:"}


def random_links(seed: int, count: int, snr_db: float, *, tx: int, rx: int, paths: int) -> Links:
    """Draw links of the model of spec estimation 1; with one receive antenna all arrivals are at broadside."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) / np.sqrt(2.0)

    aod, aoa = np.cos(rng.uniform(0.0, np.pi, (2, count, paths)))
    aoa = aoa if rx > 1 else np.zeros_like(aoa)
    gains = np.sqrt(tx * rx / paths) * normal(count, SNAPSHOTS, paths)
    channel = multipath_channel(gains, aoa[:, None], aod[:, None], rx_antennas=rx, tx_antennas=tx)
    noise_power = np.full(count, 10.0 ** (-snr_db / 10.0))
    received = measure(channel, None, noise_power, normal(count, SNAPSHOTS, rx, tx))
    return Links(aod, aoa, gains, channel, received, None, noise_power)


def errors_db(links: Links, names: tuple[str, ...], **options: Any) -> dict[str, float]:
    """NMSE of estimators with half-widths of 95 % intervals, ``NAME`` and ``NAME_ci95`` [dB]; ``bound`` too."""
    row = {}
    for name in names:
        known = {"spomp": options.keys(), "omp": {"grid"}}.get(name, set())
        chosen = {key: value for key, value in options.items() if key in known}
        ratio = bound(links) if name == "bound" else error(run(name, links, **chosen), links)
        row[name], row[f"{name}_ci95"] = decibel_interval(ratio)
    return row


# ---------------------------------------------------------------- Fig. 3

_FIG3 = ("ls", "mmse", "omp", "esprit", "spomp", "bound")
SNRS_DB = tuple(float(snr) for snr in range(-10, 31, 5))


def _fig3(effort: Effort) -> Iterator[dict[str, Any]]:
    for snr_db in effort.left(SNRS_DB):
        links = random_links(effort.seed, effort.pick(2000, 300), snr_db, tx=16, rx=1, paths=3)
        yield {"snr_db": snr_db, **errors_db(links, _FIG3)}


def _draw_fig3(figure: Figure, table: Table) -> None:
    axes = figure.subplots()
    for name in _FIG3:
        axes.errorbar(table["snr_db"], table[name], table[f"{name}_ci95"], fmt=STYLES[name], ms=5, capsize=2,
                      label=LABELS[name])  # fmt: skip
    axes.set(xlabel="SNR of a measurement [dB]", ylabel="NMSE [dB]", title="M = 16, N = 1, three paths")
    axes.legend(frameon=False)


def _fig3_verdict(table: Table) -> list[str]:
    others = np.min([table[name] for name in ("ls", "mmse", "omp", "esprit")], axis=0)
    wins = table["spomp"] < others
    snr = table["snr_db"]
    behind = snr[table["omp"] > table["ls"]]
    gap = np.abs(table["spomp"] - table["bound"])[snr >= 10]
    return [
        f"'Algorithm 1 outperforms the others': lowest of all at {', '.join(f'{s:g}' for s in snr[wins])} dB; "
        + ("reproduced from -5 dB up." if wins[snr >= -5].all() else "not everywhere."),
        f"From 10 dB up it is within {gap.max():.2f} dB of the bound.",
        f"'All four always improve with SNR': OMP saturates on its grid and falls behind LS from {behind.min():g} dB."
        if behind.size
        else "OMP stays ahead of LS.",
    ]


# ---------------------------------------------------------------- Fig. 4

_FIG4 = ("mmse", "omp", "spomp", "bound")
FIG4_ANTENNAS = (16, 18, 20)
FIG4_SNRS_DB = (-5.0, 5.0, 15.0, 25.0)


def _fig4(effort: Effort) -> Iterator[dict[str, Any]]:
    for antennas, snr_db in effort.left(product(FIG4_ANTENNAS, FIG4_SNRS_DB)):
        links = random_links(effort.seed, effort.pick(1500, 200), snr_db, tx=antennas, rx=2, paths=3)
        yield {"antennas": antennas, "snr_db": snr_db, **errors_db(links, _FIG4)}


def _draw_fig4(figure: Figure, table: Table) -> None:
    axes = figure.subplots()
    for colour, antennas in enumerate(FIG4_ANTENNAS):
        part = table.where(antennas=antennas)
        for name in _FIG4:
            axes.plot(part["snr_db"], part[name], STYLES[name].replace("k", ""), color=f"C{colour}", ms=5,
                      label=f"{LABELS[name]}, M = {antennas}")  # fmt: skip
    axes.set(xlabel="SNR of a measurement [dB]", ylabel="NMSE [dB]", title="N = 2, three paths")
    axes.legend(frameon=False, fontsize=8, ncols=3)


def _fig4_verdict(table: Table) -> list[str]:
    def gain(name: str, snr_db: float) -> float:
        """By how much the error falls from the fewest to the most antennas [dB]."""
        few, many = (table.where(antennas=n, snr_db=snr_db)[name][0] for n in (FIG4_ANTENNAS[0], FIG4_ANTENNAS[-1]))
        return float(few - many)

    best = (table["spomp"] < np.minimum(table["omp"], table["mmse"])).all()
    told = ", ".join(f"{gain('spomp', snr):+.2f} dB at {snr:g} dB" for snr in FIG4_SNRS_DB)
    return [
        "'Algorithm 1 outperforms MMSE and OMP': " + ("reproduced at every point." if best else "not at every point."),
        f"'More antennas improve it': from 16 to 20 antennas {told}; ten log of the antennas is 0.97 dB; reproduced.",
        f"'... and OMP': {gain('omp', 5.0):+.2f} dB at 5 dB but {gain('omp', 25.0):+.2f} dB at 25 dB, where the grid "
        "limits it: only at low SNR.",
    ]


# ---------------------------------------------------------------- Fig. 5

_FIG5 = ("mmse", "omp", "spomp")
FIG5_PATHS = (3, *range(16, 31, 2))
"""Table I: 16 to 30, more than the 16 antennas of a station; and the three of all other figures, for comparison."""
FIG5_GRIDS = (10, 80, 300)
"""Table I."""


def _fig5_points(effort: Effort) -> list[tuple[int, int]]:
    return list(product((3, 16, 22, 30) if effort.quick else FIG5_PATHS, FIG5_GRIDS))


def _fig5(effort: Effort) -> Iterator[dict[str, Any]]:
    for paths, grid in effort.left(_fig5_points(effort)):
        links = random_links(effort.seed, effort.pick(400, 100), 5.0, tx=16, rx=2, paths=paths)
        options: dict[str, Any] = {"grid": grid, "refinement": Refinement(rescue=paths <= 3)}
        yield {"paths": paths, "grid": grid, **errors_db(links, _FIG5, **options)}


def _draw_fig5(figure: Figure, table: Table) -> None:
    axes = figure.subplots()
    many = table["paths"] >= FIG5_PATHS[1]
    for colour, grid in enumerate(FIG5_GRIDS):
        for name in _FIG5 if colour == 0 else _FIG5[1:]:  # MMSE knows no grid
            tint = "0.4" if name == "mmse" else f"C{colour}"
            label = LABELS[name] if name == "mmse" else f"{LABELS[name]}, {grid} x {grid} grid points"
            for some, fmt in ((many, STYLES[name]), (~many, STYLES[name][0])):  # nothing was computed in between
                here = some & (table["grid"] == grid)
                axes.errorbar(
                    table["paths"][here], table[name][here], table[f"{name}_ci95"][here], fmt=fmt, color=tint, ms=5,
                    capsize=2, label=label if some is many else None,
                )  # fmt: skip
    axes.set(xlabel="paths (3: as in the other figures)", ylabel="NMSE [dB]", title="M = 16, N = 2, SNR 5 dB")
    axes.set_xticks(sorted(set(table["paths"])))
    axes.legend(frameon=False, fontsize=8, loc="lower center")


def _fig5_verdict(table: Table) -> list[str]:
    counts = sorted(int(paths) for paths in set(table["paths"]))
    best = table["spomp"] < np.minimum(table["omp"], table["mmse"])
    spread = max(float(np.ptp(table.where(paths=paths)["spomp"])) for paths in counts)
    lines = [
        "'Algorithm 1 outperforms MMSE and OMP whatever the grid': "
        + ("reproduced at every point." if best.all() else f"at {best.sum()} of {best.size} points."),
        f"'Not improved significantly by the grid': it varies by at most {spread:.2f} dB; "
        + ("reproduced." if spread < 1.0 else "not reproduced."),
    ]
    for paths in counts[:2]:
        part = table.where(paths=paths)
        told = ", ".join(f"{error:.1f} dB at {grid:g}" for grid, error in zip(part["grid"], part["omp"], strict=True))
        lines.append(f"'A finer grid improves OMP at the beginning', {paths} paths: {told}.")
    finest = table.where(grid=max(table["grid"]))
    many = finest["paths"] >= FIG5_PATHS[1]
    if many.sum() > 1:
        lead, among = (finest["mmse"] - finest["spomp"])[many], finest["paths"][many]
        swing = [float(np.ptp(finest[name][many])) for name in ("mmse", "omp")]
        lines += [
            f"'MMSE and OMP fluctuate slightly with the number of paths', {among[0]:g} to {among[-1]:g}: by "
            f"{swing[0]:.2f} and {swing[1]:.2f} dB.",
            f"With nearly as many paths as a frame has measurements, 32, the lead over MMSE shrinks: {lead[0]:.2f} dB "
            f"at {among[0]:g}, {lead[-1]:.2f} dB at {among[-1]:g} paths.",
        ]
    return lines


FIGURES = {
    "luo-fig3": FigureRecipe(
        title="Channel estimation error against SNR (luo2023 Fig. 3)",
        columns=("snr_db", *_FIG3),
        extra=intervals(_FIG3),
        compute=_fig3,
        size=lambda effort: len(SNRS_DB),  # noqa: ARG005
        draw=_draw_fig3,
        verdict=_fig3_verdict,
    ),
    "luo-fig4": FigureRecipe(
        title="Channel estimation error against SNR and antennas (luo2023 Fig. 4)",
        columns=("antennas", "snr_db", *_FIG4),
        extra=intervals(_FIG4),
        compute=_fig4,
        size=lambda effort: len(FIG4_ANTENNAS) * len(FIG4_SNRS_DB),  # noqa: ARG005
        draw=_draw_fig4,
        verdict=_fig4_verdict,
    ),
    "luo-fig5": FigureRecipe(
        title="Channel estimation error against paths and grid (luo2023 Fig. 5)",
        columns=("paths", "grid", *_FIG5),
        extra=intervals(_FIG5),
        compute=_fig5,
        size=lambda effort: len(_fig5_points(effort)),
        draw=_draw_fig5,
        verdict=_fig5_verdict,
    ),
}
