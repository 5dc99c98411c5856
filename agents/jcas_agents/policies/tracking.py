"""Policy of the tracking task: how much of a frame's power senses the target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from array_api_compat import array_namespace
from torch import Tensor

from jcas_env import MassiveMIMOAllocation, MassiveMIMOProblem
from jcas_env.checks import require
from jcas_env.scenarios.decoding import unit_logit
from jcas_env.scenarios.massive_mimo.action import split
from jcas_env.scenarios.massive_mimo.observation import FRAME_FEATURES, USER_FEATURES, structured
from jcas_env.types import Array

from .policy import LOGIT_SCALE
from .sets import SetNetwork

LEAST_SHARE = FRAME_FEATURES.index("least_share")
"""Entry of ``frame`` that holds the least share."""


class TrackingPolicy(SetNetwork):
    r"""Sensing share of a frame; full power and water-filled streams follow from it.

    .. math:: \frac{T}{S} = s\big(s^{-1}(\rho) + \Delta_\theta\big), \qquad s(z) = \frac{1}{1 + e^{-z}}

    A residual, in logits, around the least share :math:`\rho` that keeps the tracker's variance at its limit.

    It reads :func:`jcas_env.scenarios.massive_mimo.observation.structured`. The environment's own observation is a
    vector without what rho follows from, the predicted variance and the numbers of antennas: from it alone the policy
    cannot act.
    """

    scenario = "massive-mimo"
    problem_type = MassiveMIMOProblem
    user_features = USER_FEATURES
    frame_features = FRAME_FEATURES

    def share_for(self, problem: MassiveMIMOProblem) -> Tensor:
        """Sensing share for a known problem in torch arrays, with its gradient, (...,) in (0, 1)."""
        seen = structured(problem)
        users, frame = (seen[name].to(torch.float32) for name in ("users", "frame"))
        middle = start_logit(seen["frame"])
        return torch.sigmoid(middle + self(users, frame)[1].to(middle.dtype))

    def act(self, observation: Mapping[str, Any]) -> np.ndarray:
        """Action (..., 1) of the environment's kind ``share``, for the structured observation of a known problem.

        Raises ``ValueError`` for an observation without ``users`` and ``frame``, such as the environment's vector.
        """
        return np.clip(unit_logit(self._share(observation), LOGIT_SCALE) / LOGIT_SCALE, -1.0, 1.0)[..., None]

    def decide(self, problem: MassiveMIMOProblem) -> MassiveMIMOAllocation:
        """Allocation for a known problem in NumPy arrays."""
        return split(problem, self._share(structured(problem)))

    def _share(self, observation: Mapping[str, Any]) -> np.ndarray:
        require(
            isinstance(observation, Mapping),
            "this policy reads predicted variance and least share, which the environment's vector does not hold: "
            "let it decide on the known problem, `decide(problem)`",
        )
        residual = self.read(observation)[1].numpy()
        return 1.0 / (1.0 + np.exp(-(start_logit(np.asarray(observation["frame"])) + residual)))


def start_logit(frame: Array) -> Array:
    """Logit of the least share among the features of a frame (..., 5), (...,).

    The share is kept within [0.03, 0.97]: at 0 and 1 the logit has no end, and no residual could lead away.
    """
    near = array_namespace(frame).clip(frame[..., LEAST_SHARE], min=0.03, max=0.97)
    return array_namespace(frame).log(near / (1.0 - near))
