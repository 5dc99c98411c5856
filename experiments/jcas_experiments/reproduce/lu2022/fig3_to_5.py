"""lu2022 Figs. 3 to 5: mean rates and error bounds where every user has the same number of subcarriers, as combs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from jcas_env.scenarios.mesh import MeshAllocation, MeshConfig, MeshProblem
from jcas_env.scenarios.mesh.subcarriers import proportional_counts
from jcas_env.units import MEGA, db_to_linear

from ..figure import Effort, FigureRecipe, Table, all_at_once
from .setting import instance

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BANDS = (0.9e9, 1.0e9, 1.2e9)
"""Bandwidths of Figs. 4 and 5 [Hz]."""


QUANTITIES = (("peb_m", 1e3, "PEB [mm], mean over users"), ("oeb_rad", 1e6, "OEB [urad], mean over users"))
"""Columns of Figs. 4 and 5 with the factor and label of their axes."""


def equal_share(problem: MeshProblem, share: float) -> MeshAllocation:
    """Equal whole counts at a positioning share."""
    weight = np.full(problem.users, 1.0 / problem.users)
    counts = proportional_counts(weight, total=problem.subcarriers, least=0)
    return problem.on_air(MeshAllocation(counts, None, np.asarray(share)))


# ---------------------------------------------------------------- Fig. 3: mean rate against signal to noise

FIG3_SHARES = (0.1, 0.4, 0.7, 0.95)
"""Shares of the frame for positioning, the paper's beta."""
SNRS_DB = tuple(range(0, 41, 5))
"""Signal to noise ratios per subcarrier."""


def _fig3(effort: Effort) -> Iterator[dict[str, Any]]:
    problem = instance(effort)
    for share in FIG3_SHARES:
        allocation = equal_share(problem, share)
        for snr_db in SNRS_DB:
            heard = replace(problem, snr=np.full(problem.users, db_to_linear(float(snr_db))))
            rate = heard.outcome(allocation).rate.mean() / MEGA
            yield {"beta": share, "snr_db": float(snr_db), "mean_rate_mbps": float(rate)}


def _draw_fig3(figure: Figure, table: Table) -> None:
    axes = figure.subplots()
    for share, style in zip(FIG3_SHARES, ("o-", "s--", "^-.", "v:"), strict=True):
        part = table.where(beta=share)
        axes.plot(part["snr_db"], part["mean_rate_mbps"], style, ms=5, label=f"share for positioning {share:g}")
    axes.set(xlabel="signal to noise ratio per subcarrier [dB]", ylabel="mean data rate of a user [Mbit/s]")
    axes.legend(frameon=False)


def _fig3_verdict(table: Table) -> list[str]:
    rate = {share: table.where(beta=share)["mean_rate_mbps"] for share in FIG3_SHARES}
    falls = all(bool((rate[a] > rate[b]).all()) for a, b in pairwise(FIG3_SHARES))
    ratio = float((rate[0.4] / rate[0.1]).mean())
    exact = 0.6 / 0.9
    at_20 = ", ".join(f"{float(values[SNRS_DB.index(20)]):.1f}" for values in rate.values())
    return [
        "'The mean rate falls as beta grows': at every ratio; " + ("reproduced." if falls else "not reproduced."),
        f"The curves are one curve times 1 - beta: beta 0.4 over 0.1 is {ratio:.6f}, which is 0.6/0.9 = {exact:.6f}.",
        f"At 20 dB the mean rates are {at_20} Mbit/s. The paper does not print its power, beams and loss; its absolute "
        "values cannot be compared.",
    ]


# ---------------------------------------------------------------- Fig. 4: error bounds against the share

FIG4_SHARES = tuple(round(0.1 * k, 1) for k in range(1, 10))


def _mean_bounds(problem: MeshProblem, share: float) -> tuple[float, float]:
    """PEB [m] and OEB [rad], means over users, at the equal share."""
    bounds = problem.bounds(equal_share(problem, share))
    return float(bounds.position.mean()), float(bounds.orientation.mean())


def _fig4(effort: Effort) -> Iterator[dict[str, Any]]:
    density = MeshConfig().power_per_subcarrier
    for bandwidth in BANDS:
        total = instance(effort, bandwidth=bandwidth)
        dense = instance(effort, bandwidth=bandwidth, subcarrier_power=density)
        for share in FIG4_SHARES:
            peb, oeb = _mean_bounds(total, share)
            peb_density, oeb_density = _mean_bounds(dense, share)
            yield {
                "beta": share,
                "bandwidth_hz": bandwidth,
                "peb_m": peb,
                "oeb_rad": oeb,
                "peb_m_fixed_density": peb_density,
                "oeb_rad_fixed_density": oeb_density,
            }


def _draw_fig4(figure: Figure, table: Table) -> None:
    for axes, (name, scale, label) in zip(figure.subplots(1, 2), QUANTITIES, strict=True):
        for colour, bandwidth in enumerate(BANDS):
            part = table.where(bandwidth_hz=bandwidth)
            band = f"{bandwidth / 1e9:g} GHz"
            wide = dict(zip(BANDS, (6, 4, 2), strict=True))[bandwidth]
            axes.plot(
                part["beta"], scale * part[name], "-", lw=wide, alpha=0.6, color=f"C{colour}", label=f"{band}, total"
            )
            axes.plot(
                part["beta"], scale * part[f"{name}_fixed_density"], "o--", ms=4, color=f"C{colour}",
                label=f"{band}, density",
            )  # fmt: skip
        axes.set(xlabel="share of the frame for positioning, beta", ylabel=label)
        axes.legend(frameon=False, fontsize=8, ncols=3, title="fixed: power in total, or power per subcarrier")
        axes.set_ylim(0, 1.25 * axes.get_ylim()[1])


def _fig4_verdict(table: Table) -> list[str]:
    middle = table.where(bandwidth_hz=1.0e9)
    step = [float(middle[name][0] / middle[name][1]) for name in ("peb_m", "oeb_rad")]
    first = table.where(beta=0.1)
    total, dense = ([float(value) for value in first[name] * 1e3] for name in ("peb_m", "peb_m_fixed_density"))
    falls = all(bool((np.diff(table.where(bandwidth_hz=b)["peb_m"]) < 0).all()) for b in BANDS)
    told = "/".join(f"{value:.4f}" for value in total)
    told_dense = "/".join(f"{value:.4f}" for value in dense)
    return [
        "'PEB and OEB fall as beta grows, most between 0.1 and 0.2, then ever less': "
        + ("reproduced" if falls else "not reproduced")
        + f"; both go as beta^-1/2, from 0.1 to 0.2 by {step[0]:.4f} and {step[1]:.4f} (sqrt 2 = {sqrt(2):.4f}).",
        f"'More band lowers both': at 0.1, 0.9/1/1.2 GHz give a PEB of {told} mm at fixed total power, so hardly, and "
        f"the OEB not at all; at fixed power per subcarrier {told_dense} mm, as the inverse root of the band: "
        "reproduced only in this reading, and the paper does not say which one it draws.",
        "Absolute values cannot be compared: power, beams and symbol time are not printed.",
    ]


# ---------------------------------------------------------------- Fig. 5: error bounds against the mean rate

RATES_MBPS = tuple(float(rate) for rate in range(100, 301, 25))
"""Mean rates of a user that are asked for."""


def _fig5(effort: Effort) -> Iterator[dict[str, Any]]:
    for bandwidth in BANDS:
        problem = instance(effort, bandwidth=bandwidth)
        full = float(problem.outcome(equal_share(problem, 0.0)).rate.mean()) / MEGA
        for rate in RATES_MBPS:
            share = 1.0 - rate / full  # the rate falls linearly with the share
            peb, oeb = _mean_bounds(problem, share)
            yield {"bandwidth_hz": bandwidth, "mean_rate_mbps": rate, "peb_m": peb, "oeb_rad": oeb, "beta": share}


def _draw_fig5(figure: Figure, table: Table) -> None:
    for axes, (name, scale, label) in zip(figure.subplots(1, 2), QUANTITIES, strict=True):
        for bandwidth, style in zip(BANDS, ("o-", "s--", "^-."), strict=True):
            part = table.where(bandwidth_hz=bandwidth)
            axes.plot(part["mean_rate_mbps"], scale * part[name], style, ms=5, label=f"{bandwidth / 1e9:g} GHz")
        axes.set(xlabel="mean data rate of a user [Mbit/s]", ylabel=label)
        axes.legend(frameon=False)


def _fig5_verdict(table: Table) -> list[str]:
    growth = {}
    for name in ("peb_m", "oeb_rad"):
        parts = [table.where(bandwidth_hz=bandwidth)[name] for bandwidth in BANDS]
        growth[name] = [float(part[-1] / part[0]) for part in parts]
    told = "/".join(f"{value:.3f}" for value in growth["peb_m"])
    mean = np.mean(growth["peb_m"]) - 1.0
    same = np.allclose(growth["peb_m"], growth["oeb_rad"], rtol=1e-9)
    return [
        f"'From 100 to 300 Mbit/s the PEB grows by about 90 %': at 0.9/1/1.2 GHz it grows by a factor of {told}, "
        f"{mean:.0%} on average; reproduced.",
        "'... and the OEB by 80 %': cannot hold beside it. Under one allocation both go as beta^-1/2 and grow alike"
        + (", as they do here." if same else "."),
        "'More band improves rate and positioning together': at the same rate a wider band leaves a larger share for "
        "positioning; reproduced.",
    ]


FIGURES = {
    "lu-fig3": FigureRecipe(
        title="Mean data rate against the signal to noise ratio (lu2022 Fig. 3)",
        columns=("beta", "snr_db", "mean_rate_mbps"),
        in_one_piece=True,
        compute=all_at_once(_fig3),
        size=lambda effort: len(FIG3_SHARES) * len(SNRS_DB),  # noqa: ARG005 (FigureRecipe)
        draw=_draw_fig3,
        verdict=_fig3_verdict,
    ),
    "lu-fig4": FigureRecipe(
        title="Error bounds against the share for positioning, calibration A (lu2022 Fig. 4)",
        columns=("beta", "bandwidth_hz", "peb_m", "oeb_rad"),
        extra=("peb_m_fixed_density", "oeb_rad_fixed_density"),
        in_one_piece=True,
        compute=all_at_once(_fig4),
        size=lambda effort: len(BANDS) * len(FIG4_SHARES),  # noqa: ARG005
        draw=_draw_fig4,
        verdict=_fig4_verdict,
    ),
    "lu-fig5": FigureRecipe(
        title="Error bounds against the mean data rate, calibration A (lu2022 Fig. 5)",
        columns=("bandwidth_hz", "mean_rate_mbps", "peb_m", "oeb_rad"),
        extra=("beta",),
        in_one_piece=True,
        compute=all_at_once(_fig5),
        size=lambda effort: len(BANDS) * len(RATES_MBPS),  # noqa: ARG005
        draw=_draw_fig5,
        verdict=_fig5_verdict,
    ),
}
