"""The policy network with trainable parameters (spec learning 3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from array_api_compat import array_namespace
from torch import Tensor, nn

from jcas_env import MultiCellAllocation, MultiCellProblem
from jcas_env.checks import require
from jcas_env.physics.membership import one_hot
from jcas_env.scenarios.multicell.action import decode
from jcas_env.scenarios.multicell.observation import FEATURES, QUEUE_FEATURES, structured

from .equivariant import Affine, Parameters, Perceptron, Round, action
from .policy import LOGIT_SCALE, Policy, Shape, size

FEATURE_VERSION = "users:" + ",".join(FEATURES)
"""What a policy reads; a policy made for other features is refused."""
QUEUE_VERSION = "," + ",".join(QUEUE_FEATURES)
"""What a policy of the delay task reads beside it."""

CELL_FEATURES = 3
"""Columns of the observation's ``cells``."""
HEAD_WIDTH = 32
"""Hidden units of the three heads."""


@dataclass(frozen=True)
class PolicyShape(Shape):
    """Size of an :class:`EquivariantPolicy`; the defaults have 47 thousand parameters."""

    width: int = size(40, 2, 512)
    """Numbers that describe a user inside the network."""
    layers: int = size(3, 1, 16)
    """Rounds of attention."""
    heads: int = size(2, 1, 64)
    """Heads over in-group pairs, and as many over pairs in different cells."""
    queues: bool = False
    """Reads the queue features too, and is a residual around bands in proportion to the backlogs."""

    def __post_init__(self) -> None:
        super().__post_init__()
        most = self.width // 2
        require(self.heads <= most, f"`heads` must be at most {most} at width {self.width}, got {self.heads}")

    @property
    def features(self) -> tuple[str, ...]:
        """Columns of ``users`` that the policy reads; further ones are left alone."""
        return FEATURES + QUEUE_FEATURES if self.queues else FEATURES

    @property
    def head_size(self) -> int:
        """Numbers of a head, so that all heads together have the width."""
        return self.width // (2 * self.heads)


class EquivariantPolicy(Policy):
    r"""Observation to action: a permutation-equivariant residual around the zero action.

    A user's features are embedded; rounds of attention biased by the pairwise gains follow, over the members of the own
    group and over the users of other cells, with the means of group and cell. Three heads end it:

    ======= ============================================ ===============================================
    head    reads                                        writes
    ======= ============================================ ===============================================
    user    the user                                     power logits of both services
    group   mean of its users, cell mean, log2 size      band logits of both services, one per group
    cell    mean of its users and the cell's features    logit of the positioning share
    ======= ============================================ ===============================================

    Each member of a group gets the group's band logit, so that the decoder's sum over members adds the log size. The
    last layers start at zero: training starts at the equal allocation per user (spec multicell 7).
    """

    scenario = "multicell"
    problem_type = MultiCellProblem
    shape_type = PolicyShape

    def __init__(self, shape: PolicyShape | None = None) -> None:
        super().__init__()
        self.shape = shape = PolicyShape() if shape is None else shape
        width, inner = shape.width, 2 * shape.heads * shape.head_size
        self.mix = nn.Parameter(torch.empty(2 * shape.layers * shape.heads, 2).uniform_(-1.0, 1.0))
        self.maps = nn.ModuleDict()
        embed = self._perceptron("embed", len(shape.features), width, width)
        rounds = tuple(self._round(index, width, inner) for index in range(shape.layers))
        self.parts = Parameters(
            embed,
            self.mix,
            rounds,
            self._perceptron("user_head", width, HEAD_WIDTH, 2, zero=True),
            self._perceptron("group_head", 2 * width + 1, HEAD_WIDTH, 2, zero=True),
            self._perceptron("cell_head", width + CELL_FEATURES, HEAD_WIDTH, 1, zero=True),
            shape.queues,
        )
        self._leaves = tuple(self.parameters())
        self._copied: tuple[Any, Any] = None, None

    def _round(self, index: int, width: int, inner: int) -> Round:
        """Register a round; queries start as in standard attention, which divides scores by the root of the size."""
        project = self._affine(f"project{index}", width, 3 * inner)
        with torch.no_grad():
            project.weight[:inner] /= self.shape.head_size**0.5
        return Round(project, self._perceptron(f"update{index}", 3 * width + inner, width, width))

    def _affine(self, name: str, inputs: int, outputs: int) -> Affine:
        """Register a linear map."""
        self.maps[name] = layer = nn.Linear(inputs, outputs)
        return Affine(layer.weight, layer.bias)

    def _perceptron(self, name: str, inputs: int, inner: int, outputs: int, *, zero: bool = False) -> Perceptron:
        """Register two linear maps, the last one at zero on request."""
        first, last = self._affine(f"{name}_in", inputs, inner), self._affine(f"{name}_out", inner, outputs)
        if zero:
            for parameter in last:
                nn.init.zeros_(parameter)
        return Perceptron(first, last)

    def forward(self, observation: Mapping[str, Tensor], members: Tensor | None = None) -> Tensor:
        """Action of a structured observation in tensors: see :func:`.equivariant.action`."""
        return action(self.parts, observation, members)

    def action_for(self, problem: MultiCellProblem) -> Tensor:
        """Action for a known problem in torch arrays, users in any order, with its gradient."""
        return self(structured(problem), membership(problem))

    # ---------------------------------------------------------------- decisions, in NumPy

    def features(self) -> str:
        """Names of the features of a user, those of queues among them where the policy reads them."""
        return FEATURE_VERSION + (QUEUE_VERSION if self.shape.queues else "")

    def arrays(self) -> Parameters:
        """The parameters as NumPy arrays, laid out for the products in which they stand.

        A copy is kept until a parameter changes: a decision takes a few operations, copying all parameters dozens.
        """
        state = tuple((value.data_ptr(), value._version) for value in self._leaves)  # `_version` counts writes in place
        if state != self._copied[0]:
            self._copied = state, _as_numpy(self.parts)
        return self._copied[1]

    def act(self, observation: Mapping[str, Any]) -> np.ndarray:
        """Action (..., 4 users + cells) for a structured observation as the environment gives it, cell by cell."""
        parts = {name: np.asarray(value, dtype=np.float32) for name, value in observation.items()}
        return action(self.arrays(), parts)

    def decide(self, problem: MultiCellProblem) -> MultiCellAllocation:
        """Allocation for a known problem in NumPy arrays, users in any order."""
        chosen = action(self.arrays(), structured(problem), membership(problem))
        return decode(chosen, problem, logit_scale=LOGIT_SCALE)


def membership(problem: MultiCellProblem) -> Any:
    """Which cell serves whom, (..., cells, users), in single precision and the library of the problem."""
    xp = array_namespace(problem.cell)
    return xp.astype(one_hot(problem.cell, problem.cells), xp.float32)


def _as_numpy(parts: Any) -> Any:
    """The same nest of tuples with NumPy arrays for tensors."""
    if isinstance(parts, Tensor):
        return np.asfortranarray(parts.detach().cpu().numpy())
    if not isinstance(parts, tuple):
        return parts
    inside = [_as_numpy(part) for part in parts]
    return type(parts)(*inside) if hasattr(parts, "_fields") else tuple(inside)
