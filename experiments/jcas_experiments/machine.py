"""What computes here: the processor, and the libraries whose versions change times."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "numpy", "scipy", "array-api-compat", "gymnasium", "mobile-env", "torch", "stable-baselines3", "cvxpy", "numba",
)  # fmt: skip
"""Whose versions change times."""


def installed() -> dict[str, str | None]:
    """Versions by package; None for one that is not there."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def processor() -> str:
    """Name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
