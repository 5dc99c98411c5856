"""What a problem and an allocation must satisfy."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import numpy as np
from array_api_compat import array_namespace, device

from ....checks import require, require_all
from ....physics.beamforming import Precoder, same_group
from ....physics.grouping import group_sizes
from ....physics.rates import Noise
from ....types import COMMUNICATION, POSITIONING, Array, as_array, is_array
from ...configuration import is_number
from ..config import Intercell, Objective
from .allocation import MultiCellAllocation
from .subcarriers import whole_floor

if TYPE_CHECKING:
    from .problem import MultiCellProblem


def violation(problem: MultiCellProblem, allocation: MultiCellAllocation) -> Array:
    r"""Largest violation of budgets, floors and equal bands inside a group, relative to the budgets.

    Of what is transmitted: where subcarriers are whole, budgets and floors are those of the rounded bands
    (:meth:`.MultiCellProblem.on_air`), and a group that is left without a subcarrier breaks its floor.
    With :math:`\pi_s, \omega_s` the shares of power and band that service s spends, a fixed positioning share
    demands :math:`\pi_s, \omega_s \le \beta_s`; a free one that some share exists,
    :math:`\max(\pi_C, \omega_C) + \max(\pi_O, \omega_O) \le 1` (DESIGN 7.1, 7.2).

    Returns
    -------
    Array, shape (...,)
        Zero where feasible, NaN for a NaN allocation [-].
    """
    xp = array_namespace(problem.gain, allocation.power)
    size, _ = group_sizes(problem.cell, allocation.group)
    air = problem.on_air(allocation)
    spent = []
    for service in (COMMUNICATION, POSITIONING):
        power = problem.cell_sum(allocation.power[..., service, :]) / problem.per_cell(problem.power_budget)
        band = problem.cell_sum(air.bandwidth[..., service, :] / size) / problem.per_cell(problem.band_budget)
        spent.append(xp.maximum(power, band))
    share = problem.share
    fixed = xp.maximum(spent[COMMUNICATION] - (1.0 - share), spent[POSITIONING] - share)
    excess = xp.where(xp.isnan(share), spent[COMMUNICATION] + spent[POSITIONING] - 1.0, fixed)

    power_budget, band_budget = problem.per_user(problem.power_budget), problem.per_user(problem.band_budget)
    short_power = problem.per_user(problem.power_floor)[..., None, :] - allocation.power
    short_band = problem.per_user(problem.band_floor)[..., None, :] - air.bandwidth
    mates = same_group(problem.cell, allocation.group)[..., None, :, :]
    spread = xp.abs(allocation.bandwidth[..., :, None] - allocation.bandwidth[..., None, :])
    uneven = xp.max(xp.where(mates, spread, 0.0), axis=-1)
    per_user = xp.maximum(
        short_power / power_budget[..., None, :], xp.maximum(short_band, uneven) / band_budget[..., None, :]
    )
    worst = xp.maximum(xp.max(per_user, axis=(-2, -1)), xp.max(excess, axis=-1))
    return xp.maximum(worst, xp.zeros_like(worst))


def check_allocation(allocation: MultiCellAllocation, problem: MultiCellProblem) -> MultiCellAllocation:
    """Return an allocation as arrays of the problem's kind.

    Raises ``ValueError`` for a wrong shape, and for NaN, Inf or a negative entry, which it names.
    """
    xp = array_namespace(problem.gain)
    kinds = {"power": problem.gain.dtype, "bandwidth": problem.gain.dtype, "group": xp.int64}
    parts = {}
    for name, dtype in kinds.items():
        value = xp.asarray(getattr(allocation, name), dtype=dtype, device=device(problem.gain))
        trailing = (problem.users,) if name == "group" else (2, problem.users)
        shape, expected = tuple(value.shape), (*problem.batch, *trailing)
        require(shape == expected, f"`allocation.{name}` must have shape {expected}, got {shape}")
        good = value >= 0 if name == "group" else xp.isfinite(value) & (value >= 0)
        require_all(f"allocation.{name}", value, good, "finite and at least 0")
        parts[name] = value
    return MultiCellAllocation(**parts)


_AXES = {
    "gain": 2,
    "leakage": 1,
    "sensing_gain": 1,
    "cell": 1,
    "group": 1,
    "last_power": 1,
    "weight": 1,
    "queue": 1,
    "correlation": 2,
    "csi_error": 1,
    "arrival_rate": 1,
    "arrivals": 1,
    "waited": 1,
}
"""Trailing users axes of the fields."""

_NUMBERS = ("power_budget", "band_budget", "power_floor", "band_floor", "noise_density")
"""Fields that are a scalar or given per cell."""

_CHOICES = {"reward": Objective, "noise": Noise, "intercell": Intercell, "precoder": Precoder}
"""Fields that are one of a few words."""


def check_problem(problem: MultiCellProblem) -> None:
    """Turn lists into arrays; raise ``ValueError`` for wrong shapes, signs, NaN and Inf, naming field and index."""
    for name in (*_AXES, "service_weight"):
        value = getattr(problem, name)
        if value is not None and not is_array(value):
            kind = int if name in ("cell", "group") else float
            object.__setattr__(problem, name, np.asarray(value, dtype=kind))
    for name, choices in _CHOICES.items():
        word, words = getattr(problem, name), list(get_args(choices))
        require(word in words, f"`{name}` must be one of {words}, got {word!r}")
    xp = array_namespace(problem.gain)
    users = problem.gain.shape[-1]
    shape = tuple(problem.gain.shape)
    require(min(shape) > 0, f"`gain` must hold at least one slot and one user, got shape {shape}")
    for name, axes in _AXES.items():
        value = getattr(problem, name)
        if value is None:
            continue
        shape, trailing = tuple(value.shape), (users,) * axes
        require(shape[-axes:] == trailing, f"`{name}` must end in axes {trailing}, got shape {shape}")
        if name in ("cell", "group"):
            require(xp.isdtype(value.dtype, "integral"), f"`{name}` must hold integers, got {value.dtype}")
            require_all(name, value, value >= 0, "at least 0")
        else:
            require_all(name, value, xp.isfinite(value) & (value >= 0), "finite and at least 0")
    cells = problem.cells
    require_all("cell", problem.cell, problem.cell < cells, f"below the number of cells, {cells}")
    shape = tuple(problem.last_power.shape)
    require(shape[-2:] == (2, users), f"`last_power` must end in axes (2, {users}), got shape {shape}")
    shape = tuple(problem.service_weight.shape)
    require(shape == (2,), f"`service_weight` must have shape (2,), got {shape}")
    weight = problem.service_weight
    require_all("service_weight", weight, xp.isfinite(weight) & (weight >= 0), "finite and at least 0")
    for name in _NUMBERS:
        value = xp.asarray(getattr(problem, name))
        floor = name.endswith("floor")
        good = xp.isfinite(value) & (value >= 0 if floor else value > 0)
        require_all(name, value, good, "finite and at least 0" if floor else "finite and positive")
        _require_per_cell(problem, name, value)
    _check_subcarriers(problem)
    share = xp.asarray(problem.positioning_share)
    _require_per_cell(problem, "positioning_share", share)
    queued = problem.arrival_rate is not None and problem.arrivals is not None
    require(
        queued or problem.reward in ("rate", "fair"),
        f"`reward` {problem.reward} needs `arrival_rate` and `arrivals`, which this problem does not carry",
    )
    useful = xp.asarray(problem.useful_time)
    require_all("useful_time", useful, (useful > 0) & (useful <= 1), "in (0, 1]")
    require_all("positioning_share", share, xp.isnan(share) | ((share > 0) & (share < 1)), "NaN or in (0, 1)")


def _check_subcarriers(problem: MultiCellProblem) -> None:
    """Raise the band floors to whole subcarriers, where subcarriers are whole."""
    spacing = problem.subcarrier_spacing
    require(is_number(spacing) and spacing >= 0, f"`subcarrier_spacing` must be a number at least 0, got {spacing!r}")
    if spacing:
        value = problem.band_floor
        floor = whole_floor(as_array(value, problem.gain), spacing=spacing)
        object.__setattr__(problem, "band_floor", float(floor) if isinstance(value, float | int) else floor)


def _require_per_cell(problem: MultiCellProblem, name: str, value: Array) -> None:
    """Raise ``ValueError`` unless a number broadcasts to the problem's cells."""
    shape, cells = tuple(value.shape), (*problem.batch, problem.cells)
    good = len(shape) <= len(cells) and all(
        size in (1, full) for size, full in zip(shape[::-1], cells[::-1], strict=False)
    )
    require(good, f"`{name}` must be a scalar or broadcast to {cells}, got shape {shape}")
