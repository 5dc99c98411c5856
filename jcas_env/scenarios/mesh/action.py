"""Between action vectors in [-1, 1] and allocations of whole subcarriers (spec mesh 6)."""

from __future__ import annotations

from math import exp

import numpy as np
from array_api_compat import array_namespace, device

from ...types import Array, as_array, is_array
from ..scenario import first_bad_entry, require, simplex_share
from .allocation import MeshAllocation
from .problem import MeshProblem
from .subcarriers import comb_placement, largest_remainder


def action_size(users: int) -> int:
    """One logit per user and one for the share."""
    return users + 1


def check_action(action: Array, users: int) -> Array:
    """Return the action as an array of real numbers, or raise ``ValueError`` that names the bad entry."""
    if not is_array(action):
        action = np.asarray(action)
    size, shape = action_size(users), tuple(action.shape)
    require(shape[-1:] == (size,), f"`action` must have {size} entries on its last axis, got shape {shape}")
    xp = array_namespace(action)
    real = xp.isdtype(action.dtype, ("real floating", "integral"))
    require(real, f"`action` must hold real numbers, got dtype {action.dtype}")
    if not xp.all(xp.isfinite(action)):
        index, value = first_bad_entry(action, ~xp.isfinite(action))
        place = f"band of user {index[-1]}" if index[-1] < users else "positioning share"
        raise ValueError(f"`action` must be finite, got action{list(index)} = {value}: {place}")
    return action


def _logistic(value: float) -> float:
    return 1.0 / (1.0 + exp(-value))


def share_of(entry: Array, share_min: float, scale: float) -> Array:
    r"""Positioning share of an action's last entry, (...,), which reaches both ends.

    .. math:: \beta = \beta_{lo} + (1 - 2\beta_{lo}) \frac{s(ca) - s(-c)}{s(c) - s(-c)}, \qquad s(x) = 1/(1+e^{-x})
    """
    xp = array_namespace(entry)
    low, high = _logistic(-scale), _logistic(scale)
    return share_min + (1.0 - 2.0 * share_min) * (1.0 / (1.0 + xp.exp(-scale * entry)) - low) / (high - low)


def entry_of(share: Array, share_min: float, scale: float) -> Array:
    """Inverse of :func:`share_of`; shares outside of the range give the nearest end."""
    xp = array_namespace(share)
    low, high = _logistic(-scale), _logistic(scale)
    part = low + (high - low) * xp.clip((share - share_min) / (1.0 - 2.0 * share_min), min=0.0, max=1.0)
    return xp.clip(xp.log(part / (1.0 - part)) / scale, min=-1.0, max=1.0)


def decode(action: Array, problem: MeshProblem, *, logit_scale: float) -> MeshAllocation:
    r"""Allocation of an action vector.

    The first U entries are logits of the band: weights softmax(c a), every user :math:`n_\min` subcarriers and the rest
    by largest remainder, placed as combs. The last entry is the share, :func:`share_of`.

    Parameters
    ----------
    action : Array, shape (..., users + 1)
        Finite; values outside [-1, 1] are clipped to the box.
    problem : MeshProblem
        Known problem.
    logit_scale : float
        c, logits per unit of action [-].

    Returns
    -------
    MeshAllocation
        Uses every subcarrier exactly once and a share in [beta_lo, 1 - beta_lo]. Rate floors are the policy's business:
        a shortfall costs reward (spec mesh 6). Raises ``ValueError`` for NaN, Inf, a wrong shape or dtype.
    """
    action = as_array(check_action(action, problem.users), problem.distance)
    xp = array_namespace(action)
    action = xp.clip(action, min=-1.0, max=1.0)
    everyone = xp.ones((problem.users, problem.users), dtype=xp.bool, device=device(action))
    weight = simplex_share(logit_scale * action[..., :-1], everyone)
    counts = largest_remainder(weight, total=problem.subcarriers, least=problem.least_subcarriers)
    share = share_of(action[..., -1], problem.share_min, logit_scale)
    return MeshAllocation(counts, comb_placement(counts, total=problem.subcarriers), share)


def encode_allocation(allocation: MeshAllocation, problem: MeshProblem, *, logit_scale: float) -> Array:
    r"""Action whose decoding is nearest to an allocation, (..., users + 1) in [-1, 1].

    Logits are the logarithms of what the counts exceed :math:`n_\min` by. The box spans a ratio of
    :math:`e^{2c}` between users; smaller excesses get the lowest logit. A decoded action comes back with the same
    counts; the placement is always a comb.
    """
    xp = array_namespace(allocation.counts)
    excess = xp.clip(allocation.counts - problem.least_subcarriers, min=0.0)
    tiny = xp.finfo(excess.dtype).smallest_normal
    logits = xp.log(xp.clip(excess, min=tiny))
    logits = xp.clip(logits - xp.max(logits, axis=-1, keepdims=True), min=-2.0 * logit_scale)
    logits = logits - xp.min(logits, axis=-1, keepdims=True) / 2.0
    share = entry_of(allocation.positioning_share, problem.share_min, logit_scale)
    return xp.concat([xp.clip(logits / logit_scale, min=-1.0, max=1.0), share[..., None]], axis=-1)
