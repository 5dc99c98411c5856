"""Processes that measure: one for each checkout of the project and one for the peer, each with its own modules."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from jcas_env.checks import require

ROOT = Path(__file__).resolve().parents[4]
"""This checkout, or the folder of installed packages."""
WORKER = Path(__file__).with_name("worker.py")
THREADS = 1
"""Threads of a measuring process: everything here is of one core."""
LIBRARIES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
FOLDERS = ("", "agents", "baselines", "experiments")
"""Where the packages of a checkout stand."""


class WorkerError(RuntimeError):
    """A measuring process answered with a fault; its traceback is the message."""

    def __init__(self, reply: dict[str, Any]) -> None:
        super().__init__(reply["traceback"])
        self.reason: str = reply["error"]
        """One line."""

    @property
    def missing(self) -> bool:
        """Whether a package is not installed."""
        return self.reason.startswith("ModuleNotFoundError")


def require_checkout(option: str, root: Path) -> Path:
    """The absolute path of a checkout; raises ``ValueError`` for a folder that is none."""
    found = (root / "jcas_env" / "__init__.py").is_file()
    require(found, f"`{option} {root}` must be a checkout of the project: it has no jcas_env/__init__.py")
    return root.resolve()


def environment_variables(root: Path) -> dict[str, str]:
    """Those of a process that imports the packages of a checkout, on one thread."""
    paths = [str(root / folder) for folder in FOLDERS if (root / folder).is_dir()]
    inherited = os.environ.get("PYTHONPATH")
    return os.environ | {
        **dict.fromkeys(LIBRARIES, str(THREADS)),
        "PYTHONPATH": os.pathsep.join([*paths, *([inherited] if inherited else [])]),
        "PYGAME_HIDE_SUPPORT_PROMPT": "1",
    }


class Process:
    """A measuring process of a checkout."""

    def __init__(self, root: Path = ROOT) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(WORKER)],
            env=environment_variables(root),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        """Its answer to a request; raises :class:`WorkerError` where that is a fault."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            text = f"the measuring process ended with status {self.process.wait()} (out of memory?)"
            raise WorkerError({"error": text, "traceback": text})
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise WorkerError(reply)
        return reply

    def open(self, job: dict[str, Any], seed: int) -> dict[str, Any]:
        """What a job is, once it is open and has done a first piece."""
        about = self.ask(**job, seed=seed)
        self.rate(0.0)
        return about

    def rate(self, seconds: float) -> float:
        """Steps per CPU second of the job that is open, over at least so many seconds."""
        reply = self.ask(run=seconds)
        return float(reply["steps"] / reply["cpu"])

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self.process.kill()
        self.process.communicate()


@contextmanager
def processes(*roots: Path) -> Iterator[list[Process]]:
    """One process for each checkout; none outlives the block."""
    with ExitStack() as stack:
        started = [Process(root) for root in roots]
        for process in started:
            stack.callback(process.close)
        yield started
