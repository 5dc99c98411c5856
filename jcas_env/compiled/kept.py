"""Compiled loops on disk, so that the next process starts in milliseconds.

One file holds one loop for one precision, one processor and one edition of all that made it, which its name tells. It
begins with a digest of that name and of what follows: a file that is damaged, cut short, renamed or somebody else's is
none, and the loop is compiled again. Files appear whole (written beside and then renamed), and where nothing can be
written nothing is kept.
"""

from __future__ import annotations

import pickle
import sys
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import llvmlite
import numba
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps
from numba.misc.appdirs import user_cache_dir


class Kept(NullCache):
    """What numba asks for a compiled function, and hands one to, of the loop ``name``."""

    def __init__(self, name: str) -> None:
        self.name = name

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled function for these types on this processor, or None."""
        target_context.refresh()
        payload = read(self._path(sig, target_context.codegen()))
        return None if payload is None else CompileResult._rebuild(target_context, *pickle.loads(payload))

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled function."""
        write(self._path(sig, data.codegen), dumps(data._reduce()))

    def _path(self, sig: Any, codegen: Any) -> Path:
        made_by = (_edition(), str(sig), codegen.magic_tuple(), numba.__version__, llvmlite.__version__, sys.version)
        return folder() / f"{self.name}-{sha256(repr(made_by).encode()).hexdigest()[:32]}"


def folder() -> Path:
    """``NUMBA_CACHE_DIR`` where that is set, else the user's folder for caches."""
    return Path(numba.config.CACHE_DIR or user_cache_dir()) / "jcas_env"


def read(path: Path) -> bytes | None:
    """What :func:`write` has put there under this name, to the last bit; None for anything else."""
    with suppress(OSError):
        content = path.read_bytes()
        payload = content[sha256().digest_size :]
        if content == _sealed(path, payload):
            return payload
    return None


def write(path: Path, payload: bytes) -> None:
    """Keep a payload, where the folder can be written to."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=path.parent, delete=False) as file:
            beside = Path(file.name)
            try:
                file.write(_sealed(path, payload))
                file.close()
                beside.replace(path)
            except BaseException:
                file.close()
                beside.unlink(missing_ok=True)
                raise


def _sealed(path: Path, payload: bytes) -> bytes:
    return sha256(path.name.encode() + payload).digest() + payload


@cache
def _edition() -> str:
    """What the loops are: changes with any of the files of this folder and those in it."""
    sources = sorted(Path(__file__).parent.rglob("*.py"))
    return sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
