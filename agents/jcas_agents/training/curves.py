"""Training curves for TensorBoard."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path


def write_tensorboard(folder: Path, curve: Iterable[tuple[int, float]]) -> None:
    """Write (step, training reward) as event files; does nothing where TensorBoard is not installed."""
    if find_spec("tensorboard") is None:
        return
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder)) as writer:
        for step, gain in curve:
            writer.add_scalar("training reward", gain, step)
