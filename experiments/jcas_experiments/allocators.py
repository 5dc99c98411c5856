"""Allocators by the names that the command line takes, for each scenario."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jcas_baselines import ADMM, EqualAllocation, Exact

from jcas_env.scenarios.scenario import suggest


@dataclass(frozen=True)
class Roster:
    """The allocators of one scenario."""

    allocators: dict[str, tuple[Callable[[], Any], str]]
    """Constructor and one-line description by name."""
    default: tuple[str, ...]
    """What ``jcas compare`` shows when it is not told otherwise."""
    reference: str
    """Allocator to which utilities are related."""

    def make(self, name: str) -> Any:
        """Build an allocator; raises ``ValueError`` for an unknown name and suggests the nearest."""
        if name not in self.allocators:
            raise ValueError(f"unknown allocator {name!r}: {suggest(name, list(self.allocators))}")
        return self.allocators[name][0]()


ROSTERS: dict[str, Roster] = {
    "multicell": Roster(
        {
            "equal": (EqualAllocation, "equal power, band per user (EBPA)"),
            "equal-group": (lambda: EqualAllocation(per="group"), "equal power, band per group"),
            "eba-pa": (lambda: EqualAllocation(power="proposed"), "band per user, water-filling power (EBA + PA)"),
            "exact": (Exact, "global optimum of the relaxed problem, constant noise"),
            "exact-phys": (
                lambda: Exact(noise="per_hertz"),
                "global optimum of the relaxed problem, noise per hertz",
            ),
            "admm": (ADMM, "luo2023 Algorithm 3, closed form"),
            "admm-cvxpy": (lambda: ADMM(backend="cvxpy"), "luo2023 Algorithm 3 as printed, by CVXPY (slow)"),
        },
        default=("equal", "equal-group", "eba-pa", "exact", "admm"),
        reference="admm",
    )
}
"""Allocators by scenario."""
