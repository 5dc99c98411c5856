"""Queues of data: what arrives in a slot, what is served, what waits."""

from __future__ import annotations

from math import ceil, sqrt

from array_api_compat import device

from ..types import Array, array_namespace


def serve(queue: Array, arrivals: Array, rate: Array, /, *, slot: float) -> tuple[Array, Array]:
    r"""One slot of a queue: the arrivals join it, then it is served.

    .. math:: s = \min(q + A,\; R\,\Delta t), \qquad q' = q + A - s \ge 0

    Parameters
    ----------
    queue, arrivals : Array, shape (...,)
        Backlog before the slot and what arrives in it [bit].
    rate : Array, shape (...,)
        Data rate in the slot [bit/s].
    slot : float
        Slot length [s].

    Returns
    -------
    backlog, served : Array, shape (...,)
        What waits after the slot, and what was delivered in it [bit] (spec multicell 8.4).
    """
    xp = array_namespace(queue, arrivals, rate)
    offered = queue + arrivals
    served = xp.minimum(offered, rate * slot)
    return offered - served, served


def poisson_count(uniform: Array, mean: Array, /) -> Array:
    r"""Poisson number from a uniform one, by the inverse of the distribution function.

    .. math:: n = \min\{k : u < F(k)\}, \qquad F(k) = \sum_{i=0}^{k} e^{-\mu} \frac{\mu^i}{i!}

    Terms up to :math:`\mu + 10\sqrt\mu + 20` of the largest mean are summed; what lies beyond has a probability
    below 1e-15. A count does not depend on the other elements. The sum is in double precision, whatever the inputs:
    in single precision it may stop short of a uniform number near one.

    Parameters
    ----------
    uniform : Array, shape (...,)
        In [0, 1) [-].
    mean : Array, shape (...,)
        :math:`\mu \ge 0` [-].

    Returns
    -------
    Array, shape (...,), of the dtype of ``mean``
        Whole numbers [-] (DESIGN 7.6).
    """
    xp = array_namespace(uniform, mean)
    dtype = mean.dtype
    uniform, mean = xp.astype(uniform, xp.float64), xp.astype(mean, xp.float64)
    largest = float(xp.max(mean))
    terms = ceil(largest + 10.0 * sqrt(largest) + 20.0)
    k = xp.arange(terms, dtype=xp.float64, device=device(mean))
    log_factorial = xp.cumulative_sum(xp.log(xp.clip(k, min=1.0)))
    positive = mean > 0
    safe = xp.where(positive, mean, xp.ones_like(mean))[..., None]
    cumulative = xp.cumulative_sum(xp.exp(k * xp.log(safe) - safe - log_factorial), axis=-1)
    count = xp.sum(xp.astype(uniform[..., None] >= cumulative, dtype), axis=-1)
    return xp.where(positive, count, xp.zeros_like(count))
