"""One picture of the players: their networks side by side, and below what they have earned over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..figures import new_figure
from ..looks import looks
from .play import UTILITY, Player

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEADING, STRIP = 0.35, 2.3
"""Height of the names and of the curves [inch]."""
DPI = 80
"""Of the curves; that of the painters."""


def screen(players: Sequence[Player], *, unit: str, slots: int, title: str = "") -> np.ndarray:
    """Picture of the present slot, (height, width, 3) uint8.

    ``unit``: that of the utility; ``slots``: end of the axis of time; both sides of the picture are even, as films
    want it.
    """
    maps = np.concatenate([player.picture for player in players], axis=1)
    names = _names(players, width=maps.shape[1])
    curves = _curves(players, unit=unit, slots=slots, title=title, width=maps.shape[1])
    whole = np.concatenate([names, maps, curves], axis=0)
    height, width = (size - size % 2 for size in whole.shape[:2])
    return whole[:height, :width]


def _curves(players: Sequence[Player], *, unit: str, slots: int, title: str, width: int) -> np.ndarray:
    """Utility and rates of every slot so far, one panel each."""
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(width / DPI, STRIP, dpi=DPI)
    names = list(players[0].curves)
    for axes, name in zip(np.atleast_1d(figure.subplots(1, len(names))), names, strict=True):
        for look, player in zip(looks(), players, strict=False):
            values = player.curves[name]
            mean = f"{player.name}: {np.mean(values):.2f}" if values else player.name
            axes.plot(
                np.arange(1, len(values) + 1), values, ls=look.dash, marker=look.marker, ms=4, mfc="none",
                color=look.colour, label=mean,
            )  # fmt: skip
        axes.set(xlim=(0.5, max(slots, 2) + 0.5), xlabel="slot")
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        axes.set_title(f"utility [{unit}]" if name == UTILITY else name.replace("_", " "), fontsize=9)
        axes.grid(alpha=0.3, lw=0.5)
        axes.spines[["top", "right"]].set_visible(False)
        for text in axes.legend(frameon=False, fontsize=8, title="mean so far", title_fontsize=7).get_texts():
            text.set_parse_math(False)
    if title:
        figure.suptitle(title, fontsize=9, parse_math=False)
    return _pixels(figure, width)


def _names(players: Sequence[Player], *, width: int) -> np.ndarray:
    """The players' names above their maps, each with the marker of its curves."""
    figure = new_figure(width / DPI, HEADING, dpi=DPI)
    for place, (look, player) in enumerate(zip(looks(), players, strict=False)):
        middle = (place + 0.5) / len(players)
        figure.text(middle, 0.4, player.name, fontsize=12, weight="bold", ha="center", va="center", parse_math=False)
        line = look.line("")
        line.set_data([middle - 0.45 / len(players), middle - 0.42 / len(players)], [0.4, 0.4])
        figure.add_artist(line)
    return _pixels(figure, width)


def _pixels(figure: Figure, width: int) -> np.ndarray:
    """What a figure looks like, (height, width, 3) uint8."""
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3]  # type: ignore[attr-defined]
    missing = width - pixels.shape[1]
    return np.pad(pixels[:, :width], ((0, 0), (0, max(missing, 0)), (0, 0)), constant_values=255)
