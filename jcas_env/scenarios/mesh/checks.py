"""What a mesh problem and an allocation must satisfy."""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np

from ...checks import glance, require, require_all, whole_numbers
from ...types import Array, array_namespace, as_array, device, is_array
from .allocation import MeshAllocation
from .subcarriers import assigned_counts, comb_placement

ENDFIRE = 1e-6
"""Sine of an angle below which a linear array has no resolution."""

_POSITIVE = ("subcarrier_spacing", "frame", "uniformity")
_NUMBERS = {
    "rate_floor": ("finite and at least 0", lambda x: x >= 0),
    "positioning_weight": ("in [0, 1]", lambda x: (x >= 0) & (x <= 1)),
    "reference_error": ("finite and positive", lambda x: x > 0),
    "reference_rate": ("finite and positive", lambda x: x > 0),
}


def fit_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """Lists of what is given for every user become arrays."""
    lists = {n: fields[n] for n in ("distance", "aod", "aoa", "snr") if not is_array(fields[n])}
    return fields | {name: np.asarray(value, dtype=float) for name, value in lists.items()}


def check_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields by name, fitted.

    Raises ``ValueError`` that names field, index and value for wrong shapes, signs, NaN, Inf and singular geometry.
    """
    fields = fit_fields(fields)
    _check_scalars(fields)
    _check_users(fields)
    distance = fields["distance"]
    xp, batch = array_namespace(distance), tuple(distance.shape[:-1])
    for name, (rule, holds) in _NUMBERS.items():
        if fields[name] is not None:
            value = xp.asarray(fields[name], dtype=distance.dtype, device=device(distance))
            sizes = zip(value.shape[::-1], batch[::-1], strict=False)
            fits = value.ndim <= len(batch) and all(size in (1, full) for size, full in sizes)
            require(fits, f"`{name}` must be a scalar or broadcast to {batch}, got shape {tuple(value.shape)}")
            require_all(name, value, xp.isfinite(value) & holds(value), rule)
    return fields


def plausible(fields: dict[str, Any]) -> bool:
    """Whether what follows from a state is finite and positive, and no direction along an array's axis, at a glance."""
    xp = array_namespace(fields["distance"])
    directions = (abs(xp.sin(fields[name])) - ENDFIRE for name in ("aod", "aoa"))
    positive = (fields[name] for name in ("distance", "snr", "reference_error", "reference_rate"))
    floor = as_array(fields["rate_floor"], fields["distance"])
    least, most = glance((*positive, *directions, 1.0 + floor))
    return bool(least > 0) and bool(most < inf)


def _check_users(fields: dict[str, Any]) -> None:
    """Shapes and ranges of what is given for every user."""
    xp = array_namespace(fields["distance"])
    shape = tuple(fields["distance"].shape)
    require(len(shape) >= 1, f"`distance` must end in an axis of users, got shape {shape}")
    require(min(shape) > 0, f"`distance` must hold at least one frame and one user, got shape {shape}")
    for name in ("aod", "aoa"):
        got = tuple(fields[name].shape)
        require(got == shape, f"`{name}` must have the shape {shape} of `distance`, got {got}")
    got, wide = tuple(fields["snr"].shape), (*shape, fields["subcarriers"])
    require(got in (shape, wide), f"`snr` must have shape {shape}, or {wide} where it is selective, got {got}")
    for name in ("distance", "snr"):
        value = fields[name]
        rule = "finite and positive" + (", a user at the anchor has no direction" if name == "distance" else "")
        require_all(name, value, xp.isfinite(value) & (value > 0), rule)
    for name in ("aod", "aoa"):
        good = xp.isfinite(fields[name]) & (xp.abs(xp.sin(fields[name])) > ENDFIRE)
        require_all(name, fields[name], good, "finite and away from the array's axis, which it cannot resolve")


def _check_scalars(fields: dict[str, Any]) -> None:
    """Kinds and ranges of the plain numbers and words."""
    for name, least in (("subcarriers", 2), ("tx_antennas", 2), ("rx_antennas", 2), ("least_subcarriers", 0)):
        value = fields[name]
        ok = isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= least
        why = ", one element has no direction" if name.endswith("antennas") else ""
        require(bool(ok), f"`{name}` must be an integer of at least {least}{why}, got {value!r}")
    for name in _POSITIVE:
        value = fields[name]
        require(bool(np.isfinite(value)) and value > 0, f"`{name}` must be finite and positive, got {value!r}")
    for name in ("networking_time", "penalty"):
        value = fields[name]
        require(bool(np.isfinite(value)) and value >= 0, f"`{name}` must be finite and at least 0, got {value!r}")
    split, share, objective = fields["beam_split"], fields["share_min"], fields["objective"]
    require(0 < split < 1, f"`beam_split` must lie in (0, 1), or the information is singular, got {split!r}")
    require(0 < share < 0.5, f"`share_min` must lie in (0, 0.5), got {share!r}")
    require(objective in ("sum", "log"), f"`objective` must be sum or log, got {objective!r}")
    users, least, total = np.shape(fields["distance"])[-1:], fields["least_subcarriers"], fields["subcarriers"]
    need = least * (users[0] if users else 1)
    require(total >= need, f"`subcarriers` must be at least {need}, {least} for every user, got {total}")


def check_allocation(allocation: MeshAllocation, *, like: Array, subcarriers: int) -> MeshAllocation:
    """Return an allocation of whole subcarriers as arrays, with a comb where none is given.

    Of the kind and batch of ``like`` (..., users), at most ``subcarriers`` together. Raises ``ValueError`` for a wrong
    shape, for NaN, Inf, fractions and negative entries, for an assignment that is not of the counts, and for more
    subcarriers than there are; it names the entry.
    """
    xp = array_namespace(like)
    *batch, users = like.shape
    place = {"dtype": like.dtype, "device": device(like)}
    counts = xp.asarray(allocation.counts, **place)
    share = xp.asarray(allocation.positioning_share, **place)
    _require_shape("counts", counts, (*batch, users))
    _require_shape("positioning_share", share, tuple(batch))
    good = xp.isfinite(counts) & (counts >= 0) & (counts == xp.round(counts))
    require_all("allocation.counts", counts, good, "a whole number of at least 0")
    good = xp.isfinite(share) & (share >= 0) & (share <= 1)
    require_all("allocation.positioning_share", share, good, "in [0, 1]")
    total = xp.sum(counts, axis=-1)
    rule = f"at most {subcarriers} subcarriers together"
    require_all("allocation.counts, summed over users,", total, total <= subcarriers, rule)
    if allocation.assignment is None:
        return MeshAllocation(counts, comb_placement(counts, total=subcarriers), share)
    assignment = whole_numbers("allocation.assignment", allocation.assignment, like)
    _require_shape("assignment", assignment, (*batch, subcarriers))
    good = (assignment >= -1) & (assignment < users)
    require_all("allocation.assignment", assignment, good, f"a user below {users}, or -1")
    same = xp.astype(assigned_counts(assignment, users=users), counts.dtype) == counts
    require_all("allocation.counts", counts, same, "the number of subcarriers in `allocation.assignment`")
    return MeshAllocation(counts, assignment, share)


def _require_shape(name: str, value: Array, expected: tuple[int, ...]) -> None:
    shape = tuple(value.shape)
    require(shape == expected, f"`allocation.{name}` must have shape {expected}, got {shape}")
