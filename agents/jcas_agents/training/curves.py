"""Training curves for TensorBoard, as they grow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from jcas_env.checks import require_library

require_library("tensorboard", "2.18", "3", extra="train")


class TensorBoard:
    """Event files of a run in a folder, which a run that goes on, or begins anew, cuts where it begins.

    What earlier files hold of steps from ``first`` on is no longer shown: of a run that stopped after it had last
    saved its state, and of another one in the same folder.
    """

    def __init__(self, folder: Path, first: int = 0) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=first)

    def add(self, step: int, values: Mapping[str, float | None]) -> None:
        """Show the values of a step, by tag; None is not shown."""
        for tag, value in values.items():
            if value is not None:
                self._writer.add_scalar(tag, value, step)

    def flush(self) -> None:
        """Let readers see what was added."""
        self._writer.flush()

    def close(self) -> None:
        """Flush, and end the file."""
        self._writer.close()
