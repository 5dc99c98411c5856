"""Pictures of the scenarios. The only package that plots; adapters import it when they are asked for a picture."""

from __future__ import annotations

from . import massive_mimo, mesh, multicell
from .scene import frame, scene, slot_figure

__all__ = ["frame", "massive_mimo", "mesh", "multicell", "scene", "slot_figure"]
