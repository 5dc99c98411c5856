"""Named evaluation sets: two papers that quote ``multicell/n4 test-v1`` mean the same scenes (spec learning 7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jcas_env.scenarios.multicell import MultiCellConfig
from jcas_env.scenarios.scenario import require, suggest

from .scenes import Scenes, digest, draw_scenes

VERSION = "v1"
"""Version of the sets; it changes with the scenes."""


@dataclass(frozen=True)
class EvaluationSet:
    """Scenes of one configuration and split, with the hash that they must have."""

    fields: dict[str, Any]
    """Config fields on top of the preset ``luo2023-static``."""
    sha256: str
    """Hash of the first ``HASHED`` scenes of the split ``test``, see :func:`.scenes.digest`."""


HASHED = 8
"""Scenes that the hash covers; the others follow from the same code and their own seeds."""

SETS: dict[str, EvaluationSet] = {
    "n4": EvaluationSet({}, "11a6975bd3327b608608ea8a463daf184e1719cbc1828921d24192e3ca6e6771"),
    "n4-6users": EvaluationSet(
        {"users_per_cell": 6}, "0ce43995d88abc86f1c63e5f5643dd685959699b86f0230671fce56ba73b89a0"
    ),
    "n4-24users": EvaluationSet(
        {"users_per_cell": 24}, "a4a2bbd78aa1e7c1a9cfad4b369e19e25f81446477a0c7aaa7901fcea2b2beb9"
    ),
    "n4-nmse": EvaluationSet({"csi_nmse": 0.1}, "45b954e1b53aa89ba0ec19cccca70aa304390558053a8dc71fe61a5b463a95c5"),
    "n4-stale": EvaluationSet({"csi_delay": 1}, "08c9e19d115b88bef3fda0fb350b99cf0b81ae55a3483ff6190e8a7fd4eb4ac1"),
    "n2": EvaluationSet({"ue_antennas": 2}, "18cb461b9b600deeacd5f24daab01b4d7a3398640ca9c00e66fa70cf7dc5c2ae"),
    "n4-7cells": EvaluationSet({"cells": 7}, "363ca51220756a2ad0569314d8d78ae75bc6c33cf3523fca711302e3d9ea1c10"),
}
"""Evaluation sets by name."""


def evaluation_scenes(name: str, count: int = 200) -> Scenes:
    """Scenes of a named set.

    Raises ``ValueError`` for an unknown name, and if the scenes are not those that the name stands for.
    """
    require(name in SETS, f"unknown evaluation set {name!r}: {suggest(name, list(SETS))}")
    chosen = SETS[name]
    scenes = draw_scenes(MultiCellConfig.preset("luo2023-static", **chosen.fields), max(count, HASHED), split="test")
    found = digest(scenes.take(slice(HASHED)))
    require(
        found == chosen.sha256,
        f"evaluation set {name} test-{VERSION} must have hash {chosen.sha256[:12]}, these scenes have {found[:12]}",
    )
    return scenes.take(slice(count))
