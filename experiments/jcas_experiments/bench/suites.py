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
from .estimation import estimation_rows
from .libraries import library_rows
from .massive_mimo import massive_mimo_rows
from .mesh import mesh_rows
from .row import Plan, Row
from .throughput.measure import environment_rows, loop_rows, memory_rows
from .throughput.on_device import device_rows
from .throughput.slot_cost import slot_cost_rows


class Suite(NamedTuple):
    """Measurements that belong together."""

    rows: Callable[[Plan], Iterator[Row]]
    """Makes them."""
    text: str
    """What they are of."""
    selects: bool = False
    """Whether it heeds the plan's ``only``."""
    compares: bool = False
    """Whether it heeds the plan's ``parent``."""
    moves: bool = False
    """Whether it heeds the plan's ``device``."""


def _learning(plan: Plan) -> Iterator[Row]:
    if find_spec("torch") is None:
        return iter(
            [Row("learned, multicell-rate (PyTorch is not installed)", nan, "SCA", None, "ms/scene", None, nan)]
        )
    from .learning import learning_rows

    return learning_rows(scenes=1 if plan.quick else 5, seed=plan.seed, least=0.03 if plan.quick else 0.3)


SUITES = {
    "environment": Suite(
        environment_rows,
        "user-steps per second: each scenario, estimator and precision, against mobile-env",
        True,
        True,
    ),
    "loops": Suite(loop_rows, "samples per second into training loops, against SB3 on mobile-env", True, True),
    "libraries": Suite(
        library_rows, "samples per second through every library with a program in examples/, against a plain loop", True
    ),
    "memory": Suite(memory_rows, "largest memory of a process with 1,024 lanes", True, True),
    "device": Suite(
        device_rows,
        "user-steps per second of lanes that are PyTorch's tensors, on `--device`, and PPO that never leaves it",
        True,
        moves=True,
    ),
    "slot-cost": Suite(slot_cost_rows, "time of a slot, against what its operations and bytes must take", True),
    "closed-forms": Suite(
        lambda plan: closed_form_rows(*(6, 1) if plan.quick else (1000, 20), plan.seed),
        "batched ADMM and Exact, against CVXPY",
    ),
    "decisions": Suite(
        lambda plan: decision_rows(scenes=1 if plan.quick else 3, seed=plan.seed, peers=not plan.quick),
        "one decision of each solver on the flagship, against its CVXPY form and the time asked for",
    ),
    "bound": Suite(
        lambda plan: bound_rows(1 if plan.quick else 10, plan.seed),
        "best-found search and certified bound: gap, and time a scene",
    ),
    "estimation": Suite(
        lambda plan: estimation_rows(6 if plan.quick else 108, plan.seed),
        "estimators, against OMP with an explicit dictionary",
    ),
    "mesh": Suite(
        lambda plan: mesh_rows(*(3, 2) if plan.quick else (100, 8), plan.seed + 1), "certified Benders, against CVXPY"
    ),
    "massive-mimo": Suite(
        lambda plan: massive_mimo_rows(*(20, 1) if plan.quick else (1000, 5), plan.seed),
        "exact optimum and SCA, against CVXPY",
    ),
    "learning": Suite(_learning, "one decision of the shipped policy, against SCA (needs PyTorch)"),
}
"""Measurements by name, in the order in which they run."""


def select(names: Sequence[str], plan: Plan | None = None) -> list[str]:
    """The named suites; for none, all that heed the options given.

    Raises ``ValueError`` for an unknown suite, and for an option that no chosen one heeds.
    """
    plan = Plan() if plan is None else plan
    for name in names:
        require(name in SUITES, f"unknown benchmark {name!r}: {suggest(name, list(SUITES))}")
    able = list(SUITES)
    options = (
        ("--only", plan.only, "selects"),
        ("--parent", plan.parent, "compares"),
        ("--device", plan.device != "cpu", "moves"),
    )
    for option, given, heeds in options:
        if given:
            able = [name for name in able if getattr(SUITES[name], heeds)]
            heeded = not names or any(name in able for name in names)
            require(heeded, f"`{option}` is for {', '.join(able)}; got {', '.join(names)}")
    return list(names) or able


def run_suites(names: Sequence[str], console: Console, plan: Plan) -> tuple[list[Row], bool]:
    """Measure the named suites; returns the finished rows, and whether these are all (False: Ctrl-C)."""
    rows: list[Row] = []
    complete = True
    try:
        for name in names:
            with console.status(f"measuring {name}: {SUITES[name].text} ..."):
                for row in SUITES[name].rows(plan):
                    rows.append(row)
    except KeyboardInterrupt:
        complete = False
    return rows, complete
