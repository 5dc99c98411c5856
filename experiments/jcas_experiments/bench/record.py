"""What has to be known of a run for its numbers to be compared with another's: machine, versions, threads, sizes."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from jcas_agents.runs import brief

import jcas_env
from jcas_env.checks import require

from ..kept import is_number
from ..machine import installed, processor
from .row import Plan, Row
from .throughput.devices import device_name
from .throughput.processes import LIBRARIES, ROOT, THREADS


def commit(root: Path) -> str | None:
    """Commit of a checkout, with ``+`` where files differ from it; None where git knows none."""
    try:
        words = ["git", "-C", str(root), "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+"]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def record(suites: list[str], plan: Plan) -> dict[str, Any]:
    """Machine, versions, threads and sizes of a run, as JSON knows them."""
    return {
        "machine": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "system": f"{platform.system()} {platform.machine()}",
        },
        "versions": installed(),
        "threads": {"measuring processes": THREADS, "this process": os.environ.get(LIBRARIES[0])},
        "device": device_name(plan.device),
        "jcas-env": {"version": jcas_env.__version__, "commit": commit(ROOT)},
        "parent": None if plan.parent is None else {"commit": commit(plan.parent)},
        "suites": suites,
        "quick": plan.quick,
        "only": plan.only,
        "seed": plan.seed,
    }


def read_run(path: Path) -> tuple[list[Row], dict[str, Any]]:
    """Rows and record of a run that ``--json`` has written; raises ``ValueError`` for any other file."""
    wrong = f"`--against {path}` must be a file that `jcas bench --json` has written"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        rows = [Row(**row) for row in content["rows"]]
        for row in rows:
            _require_kinds(row)
        require(isinstance(content["run"], dict), f"`run` must be a mapping, got {brief(content['run'])}")
        return rows, content["run"]
    except OSError as error:
        raise ValueError(f"{wrong}: {error.strerror or error}") from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        raise ValueError(f"{wrong}: it is not JSON") from None
    except (KeyError, TypeError) as error:
        raise ValueError(f"{wrong}: {type(error).__name__} {brief(error, str)}") from None
    except ValueError as error:
        raise ValueError(f"{wrong}: {error}") from None


def _require_kinds(row: Row) -> None:
    """Raise ``ValueError`` that names an entry of a row that is read and of another kind than those of a row."""
    for name in ("benchmark", "peer", "unit"):
        value = getattr(row, name)
        require(isinstance(value, str), f"`{name}` of a row must be a text, got {brief(value)}")
    for name in ("value", "peer_value", "ratio", "target"):
        value = getattr(row, name)
        require(value is None or is_number(value), f"`{name}` of a row must be a number, got {brief(value)}")
    for name in ("value_spread", "ratio_spread"):
        value = getattr(row, name)
        pair = isinstance(value, list) and len(value) == 2 and all(map(is_number, value))
        require(value is None or pair, f"`{name}` of a row must be two numbers, got {brief(value)}")
