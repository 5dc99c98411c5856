"""What a training reward says about a reward: how much better than the equal allocation, in lanes that differ."""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace

REWARD_SCALE = 5.0
"""Scale of the training reward (spec learning 2)."""
LEAST_RATE = 1e-6
"""Rates below this count as this where they divide [Mbit/s or bit/s/Hz]."""


def relative_reward(earned: Any, equal: Any, *, ratio: bool) -> Any:
    r"""Training reward: positive where an action beats the equal allocation, and only there.

    .. math:: 5\, \frac{r - r_\mathrm{equal}}{\max(r_\mathrm{equal}, 10^{-6})} \quad \text{(rates)}, \qquad
              5\, (r - r_\mathrm{equal}) \quad \text{(all others)}

    Rates have a zero and are compared by ratio, :math:`5 (r/r_\mathrm{equal} - 1)`. Means of logarithms, costs and
    rates less a price have none: their value for the equal allocation may be zero or negative, and a ratio to it
    changes sign where it does.

    Parameters
    ----------
    earned, equal : Array, shape (...,)
        Reward, and that of the equal allocation on the same channel.
    ratio : bool
        Whether the reward is one of rates alone: ``config.ratio_scale``.

    Returns
    -------
    Array, shape (...,)
        Of the sign of ``earned - equal`` (spec learning 2).
    """
    gain = REWARD_SCALE * (earned - equal)
    return gain / array_namespace(equal).clip(equal, min=LEAST_RATE) if ratio else gain
