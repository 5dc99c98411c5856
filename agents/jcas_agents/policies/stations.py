"""A policy of base stations that decide each for its cell, with weights that they share, from what each one sees.

What it sees is that of :class:`jcas_env.envs.parallel_env.JCASParallelEnv`: its own cell now, the reports of others one
slot later. It is the network of :class:`.multicell.EquivariantPolicy` on a network of one cell, its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from torch import Tensor

from jcas_env import MultiCellAllocation, MultiCellProblem
from jcas_env.checks import require
from jcas_env.scenarios.multicell.action import decode
from jcas_env.scenarios.multicell.local import joined_action, local_views
from jcas_env.scenarios.multicell.observation import FEATURES, structured
from jcas_env.types import Array

from .equivariant import action
from .multicell import EquivariantPolicy, PolicyShape
from .policy import LOGIT_SCALE

STATION = ("groups", "least_share", "last_share")
"""Columns of the observation's ``cells``."""
REPORT = tuple(f"reported_{name}" for name in (*FEATURES, *STATION))
"""What a user is told beside its own features: means over the other stations' reports."""


@dataclass(frozen=True)
class StationShape(PolicyShape):
    """Size of a :class:`StationPolicy`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(not self.queues, "`queues` must be False: policies of stations read no queues")

    @property
    def features(self) -> tuple[str, ...]:
        """Columns that describe a user."""
        return FEATURES + REPORT


class StationPolicy(EquivariantPolicy):
    """View of a station to its action, (..., 4 n + 1): its users' logits and the share of its cell.

    Reports of other stations enter by their mean, so that any number of cells will do, in any order. The last layers
    start at zero: training starts at the equal allocation per user.
    """

    sees = "station"
    shape_type = StationShape

    def __init__(self, shape: StationShape | None = None) -> None:
        super().__init__(StationShape() if shape is None else shape)

    def features(self) -> str:
        """Names of what describes a user."""
        return "users:" + ",".join(self.shape.features)

    def act(self, observation: Mapping[str, Any]) -> np.ndarray:
        """Action for a station's view in NumPy arrays, of one or of many on leading axes.

        Raises ``ValueError`` for what is no such view, as the observation of a whole network.
        """
        lacking = sorted({"gains", "group", "station", "users"} - set(observation))
        require(not lacking, f"this policy decides for one base station; its view lacks {', '.join(lacking)}")
        parts = {name: np.asarray(value, dtype=np.float32) for name, value in observation.items()}
        return action(self.arrays(), one_cell(parts))

    def joint(self, views: Mapping[str, Tensor]) -> Tensor:
        """Action of the network for the views of all its stations in tensors, (..., cells, ...), with its gradient."""
        return joined_action(self(one_cell(views)))

    def decide(self, problem: MultiCellProblem, before: Mapping[str, np.ndarray] | None = None) -> MultiCellAllocation:
        """Allocation for a known problem in NumPy arrays; ``before`` is the dict observation of the last slot.

        None: nobody has reported yet. Raises ``ValueError`` unless users are numbered cell by cell, as many in each.
        """
        chosen = joined_action(self.act(seen_by_stations(problem, before)))
        return decode(chosen, problem, logit_scale=LOGIT_SCALE)


def seen_by_stations(
    problem: MultiCellProblem, before: Mapping[str, np.ndarray] | None = None
) -> dict[str, np.ndarray]:
    """Views of all stations of a known problem, (..., cells, ...), see :meth:`StationPolicy.decide`."""
    home = np.arange(problem.users) * problem.cells // problem.users
    fits = problem.users % problem.cells == 0 and bool(np.all(np.asarray(problem.cell) == home))
    require(fits, "base stations decide each for as many users, numbered cell by cell: `assignment='geometric'`")
    now = structured(problem)
    return local_views(now, {name: np.zeros_like(part) for name, part in now.items()} if before is None else before)


def one_cell(view: Mapping[str, Array]) -> dict[str, Array]:
    """The observation of a network of one cell: a station's users, who are told what the others report."""
    users, station = view["users"], view["station"]
    xp, batch = array_namespace(users), users.shape[:-2]
    reports = view.get("reports")
    if reports is None or reports.shape[-2] == 0:
        told = xp.zeros_like(users[..., 0, :1]) + xp.zeros(len(REPORT), dtype=users.dtype)
    else:
        told = xp.mean(reports, axis=-2)
    told = xp.broadcast_to(told[..., None, :], (*batch, users.shape[-2], len(REPORT)))
    return {
        "gains": view["gains"],
        "group": view["group"],
        "cell": xp.ones_like(view["group"]),
        "users": xp.concat([users, told], axis=-1),
        "cells": station[..., None, :],
    }
