"""A recording as a Minari dataset, which ``minari.load_dataset`` reads and which recovers its environment."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from jcas_env.checks import require

from ..files import plain
from .recording import Columns, Recording
from .reference import References

VERSIONS = ((0, 5), (0, 6))
"""Versions of Minari that are written for: from the first, below the second."""
INFOS = ("utility", "objective", "bound", "status", "time")
"""Columns that stand among the ``infos`` of an episode, (slots,) each."""
EXTRA = "python3 -m pip install 'jcas-env[minari]'"
"""What installs it."""


def require_minari() -> None:
    """Raise ``ValueError`` where Minari, or the library of its files, is missing or of another version."""
    try:
        import h5py  # noqa: F401
        import minari
    except ModuleNotFoundError as error:
        raise ValueError(f"`--form` minari needs {error.name}, which is not installed: {EXTRA}") from None
    found = tuple(int(part) for part in minari.__version__.split(".")[:2])
    low, high = (".".join(map(str, bound)) for bound in VERSIONS)
    fits = VERSIONS[0] <= found < VERSIONS[1]
    require(fits, f"Minari must be at least {low} and below {high}, got {minari.__version__}: {EXTRA}")


def write_minari(
    data: Path,
    name: str,
    recording: Recording,
    episodes: Iterable[Columns],
    scores: References,
    card: Mapping[str, Any],
) -> None:
    """Write a dataset in Minari's HDF5 form into the folder ``data``, which must not exist.

    Metadata: reference scores where the best is better than the least, and the card under ``jcas``.
    """
    from minari.data_collector import EpisodeBuffer
    from minari.dataset.minari_storage import MinariStorage

    env = recording.environment()
    storage = MinariStorage.new(data, env.observation_space, env.action_space, env.spec)
    for index, columns in enumerate(episodes):
        fields: dict[str, Any] = {
            "observations": _observations(columns),
            "actions": columns["action"],
            "rewards": columns["reward"],
            "terminations": columns["terminated"],
            "truncations": columns["truncated"],
            "infos": {column: columns[column] for column in INFOS},
        }
        buffer = EpisodeBuffer(id=index, seed=recording.seed + index, **fields)
        storage.update_episodes([buffer])
    metadata: dict[str, Any] = {
        "dataset_id": name,
        "minari_version": version("minari"),
        "algorithm_name": recording.who,
        "author": {"The jcas-env authors"},
        "description": f"{recording.who} in {recording.environment_id}",
        "requirements": [f"jcas-env=={card['versions']['jcas-env']}"],
        "jcas": plain(dict(card)),
    }
    low, high = scores.ends
    if high > low:
        count = card["episodes"]["count"]
        metadata |= {"ref_min_score": low, "ref_max_score": high, "num_episodes_average_score": count}
    storage.update_metadata(metadata)


def name_namespaces(root: Path, name: str) -> None:
    """Say to Minari which folders above a dataset are namespaces."""
    folder = root
    for part in name.split("/")[:-1]:
        folder = folder / part
        note = folder / "namespace_metadata.json"
        if not note.exists():
            note.write_text(json.dumps({}))


def _observations(columns: Columns) -> Any:
    """Observations of an episode: an array, or arrays by name."""
    parts: dict[str, np.ndarray] = {}
    for column, value in columns.items():
        kind, _, part = column.partition("/")
        if kind == "observation":
            parts[part] = value
    return parts.get("", parts)
