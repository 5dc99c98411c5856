"""Allocators by the names that the command line takes, for each scenario."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from jcas_baselines import (
    ADMM,
    GBD,
    SCA,
    BacklogProportional,
    BestGrouping,
    BestVertex,
    ConstantRule,
    ConstantShare,
    DrainSearch,
    EqualAllocation,
    Exact,
    ExactPerFrame,
    GradientSearch,
    Joint,
    LeastSensing,
    MaxWeight,
    Myopic,
    Solution,
    UpperBound,
)

from jcas_env import MeshProblem
from jcas_env.checks import require, suggest


@dataclass(frozen=True)
class Roster:
    """The allocators of one scenario."""

    allocators: dict[str, tuple[Callable[[], Any], str]]
    """Constructor and one-line description by name."""
    default: tuple[str, ...]
    """What ``jcas compare`` shows when it is not told otherwise."""
    reference: str
    """Allocator to which utilities are related."""
    yardstick: Callable[[], Any] | None = None
    """Solver that, given the truth, finds the best allocation that is known and bounds all others."""
    by_reward: dict[str, tuple[tuple[str, ...], str]] = field(default_factory=dict)
    """Default allocators and reference of rewards for which they are others, and which have no yardstick."""
    shipped: dict[str, str] = field(default_factory=dict)
    """Shipped policy by reward: the allocator ``learned``."""
    beside: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Simple rules and short searches by reward, without which no learned policy is shown (spec learning 6)."""
    learned: tuple[str, ...] = ("learned", "learned-delay")
    """Names of learned policies."""

    files: tuple[str, ...] = ()
    """Names of policies from files, which are always compared."""

    def for_task(self, config: Any) -> Roster:
        """The roster as a configuration's reward has it."""
        reward, here = getattr(config, "reward", ""), self
        if reward in self.shipped:
            policy = self.shipped[reward]
            entry = (partial(_learned, policy), f"shipped policy {policy}")
            here = replace(self, allocators={**self.allocators, "learned": entry})
        here = replace(here, beside={reward: self.beside.get(reward, ())})
        if reward not in self.by_reward:
            return here
        default, reference = self.by_reward[reward]
        return replace(here, default=default, reference=reference, yardstick=None)

    def with_policies(self, files: Sequence[Path]) -> Roster:
        """The roster with policies from files, named after them; raises as :func:`.checkpoint.load_policy` does."""
        named: dict[str, tuple[Callable[[], Any], str]] = {}
        for file in files:
            require(file.suffix == ".safetensors", f"`--policy` takes a .safetensors file, got {file}")
            taken, short = self.allocators | named, file.with_suffix("")
            labels = (short.name, "/".join(short.parts[-2:]), str(short))
            name = next((label for label in labels if label not in taken), str(file))
            named[name] = (partial(_same, _learned(str(file))), f"policy {file}")
        first = dict.fromkeys((self.default[0], self.reference)) if named else self.default
        return replace(
            self,
            allocators={**self.allocators, **named},
            default=tuple(first),
            learned=(*self.learned, *named),
            files=tuple(named),
        )

    def select(self, text: str | None) -> list[str]:
        """Names from a list separated by commas, or the default ones.

        Beside a learned policy stand the yardsticks of the task, named or not. Raises ``ValueError`` for an empty list
        and for an unknown name, with the nearest known one.
        """
        names = list(self.default) if text is None else [name.strip() for name in text.split(",") if name.strip()]
        require(bool(names), f"`--allocators` is empty; known: {', '.join(self.allocators)}")
        for name in names:
            require(name in self.allocators, f"unknown allocator {name!r}: {suggest(name, list(self.allocators))}")
        names += self.files
        needed = [name for group in self.beside.values() for name in group] if set(names) & set(self.learned) else []
        return list(dict.fromkeys([*names, *needed]))

    def make(self, name: str) -> Any:
        """Build the allocator of a known name."""
        return self.allocators[name][0]()


@dataclass(frozen=True)
class LogObjective:
    """Solves the mesh for the logarithms of both terms, whatever its objective: scale free and jointly concave."""

    def solve(self, problem: MeshProblem) -> Solution:
        """Optimum of the ``log`` objective with the problem's weight as mu."""
        return Exact().solve(replace(problem, objective="log"))


def _learned(name: str) -> Any:
    """A shipped policy; torch is imported only here."""
    from jcas_agents.learned import LearnedAllocator

    return LearnedAllocator.load(name)


def _same(allocator: Any) -> Any:
    return allocator


@dataclass(frozen=True)
class NearestCounts:
    """Certified optimum of the mesh's count model, rounded by the largest remainder alone: floors may be missed."""

    def solve(self, problem: MeshProblem) -> Solution:
        """Fractional optimum, and the nearest whole counts as combs; NaN where infeasible."""
        found = GBD(whole=False).solve(problem)
        air = problem.on_air(found.allocation)
        return replace(found, allocation=air._replace(counts=air.counts + 0.0 * found.allocation.counts))


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
            "admm-grouping": (lambda: BestGrouping(ADMM()), "ADMM with the best grouping threshold of each cell"),
            "gbd": (GBD, "generalised Benders: the share by cuts, noise per hertz, certified gap"),
            "sca": (SCA, "successive convex approximation of the true rates, other cells as they were"),
            "sca-network": (lambda: SCA(scope="network"), "the same for all cells together"),
            "sca-grouping": (lambda: BestGrouping(SCA()), "SCA with the best grouping threshold of each cell (slow)"),
            "constant": (ConstantRule, "all slack band to the first group, equal power: looks at nothing"),
            "vertex": (BestVertex, "the best such corner of each cell"),
            "search-20": (lambda: GradientSearch(steps=20), "20 gradient steps from EBPA, all cells"),
            "search-50": (lambda: GradientSearch(steps=50), "50 gradient steps from EBPA, all cells"),
            "learned": (
                partial(_learned, "multicell-rate"),
                "shipped policy of the reward: rate, fair or delay",
            ),
            "learned-delay": (
                lambda: _learned("multicell-delay"),
                "with queues: shipped policy for the delay task, multicell-delay",
            ),
            "joint": (Joint, "best found: gradient search from many starts (slow)"),
            "max-weight": (MaxWeight, "with queues: EBA + PA weighted by the backlogs"),
            "backlog": (BacklogProportional, "with queues: band by what the groups' backlogs need, equal power"),
            "drain": (DrainSearch, "with queues: 120 gradient steps on the squared backlog of the slot (slow)"),
        },
        default=("equal", "equal-group", "eba-pa", "exact", "admm", "gbd", "sca"),
        reference="admm",
        yardstick=lambda: UpperBound("fast"),
        by_reward={"delay": (("equal", "admm", "sca", "max-weight", "backlog", "learned-delay"), "equal")},
        shipped={reward: f"multicell-{reward}" for reward in ("rate", "fair", "delay")},
        beside={
            "rate": ("constant", "vertex", "search-20", "search-50"),
            "fair": ("search-20", "search-50"),
            "delay": ("backlog", "drain"),
        },
    ),
    "mesh": Roster(
        {
            "equal": (EqualAllocation, "equal subcarriers, best share for them"),
            "exact": (Exact, "global optimum of the count model in closed form, whole subcarriers"),
            "gbd": (GBD, "certified Benders cuts on the count model, whole subcarriers"),
            "gbd-nearest": (NearestCounts, "the same, rounded by the largest remainder alone"),
            "gbd-paper": (lambda: GBD(cuts="paper"), "lu2022 Table 1 with its tangent cuts, which can be wrong"),
            "gbd-bins": (lambda: GBD(backend="cvxpy"), "certified for every placement: CVXPY over 8 bins (slow)"),
            "log": (LogObjective, "optimum of the log objective instead, mu = rho"),
            "learned": (partial(_learned, "mesh-sum"), "shipped policy mesh-sum"),
        },
        default=("equal", "log", "exact", "gbd", "gbd-paper"),
        reference="gbd",
        beside={"": ("equal", "exact")},
        yardstick=lambda: GBD(backend="cvxpy"),
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
            "learned": (partial(_learned, "massive-mimo-tracking"), "shipped policy massive-mimo-tracking"),
        },
        default=("equal", "equal-full", "exact", "sca", "constant-30", "least-t", "myopic"),
        reference="myopic",
        beside={"tracking": ("constant-30", "exact", "least-t", "myopic")},
    ),
}
"""Allocators by scenario."""
