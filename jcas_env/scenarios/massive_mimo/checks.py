"""What a massive MIMO problem and an allocation must satisfy."""

from __future__ import annotations

from math import inf
from typing import Any, get_args

import numpy as np

from ...checks import first_bad_entry, glance, require
from ...types import Array, array_namespace, as_array, at_hand, is_array
from .allocation import MassiveMIMOAllocation
from .config import Objective, Reward

_POSITIVE = "positive and finite"
_PER_FRAME = {
    "noise_power": _POSITIVE,
    "echo_noise": _POSITIVE,
    "power_budget": "finite and at least 0",
    "crb_limit": "positive",
    "target_angle": "finite",
    "beam_angle": "finite",
    "prior_variance": "at least 0",
    "variance_limit": "positive",
}
_PER_USER = {
    "large_scale_gain": _POSITIVE,
    "estimate_variance": _POSITIVE,
    "weight": "finite and at least 0",
    "rate_floor": "finite and at least 0",
}
_PER_PAIR = {"pilot_overlap": "finite and at least 0"}
"""Rules of the fields that are given once a frame, for each user and for each pair of them."""


def _holds(rule: str, value: Array) -> Array:
    """Whether each entry keeps a rule of the tables above; NaN keeps none."""
    xp = array_namespace(value)
    sign = value > 0 if rule.startswith("positive") else value >= 0 if "at least 0" in rule else ~xp.isnan(value)
    return sign & xp.isfinite(value) if "finite" in rule else sign


def require_rule(name: str, value: Array, rule: str) -> None:
    """Raise ``ValueError`` that names the first entry that breaks a rule; without an index if it is alone.

    Values on a device are not looked at.
    """
    good = _holds(rule, value)
    if at_hand(good) and not array_namespace(value).all(good):
        index, entry = first_bad_entry(value, ~good)
        raise ValueError(f"`{name}` must be {rule}, got {name}{list(index) or ''} = {entry}")


def _fitted(name: str, value: Any, like: Array, shape: tuple[int, ...]) -> Array:
    """A number or array as an array of the full shape; raises ``ValueError`` if it does not broadcast."""
    if type(value) is type(like) and value.dtype == like.dtype and value.shape == shape:
        return value
    value = as_array(value, like)
    if value.shape == shape:
        return value
    try:
        fits = np.broadcast_shapes(tuple(value.shape), shape) == shape
    except ValueError:
        fits = False
    require(fits, f"`{name}` must be a number or broadcast to {shape}, got shape {tuple(value.shape)}")
    return array_namespace(like).broadcast_to(value, shape)


def fitted_field(name: str, value: Any, gain: Array) -> Array:
    """A field (...,) of a problem with ``large_scale_gain``."""
    return _fitted(name, value, gain, tuple(gain.shape[:-1]))


def fit_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """Every field as an array of the batch's shape, in the kind of ``large_scale_gain``.

    The beam points at the target where no angle is given, and then both are the same array.
    """
    gain = fields["large_scale_gain"]
    gain = gain if is_array(gain) else np.asarray(gain, dtype=float)
    shape = tuple(gain.shape)
    require(len(shape) >= 1, f"`large_scale_gain` needs a users axis, got {shape}")
    together = fields["beam_angle"] is None or fields["beam_angle"] is fields["target_angle"]
    weight = 1.0 if fields["weight"] is None else fields["weight"]
    fitted = fields | {"large_scale_gain": gain, "weight": weight}
    for names, full in ((_PER_USER, shape), (_PER_FRAME, shape[:-1]), (_PER_PAIR, (*shape, shape[-1]))):
        for name in names:
            if name == "beam_angle" and together:
                fitted[name] = fitted["target_angle"]
            elif name not in _PER_PAIR or fitted[name] is not None:  # a number that is missing is NaN, and refused
                fitted[name] = _fitted(name, fitted[name], gain, full)
    return fitted


def check_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields by name, fitted; raises ``ValueError`` that names field, index and value for what cannot be meant."""
    fields = fit_fields(fields)
    gain = fields["large_scale_gain"]
    shape = tuple(gain.shape)
    require(min(shape) > 0, f"`large_scale_gain` must hold at least one frame and one user, got shape {shape}")
    real = array_namespace(gain).isdtype(gain.dtype, "real floating")
    require(real, f"`large_scale_gain` must hold real numbers, got {gain.dtype}")
    for name in ("tx_antennas", "rx_antennas"):
        count = fields[name]
        ok = isinstance(count, int | np.integer) and not isinstance(count, bool) and count >= 1
        require(bool(ok), f"`{name}` must be a positive integer, got {count!r}")
    factor, penalty = fields["rate_factor"], fields["penalty"]
    require(0 < factor <= 1, f"`rate_factor` must lie in (0, 1], got {factor!r}")
    require(0 <= penalty < inf, f"`penalty` must be finite and at least 0, got {penalty!r}")
    for name, kinds in (("reward", get_args(Reward)), ("objective", get_args(Objective))):
        require(fields[name] in kinds, f"`{name}` must be one of {kinds}, got {fields[name]!r}")
    for name, rule in (_PER_USER | _PER_FRAME | _PER_PAIR).items():
        if fields[name] is not None:
            require_rule(name, fields[name], rule)
    return fields


def plausible(fields: dict[str, Any]) -> bool:
    """Whether what follows from a state is finite and positive, at a glance; of angles and floors, 1 + |x|."""
    finite = ("large_scale_gain", "estimate_variance", "noise_power", "echo_noise", "power_budget", "prior_variance")
    angle, beam = fields["target_angle"], fields["beam_angle"]
    signed = (angle, fields["rate_floor"]) if angle is beam else (angle, beam, fields["rate_floor"])
    limits = (fields["crb_limit"], fields["variance_limit"])
    least, most = glance([*(fields[name] for name in finite), *(1.0 + abs(value) for value in signed)], limits)
    return bool(least > 0) and bool(most < inf)


def worst_violation(
    allocation: MassiveMIMOAllocation, *, power_budget: Array, tx_antennas: int, total: Array | None = None
) -> Array:
    r"""Excess of the radiated power over the budget, relative to it, and negative powers likewise.

    .. math:: \max\Big(0,\; \frac{N_t S}{P_t} - 1,\; -\frac{N_t p_k}{P_t},\; -\frac{N_t T}{P_t}\Big)

    The demand on the bound and the rate floors are no constraints of the air: what they cost, the reward says, and a
    solver its status (spec mimo 7).

    Parameters
    ----------
    allocation : MassiveMIMOAllocation
    power_budget : Array, shape (...,)
        P_t [W].
    tx_antennas : int
        N_t.
    total : Array, shape (...,), optional
        S, where it is at hand [W].

    Returns
    -------
    Array, shape (...,)
        Zero where feasible, NaN for a NaN allocation [-]; of the power itself where the budget is zero.
    """
    xp = array_namespace(power_budget, allocation.power)
    scale = xp.where(power_budget > 0, power_budget, 1.0)
    total = xp.sum(allocation.power, axis=-1) + allocation.sensing_power if total is None else total
    excess = tx_antennas * total - power_budget
    negative = -tx_antennas * xp.minimum(xp.min(allocation.power, axis=-1), allocation.sensing_power)
    worst = xp.maximum(excess, negative) / scale
    return xp.maximum(worst, 0.0)


def check_allocation(allocation: MassiveMIMOAllocation, *, like: Array) -> MassiveMIMOAllocation:
    """Return an allocation as arrays of the kind and batch of ``like`` (..., users).

    Raises ``ValueError`` for a wrong shape, and for NaN, Inf or a negative entry, which it names.
    """
    parts = {}
    for name, expected in (("power", tuple(like.shape)), ("sensing_power", tuple(like.shape[:-1]))):
        value = as_array(getattr(allocation, name), like)
        shape = tuple(value.shape)
        require(shape == expected, f"`allocation.{name}` must have shape {expected}, got {shape}")
        require_rule(f"allocation.{name}", value, "finite and at least 0")
        parts[name] = value
    return MassiveMIMOAllocation(**parts)
