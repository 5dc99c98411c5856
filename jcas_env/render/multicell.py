"""The multi-cell network and an allocation as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..scenarios.multicell import MultiCell
from ..types import COMMUNICATION, POSITIONING
from ..units import MEGA
from .scene import scene

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..scenarios.multicell import MultiCellAllocation, MultiCellProblem
    from ..scenarios.multicell.knowledge.positions import PositionFix
    from ..scenarios.multicell.state import State

SERVICES = {COMMUNICATION: ("data", "#2b6ca3"), POSITIONING: ("positioning", "#e08a1e")}
"""Label and colour of each service."""
FOUND = "#b3312c"
"""Colour of estimated positions."""


@scene.register(MultiCell)
def network(scenario: MultiCell, figure: Figure, state: State, allocation: MultiCellAllocation | None = None) -> None:
    """Map of the cells on the left, the last allocation, if any, on the right.

    ``state`` and ``allocation`` without batch axes. Users carry the colour of their group; groups of different
    cells are different groups (luo2023 Fig. 2, spec multicell 10.8).
    """
    grid = figure.add_gridspec(2, 2, width_ratios=(1.0, 1.1))
    draw_hexagons(figure.add_subplot(grid[:, 0]), scenario, state)
    axes = [figure.add_subplot(grid[row, 1]) for row in (0, 1)]
    draw_allocation(axes, scenario.problem(state), allocation)
    figure.suptitle(f"slot {int(state.slot)} of {scenario.horizon}", fontsize=11)


def group_colours(group: np.ndarray) -> list[Any]:
    """Colour of each user by its group label inside the cell."""
    import matplotlib as mpl

    palette = [*mpl.color_sequences["tab10"], *mpl.color_sequences["Set2"]]
    return [palette[int(label) % len(palette)] for label in np.asarray(group)]


def draw_hexagons(axes: Axes, scenario: MultiCell, state: State) -> None:
    """Hexagons, base stations with their array axes, and users with a line to their serving station."""
    from matplotlib.patches import RegularPolygon

    radius, stations = scenario.config.radius, scenario.layout.stations
    position, cell = np.asarray(state.air.position), np.asarray(state.cell)
    colours = group_colours(state.csi.group)
    for station, axis in zip(stations, scenario.layout.axes, strict=True):
        axes.add_patch(RegularPolygon(station, 6, radius=radius, facecolor="#f4f4f1", edgecolor="#9a9a92", lw=1.0))
        along = 0.12 * radius * np.array([np.cos(axis), np.sin(axis)])
        axes.plot(*np.stack([station - along, station + along], axis=1), color="black", lw=3, solid_capstyle="butt")
    for user, (place, colour) in enumerate(zip(position, colours, strict=True)):
        axes.plot(*np.stack([stations[cell[user]], place], axis=1), color=colour, lw=0.6, alpha=0.6, zorder=1)
    axes.scatter(stations[:, 0], stations[:, 1], marker="^", s=90, color="black", zorder=3)
    axes.scatter(position[:, 0], position[:, 1], s=46, c=colours, edgecolors="black", linewidths=0.6, zorder=4)
    draw_fixes(axes, position, scenario.later(state).fix)
    for user, place in enumerate(position):
        axes.annotate(str(user), place, xytext=(4, 4), textcoords="offset points", fontsize=6, color="#444444")
    axes.set_aspect("equal")
    axes.autoscale_view()
    axes.set(xlabel="x [m]", ylabel="y [m]", title="cells, base stations (bar: array axis), users by group")
    axes.title.set_fontsize(10)


def draw_fixes(axes: Axes, position: np.ndarray, fix: PositionFix) -> None:
    """A cross where each user was found when angles were last measured, and a thin line from where it is."""
    located = np.asarray(fix.located)
    found = np.asarray(fix.position)[located]
    label = f"estimated position ({located.sum()} of {located.size} users)"
    legend = axes.plot(*found.T, "x", color=FOUND, ms=6, mew=1.3, zorder=5, label=label)
    if located.any():
        error = np.median(np.asarray(fix.error)[located])
        legend += axes.plot([], [], color=FOUND, lw=0.8, label=f"position error, median {1e3 * error:.1f} mm")
    for true, place in zip(position[located], found, strict=True):
        axes.plot(*np.stack([true, place], axis=1), color=FOUND, lw=0.8, zorder=5)
    axes.figure.legend(handles=legend, frameon=False, fontsize=8, loc="outside lower left", ncols=2)


def draw_allocation(axes: list[Axes], problem: MultiCellProblem, allocation: MultiCellAllocation | None) -> None:
    """Power (top) and band of the user's group (bottom) of every user, services stacked."""
    users = np.arange(problem.users)
    parts = (("power [W]", 1.0), ("band of the group [MHz]", MEGA))
    for panel, (label, scale) in zip(axes, parts, strict=True):
        panel.set_ylabel(label)
        panel.set_xlim(-0.6, problem.users - 0.4)
        panel.spines[["top", "right"]].set_visible(False)
        borders = np.flatnonzero(np.diff(np.asarray(problem.cell)))
        for border in borders:
            panel.axvline(border + 0.5, color="#9a9a92", lw=0.8, ls=":")
        if allocation is None:
            panel.text(0.5, 0.5, "nothing transmitted yet", transform=panel.transAxes, ha="center", color="#777777")
            continue
        values = np.asarray(allocation.power if scale == 1.0 else allocation.bandwidth) / scale
        bottom = np.zeros(problem.users)
        for service, (name, colour) in SERVICES.items():
            panel.bar(users, values[service], 0.8, bottom=bottom, color=colour, label=name)
            bottom = bottom + values[service]
    axes[0].set_title("allocation of the last slot, users in order of cells", fontsize=10)
    axes[1].set_xlabel("user")
    if allocation is not None:
        axes[0].margins(y=0.2)
        axes[0].legend(frameon=False, ncols=2, fontsize=8, loc="upper right")
