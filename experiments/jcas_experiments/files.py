"""What the commands write: JSON, and a refusal before the work where nothing can be written after it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np
from jcas_agents.files import is_special, write_file

from jcas_env.checks import require

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

PICTURES = (".png", ".pdf", ".svg")
"""Endings of a picture's name."""


def require_writable(option: str, path: Path | None) -> None:
    """Raise ``ValueError`` where no file can be written at ``path``: before the work, not after it."""
    if path is None:
        return
    require(not path.is_dir(), f"`{option} {path}` is a folder, not a file")
    try:
        if is_special(path):
            require(os.access(path, os.W_OK), f"`{option} {path}` cannot be written: Permission denied")
            return
        target = Path(os.path.realpath(path))
        require(not target.is_symlink(), f"`{option} {path}` cannot be written: it is a link that leads to itself")
        folder = target.parent
        folder.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=folder, prefix=".jcas."):
            pass
    except OSError as error:
        raise ValueError(f"`{option} {path}` cannot be written: {error.strerror or error}") from None


def require_picture(option: str, path: Path) -> None:
    """Raise ``ValueError`` for a picture of another kind, or one that cannot be written."""
    require(path.suffix.lower() in PICTURES, f"`{option}` takes a file ending in {', '.join(PICTURES)}, got {path}")
    require_writable(option, path)


def require_apart(written: Mapping[str, Path | None], read: Iterable[Path] = ()) -> None:
    """Raise ``ValueError`` where a file would be written over another one that is written, or that is read.

    ``written`` names each path by the option that gives it.
    """
    seen = {os.path.realpath(path): f"policy {path}" for path in read}
    for option, path in written.items():
        if path is None or is_special(path):
            continue
        name = f"{option} {path}"
        other = seen.setdefault(os.path.realpath(path), name)
        require(other == name, f"`{other}` and `{name}` are the same file")


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder while the block runs; ``ValueError`` where one is in it already.

    The lock is the system's own on the file ``.lock``: it ends with the process, however that ends.
    """
    path = folder / ".lock"
    require_writable("lock:", path)
    with path.open("wb") as lock:
        try:
            if sys.platform == "win32":
                msvcrt.locking(lock.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise ValueError(f"another process is at work in {folder}: choose another folder, or wait") from None
        yield


def write_all(files: Iterable[tuple[str, Path | None, Callable[[Path], object]]]) -> tuple[list[str], list[OSError]]:
    """Write several files, whatever becomes of the others; returns a line for each that is written, and the errors.

    ``files``: what each is, its path (None: it is not asked for), and who writes it.
    """
    written: list[str] = []
    unwritten: list[OSError] = []
    for what, path, write in files:
        if path is None:
            continue
        try:
            write(path)
            written.append(f"{what}: {path}")
        except OSError as error:
            unwritten.append(error)
    return written, unwritten


def write_json(path: Path, content: Any) -> None:
    """Write JSON by :func:`.files.write_file`; NaN and infinities become null."""
    write_file(path, (json.dumps(plain(content), indent=2, allow_nan=False) + "\n").encode())


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
