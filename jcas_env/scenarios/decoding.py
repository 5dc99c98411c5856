"""What the scenarios share between action vectors in [-1, 1] and allocations: every action becomes feasible."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, inf, tanh

import numpy as np

from ..checks import first_bad_entry
from ..types import Array, array_namespace, at_hand, device, is_array


def check_action(action: Array, size: int, entry_name: Callable[[int, int], str]) -> Array:
    """Return the action as an array of real numbers, or raise ``ValueError`` that names the bad entry.

    Values on a device are not looked at: an action that is not finite there earns what is not a number.
    ``entry_name(entry, size)`` says in words what an entry decides.
    """
    action = action if is_array(action) else np.asarray(action)
    shape = tuple(action.shape)
    if shape[-1:] != (size,):
        raise ValueError(f"`action` must have {size} entries on its last axis, got shape {shape}")
    xp = array_namespace(action)
    if not xp.isdtype(action.dtype, ("real floating", "integral")):
        raise ValueError(f"`action` must hold real numbers, got dtype {action.dtype}")
    finite = xp.isfinite(action)
    if at_hand(finite) and not xp.all(finite):
        index, value = first_bad_entry(action, ~finite)
        raise ValueError(f"`action` must be finite, got action{list(index)} = {value}: {entry_name(index[-1], size)}")
    return action


def bounded(value: Array, low: float, high: float, /) -> Array:
    """A real array inside [low, high]; a small one costs a tenth of what ``clip`` does."""
    xp = array_namespace(value)
    return xp.minimum(xp.maximum(value, low), high)


def simplex_share(logits: Array, /) -> Array:
    r"""Softmax over all entries.

    .. math:: \frac{e^{z_u}}{\sum_v e^{z_v}}

    With a floor f and n members, ``f + (1 - n f) share`` is a point of the simplex that keeps the floor,
    whatever the logits: this is how every action becomes feasible (spec multicell 7).

    Parameters
    ----------
    logits : Array, shape (..., n)
        Finite [-]; the largest is subtracted before the exponential.

    Returns
    -------
    Array, shape (..., n)
        Sums to one.
    """
    xp = array_namespace(logits)
    # Summed as over sets, to the last bit: rounding to whole subcarriers has ties, and they fall the same way.
    weight = xp.exp(logits - xp.max(logits, axis=-1, keepdims=True))
    everyone = xp.ones((logits.shape[-1],) * 2, dtype=logits.dtype, device=device(logits))
    return weight / (everyone @ weight[..., None])[..., 0]


SAFE_LOGIT = 40.0
"""Logits within this bound need no peak subtracted: e^40 and its inverse are far inside single precision [-]."""


def simplex_shares(logits: Array, member: Array, /, *, bound: float = inf) -> Array:
    """:func:`simplex_share` inside each of several disjoint sets, row by row, (..., rows, n) -> (..., rows, n).

    ``member`` (..., n, n) bool, an equivalence relation, says which entries share a set; ``bound`` is the largest
    absolute value that a logit can have. Below ``SAFE_LOGIT`` the quotient is formed as it stands, which is the same
    number: a factor common to a set cancels.
    """
    xp = array_namespace(logits, member)
    if bound > SAFE_LOGIT:
        logits = logits - xp.max(xp.where(member[..., None, :, :], logits[..., None, :], -xp.inf), axis=-1)
    weight = xp.exp(logits)
    return weight / (weight @ xp.astype(member, logits.dtype))


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
    r"""Logistic function, (...,) -> (...,) in [0, 1].

    .. math:: s(z) = \frac{1}{1 + e^{-z}} = \frac{e^{\min(z, 0)}}{1 + e^{-|z|}}

    The right side has no exponential that overflows, and its slope keeps all digits however steep the curve.
    """
    xp = array_namespace(z)
    return xp.exp(xp.minimum(z, 0.0)) / (1.0 + xp.exp(-xp.abs(z)))


def unit_interval(z: Array, scale: float) -> Array:
    r"""Logistic curve whose ends are reached.

    .. math:: h(z) = \frac{s(z) - s(-c)}{s(c) - s(-c)} = \frac12 \Big(1 + \frac{\tanh(z/2)}{\tanh(c/2)}\Big),
              \qquad s(z) = \frac{1}{1 + e^{-z}}

    ``z`` (...,) in [-c, c] with c = ``scale`` -> [0, 1]: 0 at -c, 1/2 at 0, 1 at c.
    """
    xp = array_namespace(z)
    return bounded(0.5 * (1.0 + xp.tanh(0.5 * z) / tanh(0.5 * scale)), 0.0, 1.0)


def unit_logit(share: Array, scale: float) -> Array:
    r"""Inverse of :func:`unit_interval`, (...,) in [0, 1] -> [-scale, scale].

    .. math:: z = \ln\frac{l + h\,w}{l + (1 - h)\,w}, \qquad l = s(-c),\; w = s(c) - s(-c)
    """
    xp = array_namespace(share)
    low = 1.0 / (1.0 + exp(scale))
    width = tanh(0.5 * scale)
    return xp.log(low + share * width) - xp.log(low + (1.0 - share) * width)
