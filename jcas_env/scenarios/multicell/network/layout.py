"""Where the base stations stand and look, and which hexagon confines each user: fixed by the configuration."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ....physics.geometry import array_axes, cell_centres
from ....types import Array, array_namespace, at_hand, device
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


def constant(value: np.ndarray, like: Array) -> Array:
    """A configuration constant as an array of the library, device and (if real) precision of ``like``."""
    xp = array_namespace(like)
    dtype = xp.int64 if value.dtype.kind == "i" else like.dtype
    if at_hand(like):
        return xp.asarray(value, dtype=dtype)
    return _on_device(xp, value.tobytes(), value.shape, value.dtype.str, dtype, device(like))


@lru_cache(maxsize=256)
def _on_device(xp: Any, data: bytes, shape: tuple[int, ...], kind: str, dtype: Any, where: Any) -> Array:
    """A constant that is sent to a device once: a copy from the host waits for all that the device has to do."""
    return xp.asarray(np.frombuffer(data, dtype=kind).reshape(shape).copy(), dtype=dtype, device=where)
