"""Where environments run while they are measured."""

from __future__ import annotations

from importlib.util import find_spec

from jcas_env.checks import require

DEVICES = ("cpu", "cuda")


def require_device(device: str) -> None:
    """Raise ``ValueError`` for a device on which nothing can be measured, since there is none."""
    require(device in DEVICES, f"`--device` must be {' or '.join(DEVICES)}, got {device!r}")
    if device != "cpu":
        require(sees_cuda(), f"`--device {device}`: PyTorch sees no such device here")


def device_name(device: str) -> str:
    """What a device is called: ``cpu``, or the card."""
    if device == "cpu":
        return device
    import torch

    return torch.cuda.get_device_name(device)


def sees_cuda() -> bool:
    """Whether PyTorch is installed and finds a CUDA device."""
    if find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()
