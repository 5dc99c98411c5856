"""Files that are either whole or not there."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np

from jcas_env.checks import require

PICTURES = (".png", ".pdf", ".svg")
"""Endings of a picture's name."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside ``path`` that takes its place when the block ends well, and vanishes otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix, delete=False) as handle:
        temporary = Path(handle.name)
    try:
        yield temporary
        temporary.chmod(0o644)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def require_writable(option: str, path: Path | None) -> None:
    """Raise ``ValueError`` where no file can be written at ``path``: before the work, not after it."""
    if path is None:
        return
    require(not path.is_dir(), f"`{option} {path}` is a folder, not a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=path.parent, prefix=f".{path.stem}."):
            pass
    except OSError as error:
        raise ValueError(f"`{option} {path}` cannot be written: {error.strerror or error}") from None


def require_picture(option: str, path: Path) -> None:
    """Raise ``ValueError`` for a picture of another kind, or one that cannot be written."""
    require(path.suffix.lower() in PICTURES, f"`{option}` takes a file ending in {', '.join(PICTURES)}, got {path}")
    require_writable(option, path)


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically; NaN and infinities become null."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(plain(content), indent=2, allow_nan=False) + "\n", encoding="utf-8")


def plain(value: Any) -> Any:
    """Turn NumPy scalars and arrays, tuples and non-finite numbers into what JSON knows."""
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
