"""Allocators by the names that the command line takes, for each scenario."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jcas_baselines import ADMM, SCA, EqualAllocation, Exact
from jcas_baselines.massive_mimo_policies import ConstantShare, ExactPerFrame, LeastSensing, Myopic

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
    ),
    "massive-mimo": Roster(
        {
            "equal": (EqualAllocation, "least sensing power for the frame's demand, equal factors for the users"),
            "equal-stream": (lambda: EqualAllocation(reading="equal-stream"), "the same, equal stream powers"),
            "equal-full": (lambda: EqualAllocation(reading="equal-full"), "one factor for users and sensing"),
            "equal-half": (lambda: EqualAllocation(reading="equal-half"), "half of the power for sensing"),
            "exact": (Exact, "global optimum under the frame's CRB demand, beam taken as aligned"),
            "exact-sigma": (lambda: ExactPerFrame("sigma"), "the same, planned with one predicted sigma of beam error"),
            "sca": (SCA, "nguyen2024 Algorithm 1, closed form"),
            "sca-low": (lambda: SCA(start="low"), "the same from the point of least power"),
            "sca-cvxpy": (lambda: SCA(backend="cvxpy"), "nguyen2024 Algorithm 1 as printed, CVXPY (slow)"),
            "least-t": (LeastSensing, "least sensing power that keeps the tracker's variance"),
            "least-t-sigma": (lambda: LeastSensing("sigma"), "the same, planned with one sigma of beam error"),
            "myopic": (Myopic, "sensing share that maximises the frame's reward"),
            "myopic-sigma": (lambda: Myopic("sigma"), "the same, planned with one sigma of beam error"),
            "constant-10": (lambda: ConstantShare(share=0.1), "a tenth of the power for sensing"),
            "constant-30": (lambda: ConstantShare(share=0.3), "three tenths of the power for sensing"),
        },
        default=("equal", "equal-full", "exact", "sca", "constant-30", "least-t", "myopic"),
        reference="myopic",
    ),
}
"""Allocators by scenario."""
