"""Samples per second through each library that trains on our environments: the programs in ``examples/``."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from math import nan
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from .row import Plan, Row, repeated
from .throughput.measure import interleave
from .throughput.processes import ROOT, environment_variables

EXAMPLES = ROOT / "examples"


class Library(NamedTuple):
    """A program that trains, and what it trains with."""

    name: str
    distribution: str
    """What its version is that of."""
    file: str
    """In ``examples/``; it takes the number of samples."""
    observation: str
    mode: str
    """How its lanes begin a new episode."""
    install: str
    """What installs it."""
    samples: int = 8192
    """Samples that are timed."""
    words: str = "{file} {samples}"
    """Words behind ``python``; ``{folder}`` is one for what it writes."""

    @property
    def lines(self) -> int:
        """Lines of the program that are not empty."""
        return sum(bool(line.strip()) for line in (EXAMPLES / self.file).read_text().splitlines())

    @property
    def found(self) -> str | None:
        """Its version; None where it is not installed."""
        try:
            return version(self.distribution)
        except PackageNotFoundError:
            return None


_EXTRA = "pip install 'jcas-env[{}]'"
_BESIDE = "pip install -c constraints.txt {}"
_ZOO = (
    "-m rl_zoo3.train --algo ppo --env jcas/MultiCell-v0 --gym-packages jcas_env --conf-file {file} --eval-freq -1 "
    "--device cpu -n {samples} --log-folder {folder}"
)
PLAIN = Library("plain loop, PyTorch", "torch", "plain_loop.py", "flat", "SAME_STEP", _EXTRA.format("train"))
"""What the others stand beside."""
LIBRARIES = (
    PLAIN,
    Library("CleanRL's way, PyTorch", "torch", "cleanrl_ppo.py", "flat", "NEXT_STEP", _EXTRA.format("train")),
    Library("Stable-Baselines3", "stable-baselines3", "sb3_ppo.py", "flat", "SAME_STEP", _EXTRA.format("train")),
    Library("rl-zoo3", "rl-zoo3", "rl_zoo3_ppo.yml", "flat", "single", _BESIDE.format("rl-zoo3"), 2048, _ZOO),
    Library("TorchRL", "torchrl", "torchrl_ppo.py", "flat", "DISABLED", _EXTRA.format("torchrl")),
    Library("skrl", "skrl", "skrl_ppo.py", "flat", "SAME_STEP", _BESIDE.format("skrl")),
    Library("PettingZoo", "pettingzoo", "pettingzoo_parallel.py", "flat", "single", _EXTRA.format("pettingzoo"), 1024),
    Library("RLlib", "ray", "rllib_ppo.py", "dict", "NEXT_STEP", _EXTRA.format("rllib")),
)
"""One row each, in this order."""


def library_rows(plan: Plan) -> Iterator[Row]:
    """Rows of the libraries that are installed; the others are named with the line that installs them.

    A program runs for few samples once, and then for more: what it does but once, imports above all, does not count.
    """
    if not EXAMPLES.is_dir():
        yield _without_numbers("libraries (their programs are in examples/ of a checkout)")
        return
    clock = cache(partial(_clock, quick=plan.quick))
    for library in LIBRARIES:
        if plan.only not in library.name:
            continue
        if library.found is None:
            yield _without_numbers(f"{library.name} (not installed: {library.install})")
        else:
            yield _measured(library, clock, rounds=1 if plan.quick else 3)


def _without_numbers(what: str) -> Row:
    return Row(what, nan, PLAIN.name, None, "samples/s", None, nan)


def _measured(library: Library, clock: Callable[[Library], Callable[[], float]], rounds: int) -> Row:
    """A library beside the plain loop, in turns."""
    what = f"{library.name} {library.found}: {library.observation}, {library.mode}, {library.lines} lines"
    runs = [clock(entry) for entry in dict.fromkeys((library, PLAIN))]
    ours, *peers = interleave(runs, rounds, patience=120.0)
    return repeated(what, ours, PLAIN.name if peers else "-", peers[0] if peers else None, "samples/s", nan)


def _clock(library: Library, *, quick: bool) -> Callable[[], float]:
    """Measures samples per second of a program, in CPU time on one thread, whenever it is called."""
    few, more = library.samples // 8, library.samples // 4 if quick else library.samples
    once = cpu_seconds_of(library, few)
    return lambda: more / (cpu_seconds_of(library, few + more) - once)


def cpu_seconds_of(library: Library, samples: int) -> float:
    """CPU time of a run, with that of the processes that it starts [s].

    Raises ``RuntimeError`` with the last line of what it says where it fails.
    """
    with TemporaryDirectory() as folder:
        place = {"file": str(EXAMPLES / library.file), "samples": samples, "folder": folder}
        words = [word.format(**place) for word in library.words.split()]
        before = os.times()
        done = subprocess.run(
            [sys.executable, *words],
            cwd=folder,
            env=environment_variables(ROOT),
            capture_output=True,
            text=True,
            check=False,
        )
        after = os.times()
    if done.returncode:
        raise RuntimeError(f"{Path(library.file).name} failed: {done.stderr.strip().splitlines()[-1]}")
    return after.children_user + after.children_system - before.children_user - before.children_system
