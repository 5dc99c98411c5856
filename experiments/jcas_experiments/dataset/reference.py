"""Scores to which a dataset's episodes are related: the equal split is 0, the best that is known is 1.

A score is an episode's return, the sum of its rewards.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jcas_agents import evaluate

from .recording import Columns, Recording

LEAST = "equal"
"""Allocator that is 0, where a task has it."""


class References(NamedTuple):
    """Returns of the least and of the best on the dataset's episodes, (episodes,) each."""

    least: np.ndarray
    """What is 0 in the mean."""
    least_by: str
    best: np.ndarray
    """What is 1 in the mean."""
    best_by: str

    @property
    def ends(self) -> tuple[float, float]:
        """Mean returns that are 0 and 1."""
        return float(self.least.mean()), float(self.best.mean())

    def normalised(self, score: float) -> float | None:
        """(score - least)/(best - least) of a mean return; None where the best is not better."""
        low, high = self.ends
        return (score - low) / (high - low) if high > low else None

    def report(self) -> dict[str, Any]:
        """What the card says."""
        low, high = self.ends
        return {
            "min": {"by": self.least_by, "mean_return": low, "returns": self.least},
            "max": {"by": self.best_by, "mean_return": high, "returns": self.best},
        }


def references(recording: Recording, episodes: int, table: Columns, rival: str) -> References:
    """Least and best returns on the networks of a recording.

    Best is who has the best mean: the recorded allocator, the ``rival``, and the sum of the bounds where slots were
    bounded.
    """
    roster = recording.roster
    least = LEAST if LEAST in roster.allocators else roster.reference
    played = {name: _returns(recording, name, episodes) for name in dict.fromkeys((least, rival))}
    found = {rival: played[rival], recording.who: table["reward"].reshape(episodes, -1).sum(axis=1)}
    if recording.bound:
        found["bound"] = table["bound"].reshape(episodes, -1).sum(axis=1)
    best = max(found, key=lambda name: float(found[name].mean()))
    return References(played[least], least, found[best], best)


def _returns(recording: Recording, name: str, episodes: int) -> np.ndarray:
    """Returns of an allocator's own allocations on the recorded networks."""
    scenario = recording.scenario
    found = evaluate(scenario, recording.roster.make(name), episodes=episodes, seed=recording.seed)
    return found.utility * scenario.horizon
