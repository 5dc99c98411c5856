"""The mesh as a question of counts alone: flat channel, every user spread over the whole band (spec mesh 2, 3.4)."""

from __future__ import annotations

from typing import NamedTuple

from ...types import Array, array_namespace
from .config import Objective

LEAST_VALUE = 1e-12
"""Normalised terms are floored here before the logarithm of the ``log`` objective."""

SHARE_TOLERANCE = 1e-9
"""The largest share may fall short of the least by this before an instance counts as infeasible [-]."""


class CountModel(NamedTuple):
    r"""Counts :math:`n_u \ge 0`, :math:`\sum n_u \le N`, and a share beta.

    .. math:: P_u = \pi_u n_u, \qquad R_u = r_u n_u

    What combs of whole subcarriers approach: each user has the effective bandwidth of the full band.
    """

    information: Array
    """(..., users): pi_u, normalised precision of one subcarrier at beta = 1 [-]."""
    rate: Array
    """(..., users): r_u, rate of one subcarrier at beta = 0 [bit/s]."""
    subcarriers: int
    """N."""
    rate_floor: Array
    """(...,): R* [bit/s]."""
    positioning_weight: Array
    """(...,): rho or mu [-]."""
    rate_scale: Array
    """(...,): R_ref [bit/s]."""
    share_min: float
    """beta_lo."""
    objective: Objective
    """Form of the objective."""

    @property
    def rate_floor_max(self) -> Array:
        r"""Largest rate floor of all users together as beta tends to 0, :math:`N / \sum_u 1/r_u`, (...,) [bit/s]."""
        xp = array_namespace(self.rate)
        return self.subcarriers / xp.sum(1.0 / self.rate, axis=-1)

    @property
    def share_max(self) -> Array:
        r"""Largest share that leaves every user its floor, :math:`\beta_{max} = 1 - R^*/(N/\sum_u 1/r_u)`, (...,)."""
        return 1.0 - self.rate_floor / self.rate_floor_max

    @property
    def feasible(self) -> Array:
        """Whether any share keeps the rate floors, (...,) bool."""
        return self.share_max >= self.share_min - SHARE_TOLERANCE

    def value(self, positioning: Array, mean_rate: Array, share: Array) -> Array:
        """Objective of P, mean rate [bit/s] and beta without a penalty, broadcast."""
        xp = array_namespace(share)
        first, second = share * positioning, (1.0 - share) * mean_rate / _like(self.rate_scale, share)
        weight = _like(self.positioning_weight, share)
        if self.objective == "log":
            first, second = (xp.log(xp.clip(part, min=LEAST_VALUE)) for part in (first, second))
        return weight * first + (1.0 - weight) * second

    def utility(self, counts: Array, share: Array) -> Array:
        """Objective of counts (..., users), fractions allowed, and shares (...,), without a penalty."""
        xp = array_namespace(counts)
        positioning = xp.min(self.information * counts, axis=-1)
        return self.value(positioning, xp.mean(self.rate * counts, axis=-1), share)


def _like(value: Array, other: Array) -> Array:
    """Append axes to (...,) until it broadcasts against an array with more trailing axes."""
    xp = array_namespace(value)
    return xp.reshape(value, (*value.shape, *(1,) * (other.ndim - value.ndim)))
