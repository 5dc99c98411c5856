"""The policy network as a function of its parameters, written once: torch trains it, NumPy runs it (spec learning 3).

NumPy starts a small operation in a third of the time that torch takes, and that is where the time of a single
decision goes. The operations are few and large, all heads in one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from array_api_compat import array_namespace, device
from torch.nn import functional

from jcas_env.checks import require
from jcas_env.physics.membership import one_hot
from jcas_env.types import Array

from .backlog import backlog_logits
from .policy import LOGIT_SCALE

KINDS = 4
"""Entries of an action that belong to a user."""
BARRED = 1e9
"""What a score loses outside of a mask: its weight is zero."""


class NumpyFunctional:
    """What the network needs of ``torch.nn.functional``, for NumPy arrays; the same names and arguments.

    Arrays that are made here are written in place, which spares new ones: a decision is many small operations.
    """

    @staticmethod
    def linear(value: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
        """``value @ weight.T + bias``."""
        result = value @ weight.T
        result += bias
        return result

    @staticmethod
    def silu(value: np.ndarray) -> np.ndarray:
        """``x / (1 + exp(-x))``, by the hyperbolic tangent, which does not overflow."""
        result = np.tanh(0.5 * value)
        result += 1.0
        result *= value
        result *= 0.5
        return result

    @staticmethod
    def layer_norm(value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Zero mean and unit variance over the last axis, of length ``shape[0]``; 1e-5 is torch's own guard."""
        centred = value - value.sum(-1, keepdims=True) / shape[0]
        centred /= np.sqrt(np.vecdot(centred, centred)[..., None] / shape[0] + 1e-5)
        return centred

    @staticmethod
    def softmax(value: np.ndarray, dim: int) -> np.ndarray:
        """Exponentials that sum to one along an axis."""
        result = value - value.max(dim, keepdims=True)
        np.exp(result, out=result)
        result /= result.sum(dim, keepdims=True)
        return result


class Affine(NamedTuple):
    """Parameters of a linear map."""

    weight: Array
    """(outputs, inputs)"""
    bias: Array
    """(outputs,)"""


class Perceptron(NamedTuple):
    """Two linear maps with a SiLU between them."""

    first: Affine
    last: Affine


class Round(NamedTuple):
    """Parameters of one round."""

    project: Affine
    """To query, key and value of all heads."""
    update: Perceptron
    """From what a user is and has seen to its change."""


class Parameters(NamedTuple):
    """All parameters, tensors or NumPy arrays."""

    embed: Perceptron
    mix: Array
    """(rounds * 2 H, 2): what each head makes of the two gains between two users."""
    rounds: tuple[Round, ...]
    user_head: Perceptron
    group_head: Perceptron
    cell_head: Perceptron
    backlog: bool
    """Whether the policy is a residual around bands in proportion to the backlogs."""

    @property
    def features(self) -> int:
        """Columns of ``users`` that the policy reads; further ones are left alone."""
        return int(self.embed.first.weight.shape[-1])


class Pairs(NamedTuple):
    """What is the same in every round; H heads over in-group pairs, then as many over pairs in different cells."""

    bias: Array
    """(..., rounds, 2 H, users m, users j): scores from the pairwise gains, :data:`BARRED` lower outside of a mask; who
    looks stands last, since sums over an axis before the last are faster."""
    partners: Array
    """(..., 2 H, 1, users): 1 where a user has partners; one without gets nothing."""
    group_mean: Array
    """(..., users, users): rows that average over the own group."""
    cell_mean: Array
    """(..., users, users): rows that average over the own cell."""


def relate(observation: Mapping[str, Array], parameters: Parameters) -> Pairs:
    r"""Masks, means and, for every head, scores :math:`a\, G_{jm} + b\, G_{mj}` with (a, b) a row of ``mix``.

    G is the log-scaled gain, receiver first; ``observation`` as in :func:`propose`. Gains and masks are stacked as four
    layers, of which every score is a linear combination: one product makes those of all rounds and heads.
    """
    gains, mates, neighbours = (observation[name] for name in ("gains", "group", "cell"))
    xp, users, rounds = array_namespace(gains), gains.shape[-1], len(parameters.rounds)
    heads, batch = parameters.mix.shape[0] // (2 * rounds), gains.shape[:-2]
    layers = xp.reshape(xp.stack([gains.mT, gains, 1.0 - mates, neighbours], axis=-3), (*batch, 4, users * users))
    # The first half of the heads loses 1 - mates, pairs in different groups; the second one neighbours, the own cell.
    barred = xp.asarray([[[-BARRED, 0.0]], [[0.0, -BARRED]]], dtype=gains.dtype, device=device(gains))
    barred = xp.reshape(xp.broadcast_to(barred, (rounds, 2, heads, 2)), (-1, 2))
    scores = xp.concat([parameters.mix, barred], axis=-1) @ layers
    crowd = xp.sum(neighbours, axis=-1, keepdims=True)
    others = xp.astype(crowd < users, crowd.dtype).mT  # in a single cell the softmax would run over barred pairs alone
    return Pairs(
        xp.reshape(scores, (*batch, rounds, 2 * heads, users, users)),
        xp.stack([xp.ones_like(others)] * heads + [others] * heads, axis=-3),
        mates / xp.sum(mates, axis=-1, keepdims=True),
        neighbours / crowd,
    )


def attend(hidden: Array, pairs: Pairs, index: int, parameters: Round) -> Array:
    r"""One round: attention inside groups and across cells, means of group and cell, a residual update.

    .. math:: \alpha_{jm} = \mathrm{softmax}_{m \in \mathcal{M}(j)}
              \big(q_j^T k_m + a\, G_{jm} + b\, G_{mj}\big), \qquad y_j = \sum_m \alpha_{jm} v_m

    A user without partners gets y = 0. ``hidden`` and the result (..., users, width).
    """
    xp, do = array_namespace(hidden), _functional(hidden)
    seen = do.layer_norm(hidden, hidden.shape[-1:])
    batch, heads = hidden.shape[:-2], pairs.partners.shape[-3]
    parts = xp.reshape(do.linear(seen, *parameters.project).mT, (*batch, 3, heads, -1, hidden.shape[-2]))
    query, key, value = (parts[..., part, :, :, :] for part in range(3))  # (..., heads, size, users)
    weight = do.softmax(key.mT @ query + pairs.bias[..., index, :, :, :], dim=-2)
    mixed = xp.reshape(value @ weight * pairs.partners, (*batch, -1, hidden.shape[-2])).mT
    known = xp.concat([seen, mixed, pairs.group_mean @ seen, pairs.cell_mean @ seen], axis=-1)
    return hidden + perceive(known, parameters.update)


def perceive(value: Array, parameters: Perceptron) -> Array:
    """Two layers: (..., inputs) to (..., outputs)."""
    do = _functional(value)
    return do.linear(do.silu(do.linear(value, *parameters.first)), *parameters.last)


def action(parameters: Parameters, observation: Mapping[str, Array], members: Array | None = None) -> Array:
    """Action in [-1, 1] of a structured observation: the hyperbolic tangent of what :func:`propose` proposes."""
    proposal, _ = propose(parameters, observation, members)
    return array_namespace(proposal).tanh(proposal)


def propose(
    parameters: Parameters, observation: Mapping[str, Array], members: Array | None = None
) -> tuple[Array, Array]:
    """Logits of a structured observation over :data:`LOGIT_SCALE`, and what the network knows of every user.

    Parameters
    ----------
    parameters : Parameters
        In the library of the observation.
    observation : mapping of Array
        ``gains``, ``group``, ``cell`` (..., users, users), ``users`` (..., users, features), ``cells`` (..., cells, 3).
    members : Array, optional
        Membership (..., cells, users); by default the users are numbered cell by cell.

    Returns
    -------
    proposal : Array, shape (..., 4 * users + cells)
    hidden : Array, shape (..., users, width)
        ``ValueError`` for an observation without the queues that the policy reads.
    """
    users, cells, wanted = observation["users"], observation["cells"], parameters.features
    require(
        users.shape[-1] >= wanted,
        f"this policy reads {wanted} features of a user, those of queues among them; the observation has "
        f"{users.shape[-1]}: play it in a task with queues",
    )
    users = users[..., :wanted]
    xp, batch = array_namespace(users), users.shape[:-2]
    if members is None:
        members = block_members(users.shape[-2], cells.shape[-2], users)
    pairs = relate(observation, parameters)
    hidden = perceive(users, parameters.embed)
    for index, turn in enumerate(parameters.rounds):
        hidden = attend(hidden, pairs, index, turn)
    size = xp.log2(xp.sum(observation["group"], axis=-1, keepdims=True)) / 4.0
    group = xp.concat([pairs.group_mean @ hidden, pairs.cell_mean @ hidden, size], axis=-1)
    logits = xp.concat([perceive(hidden, parameters.user_head), perceive(group, parameters.group_head)], axis=-1)
    if parameters.backlog:
        logits = logits + backlog_logits(users, observation["group"], observation["cell"])
    crowd = xp.sum(members, axis=-1, keepdims=True)
    centre = members @ hidden / xp.maximum(crowd, xp.ones_like(crowd))  # zero for a cell without users
    share = perceive(xp.concat([centre, cells], axis=-1), parameters.cell_head)
    flat = [xp.reshape(part, (*batch, -1)) for part in (logits, share)]
    return xp.concat(flat, axis=-1) / LOGIT_SCALE, hidden


def block_members(users: int, cells: int, like: Array) -> Array:
    """Membership (cells, users) of users that are numbered cell by cell, as the environment drops them."""
    xp = array_namespace(like)
    home = xp.arange(users, device=device(like)) * cells // users
    return xp.astype(one_hot(home, cells), like.dtype)


def _functional(value: Array) -> Any:
    return functional if isinstance(value, torch.Tensor) else NumpyFunctional


def spread_out(kinds: torch.Tensor, users: int, entries: int) -> torch.Tensor:
    """Numbers of the four kinds of a user's logits and of the shares, (..., 5), repeated to (..., entries)."""
    batch = (1,) * (kinds.ndim - 1)
    own, share = kinds[..., :KINDS].repeat(*batch, users), kinds[..., KINDS:].repeat(*batch, entries - KINDS * users)
    return torch.cat([own, share], dim=-1)
