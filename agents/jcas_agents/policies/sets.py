"""Small policies of the mesh and of the tracking task: one permutation-equivariant network, two readings of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from array_api_compat import array_namespace
from torch import Tensor, nn

from jcas_env import MassiveMIMOProblem, MeshProblem
from jcas_env.scenarios.massive_mimo.action import split
from jcas_env.scenarios.mesh import action as mesh_action
from jcas_env.scenarios.mesh import observation as mesh_observation
from jcas_env.types import Array

from .equivariant import LOGIT_SCALE


@dataclass(frozen=True)
class SetShape:
    """Size of a :class:`SetNetwork`; the defaults have about ten thousand parameters."""

    width: int = 32
    """Numbers that describe a user inside the network."""
    layers: int = 2
    """Rounds in which users see the mean and the maximum of all."""

    def as_dict(self) -> dict[str, int]:
        """Fields by name, for a checkpoint's card."""
        return asdict(self)


class SetNetwork(nn.Module):
    """Features of users and of the frame to a number per user and one for the frame; users in any order and number.

    Rounds of a residual update from the user, the mean and the maximum over users, and the frame. The last layers start
    at zero.
    """

    scenario: ClassVar[str]
    """Scenario that the policy is for."""
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

    @classmethod
    def features(cls) -> str:
        """What the policy reads, as its card states it."""
        return f"users:{','.join(cls.user_features)};frame:{','.join(cls.frame_features)}"

    def forward(self, users: Tensor, frame: Tensor) -> tuple[Tensor, Tensor]:
        """(..., users, user features) and (..., frame features) to (..., users) and (...,)."""
        everywhere = frame[..., None, :].expand(*users.shape[:-1], frame.shape[-1])
        hidden = self.embed(torch.cat([users, everywhere], dim=-1))
        for layer in self.rounds:
            crowd = _pooled(hidden)[..., None, :].expand(*hidden.shape[:-1], 2 * hidden.shape[-1])
            hidden = hidden + layer(torch.cat([hidden, crowd, everywhere], dim=-1))
        return self.user_head(hidden)[..., 0], self.frame_head(torch.cat([_pooled(hidden), frame], dim=-1))[..., 0]


def _pooled(hidden: Tensor) -> Tensor:
    """Mean and maximum over users, (..., 2 width)."""
    return torch.cat([hidden.mean(-2), hidden.amax(-2)], dim=-1)


class MeshPolicy(SetNetwork):
    """Logits of the users' bands and of the positioning share; the zero output is the scenario's zero action."""

    scenario = "mesh"
    user_features = mesh_observation.FEATURES
    frame_features = mesh_observation.FRAME_FEATURES

    def action(self, problem: MeshProblem) -> Tensor:
        """Action in [-1, 1] for a problem in torch arrays, (..., users + 1)."""
        seen = mesh_observation.structured(problem)
        users, frame = self(seen["users"], seen["frame"])
        return torch.tanh(torch.cat([users, frame[..., None]], dim=-1) / LOGIT_SCALE)

    def decide(self, problem: MeshProblem) -> Any:
        """Whole subcarriers for a problem in NumPy arrays."""
        with torch.inference_mode():
            seen = {name: torch.from_numpy(value) for name, value in mesh_observation.structured(problem).items()}
            users, frame = self(seen["users"], seen["frame"])
            action = torch.tanh(torch.cat([users, frame[..., None]], dim=-1) / LOGIT_SCALE).numpy()
        return mesh_action.decode(action, problem, logit_scale=LOGIT_SCALE)


class TrackingPolicy(SetNetwork):
    """Sensing share of a frame; full power and water-filled streams follow from it.

    A residual, in logits, around the least share that keeps the tracker's variance at its limit.
    """

    scenario = "massive-mimo"
    user_features = ("gain", "estimate")
    frame_features = ("sine", "prior", "echo", "snr", "least_share")

    def share(self, problem: MassiveMIMOProblem) -> Array:
        """Sensing share of a problem in torch arrays, (...,)."""
        users, frame, middle = tracking_features(problem)
        single = torch.float32
        residual = self(users.to(single), frame.to(single))[1]
        return torch.sigmoid(middle + residual.to(middle.dtype))

    def decide(self, problem: MassiveMIMOProblem) -> Any:
        """Allocation for a problem in NumPy arrays."""
        users, frame, middle = (torch.from_numpy(np.asarray(part)) for part in tracking_features(problem))
        with torch.inference_mode():
            residual = self(users.to(torch.float32), frame.to(torch.float32))[1].numpy()
        return split(problem, 1.0 / (1.0 + np.exp(-(middle.numpy() + residual))))


def tracking_features(problem: MassiveMIMOProblem) -> tuple[Array, Array, Array]:
    r"""What a policy reads of a frame of the tracking task, and the logit of the share that it starts from.

    Users (..., users, 2): :math:`(\log_{10} \beta_k + 1.5)/2` and :math:`\xi_k/\beta_k`. Frame (..., 5):
    :math:`\sin\hat\theta`, :math:`\tfrac12 \log_{10}(V^-/V_{max})`, echo and user SNR in decades over 3, and the least
    share :math:`T/S` with which :math:`1/(1/V^- + I) \le V_{max}`, aligned (the most informative one if none does).
    """
    xp = array_namespace(problem.large_scale_gain)
    known, gain = problem.aligned(), problem.large_scale_gain
    least = known.least_sensing_power(problem.lacking_bound()) / known.largest_total
    users = xp.stack([(xp.log10(gain) + 1.5) / 2.0, problem.estimate_variance / gain], axis=-1)
    frame = xp.stack(
        [
            xp.sin(problem.beam_angle),
            0.5 * xp.log10(problem.prior_variance / problem.variance_limit),
            xp.log10(problem.power_budget / problem.echo_noise) / 3.0,
            xp.log10(problem.power_budget / problem.noise_power) / 3.0,
            least,
        ],
        axis=-1,
    )
    near = xp.clip(least, min=0.03, max=0.97)
    return users, frame, xp.log(near / (1.0 - near))
