"""The mesh and an allocation as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..scenarios.mesh import Mesh
from ..units import MEGA, SPEED_OF_LIGHT
from .palette import NUMBERED, round_number
from .scene import scene

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..scenarios.mesh import MeshAllocation, MeshProblem
    from ..scenarios.mesh.state import State

ANCHOR = "#2b2b2b"
POSITION, DATA, FLOOR = "#e08a1e", "#2b6ca3", "#b3312c"
LARGEST_ELLIPSE = 2.5
"""Half axis to which the largest error ellipse is magnified at most [m]."""


@scene.register(Mesh)
def sector(scenario: Mesh, figure: Figure, state: State, allocation: MeshAllocation | None = None) -> None:
    """Map of the users with their error ellipses on the left; subcarriers, rates and bounds on the right.

    ``state`` and ``allocation`` without batch axes. Numbers are those that the allocation has in this state: it was
    made a frame ago, users have moved by a step since.
    """
    grid = figure.add_gridspec(3, 2, width_ratios=(1.35, 1.0))
    problem = scenario.problem(state)
    draw_anchor(figure.add_subplot(grid[:, 0]), scenario, state, problem, allocation)
    draw_bars([figure.add_subplot(grid[row, 1]) for row in range(3)], problem, allocation)
    split = "" if allocation is None else f", {100 * float(allocation.positioning_share):.1f} % of it for positioning"
    figure.suptitle(f"frame {int(state.slot)} of {scenario.horizon}{split}", fontsize=11)


def position_ellipses(problem: MeshProblem, allocation: MeshAllocation) -> np.ndarray:
    """Standard deviations along and across the line of sight, (users, 2) [m]; inf where there is no information."""
    tones = problem.tones(problem.on_air(allocation).assignment)
    information = problem.information(tones, problem.symbols * allocation.positioning_share)
    with np.errstate(divide="ignore"):
        along = SPEED_OF_LIGHT / np.sqrt(information.delay)
        across = problem.distance / np.sqrt(information.departure)
    return np.stack([along, across], axis=-1)


def draw_anchor(
    axes: Axes, scenario: Mesh, state: State, problem: MeshProblem, allocation: MeshAllocation | None
) -> None:
    """Anchor with its array axis, the sector, users with their array axes, and magnified error ellipses."""
    from matplotlib.patches import Ellipse, Wedge

    config = scenario.config
    least, most = np.degrees(scenario.sector)
    width = config.distance_max - config.distance_min
    axes.add_patch(
        Wedge((0, 0), config.distance_max, least, most, width=width, facecolor="#f4f4f1", edgecolor="#9a9a92")
    )
    position, axis = np.asarray(state.position), np.asarray(state.orientation)
    tick = 0.5 * np.stack([np.cos(axis), np.sin(axis)], axis=-1)
    for place, end in zip(position, tick, strict=True):
        axes.plot(*np.stack([place - end, place + end], axis=1), color=DATA, lw=1.6, zorder=3)
    axes.scatter(position[:, 0], position[:, 1], s=14, color=DATA, zorder=4, label="user (bar: its array)")
    axes.plot([-0.8, 0.8], [0, 0], color=ANCHOR, lw=4, solid_capstyle="butt", label="anchor and its array")
    if len(position) <= NUMBERED:
        for user, place in enumerate(position):
            axes.annotate(str(user), place, xytext=(4, 4), textcoords="offset points", fontsize=7, color="#333333")
    if allocation is not None:
        sizes = position_ellipses(problem, allocation)
        finite = sizes[np.isfinite(sizes)]
        if finite.size:
            scale = round_number(LARGEST_ELLIPSE / finite.max())
            for place, size, angle in zip(position, sizes, np.degrees(problem.aod), strict=True):
                if np.isfinite(size).all():
                    axes.add_patch(
                        Ellipse(
                            place, *(2 * scale * size), angle=float(angle), fc=POSITION, alpha=0.6, ec=POSITION, lw=0.8
                        )
                    )
            axes.plot([], [], "o", color=POSITION, alpha=0.5, label=f"position error bound x {scale:,.0f}")
    axes.set_aspect("equal")
    axes.autoscale_view()
    axes.set(xlabel="x [m]", ylabel="y [m]")
    axes.legend(frameon=False, fontsize=8, loc="lower center", ncols=3, bbox_to_anchor=(0.5, 1.0))


def draw_bars(panels: list[Axes], problem: MeshProblem, allocation: MeshAllocation | None) -> None:
    """Subcarriers, data rate with its floor, and position error bound of every user."""
    users = np.arange(problem.users)
    labels = ("subcarriers", "data rate [Mbit/s]", "PEB [mm]")
    for panel, label in zip(panels, labels, strict=True):
        panel.set_ylabel(label, fontsize=9)
        panel.set_xlim(-0.6, problem.users - 0.4)
        panel.spines[["top", "right"]].set_visible(False)
        if allocation is None:
            panel.text(0.5, 0.5, "nothing transmitted yet", transform=panel.transAxes, ha="center", color="#777777")
    panels[-1].set_xlabel("user")
    if allocation is None:
        return
    outcome = problem.outcome(allocation)
    peb = np.where(np.isfinite(outcome.peb), outcome.peb, np.nan)
    panels[0].bar(users, outcome.counts, 0.8, color="#7a7a72")
    panels[1].bar(users, outcome.rate / MEGA, 0.8, color=DATA)
    floor = float(problem.per_instance(problem.rate_floor)) / MEGA
    panels[1].axhline(floor, color=FLOOR, lw=1.2, ls="--", label=f"rate floor {floor:g} Mbit/s")
    panels[1].set_yscale("log")  # the floor is a tenth of the largest rates: on a linear axis nobody sees it
    panels[1].set_ylim(bottom=0.5 * max(floor, float(outcome.rate.min()) / MEGA, 1e-3))
    panels[1].legend(frameon=False, fontsize=8, loc="upper right", bbox_to_anchor=(1.0, 1.15))
    panels[2].bar(users, 1e3 * peb, 0.8, color=POSITION)
