"""Pictures of the scenarios. The only package that plots; adapters import it when they are asked for a picture.

The painter of a scenario stands in the module of its name and registers itself with :func:`scene`; that of somebody
else's scenario does so wherever it stands.
"""

from __future__ import annotations

from . import massive_mimo as _massive_mimo  # noqa: F401
from . import mesh as _mesh  # noqa: F401
from . import multicell as _multicell  # noqa: F401
from .scene import frame, scene, slot_figure

__all__ = ["frame", "scene", "slot_figure"]
