"""What a dataset says of itself."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import gymnasium
import numpy as np

import jcas_env
from jcas_env import Status

from .recording import MEANING, Columns, Recording
from .reference import References

FORMAT = "jcas-dataset-1"
"""Kind and version of the files."""
TIMES = ("time",)
"""Columns that differ from run to run, and that the hash leaves out."""


def data_hash(table: Columns) -> str:
    """SHA-256 of names, types, shapes and values of all columns but times, in the order of the names."""
    sha = hashlib.sha256()
    for name in sorted(set(table) - set(TIMES)):
        value = np.ascontiguousarray(table[name])
        sha.update(f"{name} {value.dtype.str} {list(value.shape)}\n".encode())
        sha.update(value.tobytes())
    return sha.hexdigest()


def card_of(name: str, recording: Recording, episodes: int, table: Columns, scores: References) -> dict[str, Any]:
    """Card of a dataset, in what JSON knows once NumPy's numbers are plain."""
    lost = table["utility"] - table["reward"]
    score = float(table["reward"].sum()) / episodes
    return {
        "format": FORMAT,
        "id": name,
        "environment": recording.environment_id,
        "fields": recording.fields,
        "scenario": recording.name,
        "config": asdict(recording.scenario.config),
        "allocator": {"name": recording.who, "is": recording.made_by["allocator"]},
        "episodes": {"first_seed": recording.seed, "count": episodes, "slots": recording.scenario.horizon},
        "columns": {
            key: {"shape": value.shape, "dtype": str(value.dtype), "is": MEANING[key.partition("/")[0]]}
            for key, value in table.items()
        },
        "status_codes": {int(status): status.name for status in Status},
        "score": {
            "mean_return": score,
            "references": scores.report(),
            "normalised": scores.normalised(score),
        },
        "encoding_loss": {"mean": lost.mean(), "largest": lost.max(), "unit": "of the reward, per slot"},
        "versions": {
            "jcas-env": jcas_env.__version__,
            "gymnasium": gymnasium.__version__,
            "numpy": np.__version__,
            "scipy": version("scipy"),
            "python": platform.python_version(),
        },
        "data_sha256": data_hash(table),
    }
