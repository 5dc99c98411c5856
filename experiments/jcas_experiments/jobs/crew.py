"""What a crew is: workers to whom the parts of a command's work are given, and who answer in any order."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from traceback import format_exception
from typing import Any, NamedTuple, Protocol, TypeVar

T = TypeVar("T")

Tell = Callable[[Any], None]
"""Told how far a task has come."""
Task = Callable[[Tell], Any]
"""Work that can be pickled: a partial of a module's function, which calls its first argument now and then."""
THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Environment of a worker: as many workers as cores are quick only where each keeps to one thread."""


class LostWorkerError(RuntimeError):
    """A worker ended before it had an answer (killed, out of memory), and so did the one that tried again."""


class Answer(NamedTuple):
    """What a task came to: a value, or an error."""

    value: Any = None
    error: Exception | None = None

    def get(self) -> Any:
        """The value; raises the error."""
        if self.error is not None:
            raise self.error
        return self.value


class Crew(Protocol):
    """Workers, until the block of their ``with`` ends."""

    size: int
    """Tasks that are worked on at a time."""

    def __enter__(self) -> Crew: ...

    def __exit__(self, *_: object) -> None: ...

    def work(self, tasks: Sequence[Task], on_told: Callable[[int, Any], None]) -> Iterator[tuple[int, Answer]]:
        """Yield the index and the answer of each task, as they finish; begun in their order.

        Tasks may be added to the list meanwhile. ``on_told`` is called with a task's index and what the task tells. A
        task whose worker dies is tried again once; its answer is then a :class:`LostWorkerError`. On
        ``KeyboardInterrupt`` the workers are interrupted as well; what they answer in return is yielded before it is
        raised on.
        """
        ...


def answered(task: Task, tell: Tell) -> Answer:
    """Do a task, where a worker is; its error, which loses its traceback on the way, keeps that as a note."""
    try:
        return Answer(task(tell))
    except Exception as error:
        error.add_note("".join(format_exception(error)))
        return Answer(error=_portable(error))


def _portable(error: Exception) -> Exception:
    """An error that can be sent: itself, or what it said."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # whatever an exception's own constructor does not like
        told = RuntimeError(f"{type(error).__name__}: {error}")
        for note in error.__notes__:
            told.add_note(note)
        return told
    return error


def portions(count: int, size: int) -> list[range]:
    """``range(count)`` in consecutive pieces of a size, the last one shorter.

    The pieces are those in which one process does its work, too, whoever takes them: so no number hangs on the crew.
    """
    return [range(begin, min(begin + size, count)) for begin in range(0, count, size)]
