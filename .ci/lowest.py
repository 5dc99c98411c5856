"""Try the lowest versions that pyproject.toml declares: commands and a short test, in an environment of their own.

It is made once in .venv-lowest, and anew where pyproject.toml has changed. Needs a Python that all of them support: the
lowest declared one does.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DECLARED, CONSTRAINTS = ROOT / "pyproject.toml", ROOT / "constraints.txt"
VENV = ROOT / ".venv-lowest"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / ".installed"

JCAS = ("-m", "jcas_experiments")
TESTS = (
    "tests/env/test_walk.py", "tests/env/adapters", "tests/agents/test_sb3.py", "tests/experiments/test_commands.py",
    "tests/experiments/train/test_training_command.py",
)  # fmt: skip
LINES = (
    (*JCAS, "--help"),
    (*JCAS, "compare", "--help"),
    (*JCAS, "compare", "--episodes", "2", "--horizon", "2", "--regret", "1", "--allocators", "equal,exact,admm",
     "--figure", str(VENV / "compare.png")),
    (*JCAS, "train", "multicell", "--steps", "2", "--scenes", "4", "--out", str(VENV / "policy")),
    # Old libraries warn of one another's old ways: shown, and no error here.
    ("-m", "pytest", "-q", "-n", "auto", "--maxprocesses", "8", "--dist", "worksteal", "-p", "no:cacheprovider",
     "-m", "not slow", "-W", "default::DeprecationWarning", *TESTS),
)  # fmt: skip
"""Command lines of Python, which must all succeed."""


def lowest(requirements: list[str]) -> list[str]:
    """Requirements with the lowest version of each range in place of the range."""
    return [re.sub(r">=([^,;\s]+)(,[^;]*)?", r"==\1", line) for line in requirements if ">=" in line]


def install() -> None:
    """Make the environment, unless it is that of the present declarations."""
    digest = hashlib.sha256(DECLARED.read_bytes()).hexdigest()
    if STAMP.exists() and STAMP.read_text() == digest:
        return
    project = tomllib.loads(DECLARED.read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    print("making .venv-lowest (once; a few minutes of downloads) ...", flush=True)
    shutil.rmtree(VENV, ignore_errors=True)
    venv.create(VENV, with_pip=False)
    pins = VENV / "lowest.txt"
    wanted = lowest([*project["dependencies"], *extras["train"], *extras["test"]])
    # PyTorch is the pinned one: an older one brings gigabytes of CUDA.
    torch = [line for line in CONSTRAINTS.read_text(encoding="utf-8").splitlines() if line.startswith("torch==")]
    pins.write_text("\n".join([*(line for line in wanted if not line.startswith("torch==")), *torch]) + "\n")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(PYTHON)]
    subprocess.run([*pip, "install", "--quiet", "-c", str(pins), "-e", f"{ROOT}[test]"], cwd=ROOT, check=True)
    STAMP.write_text(digest)


def main() -> int:
    """Exit status of the first command line that fails, or 0."""
    install()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for line in LINES:
        done = subprocess.run([str(PYTHON), *line], cwd=ROOT, env=environment, check=False)
        if done.returncode:
            print(f"with the lowest declared versions: {' '.join(line)} failed", file=sys.stderr)
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
