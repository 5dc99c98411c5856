"""luo2023 Fig. 7: total rates against transmit power and receive antennas."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

import numpy as np

from jcas_env.scenarios.multicell import MultiCellConfig

from ...statistics import mean_and_interval
from ..figure import Effort, FigureRecipe, Table, intervals
from .setting import METHODS, SERVICES, problems, totals

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POWERS = (5.0, 15.0, 25.0, 35.0, 45.0, 55.0)
"""Power of a base station [W]."""
ANTENNAS = (4, 8, 16)
"""Receive antennas of a user."""
PRECODERS = ("mrt", "zf")


def _compute(effort: Effort) -> Iterator[dict[str, Any]]:
    powers = POWERS[:: effort.pick(1, 5)]
    for precoder, antennas, power in effort.left(product(PRECODERS, ANTENNAS, powers)):
        config = MultiCellConfig.preset("luo2023-fig7", ue_antennas=antennas, power_budget=power, precoder=precoder)
        parts = [totals(*pair, METHODS["proposed"]) for pair in problems(config, effort.pick(60, 12), effort.seed)]
        rates = np.concatenate(parts)
        row: dict[str, Any] = {"precoder": precoder, "ue_antennas": antennas, "power_w": power}
        for service, name in enumerate(SERVICES):
            row[name], row[f"{name}_ci95"] = mean_and_interval(rates[:, service])
        yield row


def _draw(figure: Figure, table: Table) -> None:
    titles = ("total data rate [Mbit/s]", "total positioning rate [Mbit/s]")
    for axes, name, title in zip(figure.subplots(1, 2), SERVICES, titles, strict=True):
        for precoder, style in (("mrt", "o-"), ("zf", "s--")):
            for colour, antennas in enumerate(ANTENNAS):
                part = table.where(precoder=precoder, ue_antennas=antennas)
                axes.errorbar(
                    part["power_w"], part[name], part[f"{name}_ci95"], fmt=style, color=f"C{colour}", ms=4, capsize=2,
                    label=f"{precoder.upper()}, N = {antennas}",
                )  # fmt: skip
        axes.set(xlabel="power of a base station [W]", ylabel=title)
        axes.set_ylim(0, 1.3 * axes.get_ylim()[1])
        axes.legend(frameon=False, fontsize=8, ncols=2, loc="upper left")


def _verdict(table: Table) -> list[str]:
    mrt = table.where(precoder="mrt")
    means = {name: [mrt.where(ue_antennas=n)[name].mean() for n in ANTENNAS] for name in SERVICES}
    steps = {name: [b / a - 1 for a, b in pairwise(values)] for name, values in means.items()}
    data, positioning = (", ".join(f"{step:+.1%}" for step in steps[name]) for name in SERVICES)
    rises = {}
    for precoder in PRECODERS:
        part = table.where(precoder=precoder, ue_antennas=16)
        rises[precoder] = [part[name][-1] / part[name][0] - 1 for name in SERVICES]
    rising = [all(rise[service] > 0 for rise in rises.values()) for service in range(2)]
    return [
        f"'More receive antennas bring 10 to 20 % data rate': MRT, N = 4 to 8 to 16: {data}; "
        + _judge(steps[SERVICES[0]], 0.10, 0.20, slack=0.05),
        f"'... and 8 to 10 % positioning rate': {positioning}; " + _judge(steps[SERVICES[1]], 0.08, 0.10, slack=0.02),
        f"'The data rate rises with power': 5 to 55 W at N = 16: MRT {rises['mrt'][0]:+.1%} (interference limited), "
        f"ZF {rises['zf'][0]:+.1%}; " + ("reproduced in direction." if rising[0] else "not reproduced."),
        f"'The positioning rate falls with power': MRT {rises['mrt'][1]:+.1%}, ZF {rises['zf'][1]:+.1%}; "
        + (
            "not reproduced: a rate as in luo2023 eq. 19 rises with power; only an error bound falls."
            if rising[1]
            else "reproduced."
        ),
    ]


def _judge(steps: list[float], low: float, high: float, *, slack: float) -> str:
    """Verdict on gains that a paper puts between ``low`` and ``high``."""
    mean = float(np.mean(steps))
    if all(low <= step <= high for step in steps):
        return "reproduced."
    if all(low - slack <= step <= high + slack for step in steps):
        return f"reproduced within {100 * slack:.0f} points."
    if low - slack <= mean <= high + slack:
        return f"on average only ({mean:+.1%}), within {100 * slack:.0f} points."
    return "not reproduced."


FIGURES = {
    "luo-fig7": FigureRecipe(
        title="Total rates against power and receive antennas (luo2023 Fig. 7)",
        columns=("precoder", "ue_antennas", "power_w", *SERVICES),
        extra=intervals(SERVICES),
        compute=_compute,
        size=lambda effort: len(PRECODERS) * len(ANTENNAS) * len(POWERS[:: effort.pick(1, 5)]),
        draw=_draw,
        verdict=_verdict,
    ),
}
