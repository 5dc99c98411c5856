"""Colours, shapes and sizes that the painters share."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..types import COMMUNICATION, POSITIONING

SERVICES = {COMMUNICATION: ("data", "#2b6ca3"), POSITIONING: ("positioning", "#e08a1e")}
"""Label and colour of each service."""
GROUPS = ("#6a3d9a", "#2a9134", "#8c510a", "#d6408b", "#11807a", "#5a5a5a", "#9a9a00", "#a884c8")
"""Colours of groups, none of which is a service's."""
SHAPES = "osD^v<>p"
"""Markers of groups: the next one where the colours have been through."""
LOOKS = len(GROUPS) * len(SHAPES)
"""Groups that can be told apart."""
FOUND = "#b3312c"
"""Colour of estimated positions."""
NUMBERED = 40
"""Most users whose numbers can still be read on a map."""


class GroupLook(NamedTuple):
    """How the users of a group are drawn."""

    colour: str
    shape: str


def group_look(label: int) -> GroupLook:
    """Colour and shape of a group by its label inside the cell; :data:`LOOKS` differ."""
    return GroupLook(GROUPS[label % len(GROUPS)], SHAPES[label // len(GROUPS) % len(SHAPES)])


def crowding(users: int) -> float:
    """Size of a marker among so many users over that among few [-]."""
    return float(np.sqrt(NUMBERED / max(NUMBERED, users)))


def round_number(value: float) -> float:
    """Largest of 1, 2, 5 times a power of ten that does not exceed a number."""
    unit = 10.0 ** np.floor(np.log10(value))
    return float(unit * max(step for step in (1, 2, 5) if step * unit <= value))
