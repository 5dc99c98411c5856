"""Adapters: a scenario as a Gymnasium environment and as a native vector environment."""

from __future__ import annotations

from .env import JCASEnv
from .snapshots import EnvState
from .vector_env import JCASVectorEnv

__all__ = ["EnvState", "JCASEnv", "JCASVectorEnv"]
