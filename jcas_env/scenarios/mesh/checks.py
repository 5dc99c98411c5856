"""What a mesh problem and an allocation must satisfy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from array_api_compat import array_namespace, device

from ...checks import require, require_all
from ...types import Array, is_array
from .allocation import MeshAllocation
from .subcarriers import assigned_counts, comb_placement

if TYPE_CHECKING:
    from .problem import MeshProblem

ENDFIRE = 1e-6
"""Sine of an angle below which a linear array has no resolution."""

_POSITIVE = ("subcarrier_spacing", "frame", "uniformity")
_NUMBERS = {
    "rate_floor": ("finite and at least 0", lambda x: x >= 0),
    "positioning_weight": ("in [0, 1]", lambda x: (x >= 0) & (x <= 1)),
    "reference_error": ("finite and positive", lambda x: x > 0),
    "reference_rate": ("finite and positive", lambda x: x > 0),
}


def check_problem(problem: MeshProblem) -> None:
    """Turn lists into arrays; raise ``ValueError`` for wrong shapes, signs, NaN, Inf and singular geometry."""
    for name in ("distance", "aod", "aoa", "snr"):
        value = getattr(problem, name)
        if not is_array(value):
            object.__setattr__(problem, name, np.asarray(value, dtype=float))
    _check_scalars(problem)
    xp = array_namespace(problem.distance)
    shape = tuple(problem.distance.shape)
    require(len(shape) >= 1, f"`distance` must end in an axis of users, got shape {shape}")
    require(min(shape) > 0, f"`distance` must hold at least one frame and one user, got shape {shape}")
    for name in ("aod", "aoa"):
        got = tuple(getattr(problem, name).shape)
        require(got == shape, f"`{name}` must have the shape {shape} of `distance`, got {got}")
    got, wide = tuple(problem.snr.shape), (*shape, problem.subcarriers)
    require(got in (shape, wide), f"`snr` must have shape {shape}, or {wide} where it is selective, got {got}")
    for name in ("distance", "snr"):
        value = getattr(problem, name)
        rule = "finite and positive" + (", a user at the anchor has no direction" if name == "distance" else "")
        require_all(name, value, xp.isfinite(value) & (value > 0), rule)
    for name in ("aod", "aoa"):
        value = getattr(problem, name)
        good = xp.isfinite(value) & (xp.abs(xp.sin(value)) > ENDFIRE)
        require_all(name, value, good, "finite and away from the array's axis, which it cannot resolve")
    for name, (rule, holds) in _NUMBERS.items():
        value = getattr(problem, name)
        if value is not None:
            value = xp.asarray(value, dtype=problem.distance.dtype, device=device(problem.distance))
            sizes = zip(value.shape[::-1], shape[:-1][::-1], strict=False)
            ok = value.ndim <= len(shape) - 1 and all(a in (1, b) for a, b in sizes)
            require(bool(ok), f"`{name}` must be a scalar or broadcast to {shape[:-1]}, got shape {tuple(value.shape)}")
            require_all(name, value, xp.isfinite(value) & holds(value), rule)


def _check_scalars(problem: MeshProblem) -> None:
    for name, least in (("subcarriers", 2), ("tx_antennas", 2), ("rx_antennas", 2), ("least_subcarriers", 0)):
        value = getattr(problem, name)
        ok = isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= least
        why = ", one element has no direction" if name.endswith("antennas") else ""
        require(bool(ok), f"`{name}` must be an integer of at least {least}{why}, got {value!r}")
    for name in _POSITIVE:
        value = getattr(problem, name)
        require(bool(np.isfinite(value)) and value > 0, f"`{name}` must be finite and positive, got {value!r}")
    for name in ("networking_time", "penalty"):
        value = getattr(problem, name)
        require(bool(np.isfinite(value)) and value >= 0, f"`{name}` must be finite and at least 0, got {value!r}")
    split, share = problem.beam_split, problem.share_min
    require(0 < split < 1, f"`beam_split` must lie in (0, 1), or the information is singular, got {split!r}")
    require(0 < share < 0.5, f"`share_min` must lie in (0, 0.5), got {share!r}")
    require(problem.objective in ("sum", "log"), f"`objective` must be sum or log, got {problem.objective!r}")
    users = np.shape(problem.distance)[-1:]
    need = problem.least_subcarriers * (users[0] if users else 1)
    require(
        problem.subcarriers >= need,
        f"`subcarriers` must be at least {need}, {problem.least_subcarriers} for every user, got {problem.subcarriers}",
    )


def check_allocation(allocation: MeshAllocation, problem: MeshProblem) -> MeshAllocation:
    """Return an allocation of whole subcarriers as arrays of the problem's kind, with a comb where none is given.

    Raises ``ValueError`` for a wrong shape, for NaN, Inf, fractions and negative entries, for an assignment that is not
    of the counts, and for more subcarriers than there are; it names the entry.
    """
    xp = array_namespace(problem.distance)
    place = {"dtype": problem.distance.dtype, "device": device(problem.distance)}
    counts = xp.asarray(allocation.counts, **place)
    share = xp.asarray(allocation.positioning_share, **place)
    _require_shape("counts", counts, (*problem.batch, problem.users))
    _require_shape("positioning_share", share, problem.batch)
    good = xp.isfinite(counts) & (counts >= 0) & (counts == xp.round(counts))
    require_all("allocation.counts", counts, good, "a whole number of at least 0")
    good = xp.isfinite(share) & (share >= 0) & (share <= 1)
    require_all("allocation.positioning_share", share, good, "in [0, 1]")
    total = xp.sum(counts, axis=-1)
    rule = f"at most {problem.subcarriers} subcarriers together"
    require_all("allocation.counts, summed over users,", total, total <= problem.subcarriers, rule)
    if allocation.assignment is None:
        return MeshAllocation(counts, comb_placement(counts, total=problem.subcarriers), share)
    assignment = xp.asarray(allocation.assignment, dtype=xp.int64, device=device(problem.distance))
    _require_shape("assignment", assignment, (*problem.batch, problem.subcarriers))
    good = (assignment >= -1) & (assignment < problem.users)
    require_all("allocation.assignment", assignment, good, f"a user below {problem.users}, or -1")
    same = xp.astype(assigned_counts(assignment, users=problem.users), counts.dtype) == counts
    require_all("allocation.counts", counts, same, "the number of subcarriers in `allocation.assignment`")
    return MeshAllocation(counts, assignment, share)


def _require_shape(name: str, value: Array, expected: tuple[int, ...]) -> None:
    shape = tuple(value.shape)
    require(shape == expected, f"`allocation.{name}` must have shape {expected}, got {shape}")
