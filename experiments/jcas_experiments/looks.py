"""How curves of a picture are told apart: by colour, dash and marker, for grey and for colour-blind eyes, too."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.lines import Line2D

COLOURS = ("#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#7f7f7f")
"""Okabe and Ito's palette without its yellow, which white paper swallows, and a grey."""
MARKERS = "os^vDPX*"
DASHES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (1, 1.4)), (0, (6, 2, 1, 2)), (0, (3, 1.4, 1, 1.4, 1, 1.4)))
"""Their number has no divisor in common with that of the colours: pairs repeat after forty."""


class Look(NamedTuple):
    """Colour, marker and dash of one curve."""

    colour: str
    marker: str
    dash: Any

    def line(self, name: str) -> Line2D:
        """An entry of a legend; a name is a name, with an underscore in front, too."""
        from matplotlib.lines import Line2D

        return Line2D([], [], color=self.colour, marker=self.marker, ls=self.dash, mfc="none", mew=1.6, label=name)


def looks() -> Iterator[Look]:
    """One look after the other."""
    for index in count():
        yield Look(COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)], DASHES[index % len(DASHES)])
