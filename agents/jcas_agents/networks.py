"""Policy network for any number of users and cells, equivariant under their permutation (spec learning 3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from jcas_env.scenarios.multicell import MultiCellProblem
from jcas_env.scenarios.multicell.observation import FEATURES, QUEUE_FEATURES, structured

from .backlog import backlog_logits

LOGIT_SCALE = 5.0
"""Logits per unit of action that the policy is made for, the environment's default [-]."""


@dataclass(frozen=True)
class PolicyShape:
    """Size of an :class:`EquivariantPolicy`; the defaults have 50 thousand parameters."""

    width: int = 40
    """Numbers that describe a user inside the network."""
    layers: int = 3
    """Layers of attention."""
    heads: int = 2
    """Heads over in-group pairs, and as many over pairs in different cells."""
    queues: bool = False
    """Reads the queue features too, and is a residual around bands in proportion to the backlogs."""

    @property
    def features(self) -> tuple[str, ...]:
        """Columns of ``users`` that the policy reads; further ones are left alone."""
        return FEATURES + QUEUE_FEATURES if self.queues else FEATURES

    def as_dict(self) -> dict[str, int]:
        """Fields by name, for a checkpoint's card."""
        return asdict(self)


def block_members(users: int, cells: int, like: Tensor) -> Tensor:
    """Membership (cells, users) of users that are numbered cell by cell, as the environment drops them."""
    home = torch.arange(users, device=like.device) * cells // users
    return (torch.arange(cells, device=like.device)[:, None] == home).to(like.dtype)


class _Attention(nn.Module):
    r"""Attention among the pairs of a mask, biased by the pairwise gains.

    .. math:: \alpha_{jm} = \mathrm{softmax}_{m \in \mathcal{M}(j)}
              \big(q_j^T k_m/\sqrt{d} + a\, G_{jm} + b\, G_{mj}\big), \qquad y_j = \sum_m \alpha_{jm} v_m

    G is the log-scaled gain, receiver first. A user without partners gets y = 0.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.size = heads, width // (2 * heads)
        self.project = nn.Linear(width, 3 * heads * self.size)
        self.bias = nn.Linear(2, heads)

    def forward(self, hidden: Tensor, pairs: Tensor, mask: Tensor) -> Tensor:
        """Mix (..., users, width) over a mask (..., users, users); returns (..., users, width / 2)."""
        parts = self.project(hidden).unflatten(-1, (3, self.heads, self.size)).movedim(-3, 0).transpose(-2, -3)
        query, key, value = parts  # (..., heads, users, size)
        score = query @ key.transpose(-1, -2) / self.size**0.5 + self.bias(pairs).movedim(-1, -3)
        mask = mask[..., None, :, :]
        score = score.masked_fill(~mask, -torch.inf)
        peak = score.amax(-1, keepdim=True).clamp(min=-1e9).detach()
        weight = torch.exp(score - peak)
        mixed = (weight / weight.sum(-1, keepdim=True).clamp(min=1e-9)) @ value
        return mixed.transpose(-2, -3).flatten(-2)


class _Layer(nn.Module):
    """One round: attention inside groups and across cells, means of group and cell, a residual update."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mates, self.others = _Attention(width, heads), _Attention(width, heads)
        self.update = nn.Sequential(nn.Linear(4 * width, width), nn.SiLU(), nn.Linear(width, width))

    def forward(
        self, hidden: Tensor, pairs: Tensor, masks: tuple[Tensor, Tensor], means: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Update (..., users, width)."""
        seen = self.norm(hidden)
        mixed = [part(seen, pairs, mask) for part, mask in zip((self.mates, self.others), masks, strict=True)]
        return hidden + self.update(torch.cat([seen, *mixed, *(mean @ seen for mean in means)], dim=-1))


class EquivariantPolicy(nn.Module):
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

    def __init__(self, shape: PolicyShape | None = None) -> None:
        super().__init__()
        self.shape = shape = PolicyShape() if shape is None else shape
        width = shape.width
        self.embed = nn.Sequential(nn.Linear(len(shape.features), width), nn.SiLU(), nn.Linear(width, width))
        self.rounds = nn.ModuleList(_Layer(width, shape.heads) for _ in range(shape.layers))
        self.user_head = _head(width, 2)
        self.group_head = _head(2 * width + 1, 2)
        self.cell_head = _head(width + 3, 1)

    def forward(self, observation: Mapping[str, Tensor], members: Tensor | None = None) -> Tensor:
        """Action in [-1, 1] of a structured observation.

        Parameters
        ----------
        observation : mapping of Tensor
            ``gains``, ``group``, ``cell`` (..., users, users), ``users`` (..., users, features), ``cells``
            (..., cells, 3).
        members : Tensor, optional
            Membership (..., cells, users); by default the users are numbered cell by cell.

        Returns
        -------
        Tensor, shape (..., 4 * users + cells)
        """
        gains, users = observation["gains"], observation["users"][..., : len(self.shape.features)]
        wanted = len(self.shape.features)
        if users.shape[-1] < wanted:
            raise ValueError(
                f"this policy reads {wanted} features of a user, those of queues among them; the observation has "
                f"{users.shape[-1]}: play it in a task with queues"
            )
        if members is None:
            members = block_members(users.shape[-2], observation["cells"].shape[-2], users)
        mates, neighbours = observation["group"], observation["cell"]
        pairs = torch.stack([gains, gains.transpose(-1, -2)], dim=-1)
        masks = (mates > 0.5, neighbours < 0.5)
        size = mates.sum(-1, keepdim=True)
        means = (mates / size, neighbours / neighbours.sum(-1, keepdim=True))
        hidden = self.embed(users)
        for layer in self.rounds:
            hidden = layer(hidden, pairs, masks, means)
        group = torch.cat([means[0] @ hidden, means[1] @ hidden, torch.log2(size) / 4.0], dim=-1)
        logits = torch.cat([self.user_head(hidden), self.group_head(group)], dim=-1)
        if self.shape.queues:
            logits = logits + backlog_logits(users, mates, neighbours)
        crowd = members.sum(-1, keepdim=True).clamp(min=1.0)
        centre = torch.cat([(members / crowd) @ hidden, observation["cells"]], dim=-1)
        logits = torch.cat([logits.flatten(-2), self.cell_head(centre)[..., 0]], dim=-1)
        return torch.tanh(logits / LOGIT_SCALE)

    def act(self, observation: Mapping[str, Tensor]) -> Tensor:
        """Action of a structured observation, as NumPy arrays or tensors, without gradients."""
        with torch.inference_mode():
            parts = {name: torch.as_tensor(value, dtype=torch.float32) for name, value in observation.items()}
            return self(parts)

    def of_problem(self, problem: MultiCellProblem) -> Tensor:
        """Action for a known problem in torch arrays, users in any order."""
        index = torch.arange(problem.cells, device=problem.cell.device)
        members = (index[:, None] == problem.cell[..., None, :]).to(torch.float32)
        return self(structured(problem), members)


def _head(inputs: int, outputs: int) -> nn.Sequential:
    """Two layers, the last one at zero."""
    last = nn.Linear(32, outputs)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(inputs, 32), nn.SiLU(), last)
