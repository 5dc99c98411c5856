"""The one table of what the commands know of scenarios; a scenario without a row is served by general means."""

from __future__ import annotations

from typing import NamedTuple

from ..allocators import Roster
from ..views import View
from . import massive_mimo, mesh, multicell
from .general import general_roster


class Entry(NamedTuple):
    """What is known of a scenario."""

    roster: Roster
    """Allocators that can be compared."""
    view: View = View()
    """How their results are shown."""


ENTRIES: dict[str, Entry] = {
    "multicell": Entry(multicell.ROSTER, multicell.VIEW),
    "mesh": Entry(mesh.ROSTER, mesh.VIEW),
    "massive-mimo": Entry(massive_mimo.ROSTER, massive_mimo.VIEW),
}
"""By the names of :data:`jcas_env.SCENARIOS`."""


def roster_of(scenario: str) -> Roster:
    """Allocators of a registered scenario; without a row, those of :func:`.general.general_roster`."""
    return ENTRIES[scenario].roster if scenario in ENTRIES else general_roster(scenario)


def view_of(scenario: str) -> View:
    """Presentation of a scenario; without a row, every metric under the name that it has in ``info``."""
    return ENTRIES[scenario].view if scenario in ENTRIES else View()
