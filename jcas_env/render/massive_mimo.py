"""The massive MIMO cell, its target and an allocation as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..scenarios.massive_mimo import MassiveMIMO
from .scene import scene

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..scenarios.massive_mimo import MassiveMIMOAllocation, MassiveMIMOProblem
    from ..scenarios.massive_mimo.state import State

STREAM, BEAM, TARGET = "#2b6ca3", "#e08a1e", "#b8352a"
"""Colours of the users' streams, of the sensing beam, and of the target."""

DRAWN_REACH = 0.92
"""Where the target is drawn, as a share of the cell's radius: the model has its angle alone."""


@scene.register(MassiveMIMO)
def cell(scenario: MassiveMIMO, figure: Figure, state: State, allocation: MassiveMIMOAllocation | None = None) -> None:
    """Sector with users, target and sensing beam on the left; last allocation and the tracker's state on the right.

    ``state`` and ``allocation`` without batch axes. The pattern is that of the beam that is about to be sent, at the
    predicted angle; the wedge spans two predicted standard deviations.
    """
    problem = scenario.problem(state)
    grid = figure.add_gridspec(2, 2, width_ratios=(1.25, 1.0), height_ratios=(2.0, 1.0))
    draw_sector(figure.add_subplot(grid[:, 0]), scenario, state, problem)
    draw_powers(figure.add_subplot(grid[0, 1]), problem, allocation)
    draw_tracker(figure.add_subplot(grid[1, 1]), scenario, state)
    figure.suptitle(f"frame {int(state.slot)} of {scenario.horizon}", fontsize=11)


def place(angle: np.ndarray | float, distance: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Cartesian coordinates of angles from broadside, which points up."""
    return distance * np.sin(angle), distance * np.cos(angle)


def draw_sector(axes: Axes, scenario: MassiveMIMO, state: State, problem: MassiveMIMOProblem) -> None:
    """Base station at the origin; users on an even fan, for the model knows their distance alone."""
    radius = scenario.config.radius
    around = np.linspace(-np.pi / 2, np.pi / 2, 721)
    axes.fill(*place(around, radius), facecolor="#f4f4f1", edgecolor="#9a9a92", lw=1.0)
    estimate, sigma = float(state.estimate), float(np.sqrt(scenario.prior_variance(state)))
    wedge = np.linspace(estimate - 2.0 * sigma, estimate + 2.0 * sigma, 41)
    x, y = place(wedge, radius)
    axes.fill(np.append(0.0, x), np.append(0.0, y), color=BEAM, alpha=0.18, lw=0, label="predicted angle, 2 sigma")
    antennas = scenario.config.tx_antennas
    element = np.arange(antennas) - (antennas - 1) / 2.0
    phase = np.pi * element * (np.sin(around) - np.sin(estimate))[:, None]
    pattern = np.abs(np.exp(1j * phase).mean(axis=-1))
    axes.plot(*place(around, DRAWN_REACH * radius * pattern), color=BEAM, lw=1.6, label="sensing beam (amplitude)")
    axes.plot(
        *place(float(state.angle), DRAWN_REACH * radius), marker="*", ms=16, color=TARGET, ls="none", label="target"
    )
    fan = np.linspace(-1.25, 1.25, problem.users) if problem.users > 1 else np.zeros(1)
    x, y = place(fan, np.asarray(state.distance))
    size = 60.0 + 60.0 * (np.log10(np.asarray(problem.large_scale_gain)) + 3.0).clip(0.0, 4.0)
    axes.scatter(x, y, s=size, color=STREAM, edgecolors="black", linewidths=0.6, zorder=4, label="users (size: gain)")
    for user, spot in enumerate(zip(x, y, strict=True)):
        axes.annotate(str(user), spot, ha="center", va="center", fontsize=7, color="white", zorder=5)
    axes.plot([-0.06 * radius, 0.06 * radius], [0.0, 0.0], color="black", lw=5, solid_capstyle="butt")
    axes.set_aspect("equal")
    axes.set(xlabel="x [m]", ylabel="y [m]", ylim=(-0.36 * radius, 1.04 * radius))
    axes.set_title("base station (bar: array), users fanned out by distance", fontsize=10)
    axes.legend(frameon=False, fontsize=8, ncols=2, loc="lower center")


def draw_powers(axes: Axes, problem: MassiveMIMOProblem, allocation: MassiveMIMOAllocation | None) -> None:
    """Radiated power of every stream and of the sensing beam as shares of the budget."""
    axes.set_ylabel("share of the power budget")
    axes.set_title("allocation of the last frame; numbers: data rate [bit/s/Hz]", fontsize=10)
    axes.set(xlim=(-0.7, problem.users + 0.7), ylim=(0.0, 1.0))
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xticks(range(problem.users + 1), [*(f"user {user}" for user in range(problem.users)), "sensing"])
    if allocation is None:
        axes.text(0.5, 0.5, "nothing transmitted yet", transform=axes.transAxes, ha="center", color="#777777")
        return
    budget = max(float(problem.largest_total), np.finfo(float).tiny)
    parts = np.append(np.asarray(allocation.power), float(allocation.sensing_power)) / budget
    axes.bar(range(problem.users + 1), parts, 0.7, color=[STREAM] * problem.users + [BEAM])
    for user, rate in enumerate(np.asarray(problem.outcome(allocation).rate)):
        axes.annotate(f"{rate:.2f}", (user, parts[user]), ha="center", va="bottom", fontsize=8, color=STREAM)


def draw_tracker(axes: Axes, scenario: MassiveMIMO, state: State) -> None:
    """Variance of the estimate against its limit, in decades, and the strength of the echo."""
    config = scenario.config
    decades = float(np.log10(max(float(state.variance) / config.variance_limit, 1e-3)))
    axes.barh([0], [decades], 0.5, color=TARGET if decades > 0 else "#4f9a57")
    axes.axvline(0.0, color="black", lw=1.0)
    axes.set(xlim=(-3.0, 2.0), ylim=(-0.8, 0.8), yticks=[], xlabel="variance over its limit [decades]")
    axes.spines[["top", "right", "left"]].set_visible(False)
    echo = config.snr_sen_db + float(state.echo_db)
    error = np.degrees(float(state.estimate) - float(state.angle))
    axes.set_title(f"tracker: beam {error:+.1f} deg off the target, echo {echo:+.1f} dB", fontsize=10)
