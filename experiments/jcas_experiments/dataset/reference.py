"""Scores to which a dataset's episodes are related: the equal split is 0, the best that is known is 1.

A score is an episode's return, the sum of its rewards.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from jcas_agents import evaluate

from .recording import Columns, Recording

LEAST = "equal"
"""Allocator that is 0, where a task has it."""


class References(NamedTuple):
    """Mean returns over the dataset's episodes."""

    least: float
    """What is 0."""
    least_by: str
    best: float
    """What is 1."""
    best_by: str

    def normalised(self, score: float) -> float | None:
        """(score - least)/(best - least); None where the best is not better."""
        return (score - self.least) / (self.best - self.least) if self.best > self.least else None

    def report(self) -> dict[str, Any]:
        """What the card says."""
        return {"min": {"by": self.least_by, "return": self.least}, "max": {"by": self.best_by, "return": self.best}}


def references(recording: Recording, episodes: int, table: Columns, rival: str) -> References:
    """Least and best return on the networks of a recording.

    Best is the best of: the recorded allocator, the ``rival``, and the sum of the bounds where slots were bounded.
    """
    roster = recording.roster
    least = LEAST if LEAST in roster.allocators else roster.reference
    played = {name: _mean_return(recording, name, episodes) for name in dict.fromkeys((least, rival))}
    found = {rival: played[rival], recording.who: float(table["reward"].sum()) / episodes}
    if recording.bound:
        found["bound"] = float(table["bound"].sum()) / episodes
    best = max(found, key=lambda name: found[name])
    return References(played[least], least, found[best], best)


def _mean_return(recording: Recording, name: str, episodes: int) -> float:
    """Mean return of an allocator's own allocations on the recorded networks."""
    scenario = recording.scenario
    found = evaluate(scenario, recording.roster.make(name), episodes=episodes, seed=recording.seed)
    return float(found.utility.mean()) * scenario.horizon
