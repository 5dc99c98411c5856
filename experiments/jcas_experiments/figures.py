"""Pictures that are drawn without a display: a new one, and its file."""

from __future__ import annotations

from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from jcas_agents.files import write_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(width: float, height: float, *, dpi: float = 100.0) -> Figure:
    """An empty figure of a size [inch] that no window shows; matplotlib is imported only here."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def small_print(figure: Figure, text: str) -> None:
    """How a figure was made, and by which version, in small letters at its lower edge."""
    engine, edge = figure.get_layout_engine(), 0.16 / figure.get_size_inches()[1]
    if engine is not None:
        engine.set(rect=(0.0, edge, 1.0, 1.0 - edge))  # type: ignore[call-arg]
    note = f"{text}, jcas-env {version('jcas-env')}"
    figure.text(0.995, 0.1 * edge, note, fontsize=7, color="0.35", ha="right", va="bottom", parse_math=False)


def tidy(figure: Figure) -> None:
    """The house style: a faint grid, axes open at the top and on the right."""
    for axes in figure.axes:
        axes.grid(alpha=0.3, lw=0.5)
        axes.spines[["top", "right"]].set_visible(False)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure whole, in the house style."""
    tidy(figure)
    content = BytesIO()
    figure.savefig(content, dpi=150, format=path.suffix[1:].lower())
    write_file(path, content.getvalue())
