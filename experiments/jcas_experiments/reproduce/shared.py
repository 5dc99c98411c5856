"""Rows of a figure by their numbers, in this process or shared by a crew."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..jobs.crew import Crew, LostWorkerError, Task, Tell
from .figure import Effort, FigureRecipe

Row = tuple[Any, ...]
"""Entries in the order of the recipe's columns."""


def numbered(recipe: FigureRecipe, effort: Effort, numbers: Sequence[int]) -> Iterator[tuple[int, Row]]:
    """Compute some rows of a figure, given by ascending numbers."""
    if not numbers:
        return
    rows = recipe.compute(effort._replace(wanted=frozenset(numbers)))
    for number, row in zip(numbers, rows, strict=True):
        yield number, tuple(_number(row[column]) for column in recipe.all_columns)


def _number(value: Any) -> Any:
    """A NumPy scalar as Python's own."""
    return value.item() if isinstance(value, np.generic) else value


def share_rows(
    crew: Crew,
    name: str,
    recipe: FigureRecipe,
    effort: Effort,
    numbers: Sequence[int],
    on_row: Callable[[int, Row], None],
) -> dict[int, LostWorkerError]:
    """Let a crew compute some rows, one by one or, where they share work, in one piece.

    Calls ``on_row`` with each as it is finished. Returns those that have no worker any more; raises what else a row
    raises, when all others have ended.
    """
    pieces = [list(numbers)] if recipe.in_one_piece and numbers else [[number] for number in numbers]
    tasks: list[Task] = [partial(tell_rows, name=name, effort=effort, numbers=some) for some in pieces]
    there: set[int] = set()

    def on_told(_: int, told: tuple[int, Row]) -> None:
        if told[0] not in there:  # a second worker tells once more what the first one had finished
            there.add(told[0])
            on_row(*told)

    answers = dict(crew.work(tasks, on_told))
    lost: dict[int, LostWorkerError] = {}
    for index, found in answers.items():
        if isinstance(found.error, LostWorkerError):
            lost |= {number: found.error for number in pieces[index] if number not in there}
        else:
            found.get()
    return lost


def tell_rows(tell: Tell, *, name: str, effort: Effort, numbers: Sequence[int]) -> None:
    """Compute some rows of a figure in a worker, and tell each."""
    from .registry import FIGURES

    for told in numbered(FIGURES[name], effort, numbers):
        tell(told)
