"""Allocators by the names that the command line takes, for each scenario."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jcas_baselines import ADMM, BestVertex, ConstantRule, EqualAllocation, Exact

from jcas_env.scenarios.scenario import require, suggest


@dataclass(frozen=True)
class Roster:
    """The allocators of one scenario."""

    allocators: dict[str, tuple[Callable[[], Any], str]]
    """Constructor and one-line description by name."""
    default: tuple[str, ...]
    """What ``jcas compare`` shows when it is not told otherwise."""
    reference: str
    """Allocator to which utilities are related."""

    def select(self, text: str | None) -> list[str]:
        """Names from a list separated by commas, or the default ones.

        Raises ``ValueError`` for an empty list and for an unknown name, with the nearest known one.
        """
        names = list(self.default) if text is None else [name.strip() for name in text.split(",") if name.strip()]
        require(bool(names), f"`--allocators` is empty; known: {', '.join(self.allocators)}")
        for name in names:
            require(name in self.allocators, f"unknown allocator {name!r}: {suggest(name, list(self.allocators))}")
        return names

    def make(self, name: str) -> Any:
        """Build the allocator of a known name."""
        return self.allocators[name][0]()


def _learned() -> Any:
    """The shipped policy; torch is imported only here."""
    from jcas_agents.learned import LearnedAllocator

    return LearnedAllocator.load("multicell-rate")


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
            "constant": (ConstantRule, "all free band to the first group, equal power: a yardstick"),
            "best-vertex": (BestVertex, "all free band to the best group, equal power: a yardstick"),
            "learned": (_learned, "shipped policy for the rate utility, multicell-rate"),
            "admm-cvxpy": (lambda: ADMM(backend="cvxpy"), "luo2023 Algorithm 3 as printed, by CVXPY (slow)"),
        },
        default=("equal", "equal-group", "eba-pa", "exact", "admm"),
        reference="admm",
    )
}
"""Allocators by scenario."""
