"""What a massive MIMO problem and an allocation must satisfy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from array_api_compat import array_namespace

from ...checks import first_bad_entry, require
from ...types import Array, as_array, is_array
from .allocation import MassiveMIMOAllocation
from .config import Objective, Reward

if TYPE_CHECKING:
    from .problem import MassiveMIMOProblem

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


def _holds(rule: str, value: Array) -> Array:
    xp = array_namespace(value)
    sign = value > 0 if rule.startswith("positive") else value >= 0 if "at least 0" in rule else value == value  # noqa: PLR0124
    return sign & xp.isfinite(value) if "finite" in rule else sign


def require_rule(name: str, value: Array, rule: str) -> None:
    """Raise ``ValueError`` that names the first entry that breaks a rule."""
    good = _holds(rule, value)
    if not array_namespace(value).all(good):
        index, entry = first_bad_entry(value, ~good)
        raise ValueError(f"`{name}` must be {rule}, got {name}{list(index) or ''} = {entry}")


def _fitted(name: str, value: Any, like: Array, shape: tuple[int, ...]) -> Array:
    """A number or array as an array of the full shape; raises ``ValueError`` if it does not broadcast."""
    value = as_array(value, like)
    try:
        fits = np.broadcast_shapes(tuple(value.shape), shape) == shape
    except ValueError:
        fits = False
    require(fits, f"`{name}` must be a number or broadcast to {shape}, got shape {tuple(value.shape)}")
    return array_namespace(like).broadcast_to(value, shape)


def check_problem(problem: MassiveMIMOProblem) -> None:
    """Turn every field into an array of the batch's shape; raise ``ValueError`` for what cannot be meant."""
    gain = problem.large_scale_gain
    gain = gain if is_array(gain) else np.asarray(gain, dtype=float)
    xp = array_namespace(gain)
    shape = tuple(gain.shape)
    require(len(shape) >= 1, f"`large_scale_gain` needs a users axis, got {shape}")
    require(min(shape) > 0, f"`large_scale_gain` must hold at least one frame and one user, got shape {shape}")
    require(xp.isdtype(gain.dtype, "real floating"), f"`large_scale_gain` must hold real numbers, got {gain.dtype}")
    batch = tuple(gain.shape[:-1])
    for name in ("tx_antennas", "rx_antennas"):
        count = getattr(problem, name)
        ok = isinstance(count, int | np.integer) and not isinstance(count, bool) and count >= 1
        require(bool(ok), f"`{name}` must be a positive integer, got {count!r}")
    factor = problem.rate_factor
    require(0 < factor <= 1, f"`rate_factor` must lie in (0, 1], got {factor!r}")
    require(0 <= problem.penalty < float("inf"), f"`penalty` must be finite and at least 0, got {problem.penalty!r}")
    for name, kinds in (("reward", get_args(Reward)), ("objective", get_args(Objective))):
        require(getattr(problem, name) in kinds, f"`{name}` must be one of {kinds}, got {getattr(problem, name)!r}")
    together = problem.beam_angle is None or problem.beam_angle is problem.target_angle
    for rules, shape in ((_PER_USER, (*batch, gain.shape[-1])), (_PER_FRAME, batch)):
        for name, rule in rules.items():
            if name == "beam_angle" and together:
                object.__setattr__(problem, name, problem.target_angle)
                continue
            value = gain if name == "large_scale_gain" else getattr(problem, name)
            fitted = _fitted(name, 1.0 if name == "weight" and value is None else value, gain, shape)
            require_rule(name, fitted, rule)
            object.__setattr__(problem, name, fitted)
    if problem.pilot_overlap is not None:
        overlap = _fitted("pilot_overlap", problem.pilot_overlap, gain, (*batch, gain.shape[-1], gain.shape[-1]))
        require_rule("pilot_overlap", overlap, "finite and at least 0")
        object.__setattr__(problem, "pilot_overlap", overlap)


def violation(problem: MassiveMIMOProblem, allocation: MassiveMIMOAllocation) -> Array:
    r"""Excess of the radiated power over the budget, relative to it, and negative powers likewise.

    .. math:: \max\Big(0,\; \frac{N_t S}{P_t} - 1,\; -\frac{N_t p_k}{P_t},\; -\frac{N_t T}{P_t}\Big)

    The demand on the bound and the rate floors are no constraints of the air: what they cost, the reward says, and a
    solver its status (spec mimo 7).

    Returns
    -------
    Array, shape (...,)
        Zero where feasible, NaN for a NaN allocation [-]; of the power itself where the budget is zero.
    """
    xp = array_namespace(problem.large_scale_gain, allocation.power)
    budget = xp.where(problem.power_budget > 0, problem.power_budget, xp.ones_like(problem.power_budget))
    total = xp.sum(allocation.power, axis=-1) + allocation.sensing_power
    excess = problem.tx_antennas * total - problem.power_budget
    negative = -problem.tx_antennas * xp.minimum(xp.min(allocation.power, axis=-1), allocation.sensing_power)
    worst = xp.maximum(excess, negative) / budget
    return xp.maximum(worst, xp.zeros_like(worst))


def check_allocation(allocation: MassiveMIMOAllocation, problem: MassiveMIMOProblem) -> MassiveMIMOAllocation:
    """Return an allocation as arrays of the problem's kind.

    Raises ``ValueError`` for a wrong shape, and for NaN, Inf or a negative entry, which it names.
    """
    parts = {}
    for name, expected in (("power", (*problem.batch, problem.users)), ("sensing_power", problem.batch)):
        value = as_array(getattr(allocation, name), problem.large_scale_gain)
        shape = tuple(value.shape)
        require(shape == expected, f"`allocation.{name}` must have shape {expected}, got {shape}")
        require_rule(f"allocation.{name}", value, "finite and at least 0")
        parts[name] = value
    return MassiveMIMOAllocation(**parts)
