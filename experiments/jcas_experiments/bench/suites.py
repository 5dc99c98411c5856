"""The measurements by name, and how they run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from math import nan
from typing import NamedTuple

from rich.console import Console

from jcas_env.checks import require, suggest

from .bound import bound_rows
from .closed_forms import closed_form_rows
from .decisions import decision_rows
from .environment import environment_rows
from .estimation import estimation_rows
from .massive_mimo import massive_mimo_rows
from .mesh import mesh_rows
from .row import Row


class Suite(NamedTuple):
    """Measurements that belong together."""

    rows: Callable[[bool, int], Iterator[Row]]
    """Makes them, from a seed; True: of a size that takes seconds instead of up to some minutes."""
    text: str
    """What they are of."""


def _learning(quick: bool, seed: int) -> Iterator[Row]:
    if find_spec("torch") is None:
        return iter(
            [Row("learned, multicell-rate (PyTorch is not installed)", nan, "SCA", None, "ms/scene", None, nan)]
        )
    from .learning import learning_rows

    return learning_rows(scenes=1 if quick else 5, seed=seed)


SUITES = {
    "environment": Suite(
        lambda quick, seed: environment_rows(4 if quick else 64, seed), "users moved on per second, against mobile-env"
    ),
    "closed-forms": Suite(
        lambda quick, seed: closed_form_rows(*(6, 1) if quick else (1000, 20), seed),
        "batched ADMM and Exact, against CVXPY",
    ),
    "decisions": Suite(
        lambda quick, seed: decision_rows(scenes=1 if quick else 3, seed=seed, peers=not quick),
        "one decision of each solver on the flagship, against its CVXPY form and the time asked for",
    ),
    "bound": Suite(
        lambda quick, seed: bound_rows(1 if quick else 10, seed),
        "best-found search and certified bound: gap, and time a scene",
    ),
    "estimation": Suite(
        lambda quick, seed: estimation_rows(6 if quick else 108, seed),
        "estimators, against OMP with an explicit dictionary",
    ),
    "mesh": Suite(
        lambda quick, seed: mesh_rows(*(3, 2) if quick else (100, 8), seed + 1), "certified Benders, against CVXPY"
    ),
    "massive-mimo": Suite(
        lambda quick, seed: massive_mimo_rows(*(20, 1) if quick else (1000, 5), seed),
        "exact optimum and SCA, against CVXPY",
    ),
    "learning": Suite(_learning, "one decision of the shipped policy, against SCA (needs PyTorch)"),
}
"""Measurements by name, in the order in which they run."""


def select(names: Sequence[str]) -> list[str]:
    """The named suites, all for none; raises ``ValueError`` for an unknown one."""
    for name in names:
        require(name in SUITES, f"unknown benchmark {name!r}: {suggest(name, list(SUITES))}")
    return list(names) or list(SUITES)


def run_suites(names: Sequence[str], console: Console, *, quick: bool = False, seed: int = 0) -> tuple[list[Row], bool]:
    """Measure the named suites; returns the finished rows, and whether these are all (False: Ctrl-C)."""
    rows: list[Row] = []
    complete = True
    try:
        for name in names:
            with console.status(f"measuring {name}: {SUITES[name].text} ..."):
                for row in SUITES[name].rows(quick, seed):
                    rows.append(row)
    except KeyboardInterrupt:
        complete = False
        console.print(f"interrupted: {len(rows)} measurements finished")
    return rows, complete
