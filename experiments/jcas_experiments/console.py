"""Where the commands print, and how they refuse."""

from __future__ import annotations

import codecs
import os
import sys
from io import TextIOWrapper
from time import monotonic
from typing import Any, NoReturn, TextIO, cast

import typer
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.text import Text

INSTEAD = {
    "\N{PLUS-MINUS SIGN}": "+-", "\N{EN DASH}": "-", "\N{EM DASH}": "-", "\N{MULTIPLICATION SIGN}": "x",
    "\N{HORIZONTAL ELLIPSIS}": "...", "\N{RIGHTWARDS ARROW}": "->", "\N{MICRO SIGN}": "u", "\N{BULLET}": "*",
    "\N{LESS-THAN OR EQUAL TO}": "<=", "\N{GREATER-THAN OR EQUAL TO}": ">=",
    "\N{BOX DRAWINGS LIGHT HORIZONTAL}": "-", "\N{BOX DRAWINGS HEAVY HORIZONTAL}": "-",
    "\N{BOX DRAWINGS LIGHT VERTICAL}": "|",
}  # fmt: skip
"""What stands for a sign that an output's encoding does not have; ``?`` for any other."""


def _other_sign(error: UnicodeError) -> tuple[str, int]:
    """Error handler of encoders that takes another sign."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(INSTEAD.get(sign, "?") for sign in error.object[error.start : error.end]), error.end


codecs.register_error("jcas-other-sign", _other_sign)


class Output:
    """A standard stream that never ends a command: what it cannot take is lost, and the work goes on.

    It may be a closed pipe or a full device. The first failure is kept in ``lost``, and what is printed after it goes
    nowhere. Whatever else a stream has is that of the stream.
    """

    def __init__(self, stream: TextIOWrapper) -> None:
        self.stream = stream
        self.lost: OSError | None = None
        stream.reconfigure(errors="jcas-other-sign")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write, unless the stream is lost."""
        if self.lost is None:
            try:
                return self.stream.write(text)
            except OSError as error:
                self._give_up(error)
        return len(text)

    def flush(self) -> None:
        """Flush, unless the stream is lost."""
        if self.lost is None:
            try:
                self.stream.flush()
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Lead the stream nowhere, so that what it still holds does not fail once more when the process ends."""
        self.lost = error
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.stream.fileno())
        os.close(nowhere)


def patient_streams() -> None:
    """Make the standard streams of this process :class:`Output`, where they are there."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, TextIOWrapper):
            setattr(sys, name, cast(TextIO, Output(stream)))


def lost_output() -> OSError | None:
    """Why standard output has not taken all that was printed; None where it has, or where its reader had enough."""
    if not isinstance(sys.stdout, Output):
        return None
    sys.stdout.flush()
    return None if isinstance(sys.stdout.lost, BrokenPipeError) else sys.stdout.lost


def standard_output(width: int = 140) -> Console:
    """Standard output; wide enough for a table where it is not a terminal."""
    return Console() if sys.stdout is not None and sys.stdout.isatty() else Console(width=width)


class Bars(Progress):
    """Bars on a terminal; elsewhere a plain line on standard error now and then, so that long work is seen to move."""

    EVERY = 15.0
    """Seconds between two lines."""

    def __init__(self, *columns: Any, **options: Any) -> None:
        self._told = monotonic()
        super().__init__(*columns, **options)

    def update(self, task_id: TaskID, **fields: Any) -> None:
        """Move a bar."""
        super().update(task_id, **fields)
        self._tell(task_id)

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        """Move a bar on."""
        super().advance(task_id, advance)
        self._tell(task_id)

    def _tell(self, task_id: TaskID) -> None:
        if self.console.is_terminal or monotonic() - self._told < self.EVERY:
            return
        self._told = monotonic()
        task = self._tasks[task_id]
        unit = f" {task.fields['unit']}" if "unit" in task.fields else ""
        left = "" if task.time_remaining is None else f", about {task.time_remaining:.0f} s to go"
        size = "" if task.total is None else f" of {task.total:.0f}"
        Console(stderr=True).print(
            f"{task.description.strip()}: {task.completed:.0f}{size}{unit}{left}", markup=False, highlight=False
        )


def say(console: Console, line: str) -> None:
    """One line as it is: nothing in it is markup, and it is not broken, so that a path in it can be copied."""
    console.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)


def complain(message: object) -> None:
    """One line on standard error."""
    Console(stderr=True).print(Text.assemble(("error:", "red"), " ", str(message)), soft_wrap=True)


def fail(error: Exception, status: int = 2) -> NoReturn:
    """One line on standard error, exit status 2 for what has been refused and 1 for what has failed."""
    complain(error)
    raise typer.Exit(status)
