r"""Benders cuts of the mesh from cone programs over bins: any channel, any placement, certified for every assignment.

Where the count model of :mod:`.counts` says too little (a frequency-selective channel, a band of few
subcarriers), the subproblem at a share is a cone program over bins of subcarriers, :mod:`.convex`. Its answer is a
feasible (fractional) assignment, and its multipliers give an upper bound on what any assignment of single subcarriers
can reach, so that the cuts certify the problem itself and not a model of it. One instance after the other, NumPy.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jcas_env.scenarios.mesh import MeshAllocation, MeshProblem
from jcas_env.scenarios.mesh.subcarriers import comb_placement
from jcas_env.tree import take
from jcas_env.types import Array, Status

from ..engines.benders import Cut, Decomposition
from .convex import ToneInformation, bins_of, fairest, solve_bins, tones_of
from .convex_program import Accuracy, Bins
from .cuts import TAIL, Cuts, decompose_by_cuts
from .rounding import DOWN, SMALL_BAND, performance_at_best_share, polish

COMB_STARTS = 10
"""Most rotations of a comb from which a small band is searched."""
KEPT = 1e-12
"""Total of the relative shortfalls that rounding explains."""


class BinShares(NamedTuple):
    """Answer of a subproblem."""

    share: Array
    """(n,): beta."""
    amount: Array
    """(n, users, bins): subcarriers of each bin."""


class BinSubproblem:
    """Cuts of one instance by cone programs."""

    def __init__(self, problem: MeshProblem, tones: ToneInformation, bins: Bins, limit: float) -> None:
        self.problem, self.tones, self.bins, self.limit = problem, tones, bins, limit
        self.floor = float(problem.count_model.rate_floor / problem.count_model.rate_scale)
        self.weight = float(problem.count_model.positioning_weight)
        self.accuracies: list[Accuracy] = []

    def __call__(self, point: Array, index: Array) -> tuple[Cut, BinShares]:  # noqa: ARG002 (one instance)
        """Solve at points (n, 1)."""
        solved = [self._at(float(share)) for share in point[:, 0]]
        value, level, price, slope, amount = (np.array(column) for column in zip(*solved, strict=True))
        return Cut(
            point=point,
            feasible=np.ones(len(point), dtype=bool),
            value=value,
            level=level,
            slope=slope[:, None],
            multiplier=np.stack([price, np.full_like(price, self.floor), np.full_like(price, self.limit)], axis=-1),
        ), BinShares(point[:, 0], amount)

    def _at(self, share: float) -> tuple[float, float, float, float, np.ndarray]:
        """Value, bound, sum of multipliers, tangent and amounts at one share.

        The cone program leaves out what the share alone adds to a sum of logarithms.
        """
        rho, users = self.weight, self.problem.users
        floor = self.floor / (1.0 - share)
        log = self.problem.objective == "log"
        worth = (rho, 1.0 - rho) if log else (rho * share, (1.0 - rho) * (1.0 - share) / users)
        found = solve_bins(self.tones, self.bins, worth=worth, floor=floor, log=log)
        self.accuracies.append(found.accuracy)
        if log:
            offset = rho * np.log(share) + (1.0 - rho) * np.log((1.0 - share) / users)
            rise = rho / share - (1.0 - rho) / (1.0 - share)
        else:
            offset, rise = 0.0, rho * found.positioning - (1.0 - rho) / users * found.rate
        slope = rise - found.price * floor / (1.0 - share)
        return found.value + offset, found.bound + offset, found.price, slope, found.amount


def share_limits(problem: MeshProblem, tones: ToneInformation, bins: Bins) -> tuple[float, float]:
    r"""Largest share that bins can serve, and one that no assignment can exceed (spec mesh 3.2).

    A linear program over bins gives the largest common rate; its multipliers m, summing to one, the feasibility cut
    :math:`\beta \le 1 - R^*/\sum_n \max_u m_u r_{un}`.
    """
    floor = float(problem.count_model.rate_floor / problem.count_model.rate_scale)
    most = 1.0 - problem.share_min if problem.objective == "log" else 1.0
    amount, weight = fairest(bins)
    common = float((amount * bins.rate).sum(axis=1).min())
    reachable = float((weight[:, None] / weight.sum() * tones.rate).max(axis=0).sum())
    ends = (1.0 - floor / common, 1.0 - floor / max(reachable, common))
    return min(ends[0], most), min(ends[1], most)


class BinSolution(NamedTuple):
    """One instance, solved and rounded."""

    found: Decomposition
    """Fractions of bins, and the certified bound."""
    allocation: MeshAllocation
    """Whole subcarriers."""
    kept: bool
    """Whether these keep every rate floor; else nobody has any."""
    share_max: float
    """Largest share that no allocation can exceed."""
    shortfall: float = 0.0
    """What the users lack of their floors in the best assignment that was found, relative to it, in total."""
    inaccurate: int = 0
    """Cone programs whose solver stopped short of its tolerance."""
    failed: int = 0
    """Cone programs that no solver answered."""


def solve_with_bins(problem: MeshProblem, *, bins: int, cuts: Cuts, tolerance: float, limit: int) -> BinSolution:
    """Benders over cone programs for one unbatched instance, and its rounding to whole subcarriers.

    Every distinct subcarrier is a bin of its own in bands of at most ``SMALL_BAND``.
    """
    tones = tones_of(problem)
    gathered = bins_of(problem, tones, problem.subcarriers if problem.subcarriers <= SMALL_BAND else bins)
    reach, most = share_limits(problem, tones, gathered)
    low = problem.share_min
    if most < low:
        return _infeasible(problem, most)
    subproblem = BinSubproblem(problem, tones, gathered, most)
    found = decompose_by_cuts(
        subproblem,
        np.array([[low]]),
        np.array([[low + max(reach - low, 0.0) * (1.0 - TAIL)]]),
        cuts=cuts,
        concave=problem.objective == "log",
        half=np.array([[0.5 * reach]]),
        tolerance=tolerance,
        limit=limit,
    )
    assignment = _assignment(problem, take(found.answer, 0).amount, gathered, tones)
    allocation = _timed(problem, assignment)
    short = float(problem.shortfall(problem.tones(assignment).rate, allocation.positioning_share))
    kept, ends = short <= KEPT, subproblem.accuracies
    if not kept:
        allocation = _unassigned(problem)
    return BinSolution(
        found, allocation, kept, most, short, ends.count(Accuracy.INACCURATE), ends.count(Accuracy.FAILED)
    )


def _assignment(problem: MeshProblem, amount: np.ndarray, bins: Bins, tones: ToneInformation) -> np.ndarray:
    """Owners (subcarriers,) near fractional amounts: polished in a small band, repaired in a wide one."""
    assignment = by_deficit(amount / bins.size, bins.member, tones.omega, problem.selective)
    if problem.subcarriers > SMALL_BAND:
        return repaired(problem, assignment)
    starts = [assignment, *_small_band_starts(problem, assignment)]
    return max((polish(problem, start) for start in starts), key=lambda found: found[1])[0]


def by_deficit(share: np.ndarray, member: np.ndarray, omega: np.ndarray, selective: bool) -> np.ndarray:
    """Whole subcarriers from shares (users, bins): each goes to the user that is owed most so far.

    Totals stay within about one subcarrier of the fractions, and so does every stretch of the band.
    """
    # In a flat channel f and -f are alike, so that users alternate over pairs.
    order = np.argsort(omega if selective else np.abs(omega), kind="stable")
    owed, owner = np.zeros(len(share)), np.empty(len(member), dtype=np.int64)
    for place in order:
        owed += share[:, member[place]]
        user = int(np.argmax(owed))
        owner[place] = user
        owed[user] -= 1.0
    return owner


def _small_band_starts(problem: MeshProblem, assignment: np.ndarray) -> list[np.ndarray]:
    """Further starts of a local search, which gets stuck because the worst user alone counts for positioning.

    Rotations of a comb with the same counts, and the corner of rates alone: everyone's floor at the least share, the
    rest to the best rate.
    """
    total, users = problem.subcarriers, problem.users
    model = problem.count_model
    counts = np.bincount(assignment, minlength=users).astype(float)
    need = np.ceil(model.rate_floor / ((1.0 - problem.share_min) * model.rate) * DOWN)
    need[np.argmax(model.rate)] += max(total - need.sum(), 0.0)
    corner = [comb_placement(need, total=total)] if need.sum() == total else []
    comb = comb_placement(counts, total=total)
    return [*corner, *(np.roll(comb, shift) for shift in range(min(total, COMB_STARTS)))]


def repaired(problem: MeshProblem, assignment: np.ndarray) -> np.ndarray:
    """Give subcarriers to users that miss the rate floor even at the least share, as long as others can spare them.

    The giver has the most rate to spare; of its subcarriers the receiver gets its best.
    """
    need = float(problem.per_instance(problem.rate_floor)) / (1.0 - problem.share_min) * (1.0 + 1e-12)
    rates = np.broadcast_to(problem.rate_per_subcarrier.reshape(problem.users, -1), (problem.users, len(assignment)))
    assignment, rate = assignment.copy(), problem.tones(assignment).rate.copy()
    for _ in range(len(assignment)):
        # The poorest user gets from the richest, until it has enough or the giver would fall short itself.
        short, giver = int(np.argmin(rate)), int(np.argmax(rate))
        places = np.flatnonzero(assignment == giver)
        if rate[short] >= need or rate[giver] - rates[giver, places].max() < need:
            break
        place = places[np.argmax(rates[short, places])]
        assignment[place] = short
        rate[giver] -= rates[giver, place]
        rate[short] += rates[short, place]
    return assignment


def _timed(problem: MeshProblem, assignment: np.ndarray) -> MeshAllocation:
    """An assignment with its counts and the share that suits it."""
    counts = np.bincount(assignment, minlength=problem.users).astype(float)
    share = performance_at_best_share(problem, assignment)[-1]
    return MeshAllocation(counts, assignment, np.asarray(share))


def _infeasible(problem: MeshProblem, most: float) -> BinSolution:
    """Answer where no share keeps the floors even of fractions."""
    nan, users = float("nan"), problem.users
    found = Decomposition(
        point=np.array([[nan]]),
        answer=BinShares(np.array([nan]), np.full((1, users, 1), nan)),
        lower=np.array([nan]),
        upper=np.array([nan]),
        cuts=np.array([0]),
        status=np.array([int(Status.INFEASIBLE)]),
    )
    return BinSolution(found, _unassigned(problem), False, most, nan)


def _unassigned(problem: MeshProblem) -> MeshAllocation:
    nan, nobody = float("nan"), np.full(problem.subcarriers, -1, dtype=np.int64)
    return MeshAllocation(np.full(problem.users, nan), nobody, np.asarray(nan))
