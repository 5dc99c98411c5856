"""Pictures of the scenarios. The only package that plots; adapters import it when they are asked for a picture.

The painter of a scenario stands in the module of its name and registers itself with :func:`scene`.
"""

from __future__ import annotations

from importlib import import_module

from ..scenarios import SCENARIOS as _SCENARIOS
from .scene import frame, scene, slot_figure

for _name in _SCENARIOS:
    import_module(f".{_name.replace('-', '_')}", __name__)

__all__ = ["frame", "scene", "slot_figure"]
