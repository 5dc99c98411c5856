"""A small permutation-equivariant network on a set of users and a frame: what mesh and tracking task build upon."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from .policy import Policy, Shape, size


@dataclass(frozen=True)
class SetShape(Shape):
    """Size of a :class:`SetNetwork`; the defaults have about ten thousand parameters."""

    width: int = size(32, 1, 512)
    """Numbers that describe a user inside the network."""
    layers: int = size(2, 1, 16)
    """Rounds in which users see the mean and the maximum of all."""


class SetNetwork(Policy):
    r"""Features of users and of the frame to a number per user and one for the frame; users in any order and number.

    .. math:: h_u \leftarrow h_u + \mathrm{MLP}\big(\mathrm{norm}(h_u,\, \mathrm{mean}_v h_v,\, \max_v h_v,\, f)\big)

    starts from a linear map of (x_u, f), x_u the features of a user and f those of the frame, and runs ``layers``
    times. The last layers start at zero, so that training starts at what a policy makes of zeros.
    """

    shape_type = SetShape
    user_features: ClassVar[tuple[str, ...]]
    """Names of a user's features."""
    frame_features: ClassVar[tuple[str, ...]]
    """Names of the frame's features."""

    def __init__(self, shape: SetShape | None = None) -> None:
        super().__init__()
        self.shape = shape = SetShape() if shape is None else shape
        width, frame = shape.width, len(self.frame_features)
        self.embed = nn.Linear(len(self.user_features) + frame, width)
        self.rounds = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(3 * width + frame), nn.Linear(3 * width + frame, width), nn.SiLU(),
                          nn.Linear(width, width))
            for _ in range(shape.layers)
        )  # fmt: skip
        self.user_head = nn.Linear(width, 1)
        final = nn.Linear(width, 1)
        self.frame_head = nn.Sequential(nn.Linear(2 * width + frame, width), nn.SiLU(), final)
        for last in (self.user_head, final):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def features(self) -> str:
        """Names of the features of users and frame."""
        return f"users:{','.join(self.user_features)};frame:{','.join(self.frame_features)}"

    def forward(self, users: Tensor, frame: Tensor) -> tuple[Tensor, Tensor]:
        """(..., users, user features) and (..., frame features) to (..., users) and (...,)."""
        everywhere = frame[..., None, :].expand(*users.shape[:-1], frame.shape[-1])
        hidden = self.embed(torch.cat([users, everywhere], dim=-1))
        for layer in self.rounds:
            crowd = _pooled(hidden)[..., None, :].expand(*hidden.shape[:-1], 2 * hidden.shape[-1])
            hidden = hidden + layer(torch.cat([hidden, crowd, everywhere], dim=-1))
        return self.user_head(hidden)[..., 0], self.frame_head(torch.cat([_pooled(hidden), frame], dim=-1))[..., 0]

    def read(self, observation: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """:meth:`forward` of ``users`` and ``frame`` in NumPy arrays, in single precision and without a gradient."""
        users, frame = (torch.from_numpy(np.asarray(observation[name], np.float32)) for name in ("users", "frame"))
        with torch.inference_mode():
            return self(users, frame)


def _pooled(hidden: Tensor) -> Tensor:
    """Mean and maximum over users, (..., 2 width)."""
    return torch.cat([hidden.mean(-2), hidden.amax(-2)], dim=-1)
