"""Try RLlib, and commands on Ray, in an environment of their own: Ray pins a Gymnasium that is older than ours.

    python3 .ci/rllib.py                  make .venv-rllib once (2.1 GB), and run the tests that need Ray
    python3 .ci/rllib.py --before TIME    only if there is enough time until then [seconds of `date +%s`], and disk

Where it does not fit it says so, and that is no failure.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PINS = ROOT / ".ci" / "rllib-constraints.txt"
INPUTS = (ROOT / "pyproject.toml", PINS)
VENV = ROOT / ".venv-rllib"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / ".installed"
DISK = 3e9
"""Bytes that the environment and Ray's files may take."""
INSTALL, TESTS = 180, 300
"""Seconds that two cores need."""


def made() -> bool:
    """Whether the environment is that of the present declarations."""
    return STAMP.exists() and STAMP.read_text() == _digest()


def _digest() -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in INPUTS)).hexdigest()


def install() -> None:
    """Make the environment."""
    print("making .venv-rllib (once; 2.1 GB, three minutes of downloads) ...", flush=True)
    shutil.rmtree(VENV, ignore_errors=True)
    venv.create(VENV, with_pip=False)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(PYTHON)]
    # Not the extra `test`: it brings libraries that want a newer Gymnasium.
    wanted = ["-e", f"{ROOT}[rllib]", "array-api-strict", "hypothesis", "pytest", "pytest-xdist"]
    subprocess.run([*pip, "install", "--quiet", "-c", str(PINS), *wanted], cwd=ROOT, check=True)
    STAMP.write_text(_digest())


def why_not(before: float) -> str | None:
    """Why it does not fit; None where it does."""
    needed, left = TESTS + (0 if made() else INSTALL), before - time.time()
    if left < needed:
        return f"it needs {needed / 60:.0f} minutes, {max(left, 0) / 60:.0f} are left"
    free = shutil.disk_usage(ROOT).free
    if not made() and free < DISK:
        return f"it needs {DISK / 1e9:.0f} GB of disk, {free / 1e9:.1f} are free"
    return None


def main() -> int:
    """Exit status of the tests, 0 where they do not fit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=float, default=float("inf"), metavar="TIME")
    reason = why_not(parser.parse_args().before)
    if reason is not None:
        print(f"RLlib and Ray were NOT tried here: {reason}. By hand: python3 .ci/rllib.py")
        return 0
    if not made():
        install()
    with tempfile.TemporaryDirectory() as home:  # Ray writes a token and results there
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HOME": home}
        line = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "rllib", "tests/rllib", "--durations=5"]
        return subprocess.run([str(PYTHON), *line], cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
