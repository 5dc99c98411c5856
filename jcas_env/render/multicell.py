"""The multi-cell network and an allocation as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..scenarios.multicell import MultiCell
from ..types import COMMUNICATION, POSITIONING
from ..units import MEGA
from .palette import FOUND, LOOKS, NUMBERED, SERVICES, crowding, group_look, round_number
from .scene import scene

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..scenarios.multicell import MultiCellAllocation, MultiCellProblem
    from ..scenarios.multicell.knowledge.positions import PositionFix
    from ..scenarios.multicell.state import State

EDGE = "#9a9a92"
VISIBLE_ERROR = 0.12
"""Length to which the median position error is magnified at most, over a cell's radius [-]."""


@scene.register(MultiCell)
def network(scenario: MultiCell, figure: Figure, state: State, allocation: MultiCellAllocation | None = None) -> None:
    """Map of the cells on the left; power, band, rates and, where data waits, backlogs on the right.

    ``state`` and ``allocation`` without batch axes. Users carry the colour of their group; groups of different
    cells are different groups (luo2023 Fig. 2, spec multicell 10.8). Numbers are those that the allocation has in
    this state: it was made a slot ago, users have moved by a step since.
    """
    problem = scenario.problem(state)
    rows = 3 + scenario.config.has_queues
    grid = figure.add_gridspec(rows, 2, width_ratios=(1.0, 1.1))
    draw_map(figure.add_subplot(grid[:, 0]), scenario, state, allocation)
    panels = [figure.add_subplot(grid[row, 1]) for row in range(rows)]
    if allocation is None:
        for panel in panels:
            panel.text(0.5, 0.5, "nothing transmitted yet", transform=panel.transAxes, ha="center", color="#777777")
            panel.set(xticks=[], yticks=[])
    else:
        outcome = scenario.truth(state).outcome(allocation)
        draw_users(panels[0], problem, np.asarray(allocation.power), "power [W]")
        rates = np.stack([np.asarray(outcome.rate), np.asarray(outcome.positioning_rate)]) / MEGA
        draw_users(panels[1], problem, rates, "rate [Mbit/s]")
        draw_bands(panels[2], problem, allocation)
        if scenario.config.has_queues:
            backlog = np.asarray(problem.queue)[None] / MEGA
            draw_users(panels[3], problem, backlog, "waits [Mbit]")
        panels[0].legend(frameon=False, ncols=2, fontsize=8, loc="lower right", bbox_to_anchor=(1.0, 0.98))
    figure.suptitle(_title(scenario, state, allocation), fontsize=11)


def _title(scenario: MultiCell, state: State, allocation: MultiCellAllocation | None) -> str:
    """Slot, and the share of the power that positioning got in each cell."""
    title = f"slot {int(state.slot)} of {scenario.horizon}"
    if allocation is None:
        return title
    cells = scenario.problem(state).membership
    power = np.asarray(cells.cell_sum(np.asarray(allocation.power)))
    shares = power[POSITIONING] / np.maximum(power.sum(0), np.finfo(float).tiny)
    listed = ", ".join(f"{100 * share:.0f} %" for share in shares)
    return f"{title}; positioning gets {listed} of a cell's power"


def draw_map(axes: Axes, scenario: MultiCell, state: State, allocation: MultiCellAllocation | None) -> None:
    """Hexagons, base stations with their array axes, and users, whose area is the power that they get."""
    from matplotlib.patches import RegularPolygon

    radius, stations = scenario.config.radius, scenario.layout.stations
    for station, axis in zip(stations, scenario.layout.axes, strict=True):
        axes.add_patch(RegularPolygon(station, 6, radius=radius, facecolor="#f4f4f1", edgecolor=EDGE, lw=1.0))
        along = 0.12 * radius * np.array([np.cos(axis), np.sin(axis)])
        axes.plot(*np.stack([station - along, station + along], axis=1), color="black", lw=3, solid_capstyle="butt")
    axes.scatter(stations[:, 0], stations[:, 1], marker="^", s=70, color="black", zorder=3)
    draw_groups(axes, scenario, state, allocation)
    positions = scenario.later(state)
    draw_fixes(axes, np.asarray(positions.sight.position), positions.fix, radius)
    axes.set_aspect("equal")
    axes.autoscale_view()
    area = "" if allocation is None else ", area: power"
    axes.set_title(f"base stations (bar: array axis), users by group{area}", fontsize=10)
    axes.set(xlabel="x [m]", ylabel="y [m]")


def draw_groups(axes: Axes, scenario: MultiCell, state: State, allocation: MultiCellAllocation | None) -> None:
    """Users in the colour and shape of their group, with a line to their station; the legend names the first groups."""
    position, cell = np.asarray(state.air.position), np.asarray(state.cell)
    groups, stations = np.asarray(state.csi.group), scenario.layout.stations
    crowded = crowding(len(position))
    power = np.ones(len(position)) if allocation is None else np.asarray(allocation.power).sum(0)
    area = crowded**2 * (14.0 + 60.0 * power / max(float(power.mean()), np.finfo(float).tiny)).clip(max=420.0)
    for label in np.unique(groups):
        look, members = group_look(int(label)), np.flatnonzero(groups == label)
        name = f"group {int(label) + 1}" if label < LOOKS else None
        for user in members:
            line = np.stack([stations[cell[user]], position[user]], axis=1)
            axes.plot(*line, color=look.colour, lw=0.6, alpha=0.6, zorder=1)
        axes.scatter(
            position[members, 0], position[members, 1], s=area[members], c=look.colour, marker=look.shape,
            edgecolors="white", linewidths=0.6, alpha=0.85, zorder=4, label=name,
        )  # fmt: skip
    if len(position) <= NUMBERED:
        for number, place in enumerate(position):
            axes.annotate(str(number), place, xytext=(5, 5), textcoords="offset points", fontsize=7, color="#333333")


def draw_fixes(axes: Axes, position: np.ndarray, fix: PositionFix, radius: float) -> None:
    """A cross where each user was found when angles were last measured, its error magnified until one sees it.

    ``position``: where the users were then, (users, 2).
    """
    located = np.asarray(fix.located)
    handles: list[Any] = axes.get_legend_handles_labels()[0]
    if located.any():
        error = float(np.median(np.asarray(fix.error)[located]))
        magnified = max(1.0, round_number(VISIBLE_ERROR * radius / max(error, 1e-9 * radius)))
        true = position[located]
        found = true + magnified * (np.asarray(fix.position)[located] - true)
        # A few found far away must not shrink the map: what is longer than a cell is cut there.
        step = found - true
        length = np.linalg.norm(step, axis=-1, keepdims=True)
        found = true + step * radius / np.maximum(length, radius)
        for pair in np.stack([true, found], axis=-1):
            axes.plot(*pair, color=FOUND, lw=0.8, zorder=5)
        size = f"median {1e3 * error:.3g} mm" if error < 1.0 else f"median {error:.3g} m"
        label = f"found ({located.sum()} of {located.size}), error x {magnified:,.0f}, {size}"
        handles += axes.plot(*found.T, "x", color=FOUND, ms=5 * crowding(len(position)), mew=1.2, zorder=5, label=label)
    axes.figure.legend(handles=handles, frameon=False, fontsize=8, loc="outside lower left", ncols=min(6, len(handles)))


def draw_users(axes: Axes, problem: MultiCellProblem, values: np.ndarray, label: str) -> None:
    """Bars of all users in the order of cells, services stacked."""
    from matplotlib.ticker import MaxNLocator

    users, bottom = np.arange(problem.users), np.zeros(problem.users)
    for (name, colour), value in zip(SERVICES.values(), values, strict=False):
        axes.bar(users, value, 0.8, bottom=bottom, color=colour, label=name)
        bottom = bottom + value
    for border in np.flatnonzero(np.diff(np.asarray(problem.cell))):
        axes.axvline(border + 0.5, color=EDGE, lw=0.8, ls=":")
    axes.set_ylabel(label)
    axes.set_xlim(-0.6, problem.users - 0.4)
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("user", fontsize=8, labelpad=1)


def draw_bands(axes: Axes, problem: MultiCellProblem, allocation: MultiCellAllocation) -> None:
    """The band of each cell as a bar: groups in their colours, data first, then positioning (hatched)."""
    cell, group = np.asarray(problem.cell), np.asarray(allocation.group)
    band = np.asarray(allocation.bandwidth) / MEGA
    for row in range(problem.cells):
        left = 0.0
        for service in (COMMUNICATION, POSITIONING):
            for label in np.unique(group[cell == row]):
                member = np.flatnonzero((cell == row) & (group == label))[0]
                width = band[service, member]
                hatch = "////" if service == POSITIONING else None
                axes.barh(
                    row, width, 0.7, left=left, color=group_look(int(label)).colour, edgecolor="white", lw=0.6,
                    hatch=hatch, alpha=0.9,
                )  # fmt: skip
                left += width
    axes.set(yticks=range(problem.cells), ylim=(problem.cells - 0.5, -0.5), ylabel="cell")
    axes.set_xlabel("band by group [MHz], hatched: positioning", fontsize=8, labelpad=1)
    axes.spines[["top", "right"]].set_visible(False)
