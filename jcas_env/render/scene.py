"""A slot of any scenario as a figure: each scenario registers its own painter."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING, Any

import numpy as np

from ..scenarios.scenario import Allocation, EpisodeState, Scenario

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@singledispatch
def scene(scenario: Scenario, figure: Figure, state: EpisodeState, allocation: Allocation | None = None) -> None:  # noqa: ARG001
    """Draw a slot into an empty figure.

    ``state`` and ``allocation`` (the last one transmitted, or None) without batch axes. A module of this package
    registers a painter for its scenario; raises ``TypeError`` for a scenario without one.
    """
    raise TypeError(f"no painter is registered for {type(scenario).__name__}")


def slot_figure(scenario: Scenario, state: EpisodeState, allocation: Allocation | None = None) -> Figure:
    """Figure of one slot; arguments as in :func:`scene`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 5.5), dpi=80, layout="constrained")
    FigureCanvasAgg(figure)
    scene(scenario, figure, state, allocation)
    return figure


def frame(scenario: Scenario, state: EpisodeState, allocation: Allocation | None = None) -> np.ndarray:
    """Render one slot, (height, width, 3) uint8; arguments as in :func:`scene`."""
    figure = slot_figure(scenario, state, allocation)
    figure.canvas.draw()
    pixels: Any = figure.canvas
    return np.array(pixels.buffer_rgba())[..., :3].copy()
