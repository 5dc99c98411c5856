"""How the results of a scenario are shown: columns, units, and the two panels of the picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Column:
    """A metric of an evaluation as a column of the table and a key of the JSON file."""

    key: str
    """Name in the JSON file, with the unit."""
    title: str
    """Heading of the table."""
    metric: str
    """Name in ``Evaluation.metrics``."""
    scale: float = 1.0
    """What the metric is multiplied by."""
    format: str = ".2f"
    """Format of a cell."""
    over: str | None = None
    """Metric by whose mean it is divided, if any."""
    note: str = ""
    """What it means, for a column that only some tasks of a scenario have."""

    def mean(self, metrics: Mapping[str, np.ndarray]) -> float:
        """The column's figure, mean over episodes; NaN for a ratio to zero."""
        value = self.scale * float(metrics[self.metric].mean())
        if self.over is None:
            return value
        total = float(metrics[self.over].mean())
        return value / total if total else float("nan")


@dataclass(frozen=True)
class View:
    """Presentation of one scenario; the defaults suit one of which nothing is known."""

    columns: tuple[Column, ...] = ()
    """Metrics beside the utility, in order; none: all that there are, under their own names."""
    axes: tuple[str, str] | None = None
    """Keys of the columns on the horizontal and vertical axis of the trade-off; None: it is not drawn."""
    labels: tuple[str, str] = ("", "")
    """Labels of these axes."""
    unit: Callable[[Any], str] = lambda config: "in its own unit"  # noqa: ARG005
    """Unit of the utility under a configuration."""
    legend: str = "Other columns: means over users and slots of what the scenario reports, in its units."
    """What the columns mean, one or two sentences."""
    describe: Callable[[Any], str] = lambda config: type(config).__name__
    """A configuration in a few words, for the title of the picture."""
    logarithmic: Callable[[Any], bool] = lambda config: False  # noqa: ARG005
    """Whether the utility of a configuration is a mean of logarithms, so that differences count and not ratios."""
    accumulates: Callable[[Any], bool] = lambda config: False  # noqa: ARG005
    """Whether the utility of a configuration builds up over the slots, so that it is drawn over time."""
    log: tuple[bool, bool] = (False, False)
    """Whether the axes of the trade-off are logarithmic."""
    rate_unit: tuple[float, str] | None = None
    """Scale and unit of the users' rates in the distribution; None: it is one of slots and their utility."""

    def column(self, key: str) -> Column:
        """The column of a key."""
        return next(column for column in self.columns if column.key == key)

    def reported(self, metrics: Sequence[Mapping[str, np.ndarray]]) -> list[Column]:
        """The columns whose metrics all evaluations have."""
        every = metrics[0] if metrics else {}
        columns = self.columns or [Column(name, name, name, format=".4g") for name in every]
        return [column for column in columns if all(column.metric in names for names in metrics)]
