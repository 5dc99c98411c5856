"""How many slots an episode has: as many as its scenario says, or the limit that a caller sets below it."""

from __future__ import annotations

import numpy as np

from ..checks import require, shown


class RegisteredHorizon(int):
    """Slots of an episode by default, as ``max_episode_steps`` of a registration: what it says, and no limit.

    Environments end their episodes after the ``horizon`` that they are asked for. Gymnasium's ``make`` would put a
    ``TimeLimit`` of the registered number over each, also over one with a longer horizon: by this comparison, the one
    that it makes, the number is never reached. A limit that a caller gives to ``make`` or ``make_vec`` is a plain
    integer, and holds.
    """

    def __le__(self, other: object) -> bool:
        """Never: no count of slots reaches it."""
        return False


def episode_slots(horizon: int, max_episode_steps: int | None) -> int:
    """Slots until an episode is cut, the less of both; None, -1 and what a registration says set no limit.

    Raises ``ValueError`` for another limit that is no integer of at least 1.
    """
    if max_episode_steps is None or isinstance(max_episode_steps, RegisteredHorizon):
        return horizon
    whole = isinstance(max_episode_steps, int | np.integer) and not isinstance(max_episode_steps, bool)
    ok = whole and (max_episode_steps >= 1 or max_episode_steps == -1)
    require(ok, f"`max_episode_steps` must be an integer of at least 1, or -1 for none, got {shown(max_episode_steps)}")
    return horizon if max_episode_steps == -1 else min(horizon, int(max_episode_steps))
