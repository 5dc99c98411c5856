"""What each base station sees, and how what they decide makes one action: the multi-cell task in parts.

A station knows its own cell in the slot in which it decides; what others measure and tell reaches it one slot later.
Users are numbered cell by cell, the same number in each.
"""

from __future__ import annotations

from collections.abc import Mapping

from ...types import Array, array_namespace
from .observation import FEATURES

LEAKAGE_OUT = FEATURES.index("leakage_out")
"""Column of ``users`` that tells what a beam does in other cells: their users measure it."""


def local_views(now: Mapping[str, Array], before: Mapping[str, Array]) -> dict[str, Array]:
    """Views of all stations, from dict observations of this slot and of the last one (zeros where there was none).

    Returns
    -------
    dict of Array, with n users a cell
        ``gains``, ``group`` (..., cells, n, n), ``users`` (..., cells, n, features), ``station`` (..., cells, 3):
        a station's own part of ``now``, but ``leakage_out`` is that of ``before``.
        ``reports`` (..., cells, cells - 1, features + 3): of each other station, counted on from the own one, the mean
        of its users' features and its row of ``cells`` in ``before``.
    """
    users, stations = now["users"], now["cells"]
    xp, batch = array_namespace(users), users.shape[:-2]
    cells = stations.shape[-2]
    crowd = users.shape[-2] // cells
    own = xp.reshape(users, (*batch, cells, crowd, users.shape[-1]))
    told = xp.reshape(before["users"], own.shape)
    report = xp.concat([xp.mean(told, axis=-2), before["cells"]], axis=-1)
    others = [xp.concat([report[..., cell + 1 :, :], report[..., :cell, :]], axis=-2) for cell in range(cells)]
    late = told[..., LEAKAGE_OUT : LEAKAGE_OUT + 1]
    return {
        "gains": _own_blocks(now["gains"], cells),
        "group": _own_blocks(now["group"], cells),
        "reports": xp.stack(others, axis=-3),
        "station": stations,
        "users": xp.concat([own[..., :LEAKAGE_OUT], late, own[..., LEAKAGE_OUT + 1 :]], axis=-1),
    }


def joined_action(actions: Array) -> Array:
    """Action of the network, (..., 4 users + cells), from those of its stations, (..., cells, 4 n + 1)."""
    xp, batch = array_namespace(actions), actions.shape[:-2]
    logits = xp.reshape(actions[..., :-1], (*batch, actions.shape[-2] * (actions.shape[-1] - 1)))
    return xp.concat([logits, actions[..., -1]], axis=-1)


def _own_blocks(pairs: Array, cells: int) -> Array:
    """Blocks on the diagonal, (..., cells, n, n), of what is between all users, (..., users, users)."""
    crowd = pairs.shape[-1] // cells
    rows = [slice(cell * crowd, (cell + 1) * crowd) for cell in range(cells)]
    return array_namespace(pairs).stack([pairs[..., own, own] for own in rows], axis=-3)
