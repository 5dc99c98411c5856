"""What the scenarios share between action vectors in [-1, 1] and allocations: every action becomes feasible."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, tanh

import numpy as np
from array_api_compat import array_namespace

from ..checks import first_bad_entry, require
from ..types import Array, is_array


def check_action(action: Array, size: int, entry_name: Callable[[int, int], str]) -> Array:
    """Return the action as an array of real numbers, or raise ``ValueError`` that names the bad entry.

    ``entry_name(entry, size)`` says in words what an entry decides.
    """
    action = action if is_array(action) else np.asarray(action)
    shape = tuple(action.shape)
    require(shape[-1:] == (size,), f"`action` must have {size} entries on its last axis, got shape {shape}")
    xp = array_namespace(action)
    real = xp.isdtype(action.dtype, ("real floating", "integral"))
    require(real, f"`action` must hold real numbers, got dtype {action.dtype}")
    if not xp.all(xp.isfinite(action)):
        index, value = first_bad_entry(action, ~xp.isfinite(action))
        raise ValueError(f"`action` must be finite, got action{list(index)} = {value}: {entry_name(index[-1], size)}")
    return action


def simplex_share(logits: Array, member: Array, /) -> Array:
    r"""Softmax inside each of several disjoint sets.

    .. math:: \frac{e^{z_u}}{\sum_{v \in \text{set of } u} e^{z_v}}

    With a floor f and n members, ``f + (1 - n f) share`` is a point of the simplex that keeps the floor,
    whatever the logits: this is how every action becomes feasible (spec multicell 7).

    Parameters
    ----------
    logits : Array, shape (..., n)
        Finite [-]; the largest of a set is subtracted before the exponential.
    member : Array, shape (..., n, n), bool
        Which entries share a set: an equivalence relation.

    Returns
    -------
    Array, shape (..., n)
        Sums to one over each set.
    """
    xp = array_namespace(logits, member)
    peak = xp.max(xp.where(member, logits[..., None, :], -xp.inf), axis=-1)
    weight = xp.exp(logits - peak)
    return weight / (xp.astype(member, logits.dtype) @ weight[..., None])[..., 0]


def simplex_logits(part: Array, scale: float) -> Array:
    """Logits whose softmax is nearest to parts of a whole, (..., n) at least 0 -> (..., n) in [-scale, scale].

    Centred, so that the spread fits into the box; a part of zero would need minus infinity and gets the lowest logit,
    which leaves it at most exp(-2 scale) of the largest part.
    """
    xp = array_namespace(part)
    logits = xp.log(xp.clip(part, min=xp.finfo(part.dtype).smallest_normal))
    logits = xp.clip(logits - xp.max(logits, axis=-1, keepdims=True), min=-2.0 * scale)
    return logits - xp.min(logits, axis=-1, keepdims=True) / 2.0


def logistic(z: Array) -> Array:
    r"""Logistic function without an exponential that could overflow, (...,) -> (...,) in [0, 1].

    .. math:: s(z) = \frac{1}{1 + e^{-z}} = \frac{1 + \tanh(z/2)}{2}
    """
    return 0.5 * (1.0 + array_namespace(z).tanh(0.5 * z))


def unit_interval(z: Array, scale: float) -> Array:
    r"""Logistic curve whose ends are reached.

    .. math:: h(z) = \frac{s(z) - s(-c)}{s(c) - s(-c)} = \frac12 \Big(1 + \frac{\tanh(z/2)}{\tanh(c/2)}\Big),
              \qquad s(z) = \frac{1}{1 + e^{-z}}

    ``z`` (...,) in [-c, c] with c = ``scale`` -> [0, 1]: 0 at -c, 1/2 at 0, 1 at c.
    """
    xp = array_namespace(z)
    return xp.clip(0.5 * (1.0 + xp.tanh(0.5 * z) / tanh(0.5 * scale)), min=0.0, max=1.0)


def unit_logit(share: Array, scale: float) -> Array:
    r"""Inverse of :func:`unit_interval`, (...,) in [0, 1] -> [-scale, scale].

    .. math:: z = \ln\frac{l + h\,w}{l + (1 - h)\,w}, \qquad l = s(-c),\; w = s(c) - s(-c)
    """
    xp = array_namespace(share)
    low = 1.0 / (1.0 + exp(scale))
    width = tanh(0.5 * scale)
    return xp.log(low + share * width) - xp.log(low + (1.0 - share) * width)
