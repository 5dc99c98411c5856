"""The ``jcas`` command."""

from __future__ import annotations

import signal
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from .bench.command import MEASUREMENTS, bench
from .compare.command import ALLOCATORS_AND_EXAMPLES, compare
from .console import complain, lost_output, patient_streams
from .dataset.command import dataset
from .reference import config, presets
from .reproduce.command import FIGURES_AND_EXAMPLES, reproduce
from .score.command import score
from .train.command import train
from .watch.command import watch

app = typer.Typer(
    help="Joint communication and sensing: compare allocators of power, band and service share on the same scenes.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)

EXTRAS = {
    **dict.fromkeys(("torch", "safetensors", "stable_baselines3", "tensorboard"), "train"),
    "ray": "rllib",
}
"""Packages without which something does not work, and the extra that brings each."""

app.command(epilog=ALLOCATORS_AND_EXAMPLES)(compare)
app.command(epilog=MEASUREMENTS)(bench)
app.command(epilog=FIGURES_AND_EXAMPLES)(reproduce)
app.command()(train)
app.command()(score)
app.command()(dataset)
app.command()(watch)
app.command()(config)
app.command()(presets)


def _tell_version(asked: bool) -> None:
    """Print the version, and end."""
    if asked:
        typer.echo(f"jcas-env {version('jcas-env')}")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options of `jcas` itself."""


def every_end_is_ctrl_c() -> None:
    """Let a batch system that ends this process, and a terminal that closes, be what Ctrl-C is; nohup stays nohup."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


def main() -> None:
    """Entry point of the ``jcas`` command.

    What a terminal, a pipe or a device does not take of the output ends no work; a full device is told at the end. Who
    ends the process by SIGTERM is heeded as Ctrl-C is: what is finished is kept.
    """
    patient_streams()
    every_end_is_ctrl_c()
    try:
        app(prog_name="jcas")
    except SystemExit as end:
        lost = lost_output()
        if lost is not None:
            complain(f"standard output could not take all that was printed: {lost.strerror}; files are complete")
        sys.exit(end.code or (lost is not None))
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        complain(f"this needs {error.name}, which is not installed: python3 -m pip install -e '.[{extra}]'")
        sys.exit(2)


if __name__ == "__main__":
    main()
