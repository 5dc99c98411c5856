"""What a problem and an allocation must satisfy."""

from __future__ import annotations

from math import inf
from sys import float_info
from typing import Any, NamedTuple, get_args

import numpy as np

from ....checks import glance, require, require_all, shown, whole_numbers
from ....compiled.dispatch import compiled
from ....physics.beamforming import Precoder
from ....physics.membership import Membership
from ....physics.rates import Noise
from ....types import COMMUNICATION, POSITIONING, Array, array_namespace, as_array, device, is_array
from ...kinds import Number
from ..config import Objective
from ..settings import Intercell
from .allocation import MultiCellAllocation
from .subcarriers import whole_floor

SPACING = Number(0.0, float_info.max)
"""Of subcarriers [Hz]; zero where bands are not whole."""


class Budgets(NamedTuple):
    """What a base station may spend and must grant; each (..., cells), or (1,) where it is the same in all cells.

    :meth:`per_user` gives the same numbers for each user.
    """

    power: Array
    """P_max [W]."""
    band: Array
    """B_max [Hz]."""
    power_floor: Array
    """P_thr, least power of each user and service [W]."""
    band_floor: Array
    """B_thr, least band of each group and service; whole subcarriers where they are whole [Hz]."""
    noise_density: Array
    """N_0 at a receiver [W/Hz]."""

    def per_user(self, membership: Membership) -> Budgets:
        """The numbers of each user's cell, (..., users), or (1,) where they are the same in all cells."""
        return Budgets(*(value if value.shape[-1] == 1 else membership.of_cell(value) for value in self))


@compiled("slots")
def worst_violation(
    allocation: MultiCellAllocation, on_air: Array, share: Array, *, membership: Membership, budgets: Budgets
) -> Array:
    r"""Largest violation of budgets, floors and equal bands inside a group, relative to the budgets.

    Of what is transmitted: where subcarriers are whole, budgets and floors are those of the rounded bands, and a group
    that is left without a subcarrier breaks its floor. With :math:`\pi_s, \omega_s` the shares of power and band that
    service s spends, a fixed positioning share demands :math:`\pi_s, \omega_s \le \beta_s`; a free one that some share
    exists, :math:`\max(\pi_C, \omega_C) + \max(\pi_O, \omega_O) \le 1` (DESIGN 7.1, 7.2).

    Parameters
    ----------
    allocation : MultiCellAllocation
    on_air : Array, shape (..., 2, users)
        Its bands as they are transmitted [Hz].
    share : Array, shape (..., cells)
        Positioning share, NaN where it is free [-].
    membership : Membership
        With the groups of the allocation.
    budgets : Budgets

    Returns
    -------
    Array, shape (...,)
        Zero where feasible, NaN for a NaN allocation [-].
    """
    xp = array_namespace(allocation.power, share)
    own = budgets.per_user(membership)
    excess = _excess(allocation.power, on_air, share, membership=membership, budgets=budgets)
    short_power = own.power_floor[..., None, :] - allocation.power
    short_band = own.band_floor[..., None, :] - on_air
    spread = xp.abs(allocation.bandwidth[..., :, None] - allocation.bandwidth[..., None, :])
    uneven = xp.max(xp.where(membership.mates[..., None, :, :], spread, 0.0), axis=-1)
    per_user = xp.maximum(
        short_power / own.power[..., None, :], xp.maximum(short_band, uneven) / own.band[..., None, :]
    )
    worst = xp.maximum(xp.max(per_user, axis=(-2, -1)), xp.max(excess, axis=-1))
    return xp.maximum(worst, xp.zeros_like(worst))


def _excess(power: Array, band: Array, share: Array, *, membership: Membership, budgets: Budgets) -> Array:
    """What a cell spends beyond its budgets or the given share of them, (..., cells) [-]."""
    xp = array_namespace(power, share)
    size, spent = xp.astype(membership.group_size, xp.int64), []
    for service in (COMMUNICATION, POSITIONING):
        # The band of a group stands at each of its members. Divided by whole counts, it is summed in double precision
        # by NumPy: in single precision the sum itself would break a budget by more than the allocation does.
        group_band = band[..., service, :] / size
        of_power = membership.cell_sum(power[..., service, :]) / budgets.power
        spent.append(xp.maximum(of_power, membership.cell_sum(group_band) / budgets.band))
    fixed = xp.maximum(spent[COMMUNICATION] - (1.0 - share), spent[POSITIONING] - share)
    return xp.where(xp.isnan(share), spent[COMMUNICATION] + spent[POSITIONING] - 1.0, fixed)


def check_allocation(allocation: MultiCellAllocation, *, gain: Array) -> MultiCellAllocation:
    """Return an allocation as arrays of the kind and batch of the gains (..., users, users).

    Raises ``ValueError`` for a wrong shape, and for NaN, Inf or a negative entry, which it names.
    """
    xp = array_namespace(gain)
    *batch, users, _ = gain.shape
    place = {"dtype": gain.dtype, "device": device(gain)}
    parts = {
        "power": xp.asarray(allocation.power, **place),
        "bandwidth": xp.asarray(allocation.bandwidth, **place),
        "group": whole_numbers("allocation.group", allocation.group, gain),
    }
    for name, value in parts.items():
        shape, expected = tuple(value.shape), (*batch, *((users,) if name == "group" else (2, users)))
        require(shape == expected, f"`allocation.{name}` must have shape {expected}, got {shape}")
        good = value >= 0 if name == "group" else xp.isfinite(value) & (value >= 0)
        require_all(f"allocation.{name}", value, good, "finite and at least 0")
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

_LABELS = ("cell", "group")
"""Those that hold labels in place of real numbers."""

_NUMBERS = ("power_budget", "band_budget", "power_floor", "band_floor", "noise_density")
"""Fields that are a scalar or given per cell."""

_CHOICES = {"reward": Objective, "noise": Noise, "intercell": Intercell, "precoder": Precoder}
"""Fields that are one of a few words."""


def count_cells(fields: dict[str, Any]) -> int:
    """Number of cells: as stated, else as the per-cell numbers say, else as many as serve users."""
    if fields["cell_count"] is not None:
        return int(fields["cell_count"])
    for name in ("power_budget", "band_budget", "positioning_share"):
        shape = np.shape(fields[name])
        if shape and shape[-1] > 1:
            return int(shape[-1])
    xp = array_namespace(fields["cell"])
    return int(xp.max(fields["cell"])) + 1


def fit_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """Lists become arrays, and where subcarriers are whole band floors become whole numbers of them, at least one.

    Raises ``ValueError`` for a reward of queues without them.
    """
    fitted = dict(fields)
    for name in (*_AXES, "service_weight"):
        value = fields[name]
        if value is not None and not is_array(value):
            fitted[name] = np.asarray(value, dtype=int if name in _LABELS else float)
    spacing = fields["subcarrier_spacing"]
    ok = SPACING.accepts(spacing)
    require(ok, f"`subcarrier_spacing` must be a number at least 0, got {shown(spacing)}")
    if spacing:
        floor = fields["band_floor"]
        whole = whole_floor(as_array(floor, fitted["gain"]), spacing=spacing)
        fitted["band_floor"] = float(whole) if isinstance(floor, float | int) else whole
    queued = fields["arrival_rate"] is not None and fields["arrivals"] is not None
    require(
        queued or fields["reward"] not in ("delay", "drain"),
        f"`reward` {fields['reward']} needs `arrival_rate` and `arrivals`, which this problem does not carry",
    )
    return fitted


def plausible(fields: dict[str, Any]) -> bool:
    """Whether what is real and given for every user is finite and not negative, and noise is left, at a glance."""
    least, most = glance(fields[name] for name in _AXES if name not in _LABELS)
    return bool(least >= 0) and bool(most < inf) and bool(fields["noise_density"] > 0)


def check_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields by name, fitted; ``ValueError`` for wrong shapes, signs, NaN and Inf names field, index and value."""
    fields = fit_fields(fields)
    for name, choices in _CHOICES.items():
        word, words = fields[name], list(get_args(choices))
        require(word in words, f"`{name}` must be one of {words}, got {word!r}")
    _check_users(fields)
    _check_numbers(fields, (*fields["gain"].shape[:-2], count_cells(fields)))
    return fields


def _check_users(fields: dict[str, Any]) -> None:
    """Shapes, kinds and signs of what is given for every user."""
    shape = tuple(fields["gain"].shape)
    users = shape[-1]
    require(min(shape) > 0, f"`gain` must hold at least one slot and one user, got shape {shape}")
    for name in _AXES:
        if fields[name] is not None:
            check_user_field(name, fields[name], users)
    cells = count_cells(fields)
    require_all("cell", fields["cell"], fields["cell"] < cells, f"below the number of cells, {cells}")
    shape = tuple(fields["last_power"].shape)
    require(shape[-2:] == (2, users), f"`last_power` must end in axes (2, {users}), got shape {shape}")


def check_user_field(name: str, value: Array, users: int) -> None:
    """Raise ``ValueError`` unless a field that is given for every user has its shape, kind and sign."""
    xp, axes = array_namespace(value), _AXES[name]
    shape, trailing = tuple(value.shape), (users,) * axes
    require(shape[-axes:] == trailing, f"`{name}` must end in axes {trailing}, got shape {shape}")
    if name in _LABELS:
        require(xp.isdtype(value.dtype, "integral"), f"`{name}` must hold integers, got {value.dtype}")
        require_all(name, value, value >= 0, "at least 0")
    else:
        require_all(name, value, xp.isfinite(value) & (value >= 0), "finite and at least 0")


def _check_numbers(fields: dict[str, Any], cells: tuple[int, ...]) -> None:
    """Shapes and ranges of what is given once, or for cells of shape (..., cells)."""
    xp = array_namespace(fields["gain"])
    weight = fields["service_weight"]
    require(tuple(weight.shape) == (2,), f"`service_weight` must have shape (2,), got {tuple(weight.shape)}")
    require_all("service_weight", weight, xp.isfinite(weight) & (weight >= 0), "finite and at least 0")
    for name in (*_NUMBERS, "positioning_share"):
        value = xp.asarray(fields[name])
        if name == "positioning_share":
            good, rule = xp.isnan(value) | ((value > 0) & (value < 1)), "NaN or in (0, 1)"
        elif name.endswith("floor"):
            good, rule = xp.isfinite(value) & (value >= 0), "finite and at least 0"
        else:
            good, rule = xp.isfinite(value) & (value > 0), "finite and positive"
        require_all(name, value, good, rule)
        shape = tuple(value.shape)
        fits = all(size in (1, full) for size, full in zip(shape[::-1], cells[::-1], strict=False))
        require(
            len(shape) <= len(cells) and fits,
            f"`{name}` must be a scalar or broadcast to {cells}, got shape {shape}",
        )
    useful = xp.asarray(fields["useful_time"])
    require_all("useful_time", useful, (useful > 0) & (useful <= 1), "in (0, 1]")
