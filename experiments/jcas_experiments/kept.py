"""Finished rows on disk, so that an interrupted command can go on with ``--resume``.

A file of them is JSON: what the rows were made by, the rows, and a hash of both. Arrays are base64 of float64.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jcas_agents.files import write_file
from jcas_agents.runs import brief, require_same_run

from jcas_env.checks import require

LARGEST = 2**30
"""Bytes of the largest file that is read."""


def rows_file(beside: Path) -> Path:
    """Where the finished rows lie of a command that writes ``beside``."""
    return beside.with_name(f"{beside.stem}.rows.json")


def keep(path: Path, made_by: Mapping[str, Any], rows: Any) -> None:
    """Write finished rows, made of what JSON knows, and what they were made by."""
    content = {"made_by": made_by, "rows": rows}
    write_file(path, (json.dumps({"sha256": _digest(content), **content}) + "\n").encode())


def kept(path: Path, made_by: Mapping[str, Any]) -> Any:
    """Finished rows of a file; None where there is no file.

    Raises ``ValueError`` for a file that is damaged or of another kind, and for rows that were made by something else,
    which is named.
    """
    if not path.is_file():
        return None
    require(path.stat().st_size <= LARGEST, f"{path} is larger than {LARGEST} bytes: refused")
    try:
        content = json.loads(path.read_bytes())
        digest, theirs, rows = content.pop("sha256"), content["made_by"], content["rows"]
        good = digest == _digest(content) and isinstance(theirs, dict)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} holds no finished rows: {brief(error, str)}") from None
    require(good, f"{path} has been changed or damaged: its rows have another hash")
    try:
        require_same_run(theirs, made_by)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; without `--resume` it is begun anew") from None
    return rows


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def packed(array: np.ndarray) -> dict[str, Any]:
    """An array of real numbers as JSON, bit for bit."""
    data = np.ascontiguousarray(array, dtype="<f8")
    return {"shape": list(data.shape), "base64": base64.b64encode(data.tobytes()).decode()}


def unpacked(entry: Mapping[str, Any]) -> np.ndarray:
    """The array of :func:`packed`."""
    return np.frombuffer(base64.b64decode(entry["base64"]), dtype="<f8").reshape(entry["shape"]).astype(float)
