"""The one writer through which every file of policies, runs and results goes."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import sys
from pathlib import Path


class NotWrittenError(OSError):
    """A file could not be written; the message names it and the reason."""


def write_file(path: Path, content: bytes) -> None:
    """Write a file so that it is at any time the old or the new one, whole.

    The content goes into a file of a name that nobody else has, in the same folder, and on the disk; then that file
    takes the place of the old one. Two processes that write one file leave the whole content of one of them. Symbolic
    links are followed: what they point to is replaced, not they. Devices and pipes cannot be replaced and are written
    to; so is a file to which this process prints.

    Raises :class:`NotWrittenError`, an ``OSError``; nothing but the old file is left then.
    """
    try:
        if not _write_through(path, content):
            _replace(Path(os.path.realpath(path)), content)
    except OSError as error:
        raise NotWrittenError(f"{path} cannot be written: {error.strerror or error}") from None


def is_special(path: Path) -> bool:
    """Whether there is something at ``path`` that is neither a file nor a folder: a device or a pipe."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _write_through(path: Path, content: bytes) -> bool:
    """Write to a device, a pipe, or the file to which this process prints; False for any other path."""
    for stream in (sys.stdout, sys.stderr):
        if _is_the_file_of(stream, path):
            stream.flush()
            stream.buffer.write(content)
            stream.buffer.flush()
            return True
    if not is_special(path):
        return False
    with path.open("wb", buffering=0) as device:
        rest = memoryview(content)
        while rest:
            rest = rest[device.write(rest) or 0 :]
    return True


def _is_the_file_of(stream: object, path: Path) -> bool:
    """Whether a stream of this process goes to ``path``."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(stream.fileno()))  # type: ignore[attr-defined]
    except (OSError, ValueError, AttributeError):  # no such file; a stream that is closed, absent or kept in memory
        return False


def _replace(target: Path, content: bytes) -> None:
    """Put a new file in the place of an old one, whose permissions it takes over."""
    if target.is_symlink():  # the end of links that lead to themselves
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name[:40]}.{secrets.token_hex(8)}.part")
    try:
        with temporary.open("xb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        if target.exists():
            temporary.chmod(stat.S_IMODE(target.stat().st_mode))
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
