"""Where environments run while they are measured."""

from __future__ import annotations

from importlib.util import find_spec

from jcas_env.checks import require

DEVICES = ("cpu", "cuda")


def require_device(device: str) -> None:
    """Raise ``ValueError`` for a device on which nothing can be measured: there is none, or environments take none."""
    require(device in DEVICES, f"`--device` must be {' or '.join(DEVICES)}, got {device!r}")
    if device != "cpu":
        require(sees_cuda(), f"`--device {device}`: PyTorch sees no such device here")
        raise ValueError(f"`--device {device}`: the environments are arrays of NumPy, on the CPU alone")


def sees_cuda() -> bool:
    """Whether PyTorch is installed and finds a CUDA device."""
    if find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()
