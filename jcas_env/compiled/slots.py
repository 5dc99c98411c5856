"""Loops of :mod:`jcas_env.physics.rates` and of the constraints: sums over a user's group, its cell, and the others."""

from __future__ import annotations

from typing import Any

import numpy as np

from .dispatch import Loop, in_order, one_precision


def unit_powers_loop(gain: np.ndarray, cell: np.ndarray, group: np.ndarray, /) -> Any:
    """:func:`jcas_env.physics.rates.unit_powers`."""
    users, batch = gain.shape[-1], gain.shape[:-2]
    if gain.size == 0 or not one_precision(gain, cell, group) or not cell.shape == group.shape == (*batch, users):
        return NotImplemented
    gain, cell, group = in_order(gain, cell, group)
    sums = np.empty((4, *batch, users), dtype=gain.dtype)
    flat = (-1, users)
    _sums(gain.reshape((-1, users, users)), cell.reshape(flat), group.reshape(flat), sums.reshape((4, -1, users)))
    return tuple(sums)


def received_powers_loop(
    power: np.ndarray, density: np.ndarray, gain: np.ndarray, cell: np.ndarray, group: np.ndarray, /
) -> Any:
    """:func:`jcas_env.physics.rates.received_powers`."""
    users, batch = gain.shape[-1], gain.shape[:-2]
    arrays = (power, density, gain, cell, group)
    alike = density.shape == cell.shape == group.shape == (*batch, users) and power.shape == (*batch, 2, users)
    if gain.size == 0 or not alike or not one_precision(*arrays):
        return NotImplemented
    power, density, gain, cell, group = in_order(*arrays)
    mates, others = np.empty_like(power), np.empty_like(density)
    flat = (-1, users)
    _received(
        power.reshape((-1, 2, users)),
        density.reshape(flat),
        gain.reshape((-1, users, users)),
        cell.reshape(flat),
        group.reshape(flat),
        mates.reshape((-1, 2, users)),
        others.reshape(flat),
    )
    return mates, others


def worst_violation_loop(
    allocation: Any, on_air: np.ndarray, share: np.ndarray, *, membership: Any, budgets: Any
) -> Any:
    """:func:`jcas_env.scenarios.multicell.problem.checks.worst_violation`, where all cells have the same budgets."""
    power, bandwidth, _ = allocation
    cell, group = membership.cell, membership.group
    *batch, _, users = power.shape
    arrays = (power, bandwidth, on_air, share, cell, group)
    alike = power.shape == bandwidth.shape == on_air.shape and cell.shape == group.shape == (*batch, users)
    served = alike and power.size and share.shape == (*batch, membership.cells)
    if not served or not one_precision(*arrays) or any(value.shape != (1,) for value in budgets):
        return NotImplemented
    power, bandwidth, on_air, share, cell, group = in_order(*arrays)
    worst = np.empty(tuple(batch))
    parts = [value.reshape((-1, 2, users)) for value in (power, bandwidth, on_air)]
    labels = [value.reshape((-1, users)) for value in (cell, group)]
    limits = np.array([budgets.power[0], budgets.band[0], budgets.power_floor[0], budgets.band_floor[0]], dtype=float)
    _violation(*parts, share.reshape((-1, share.shape[-1])), *labels, limits.astype(power.dtype), worst.reshape(-1))
    return worst if batch else worst[()]


def group_sums(gain, cell, group, sums):  # type: ignore[no-untyped-def]
    """Gains summed over a user's row, its mates and other cells; and over its column, other cells and its group."""
    lanes, users = cell.shape
    for lane in range(lanes):
        for part in range(4):
            sums[part, lane, :] = 0
        for j in range(users):
            for m in range(users):
                value = gain[lane, j, m]
                if cell[lane, j] != cell[lane, m]:
                    sums[1, lane, j] += value
                    sums[2, lane, m] += value
                elif group[lane, j] == group[lane, m]:
                    sums[3, lane, m] += value
                    if j != m:
                        sums[0, lane, j] += value


def received_sums(power, density, gain, cell, group, mates, others):  # type: ignore[no-untyped-def]
    """Powers received from the own group, for each service, and densities from other cells."""
    lanes, users = cell.shape
    for lane in range(lanes):
        for j in range(users):
            first = second = rest = gain[lane, j, j] - gain[lane, j, j]
            for m in range(users):
                if cell[lane, j] != cell[lane, m]:
                    rest += density[lane, m] * gain[lane, j, m]
                elif group[lane, j] == group[lane, m] and j != m:
                    first += power[lane, 0, m] * gain[lane, j, m]
                    second += power[lane, 1, m] * gain[lane, j, m]
            mates[lane, 0, j], mates[lane, 1, j], others[lane, j] = first, second, rest


def violations(power, bandwidth, on_air, share, cell, group, limits, worst):  # type: ignore[no-untyped-def]  # noqa: C901 (two loops)
    """Largest violation of a lane, in double precision; NaN, once found, stays."""
    lanes, users = cell.shape
    spent_power, spent_band = np.zeros((2, share.shape[1])), np.zeros((2, share.shape[1]))
    for lane in range(lanes):
        most = 0.0
        spent_power[:] = 0
        spent_band[:] = 0
        for j in range(users):
            size = 0
            for m in range(users):
                if cell[lane, j] == cell[lane, m] and group[lane, j] == group[lane, m]:
                    size += 1
                    for service in range(2):
                        uneven = abs(bandwidth[lane, service, j] - bandwidth[lane, service, m]) / limits[1]
                        if uneven > most or np.isnan(uneven):
                            most = uneven
            for service in range(2):
                spent_power[service, cell[lane, j]] += power[lane, service, j]
                spent_band[service, cell[lane, j]] += on_air[lane, service, j] / float(size)
                short = (limits[2] - power[lane, service, j]) / limits[0]
                if short > most or np.isnan(short):
                    most = short
                short = (limits[3] - on_air[lane, service, j]) / limits[1]
                if short > most or np.isnan(short):
                    most = short
        for c in range(share.shape[1]):
            data = max(spent_power[0, c] / limits[0], spent_band[0, c] / limits[1])
            position = max(spent_power[1, c] / limits[0], spent_band[1, c] / limits[1])
            excess = data + position - 1.0
            if not np.isnan(share[lane, c]):
                excess = max(data - (1.0 - share[lane, c]), position - share[lane, c])
            most = most if not excess > most else excess
        worst[lane] = most


_sums = Loop(group_sums, "r3 i2 i2 R3")
_received = Loop(received_sums, "r3 r2 r3 i2 i2 R3 R2")
_violation = Loop(violations, "r3 r3 r3 r2 i2 i2 r1 D1")
