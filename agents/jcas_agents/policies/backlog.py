"""The middle of the delay task's policy: bands in proportion to what the groups still need."""

from __future__ import annotations

from math import log

from array_api_compat import array_namespace

from jcas_env.scenarios.multicell.observation import FEATURES, NEED_SCALE, QUEUE_FEATURES
from jcas_env.types import Array

NEED = len(FEATURES) + QUEUE_FEATURES.index("group_need")
"""Column of ``users`` that holds the need of the user's group."""


def backlog_logits(users: Array, mates: Array, neighbours: Array) -> Array:
    r"""Logits of bands in proportion to the groups' needs, around which a policy can learn a residual.

    .. math:: z_u^{\mathrm{band}, C} = \ln(n_g + 10^{-3}) - \ln N_g - \text{mean of the cell}

    The decoder adds the members' shares of a group, so that these logits give :math:`b_g \propto n_g`, up to the
    offset and the bounds of an action (spec learning 2, :class:`jcas_baselines.BacklogProportional`).

    Parameters
    ----------
    users : Array, shape (..., users, features)
        Observed features with those of the queues.
    mates, neighbours : Array, shape (..., users, users)
        1 where two users share group and cell, or the cell.

    Returns
    -------
    Array, shape (..., users, 4)
        In the order of an action's logits; zero for power and positioning.
    """
    xp = array_namespace(users)
    need = log(10.0) * NEED_SCALE * users[..., NEED] - xp.log(xp.sum(mates, axis=-1))
    mean = (neighbours @ need[..., None])[..., 0] / xp.sum(neighbours, axis=-1)
    nothing = xp.zeros_like(need)
    return xp.stack([nothing, nothing, need - mean, nothing], axis=-1)
