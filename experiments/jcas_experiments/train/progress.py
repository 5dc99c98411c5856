"""The table of a run so far, beside TensorBoard's events: ``progress.csv``."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from io import StringIO
from pathlib import Path

from jcas_agents.files import write_file

FILE = "progress.csv"
"""Its name in the folder of a run."""


def write_progress(folder: Path, columns: Sequence[str], rows: Iterable[Sequence[float | None]]) -> None:
    """Write the rows of a run so far, whole: the training state holds them, so that none is lost and none stands twice.

    What was not looked at in a row (None) is an empty cell.
    """
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_file(folder / FILE, text.getvalue().encode())
