"""Adapters: a scenario as a Gymnasium environment and as a native vector environment."""

from __future__ import annotations

from .env import EnvState, JCASEnv
from .vector_env import JCASVectorEnv

__all__ = ["EnvState", "JCASEnv", "JCASVectorEnv"]
