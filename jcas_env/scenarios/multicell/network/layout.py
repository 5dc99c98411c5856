"""Where the base stations stand and look, and which hexagon confines each user: fixed by the configuration."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ....physics.geometry import array_axes, cell_centres
from ....types import Array, constant
from ..config import MultiCellConfig


class Layout(NamedTuple):
    """Where the stations stand and look, and which hexagon confines each user."""

    stations: Array
    """(cells, 2): base station positions [m]."""
    axes: Array
    """(cells,): azimuth of the base stations' array axes [rad]."""
    hexagon: Array
    """(users,) integer: hexagon of each user."""

    def like(self, value: Array) -> Layout:
        """The same layout in the library, precision and device of a real array."""
        return Layout(*(constant(part, value) for part in self))


def make_layout(config: MultiCellConfig) -> Layout:
    """Layout of a configuration, in NumPy."""
    return Layout(
        np.asarray(cell_centres(config.cells, config.radius)),
        np.asarray(array_axes(config.cells)),
        np.repeat(np.arange(config.cells), config.users_per_cell),
    )
