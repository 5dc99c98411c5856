"""Named evaluation sets: two papers that quote ``multicell/n4 test-v1`` mean the same scenes (spec learning 7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jcas_env.checks import require, suggest
from jcas_env.scenarios.multicell import MultiCellConfig

from .scenes import Scenes, digest, draw_scenes, level

VERSION = "v1"
"""Version of the sets; it changes with the scenes."""


@dataclass(frozen=True)
class EvaluationSet:
    """Scenes of one configuration and split, with the hash that they must have."""

    fields: dict[str, Any]
    """Config fields on top of the preset ``luo2023-static``."""
    sha256: str
    """Hash of the randomness of the first ``HASHED`` scenes of the split ``test``, see :func:`.scenes.digest`."""
    level: float
    """What the physics makes of them, to 1e-9, see :func:`.scenes.level`."""


HASHED = 8
"""Scenes that the hash covers; the others follow from the same code and their own seeds."""

SETS: dict[str, EvaluationSet] = {
    "n4": EvaluationSet(
        {},
        "760494dfb0359e8e878c791f9287ec73f10d1dfd5ac3b8bf041c6becb2af63c2",
        -6.004862841631086,
    ),
    "n4-6users": EvaluationSet(
        {"users_per_cell": 6},
        "841edbacb3c15b496cb1c8460aaac5771b45bbba21ffe64ef087be67cca52e3c",
        -5.998269204010889,
    ),
    "n4-24users": EvaluationSet(
        {"users_per_cell": 24},
        "2beb1e8a055f0650835db64cfecf096b8d8581eab82067db4a404c770559ae90",
        -6.013248849175217,
    ),
    "n4-nmse": EvaluationSet(
        {"csi_nmse": 0.1},
        "acd1aee076f4f46e7dcffd878dc501f808b0db05465c15e65f6b65cbf02e8e45",
        -5.424251667635874,
    ),
    "n4-stale": EvaluationSet(
        {"csi_delay": 1},
        "760494dfb0359e8e878c791f9287ec73f10d1dfd5ac3b8bf041c6becb2af63c2",
        -6.005557326990093,
    ),
    "n2": EvaluationSet(
        {"ue_antennas": 2},
        "760494dfb0359e8e878c791f9287ec73f10d1dfd5ac3b8bf041c6becb2af63c2",
        -5.400709767183487,
    ),
    "n4-7cells": EvaluationSet(
        {"cells": 7},
        "2c7adb650b756d8ca41c873ccf75ed7c1b310b0c0e5e3306d2e7add3aafe6f7c",
        -5.801024663738459,
    ),
}
"""Evaluation sets by name."""


def evaluation_scenes(name: str, count: int = 200, *, reward: str = "rate") -> Scenes:
    """Scenes of a named set, judged by a reward: ``rate`` or ``fair``.

    Raises ``ValueError`` for an unknown name, and if the scenes are not those that the name stands for.
    """
    require(name in SETS, f"unknown evaluation set {name!r}: {suggest(name, list(SETS))}")
    chosen = SETS[name]
    config = MultiCellConfig.preset("luo2023-static", reward=reward, **chosen.fields)
    found = digest(config, HASHED, split="test")
    title = f"evaluation set {name} test-{VERSION}"
    require(found == chosen.sha256, f"{title} must have hash {chosen.sha256[:12]}, these scenes have {found[:12]}")
    scenes = draw_scenes(config, max(count, HASHED), split="test")
    seen = level(scenes.take(slice(HASHED)))
    require(abs(seen - chosen.level) < 1e-9, f"{title} must have level {chosen.level!r}, the physics gives {seen!r}")
    return scenes.take(slice(count))
