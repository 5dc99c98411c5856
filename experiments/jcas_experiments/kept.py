"""Finished rows on disk, so that an interrupted command can go on with ``--resume``.

A file of them is JSON: what the rows were made by, the rows, and a hash of both. Arrays are base64 of float64.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jcas_agents.files import NotWrittenError, write_file
from jcas_agents.runs import brief, require_same_run

from jcas_env.checks import require

LARGEST = 2**30
"""Bytes of the largest file that is read."""


@dataclass(frozen=True)
class Kept:
    """The finished rows of a command, in memory and in a file."""

    path: Path
    made_by: Mapping[str, Any]
    """What all of them have in common."""
    rows: dict[str, Any] = field(default_factory=dict)
    """What JSON knows, by a name of its own for each."""
    unwritten: list[OSError] = field(default_factory=list)
    """Why the rows could not be kept last time: the work goes on nevertheless."""

    @classmethod
    def begin(
        cls, path: Path, made_by: Mapping[str, Any], *, resume: bool, check: Callable[[str, Any], object]
    ) -> Kept:
        """No rows yet, or those of an interrupted command.

        Raises ``ValueError`` where these are damaged, or were made by something else, which is named; and where
        ``check``, which is called with each name and row, raises: a hash tells what has changed, not who wrote it.
        """
        rows = _read(path, made_by) if resume and path.is_file() else {}
        for name, row in rows.items():
            with refusing(f"{path}: row {brief(name)} is none of this command's"):
                check(name, row)
        return cls(path, made_by, rows)

    def add(self, name: str, row: Any) -> None:
        """Keep one more row; the file is then written anew."""
        self.rows[name] = row
        content = {"made_by": self.made_by, "rows": self.rows}
        self.unwritten.clear()
        try:
            write_file(self.path, (json.dumps({"sha256": _digest(content), **content}) + "\n").encode())
        except NotWrittenError as error:
            self.unwritten.append(error)


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """Make what rows of another make lead to a ``ValueError`` that begins with ``what``."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"{what}: {type(error).__name__} {brief(error, str)}") from None


def rows_file(beside: Path) -> Path:
    """Where the finished rows lie of a command that writes ``beside``."""
    return beside.with_name(f"{beside.stem}.rows.json")


def _read(path: Path, made_by: Mapping[str, Any]) -> dict[str, Any]:
    """Rows in a file."""
    require(path.stat().st_size <= LARGEST, f"{path} is larger than {LARGEST} bytes: refused")
    try:
        content = json.loads(path.read_bytes())
        digest, theirs, rows = content.pop("sha256"), content["made_by"], content["rows"]
        good = digest == _digest(content) and isinstance(theirs, dict) and isinstance(rows, dict)
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


def is_number(value: object) -> bool:
    """Whether an entry of a row is a number as NumPy has them, finite or not."""
    return isinstance(value, float) or (type(value) is int and abs(value) < 2**63)
