"""Where the commands print, and how they refuse."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer
from rich.console import Console
from rich.markup import escape


def standard_output(width: int = 140) -> Console:
    """Standard output; wide enough for a table where it is not a terminal."""
    return Console() if sys.stdout.isatty() else Console(width=width)


def complain(message: object) -> None:
    """One line on standard error."""
    Console(stderr=True).print("[red]error:[/red]", escape(str(message)), highlight=False, soft_wrap=True)


def fail(error: Exception) -> NoReturn:
    """One line on standard error, exit status 2."""
    complain(error)
    raise typer.Exit(2)
