"""Stable-Baselines3: adapter of the vector environment, and the policies as its actors."""

from __future__ import annotations

from .adapter import RECIPES, SB3VectorAdapter
from .make import make_sb3_env

__all__ = ["RECIPES", "SB3VectorAdapter", "make_sb3_env"]
