"""Water-filling, from the physics: the environment's own fallbacks and actions pour power too."""

from __future__ import annotations

from jcas_env.physics.water_filling import penalised_waterfill, waterfill

__all__ = ["penalised_waterfill", "waterfill"]
