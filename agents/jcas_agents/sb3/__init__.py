"""Stable-Baselines3: adapter of the vector environment, and the policies as its actors."""

from __future__ import annotations

from jcas_env.checks import require_library as _require_library

_require_library("stable_baselines3", "2.8", "3", extra="train")

from .adapter import RECIPES, SB3VectorAdapter  # noqa: E402
from .make import make_sb3_env  # noqa: E402

__all__ = ["RECIPES", "SB3VectorAdapter", "make_sb3_env"]
