r"""What a policy sees: pairwise gains, who shares what, and physics features of every user (spec learning 1).

Every number is known (estimated) and finite. Logarithms are of noise-normalised powers
:math:`x = P G / (N_0 B_{\max})` with 1e-12 added, mapped by :math:`(\log_{10} x + 1.5)/6`: 0 dB stands at 0.25,
-90 dB at -1.25. Values are clipped to ``[-LIMIT, LIMIT]``, which no sensible scene reaches.

"Equal allocation" is share 1/2, equal power per user, band in proportion to the size of a group.
"""

from __future__ import annotations

from math import log

from ...physics.rates import spectral_efficiency, unit_powers
from ...types import COMMUNICATION, POSITIONING, Array, array_namespace, device
from ..scenario import ArraySpec
from .config import MultiCellConfig
from .problem.backlog import slots_of_arrivals
from .problem.problem import MultiCellProblem

LIMIT = 4.0
"""Bound of every observed number in absolute value."""

FEATURES = (
    "signal",
    "in_group_and_noise",
    "intercell",
    "leakage_out",
    "leakage_own_group",
    "sinr",
    "rate",
    "positioning_rate",
    "sensing_gain",
    "group_size",
    "group_share",
    "group_rate",
    "group_positioning_rate",
    "group_both_rates",
    "csi_error",
)
"""Columns of ``users``; see :func:`user_features`."""

QUEUE_FEATURES = ("backlog", "arrival_rate", "backlog_over_rate", "group_need", "waited")
"""Further columns of ``users``, and of a user's part of the flat view, where there are queues; see
:func:`queue_features`."""

FLAT_FEATURES = (
    "signal",
    "in_group",
    "intercell",
    "leakage_out",
    "sinr",
    "rate",
    "positioning_rate",
    "sensing_gain",
    "group_size",
    "group_both_rates",
)
"""Columns of a user's part of the flat view, before the one-hot of its group (DESIGN 7.11)."""

RATE_SCALE = 20.0
"""Spectral efficiency that maps to 1 [bit/s/Hz]."""
NEED_OFFSET, NEED_SCALE = 1e-3, 3.0
"""``group_need`` is log10(need + offset)/scale."""


def log_scale(value: Array) -> Array:
    """Noise-normalised power to roughly [-1, 1]; any shape."""
    xp = array_namespace(value)
    # The natural logarithm, which libraries compute for several numbers at a time.
    return xp.log(value + 1e-12) * (1.0 / (6.0 * log(10.0))) + 0.25


def noise_normalised_gain(problem: MultiCellProblem) -> Array:
    r"""Received power of each beam at each user at equal allocation over the noise of the band.

    .. math:: g_{jm} = \frac{G_{jm}}{N_0 B_{\max}} \frac{P_{\max}}{2 N_{i(m)}}

    Returns (..., users, users), receiver first [-].
    """
    power = problem.per_user(problem.power_budget) / (2.0 * problem.crowd)
    noise = problem.per_user(problem.noise_density) * problem.per_user(problem.band_budget)
    return problem.gain * power[..., None, :] / noise[..., :, None]


def user_features(problem: MultiCellProblem, gain: Array | None = None) -> dict[str, Array]:
    """Physics features of every user at equal allocation, each (..., users).

    ``gain`` is that of :func:`noise_normalised_gain`, where it is at hand.

    ========================= ==========================================================================
    signal                    own received power, :func:`log_scale`
    in_group                  interference from the own group, :func:`log_scale`
    in_group_and_noise        the same plus the noise of the group's band
    intercell                 interference from other cells in the group's band
    leakage_out               own beam at the users of other cells, summed
    leakage_own_group         own beam at the other users of the group, summed
    sinr                      signal to interference plus noise ratio
    rate, positioning_rate    spectral efficiency of each service over ``RATE_SCALE``
    sensing_gain              kappa, :func:`log_scale`
    group_size                log2 of the number of users in the group over 4
    group_share               group size over users in the cell
    group_rate (also          sum of the group's spectral efficiencies over that of the cell, which is
    group_positioning_rate)   the group's sum against the cell's mean, per user of the cell
    group_both_rates          sum of the group's efficiencies of both services over 5 ``RATE_SCALE``
    ========================= ==========================================================================
    """
    xp = array_namespace(problem.gain)
    gain = noise_normalised_gain(problem) if gain is None else gain
    signal = xp.linalg.diagonal(gain)
    in_group, others, leaks_out, leaks_in = unit_powers(gain, problem.cell, problem.group)
    band = problem.group_size / (2.0 * problem.crowd)  # of B_max, for each service
    intercell = band * (2.0 * others)
    in_group_and_noise = in_group + band
    sinr = signal / (in_group_and_noise + intercell)
    rate = spectral_efficiency(sinr)
    positioning = 0.5 * spectral_efficiency(problem.sensing_gain * sinr)
    both = xp.stack([rate, positioning], axis=-1)
    group_sum = xp.astype(problem.mates, gain.dtype) @ both
    of_cell = xp.astype(problem.same_cell, gain.dtype) @ both
    of_group = group_sum / (of_cell + 1e-12)
    powers = {
        "signal": signal,
        "in_group": in_group,
        "in_group_and_noise": in_group_and_noise,
        "intercell": intercell,
        "leakage_out": leaks_out,
        "leakage_own_group": leaks_in - signal,
        "sinr": sinr,
        "sensing_gain": problem.sensing_gain,
        "csi_error": xp.zeros_like(signal) if problem.csi_error is None else problem.csi_error,
    }
    scaled = log_scale(xp.stack(list(powers.values())))  # one logarithm instead of nine
    return {
        **{name: scaled[index, ...] for index, name in enumerate(powers)},
        "rate": rate / RATE_SCALE,
        "positioning_rate": positioning / RATE_SCALE,
        "group_size": xp.log2(problem.group_size) / 4.0,
        "group_share": problem.group_size / problem.crowd,
        "group_rate": of_group[..., COMMUNICATION],
        "group_positioning_rate": of_group[..., POSITIONING],
        "group_both_rates": xp.sum(group_sum, axis=-1) / (5.0 * RATE_SCALE),
    }


def queue_features(problem: MultiCellProblem, efficiency: Array) -> dict[str, Array]:
    r"""Queue features of every user, each (..., users); ``efficiency`` is that of :func:`user_features` [bit/s/Hz].

    With :math:`\bar q_u = \log_{10}(q_u + 0.01)/2` for counts of slots, 1 at a hundred of them:

    ================== ===============================================================================
    backlog            :math:`q_u/(\lambda_u \Delta t)`, slots of arrivals
    arrival_rate       :math:`\lambda_u N_i/B_{\max}` on the same scale, [bit/s/Hz] for all of the cell's band
    backlog_over_rate  slots to serve the backlog at the equal allocation's rate
    group_need         largest :math:`q_u/(e_u B_{\max} \Delta t/2)` of the group, the slots for which it needs a
                       service's whole band; log10 with 1e-3 added, over 3
    waited             log2(1 + slots since a slot's arrivals, or all there was, were delivered) over 4
    ================== ===============================================================================
    """
    xp = array_namespace(problem.gain)
    band = problem.per_user(problem.band_budget)
    need = problem.queue / (xp.clip(efficiency, min=1e-6) * (0.5 * problem.slot * band))
    waited = xp.zeros_like(need) if problem.waited is None else problem.waited
    largest = xp.max(xp.where(problem.mates, need[..., None, :], xp.zeros_like(problem.gain)), axis=-1)
    return {
        "backlog": _slot_scale(slots_of_arrivals(problem.queue, problem.mean_arrivals)),
        "arrival_rate": _slot_scale(problem.mean_arrivals / problem.slot * problem.crowd / band),
        "backlog_over_rate": _slot_scale(need * problem.crowd / problem.group_size),
        "group_need": xp.log10(largest + NEED_OFFSET) / NEED_SCALE,
        "waited": xp.log2(1.0 + waited) / 4.0,
    }


def _slot_scale(slots: Array) -> Array:
    """Numbers of slots, roughly 0.01 to 100, to [-1, 1]."""
    xp = array_namespace(slots)
    return xp.log10(slots + 0.01) / 2.0


def _with_queues(problem: MultiCellProblem, features: dict[str, Array], names: tuple[str, ...]) -> Array:
    """Some features of every user and, where there are queues, those of its queue: (..., users, columns)."""
    xp = array_namespace(problem.gain)
    columns = [features[name] for name in names]
    if problem.arrival_rate is not None:
        queues = queue_features(problem, RATE_SCALE * features["rate"])
        columns += [queues[name] for name in QUEUE_FEATURES]
    return xp.stack(columns, axis=-1)


def last_share(problem: MultiCellProblem) -> Array:
    """Positioning share of the power on the air in the last slot, (..., cells); 0 of none, in a cell without users."""
    communication, positioning = (problem.cell_sum(problem.last_power[..., s, :]) for s in (COMMUNICATION, POSITIONING))
    spent = communication + positioning
    return positioning / array_namespace(spent).where(spent > 0, spent, 1.0)


def observe(config: MultiCellConfig, problem: MultiCellProblem) -> Array | dict[str, Array]:
    """What a policy sees of the known problem, in the configured form (spec learning 1)."""
    return flat(problem, most_labels(config)) if config.observation == "flat" else structured(problem)


def structured(problem: MultiCellProblem) -> dict[str, Array]:
    """Dict observation, as :func:`spec` lists its parts."""
    xp = array_namespace(problem.gain)
    gain = noise_normalised_gain(problem)
    features = user_features(problem, gain)
    crowd = problem.cell_sum(xp.ones_like(problem.leakage))
    groups = problem.cell_sum(1.0 / problem.group_size)
    cells = [groups / xp.maximum(crowd, xp.ones_like(crowd)), xp.minimum(problem.least_share, 1.0), last_share(problem)]
    parts = {
        "cell": problem.same_cell,
        "cells": xp.stack(cells, axis=-1),
        "gains": log_scale(gain),
        "group": problem.mates,
        "users": _with_queues(problem, features, FEATURES),
    }
    return {name: _bounded(part) for name, part in parts.items()}


def flat(problem: MultiCellProblem, labels: int) -> Array:
    """One vector for MLPs: per user ``FLAT_FEATURES``, with queues ``QUEUE_FEATURES``, and a one-hot of the group.

    (..., users * (10 + labels)), or users * (15 + labels).
    """
    xp = array_namespace(problem.gain)
    features = user_features(problem)
    scalars = _with_queues(problem, features, FLAT_FEATURES)
    label = xp.arange(labels, dtype=problem.group.dtype, device=device(problem.group))
    hot = xp.astype(problem.group[..., None] == label, scalars.dtype)
    rows = xp.concat([scalars, hot], axis=-1)
    return _bounded(xp.reshape(rows, (*rows.shape[:-2], rows.shape[-2] * rows.shape[-1])))


def _bounded(value: Array) -> Array:
    xp = array_namespace(value)
    if xp.isdtype(value.dtype, "bool"):
        return xp.astype(value, xp.float32)
    # xp.clip takes six times as long to start.
    return xp.astype(xp.minimum(xp.maximum(value, -LIMIT), LIMIT), xp.float32)


def most_labels(config: MultiCellConfig) -> int:
    """Largest possible number of groups in a cell."""
    return config.users_per_cell if config.assignment == "geometric" else config.users


def spec(config: MultiCellConfig) -> ArraySpec | dict[str, ArraySpec]:
    """Shapes and bounds of the observation.

    ``cell`` (U, U): 1 where two users share the cell. ``cells`` (C, 3): groups per user of the cell, least share of a
    service (1 where more would be needed), last positioning share. ``gains`` (U, U): log-scaled noise-normalised gain
    of beam m (column) at user j (row). ``group`` (U, U): 1 where two users share cell and group. ``users`` (U, 15):
    ``FEATURES``, followed by ``QUEUE_FEATURES`` (U, 20) where there are queues. In this order, Gymnasium's own, a
    wrapper flattens them.
    """
    users, queues = config.users, len(QUEUE_FEATURES) if config.has_queues else 0
    if config.observation == "flat":
        return ArraySpec((users * (len(FLAT_FEATURES) + queues + most_labels(config)),), -LIMIT, LIMIT)
    return {
        "cell": ArraySpec((users, users), 0.0, 1.0),
        "cells": ArraySpec((config.cells, 3), 0.0, 1.0),
        "gains": ArraySpec((users, users), -LIMIT, LIMIT),
        "group": ArraySpec((users, users), 0.0, 1.0),
        "users": ArraySpec((users, len(FEATURES) + queues), -LIMIT, LIMIT),
    }
