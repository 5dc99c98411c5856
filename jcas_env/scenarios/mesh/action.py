"""Between action vectors in [-1, 1] and allocations of whole subcarriers (spec mesh 6)."""

from __future__ import annotations

from array_api_compat import array_namespace, device

from ...types import Array, as_array
from ..decoding import bounded, check_action, simplex_logits, simplex_share, unit_interval, unit_logit
from .allocation import MeshAllocation
from .problem import MeshProblem
from .subcarriers import comb_placement, proportional_counts


def action_size(users: int) -> int:
    """One logit per user and one for the share."""
    return users + 1


def entry_name(entry: int, size: int) -> str:
    """What an entry of an action decides."""
    return f"band of user {entry}" if entry < size - 1 else "positioning share"


def decode(action: Array, problem: MeshProblem, *, logit_scale: float) -> MeshAllocation:
    r"""Allocation of an action vector.

    The first U entries are logits of the band: weights softmax(c a), every user :math:`n_\min` subcarriers and the rest
    by largest remainder, placed as combs. The last entry is the share, which reaches both of its ends:
    :math:`\beta = \beta_{lo} + (1 - 2\beta_{lo}) h(c a)` with h of :func:`.unit_interval`.

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
    allocation = decode_combs(action, problem, logit_scale=logit_scale)
    return allocation._replace(assignment=comb_placement(allocation.counts, total=problem.subcarriers))


def decode_combs(action: Array, problem: MeshProblem, *, logit_scale: float) -> MeshAllocation:
    """:func:`decode` without the assignment, which is the comb of the counts."""
    action = as_array(check_action(action, action_size(problem.users), entry_name), problem.distance)
    action = bounded(action, -1.0, 1.0)
    weight = simplex_share(logit_scale * action[..., :-1])
    counts = proportional_counts(weight, total=problem.subcarriers, least=problem.least_subcarriers)
    width = 1.0 - 2.0 * problem.share_min
    share = problem.share_min + width * unit_interval(logit_scale * action[..., -1], logit_scale)
    return MeshAllocation(counts, None, share)


def encode_allocation(allocation: MeshAllocation, problem: MeshProblem, *, logit_scale: float) -> Array:
    r"""Action whose decoding is nearest to an allocation, (..., users + 1) in [-1, 1].

    Logits are the logarithms of what the counts exceed :math:`n_\min` by. The box spans a ratio of
    :math:`e^{2c}` between users; smaller excesses get the lowest logit. A decoded action comes back with the same
    counts; the placement is always a comb.
    """
    xp = array_namespace(allocation.counts)
    excess = xp.clip(allocation.counts - problem.least_subcarriers, min=0.0)
    logits = simplex_logits(excess, logit_scale)
    part = (allocation.positioning_share - problem.share_min) / (1.0 - 2.0 * problem.share_min)
    share = unit_logit(xp.clip(part, min=0.0, max=1.0), logit_scale)[..., None]
    return xp.clip(xp.concat([logits, share], axis=-1) / logit_scale, min=-1.0, max=1.0)


def fallback(problem: MeshProblem) -> MeshAllocation:
    """What is played where no counts keep the rate floors: equal rates, and the least share for positioning.

    Counts in proportion to 1 / R_u, in whole subcarriers.
    """
    xp = array_namespace(problem.distance)
    slowness = 1.0 / problem.count_model.rate
    weight = slowness / xp.sum(slowness, axis=-1, keepdims=True)
    counts = proportional_counts(weight, total=problem.subcarriers, least=problem.least_subcarriers)
    share = xp.full(problem.batch, problem.share_min, dtype=counts.dtype, device=device(counts))
    return MeshAllocation(counts, comb_placement(counts, total=problem.subcarriers), share)
