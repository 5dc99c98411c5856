"""Trained policies on the named evaluation sets, beside the optimisers and the yardsticks (spec learning 6, 7.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jcas_agents.checkpoint import policy_file, read_policy, rewrite_card
from jcas_agents.data.evaluation_sets import SETS, VERSION, evaluation_scenes
from jcas_agents.data.scenes import Scenes
from jcas_agents.learned import LearnedAllocator
from jcas_agents.tensor_files import HASH
from rich.table import Table

from jcas_env.checks import require, suggest

from ..jobs.crew import Crew, LostWorkerError, Task, Tell
from ..kept import is_number
from ..scenarios.registry import roster_of
from ..statistics import ratio_over_seeds
from ..tables import new_table

RIVALS = {
    "rate": ("equal", "constant", "vertex", "admm", "sca", "search-20", "search-50"),
    "fair": ("equal", "search-20", "search-50"),
}
"""Who stands beside a policy, by the reward that it is trained for; the constant rule knows sums of rates alone."""
BEST = "joint"
"""Best found, on request: seconds a scene."""
RIVAL_ORDER = (*RIVALS["rate"], BEST)
"""Columns of the table."""
TOGETHER = 50
"""Scenes that are decided in one call."""


class Score(NamedTuple):
    """Policies against one rival on one set."""

    set: str
    rival: str
    ratio: list[float]
    """Of each policy: ratio of mean utilities; for ``fair`` of geometric means over users and both services' rates."""
    mean: float
    """The same for the mean over the policies."""
    interval: list[float]
    """95 % bootstrap interval of it, over scenes and training seeds."""

    def report(self) -> dict[str, Any]:
        """What goes into a file."""
        return {
            "set": self.set, "rival": self.rival, "ratio": self.ratio, "mean": self.mean, "ci95": self.interval,
            "lowest": min(self.ratio), "highest": max(self.ratio),
        }  # fmt: skip


def check_row(name: str, row: Any, *, policies: int) -> None:
    """Raise an error where a row, as a file holds it, is no score of so many policies."""
    score = Score(**row)
    require(name == f"{score.set} {score.rival}" and score.set in SETS, "its set and rival must be those of its name")
    numbers = [*score.ratio, *score.interval, score.mean]
    require(len(score.ratio) == policies and len(score.interval) == 2, f"it must have {policies} ratios, an interval")
    require(all(map(is_number, numbers)), "ratios, mean and interval must be numbers")


def policy_hashes(policies: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Files of policies, and the hashes of what is in them."""
    files = [policy_file(name) for name in policies]
    return files, [read_policy(file)[1][HASH] for file in files]


def reward_of(policies: Sequence[str]) -> str:
    """Reward that all the policies are trained for; ``ValueError`` if they differ, or have no evaluation sets."""
    cards = [read_policy(policy_file(name))[1] for name in policies]
    found = sorted({f"{card['scenario']} {card.get('reward', 'rate')}" for card in cards})
    require(len(found) == 1, f"the policies must be trained for one reward, got {found}")
    scenario, _, reward = found[0].partition(" ")
    known = scenario == "multicell" and reward in RIVALS
    require(known, f"the evaluation sets are for multicell and {list(RIVALS)}, got a policy for {found[0]}")
    return reward


def utilities(allocate: Callable[[Any], Any], scenes: Scenes) -> np.ndarray:
    """True utility of an allocator's decisions on the known problems, (scenes,)."""
    parts = []
    for begin in range(0, len(scenes), TOGETHER):
        some = scenes.take(slice(begin, begin + TOGETHER))
        parts.append(np.asarray(some.truth.utility(allocate(some.known))))
    return np.concatenate(parts)


def scores(
    policies: Sequence[str],
    sets: Sequence[str],
    count: int,
    *,
    best: bool = False,
    done: Sequence[Score] = (),
    crew: Crew | None = None,
) -> Iterator[Score]:
    """Score policies, one per training seed, on sets; raises ``ValueError`` for an unknown set.

    ``done``: what has been found already; it comes again in its place. A crew takes a set and a rival each; its scores
    come as they are found, and what a lost worker costs is raised when all others have come.
    """
    for name in sets:
        require(name in SETS, f"unknown evaluation set {name!r}: {suggest(name, list(SETS))}")
    known = {(score.set, score.rival): score for score in done}
    reward = reward_of(policies)
    learned = [LearnedAllocator.load(name) for name in policies]
    rivals = (*RIVALS[reward], *((BEST,) if best else ()))
    if crew is not None:
        pairs = [(name, rival) for name in sets for rival in rivals]
        yield from (known[pair] for pair in pairs if pair in known)
        yield from _shared(crew, learned, [pair for pair in pairs if pair not in known], count, reward)
        return
    for name in sets:
        if all((name, rival) in known for rival in rivals):
            yield from (known[name, rival] for rival in rivals)
            continue
        scenes = evaluation_scenes(name, count, reward=reward)
        mine = np.stack([utilities(policy.allocate, scenes) for policy in learned])
        for rival in rivals:
            yield known.get((name, rival)) or _score(name, rival, scenes, mine, reward)


def _score(name: str, rival: str, scenes: Scenes, mine: np.ndarray, reward: str) -> Score:
    """Policies, whose utilities are (policies, scenes), against one rival."""
    # The utility adds the logarithms of both services: its root is the geometric mean of one rate.
    logarithmic = reward == "fair"
    power = 1.0 / float(np.sum(scenes.truth.service_weight)) if logarithmic else 1.0
    theirs = utilities(_decision(roster_of("multicell").make(rival)), scenes)
    ratios = [ratio_over_seeds(some, theirs, logarithmic=logarithmic)[0] for some in mine[:, None]]
    mean, interval = ratio_over_seeds(mine, theirs, logarithmic=logarithmic)
    return Score(name, rival, [x**power for x in ratios], mean**power, [x**power for x in interval])


_scenes_of = lru_cache(maxsize=1)(evaluation_scenes)
"""In a worker, whose next task is mostly of the same set."""


def score_one(_: Tell, *, learned: Sequence[Any], name: str, rival: str, count: int, reward: str) -> Score:
    """Policies against one rival on one set, in a worker."""
    scenes = _scenes_of(name, count, reward=reward)
    mine = np.stack([utilities(policy.allocate, scenes) for policy in learned])
    return _score(name, rival, scenes, mine, reward)


def _shared(
    crew: Crew, learned: Sequence[Any], pairs: Sequence[tuple[str, str]], count: int, reward: str
) -> Iterator[Score]:
    """Scores of sets and rivals by a crew."""
    every = partial(score_one, learned=learned, count=count, reward=reward)
    tasks: list[Task] = [partial(every, name=name, rival=rival) for name, rival in pairs]
    errors = {}
    for index, found in crew.work(tasks, lambda *_: None):
        if found.error is None:
            yield found.value
        else:
            errors[index] = found.error
    for index in sorted(errors):
        if not isinstance(errors[index], LostWorkerError):
            raise errors[index]
    if errors:
        told = ", ".join(f"{pairs[index][0]} {pairs[index][1]} ({errors[index]})" for index in sorted(errors))
        raise LostWorkerError(f"LOST: {told}")


def _decision(solver: Any) -> Callable[[Any], Any]:
    return lambda known: solver.solve(known).allocation


def table(found: Sequence[Score]) -> Table:
    """One row per set, one column per rival: mean over the policies, and half their range where there are several."""
    rivals = list(dict.fromkeys(score.rival for score in found))
    result = new_table()
    result.add_column("learned over", no_wrap=True, min_width=12)
    for rival in rivals:
        result.add_column(rival, justify="right", no_wrap=True)
    for name in dict.fromkeys(score.set for score in found):
        cells = {score.rival: score for score in found if score.set == name}
        result.add_row(name, *(_cell(cells[rival]) if rival in cells else "-" for rival in rivals))
    return result


def _cell(score: Score) -> str:
    mean = f"{score.mean:.4f}"
    if len(score.ratio) == 1:
        return mean
    return f"{mean} ±{(max(score.ratio) - min(score.ratio)) / 2:.4f}"


def write_card(policy: str, found: Sequence[Score], count: int, seeds: int) -> Path:
    """Put the scores of the first policy, and the range over all, into its card; returns the file."""
    sets: dict[str, dict[str, Any]] = {}
    for score in found:
        entry: dict[str, Any] = {"ratio": score.ratio[0], "ci95": score.interval}
        if seeds > 1:
            entry["training_seeds"] = {key: score.report()[key] for key in ("mean", "lowest", "highest")}
        sets.setdefault(score.set, {})[f"learned_over_{score.rival}"] = _rounded(entry)
    note = f"first {count} scenes of each evaluation set, split test-{VERSION}, {seeds} training seed(s)"
    return rewrite_card(policy_file(policy), {"scores_on": note, "scores": sets})


def _rounded(value: Any) -> Any:
    """Numbers to four decimals."""
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return round(value, 4)
