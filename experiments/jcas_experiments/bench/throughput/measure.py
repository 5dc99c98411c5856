"""Rows of interleaved repetitions: this checkout, its parent, and the peer take turns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from math import nan
from pathlib import Path
from time import monotonic
from typing import Any

from ..row import Plan, Row, repeated
from .cases import (
    KNOWLEDGE,
    LOOP_PEER,
    LOOP_PEER_JOB,
    PEER,
    PEER_JOB,
    SINGLE,
    Case,
    environment_cases,
    loop_cases,
    peer_cases,
)
from .processes import ROOT, WorkerError, processes

PARENT = "parent"
"""What the other checkout is called in a row."""
MEMORY = 2000.0
"""Memory that 1,024 lanes may take [MB]."""
SURROGATE = 0.5
"""Share of the speed with the true channel known that the statistical surrogate is to keep."""
PATIENCE = 60.0
"""Wall time after which a case has had enough repetitions, if there are two of them [s]."""


def effort(plan: Plan) -> tuple[float, int]:
    """Least CPU time of a repetition [s], and repetitions."""
    return (0.03, 2) if plan.quick else (0.4, 5)


def precisions(plan: Plan) -> tuple[str, ...]:
    """Precisions that are measured."""
    return ("float64",) if plan.quick else ("float64", "float32")


def interleave(runs: Sequence[Callable[[], float]], rounds: int, patience: float = PATIENCE) -> list[list[float]]:
    """Samples of each run, in turns, every second round backwards, so that a drift of the machine meets all alike."""
    samples: list[list[float]] = [[] for _ in runs]
    begin = monotonic()
    for number in range(rounds):
        order = range(len(runs)) if number % 2 == 0 else reversed(range(len(runs)))
        for index in order:
            samples[index].append(runs[index]())
        if number > 0 and monotonic() - begin > patience:
            break
    return samples


class Session:
    """Open processes: this checkout's, the parent's if there is one, and the peer's."""

    def __init__(self, plan: Plan, stack: ExitStack, peer: str, peer_job: dict[str, Any]) -> None:
        self.plan, self.peer_name = plan, peer
        self.seconds, self.rounds = effort(plan)
        roots = [ROOT, ROOT, *([] if plan.parent is None else [plan.parent])]
        self.ours, self.peer, *self.parent = stack.enter_context(processes(*roots))
        self.peer_users: int | None = None
        """Users of the peer, whose job stays open; None where its package is not installed."""
        try:
            self.peer_users = self.peer.open(peer_job, plan.seed)["users"]
        except WorkerError as error:
            if not error.missing:
                raise
            self.peer_name += f" ({error.reason})"

    def rows(self, case: Case, unit: str) -> Iterator[tuple[Row, dict[str, Any]]]:
        """A case beside the peer, then beside the parent; with what the job is.

        Where the parent cannot do the job, its reason stands in place of a value. mobile-env beside the parent is
        itself in another process: how far that ratio is from 1 is noise.
        """
        try:
            about = self.ours.open(case.job, self.plan.seed)
        except WorkerError as error:
            if not error.missing:
                raise
            yield Row(f"{case.name} ({error.reason})", nan, self.peer_name, None, unit, None, case.target), {}
            return
        refusal, runners = "", {"ours": (self.ours, about["users"])}
        if self.peer_users is not None:
            runners["peer"] = (self.peer, self.peer_users)
        for parent in self.parent:
            try:
                runners[PARENT] = (parent, parent.open(case.job, self.plan.seed)["users"])
            except WorkerError as error:
                refusal = f" ({error.reason})"
        runs = [partial(process.rate, self.seconds) for process, _ in runners.values()]
        taken = zip(runners.items(), interleave(runs, self.rounds), strict=True)
        samples = {name: [users * rate for rate in rates] for (name, (_, users)), rates in taken}
        for process in (self.ours, *self.parent):
            process.ask(close=True)
        yield repeated(case.name, samples["ours"], self.peer_name, samples.get("peer"), unit, case.target), about
        if self.parent:
            named = PARENT + refusal
            yield repeated(case.name, samples["ours"], named, samples.get(PARENT), unit, case.parent_target), about


def chosen(cases: Iterable[Case], plan: Plan) -> list[Case]:
    """The cases that are asked for."""
    return [case for case in cases if plan.only in case.name]


def environment_rows(plan: Plan) -> Iterator[Row]:
    """User-steps per CPU second of each environment, against mobile-env medium and against the parent.

    The statistical surrogate ``crb`` stands beside the true channel too, by medians: the two do not take turns.
    ``also`` holds env-steps, and the unit that compares across environments: evaluations of a link, of M x N antennas,
    in a slot; ``antenna pairs/s`` are these times M N.
    """
    lanes = (SINGLE, 4) if plan.quick else (SINGLE, 64, 1024)
    with ExitStack() as stack:
        session = Session(plan, stack, PEER, PEER_JOB)
        others = [] if session.peer_users is None else peer_cases()
        values: dict[str, float] = {}
        for case in chosen([*others, *environment_cases(lanes, precisions(plan))], plan):
            for row, about in session.rows(case, "user-steps/s"):
                yield row._replace(also=in_other_units(row.value, about))
            values[case.name] = row.value
            if (truth := values.get(case.name.replace(", crb,", ", perfect,"))) and ", crb," in case.name:
                ratio = row.value / truth
                yield Row(case.name, row.value, "true channel", truth, row.unit, ratio, SURROGATE)


def in_other_units(user_steps: float, about: dict[str, Any]) -> dict[str, float]:
    """What a number of user-steps per second is in env-steps, links and pairs of antennas."""
    steps = user_steps / about["users"]
    links, (tx_antennas, rx_antennas) = steps * about["links"], about["antennas"]
    return {"env-steps/s": steps, "links/s": links, "antenna pairs/s": links * tx_antennas * rx_antennas}


def loop_rows(plan: Plan) -> Iterator[Row]:
    """Samples per CPU second that a training loop takes in, learning included, against SB3's PPO on mobile-env."""
    with ExitStack() as stack:
        session = Session(plan, stack, LOOP_PEER, LOOP_PEER_JOB)
        for case in chosen(loop_cases(*(4, KNOWLEDGE[:1]) if plan.quick else (64, KNOWLEDGE)), plan):
            for row, _ in session.rows(case, "samples/s"):
                yield row


def memory_rows(plan: Plan) -> Iterator[Row]:
    """Largest memory of a process that steps many lanes, libraries included, against what is asked and the parent.

    Each number is of a process of its own, from its start through a reset and a period of slots.
    """
    lanes, estimators = (16, ("perfect",)) if plan.quick else (1024, ("perfect", "crb", "spomp"))
    cases = environment_cases((lanes,), precisions(plan), estimators)
    for case in chosen(cases, plan):
        named = f"memory, {case.name}"
        ours = peak(ROOT, case, plan.seed)
        yield Row(named, ours, "asked for", MEMORY, "MB", MEMORY / ours, 1.0)
        if plan.parent is not None:
            try:
                other = peak(plan.parent, case, plan.seed)
            except WorkerError as error:
                yield Row(named, ours, f"{PARENT} ({error.reason})", None, "MB", None, nan)
            else:
                yield Row(named, ours, PARENT, other, "MB", other / ours, nan)


def peak(root: Path, case: Case, seed: int) -> float:
    """Largest memory of a fresh process in which a case has run once [MB]."""
    with processes(root) as (process,):
        process.open(case.job, seed)
        return float(process.ask(memory=True)["memory"]) / 1e6
