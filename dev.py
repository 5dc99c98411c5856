#!/usr/bin/env python3
"""One command for everything: makes .venv once, then runs. Standard library only.

    python3 dev.py compare --quick  compare allocators; options as `python3 dev.py compare --help`
    python3 dev.py test             run the quick tests, in parallel; options go to pytest
    python3 dev.py test --all       run all tests, the long ones too; with --problems 10000 on as many random problems,
                                    with --walk 100000 over so many steps of random configurations
    python3 dev.py lint             ruff and mypy
    python3 dev.py bench            measure speed against peers
    python3 dev.py jcas ...         any other `jcas` command

Needs Python 3.11 or newer and pip 22.3 or newer; neither make nor uv nor ensurepip.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / ".installed"
INPUTS = ("pyproject.toml", "constraints.txt")

JCAS = ["-m", "jcas_experiments"]
COMMANDS: dict[str, tuple[tuple[str, ...], list[list[str]]]] = {
    # name: extras that it needs, command lines that follow one another; arguments go to the last one (`test`: tests())
    "compare": ((), [[*JCAS, "compare"]]),
    "test": ((), []),
    "lint": (("dev",), [["-m", "ruff", "check"], ["-m", "ruff", "format", "--check"], ["-m", "mypy"]]),
    "bench": (("bench",), [[*JCAS, "bench"]]),
    "jcas": ((), [JCAS]),
}


PYTEST = ["-m", "pytest", "-n", "auto", "--maxprocesses", "8", "--dist", "worksteal"]


def tests(arguments: list[str]) -> list[str]:
    """Command line of pytest: all tests after ``--all``, else the quick ones and whatever is named by its ``::``.

    What the arguments say comes last, and so wins: ``-n 0`` for one process, ``-m slow`` for the long ones alone.
    """
    rest = [argument for argument in arguments if argument != "--all"]
    everything = "--all" in arguments or any("::" in argument for argument in rest)
    return [*PYTEST, *([] if everything else ["-m", "not slow"]), *rest]


def wanted(extras: tuple[str, ...]) -> str:
    """What STAMP says when the environment is as the files want it, one line per installed extra."""
    digest = hashlib.sha256(b"".join((ROOT / name).read_bytes() for name in INPUTS)).hexdigest()
    return "\n".join([digest, *sorted({"test", "examples", *extras})])


def ensure(extras: tuple[str, ...]) -> None:
    """Make .venv and install into it, unless that has been done for the present files."""
    installed = STAMP.read_text().splitlines() if PYTHON.exists() and STAMP.exists() else []
    digest, *needed = wanted(extras).splitlines()
    if installed[:1] == [digest] and set(needed) <= set(installed[1:]):
        return
    keep = set(installed[1:]) if installed[:1] == [digest] else set()
    extras = tuple(sorted(keep | set(needed)))
    fresh = not PYTHON.exists()
    print(f"{'making' if fresh else 'updating'} .venv (once; a few minutes of downloads) ...", flush=True)
    try:
        install(extras, fresh)
    except BaseException:
        # Nothing half-made stays behind, neither after Ctrl-C nor after an error. An environment that was there before
        # stays, stamped as it was, so that the next call goes on updating it.
        if fresh:
            shutil.rmtree(VENV, ignore_errors=True)
        raise
    STAMP.write_text("\n".join([digest, *extras]))


def install(extras: tuple[str, ...], fresh: bool) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    if subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode:
        sys.exit(
            f"error: {sys.executable} has no pip. Install it (Debian: apt install python3-pip; "
            "elsewhere: python3 -m ensurepip --user) and run this again."
        )
    if fresh:
        import venv

        venv.create(VENV, clear=True, with_pip=False)
    command = [*pip, "--python", str(PYTHON), "install", "--quiet"]
    command += ["-c", str(ROOT / "constraints.txt"), "-e", f"{ROOT}[{','.join(extras)}]"]
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        sys.exit(
            "error: pip could not install the packages; its message is above. Usual causes: no network or proxy "
            "(PIP_INDEX_URL, HTTPS_PROXY), pip older than 22.3 (python3 -m pip install --upgrade pip), a full disk."
        )


def main() -> int:
    if sys.version_info < (3, 11):  # noqa: UP036 (this file is what an older Python meets first)
        return fail(f"error: Python 3.11 or newer is needed, this is {sys.version.split()[0]}")
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help", "help"):
        print(__doc__)
        return 0
    if name not in COMMANDS:
        return fail(f"error: unknown command {name!r}: one of {', '.join(COMMANDS)} (python3 dev.py --help)")
    extras, lines = COMMANDS[name]
    ensure(extras)
    environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    lines = [tests(arguments)] if name == "test" else [*lines[:-1], [*lines[-1], *arguments]]
    for line in lines:
        code = finish(subprocess.Popen([str(PYTHON), *line], cwd=ROOT, env=environment))
        if code:
            return code
    return 0


def finish(process: subprocess.Popen[bytes]) -> int:
    """Exit status of a command; Ctrl-C reaches it as well, and it gets the time to save what is finished.

    Who ends this process alone, as a batch system does, ends the command.
    """
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def fail(message: str) -> int:
    print(message, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
