r"""What a policy sees of a frame (spec mesh 6): float32, finite, inside ``[-LIMIT, LIMIT]``.

Per user: ratio of signal to noise, distance, cosines of both angles, information and rate of a subcarrier; for the
frame: rate floor over the reference rate and the largest feasible share, clipped to [-1, 1].
"""

from __future__ import annotations

from ...types import Array, array_namespace
from ..decoding import bounded
from ..scenario import ArraySpec
from .config import MeshConfig
from .problem import MeshProblem

LIMIT = 4.0
"""Bound of every observed number in absolute value."""

FEATURES = ("snr", "distance", "aod_cos", "aoa_cos", "information", "rate")
"""Columns of ``users``; see :func:`user_features`."""

FRAME_FEATURES = ("rate_floor", "share_max")
"""Entries of ``frame``."""


def user_features(problem: MeshProblem) -> dict[str, Array]:
    r"""Features of every user, each (..., users), roughly in [-1, 1].

    ============ ====================================================================================
    snr          log10 of the mean ratio over the band, less 3, over 2: 30 dB stands at 0
    distance     d / 20 m
    aod_cos      cos(theta)
    aoa_cos      cos(phi)
    information  log10(N pi_u / U), zero where an equal share has the reference's precision, over 2
    rate         r_u N / (U R_ref): rate of an equal share over the mean
    ============ ====================================================================================
    """
    xp = array_namespace(problem.distance)
    model = problem.count_model
    snr = xp.mean(problem.snr, axis=-1) if problem.selective else problem.snr
    equal = problem.subcarriers / problem.users
    return {
        "snr": (xp.log10(snr) - 3.0) / 2.0,
        "distance": problem.distance / 20.0,
        "aod_cos": xp.cos(problem.aod),
        "aoa_cos": xp.cos(problem.aoa),
        "information": xp.log10(equal * model.information + 1e-12) / 2.0,
        "rate": equal * model.rate / model.rate_scale[..., None],
    }


def observe(config: MeshConfig, problem: MeshProblem) -> Array | dict[str, Array]:
    """What a policy sees of the problem, in the configured form (spec mesh 6)."""
    return flat(problem) if config.observation == "flat" else structured(problem)


def structured(problem: MeshProblem) -> dict[str, Array]:
    """Dict observation: ``frame`` (..., 2) and ``users`` (..., users, 6)."""
    xp = array_namespace(problem.distance)
    features, model = user_features(problem), problem.count_model
    frame = [model.rate_floor / model.rate_scale, bounded(model.share_max, -1.0, 1.0)]
    return {
        "frame": _bounded(xp.stack(frame, axis=-1)),
        "users": _bounded(xp.stack([features[name] for name in FEATURES], axis=-1)),
    }


def flat(problem: MeshProblem) -> Array:
    """One vector for MLPs: the users' features, user by user, then those of the frame, (..., 6 users + 2)."""
    xp = array_namespace(problem.distance)
    parts = structured(problem)
    rows = parts["users"]
    return xp.concat([xp.reshape(rows, (*rows.shape[:-2], -1)), parts["frame"]], axis=-1)


def _bounded(value: Array) -> Array:
    xp = array_namespace(value)
    return xp.astype(bounded(value, -LIMIT, LIMIT), xp.float32)


def spec(config: MeshConfig) -> ArraySpec | dict[str, ArraySpec]:
    """Shapes and bounds of the observation: ``frame`` (2) and ``users`` (U, 6), or one vector (6 U + 2)."""
    if config.observation == "flat":
        return ArraySpec((len(FEATURES) * config.users + len(FRAME_FEATURES),), -LIMIT, LIMIT)
    return {
        "frame": ArraySpec((len(FRAME_FEATURES),), -LIMIT, LIMIT),
        "users": ArraySpec((config.users, len(FEATURES)), -LIMIT, LIMIT),
    }
