"""Finished episodes on disk, so that an interrupted recording can go on with ``--resume``; and the dataset's place."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from jcas_agents.files import write_file

from jcas_env.checks import require

from ..kept import Kept, refusing
from .recording import Columns, Recording

NAME = re.compile(r"(?:[-_\w]+/)*[-_\w]+-v\d+")
"""What Minari takes as the id of a dataset."""


def require_name(name: str) -> None:
    """Raise ``ValueError`` for what is no id of a dataset."""
    good = NAME.fullmatch(name) is not None
    require(good, f"`--id` must be NAMESPACE/NAME-vNUMBER of letters, digits, - and _, got {name!r}")


def datasets_root(out: Path | None) -> Path:
    """Folder of all datasets, from the root on: the one that is given, or Minari's own.

    Minari puts a relative one before the names of its files twice.
    """
    given = out or os.environ.get("MINARI_DATASETS_PATH") or Path.home() / ".minari" / "datasets"
    return Path(given).absolute()


@dataclass(frozen=True)
class Place:
    """Where a dataset stands, and where it grows until it is whole."""

    folder: Path
    """The dataset: all that belongs to it."""

    @property
    def growing(self) -> Path:
        """Finished episodes; a hidden folder, which Minari does not list."""
        return self.folder.with_name(f".{self.folder.name}.part")

    def new(self) -> Path:
        """An empty folder for the whole dataset."""
        whole = self.growing / "whole"
        shutil.rmtree(whole, ignore_errors=True)  # of a run that was ended while it wrote
        whole.mkdir()
        return whole

    def install(self, whole: Path) -> None:
        """Put a finished folder in the dataset's place; an old one is moved away first, whole as well."""
        if self.folder.exists():
            old = self.growing / "old"
            shutil.rmtree(old, ignore_errors=True)
            self.folder.rename(old)
        whole.rename(self.folder)

    def clean(self) -> None:
        """Forget the finished episodes, which the dataset holds."""
        shutil.rmtree(self.growing)


class Finished:
    """The finished episodes of a recording: a file each, and a list of their hashes."""

    def __init__(self, folder: Path, recording: Recording, *, resume: bool) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.list = Kept.begin(folder / "episodes.json", recording.made_by, resume=resume, check=self._check)

    def _file(self, episode: str | int) -> Path:
        return self.folder / f"episode-{episode}.npz"

    def _check(self, name: str, digest: Any) -> None:
        require(name.isdigit() and isinstance(digest, str), "it must be the number and the hash of an episode")

    def __contains__(self, episode: int) -> bool:
        return str(episode) in self.list.rows

    def keep(self, episode: int, columns: Columns) -> None:
        """Write an episode; raises an ``OSError`` where it cannot be written."""
        content = packed_columns(columns)
        write_file(self._file(episode), content)
        self.list.add(str(episode), hashlib.sha256(content).hexdigest())
        for error in self.list.unwritten:
            raise error

    def read(self, episode: int) -> Columns:
        """A finished episode; raises ``ValueError`` for a file that is not the one that was written."""
        path = self._file(episode)
        content = path.read_bytes() if path.is_file() else b""
        same = hashlib.sha256(content).hexdigest() == self.list.rows[str(episode)]
        require(same, f"{path} is gone, or has been changed or damaged; without `--resume` all is recorded anew")
        return unpacked_columns(content, str(path))


def packed_columns(columns: Columns) -> bytes:
    """Columns as a compressed npz file; the same columns are the same bytes, and nothing in it is pickled."""
    content = BytesIO()
    for name, value in columns.items():
        require(value.dtype.kind in "biuf", f"column {name} must hold numbers or flags, got {value.dtype}")
    arrays: dict[str, Any] = {**columns}
    np.savez_compressed(content, **arrays)
    return content.getvalue()


def unpacked_columns(content: bytes, what: str) -> Columns:
    """The columns of :func:`packed_columns`."""
    with refusing(f"{what} holds no columns"), np.load(BytesIO(content), allow_pickle=False) as file:
        return dict(file)
