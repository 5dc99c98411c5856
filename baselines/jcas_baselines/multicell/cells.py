r"""The cells of a problem with the interference of the true rates, in units of their budgets.

For user j of cell i and service s, powers and bands as shares of the cell's budgets (spec multicell 2.5, 4.5),

.. math:: d_j &= B_{\max} N_0 + \sum_{m \text{ in other cells}} G_{jm} P_{\max}^{(m)} B_{\max} / B_{\max}^{(m)}
              \,(p_m^C + p_m^O), \qquad e_j = 0, \\
          Y_{jk} &= G_{jk} P_{\max} \;(k \in g, k \ne j), \qquad S_j^s = \kappa_j^s G_{jj} P_{\max}

all divided by the noise of user j and what it hears of the other cells at the start, which changes no rate and
brings the numbers near one. With ``noise="constant"`` the noise is in e.
"""

from __future__ import annotations

from math import log
from typing import Literal, NamedTuple

from array_api_compat import array_namespace, device

from jcas_env.physics.rates import intercell_density
from jcas_env.physics.water_filling import waterfill
from jcas_env.scenarios.multicell import MultiCellAllocation, MultiCellProblem, RelaxedAllocation
from jcas_env.scenarios.multicell.problem.problem import LEAST_RATE
from jcas_env.types import Array
from jcas_env.units import MEGA

from .minorant import CellModel, Point, onto_budgets

Scope = Literal["cell", "network"]

SERVICE_SLACK = 1e-7
"""Least slack above the floors, relative to the share, so that an interior exists; undone in the answer."""


class NetworkModel(NamedTuple):
    """Leaves (..., cells, ...) but for the coupling."""

    model: CellModel
    coupling: Array
    """(..., rows, rows): d of a user per unit of power of another cell's user; rows are the seats of one cell, where it
    is zero, or of all cells."""
    worth: Array
    """(..., cells, 2, seats): service weight times user weight."""
    factor: Array
    """(..., cells, 2, 1): Mbit/s per nat and unit of band."""
    floor: Array
    """(..., cells, entries): floors of p and B in units of the budgets, 0 for padding."""
    size: Array
    """(..., cells, groups): users in each group."""


def cell_models(problem: MultiCellProblem, scope: Scope) -> NetworkModel:
    """Cells for a method that takes the others at their last powers (``cell``) or moves them all (``network``)."""
    xp = array_namespace(problem.gain)
    membership = problem.membership
    power, band = problem.per_user(problem.power_budget), problem.per_user(problem.band_budget)
    taken = xp.astype(membership.taken, problem.gain.dtype)
    groups = membership.by_cell
    exists = xp.astype(groups.size > 0, taken.dtype)

    noise = xp.broadcast_to(band * problem.per_user(problem.noise_density), problem.leakage.shape)
    heard = band * intercell_density(problem.last_power, problem.gain, problem.cell, band_budget=band)
    nominal = noise + heard
    fixed = noise if problem.noise == "per_hertz" else xp.zeros_like(noise)
    fixed, constant = (fixed + heard, noise - fixed) if scope == "cell" else (fixed, noise - fixed)
    fixed, constant = (membership.gather(value / nominal) * taken for value in (fixed, constant))

    gain = problem.gain / nominal[..., :, None]
    own = xp.linalg.diagonal(gain) * power
    services = [membership.gather(value) * taken for value in (own, own * problem.sensing_gain)]
    signal = xp.stack(services, axis=-2)
    floor = xp.concat(
        [
            taken * _unit_floor(problem, problem.power_floor, problem.power_budget),
            exists * _unit_floor(problem, problem.band_floor, problem.band_budget),
        ],
        axis=-1,
    )
    unit = problem.per_cell(problem.band_budget) * problem.duty[..., None] / (MEGA * log(2.0))
    factor = xp.stack([unit, 0.5 * unit], axis=-1)[..., None]
    worth = problem.service_weight[:, None] * (membership.gather(problem.weight) * taken)[..., None, :]
    logarithmic = problem.reward == "fair"
    model = CellModel(
        signal,
        _cross(problem, gain, power),
        fixed,
        constant,
        xp.where(_reachable(signal, fixed, constant, factor), worth, 0.0) if logarithmic else worth * factor,
        xp.astype(groups.member, taken.dtype),
        _loosened(problem, floor, taken.shape[-1]),
        xp.full(problem.share.shape, logarithmic, device=device(taken)),
        problem.share_is_free,
    )
    return NetworkModel(model, _coupling(problem, gain, power, band, scope), worth, factor, floor, groups.size)


def _reachable(signal: Array, fixed: Array, constant: Array, factor: Array) -> Array:
    """Users whose rate could exceed ``LEAST_RATE`` alone on the whole budget: no others have a say in logarithms."""
    xp = array_namespace(signal)
    level = (fixed + constant)[..., None, :]
    return factor * xp.log1p(signal / xp.where(level > 0, level, 1.0)) > LEAST_RATE


def _unit_floor(problem: MultiCellProblem, floor: Array | float, budget: Array | float) -> Array:
    return (problem.per_cell(floor) / problem.per_cell(budget))[..., None]


def _seated(problem: MultiCellProblem, matrix: Array, seat: Array) -> Array:
    """Rows and columns of a matrix (..., users, users) by seat (..., any, seats) -> (..., any, seats, seats)."""
    xp = array_namespace(matrix)
    index = seat[..., :, None] * problem.users + seat[..., None, :]
    flat = xp.reshape(matrix, (*matrix.shape[:-2], -1))
    rows = xp.reshape(index, (*index.shape[: matrix.ndim - 2], -1))
    return xp.reshape(xp.take_along_axis(flat, rows, axis=-1), index.shape)


def _cross(problem: MultiCellProblem, gain: Array, power: Array) -> Array:
    """Y of every cell, (..., cells, seats, seats)."""
    xp = array_namespace(gain)
    taken, seat = problem.membership.taken, problem.membership.seat
    index = xp.arange(problem.users, device=device(gain))
    mates = problem.mates & (index[:, None] != index[None, :])
    matrix = xp.where(mates, gain * power[..., None, :], 0.0)
    return xp.where(taken[..., :, None] & taken[..., None, :], _seated(problem, matrix, seat), 0.0)


def _coupling(problem: MultiCellProblem, gain: Array, power: Array, band: Array, scope: Scope) -> Array:
    xp = array_namespace(gain)
    taken, seat = problem.membership.taken, problem.membership.seat
    if scope == "cell":
        return xp.zeros((*problem.batch, *taken.shape[-2:], taken.shape[-1]), dtype=gain.dtype, device=device(gain))
    matrix = xp.where(~problem.same_cell, gain * band[..., :, None] * (power / band)[..., None, :], 0.0)
    taken, seat = (xp.reshape(value, (*value.shape[:-2], -1)) for value in (taken, seat))
    seated = _seated(problem, matrix, seat)
    return xp.where(taken[..., :, None] & taken[..., None, :], seated, 0.0)


def _loosened(problem: MultiCellProblem, floor: Array, seats: int) -> Array:
    """Floors of both services (..., cells, 2, entries), lowered where they would leave no interior."""
    xp = array_namespace(floor)
    share = xp.where(problem.share_is_free, 0.5, problem.share)
    room = (1.0 - SERVICE_SLACK) * xp.stack([1.0 - share, share], axis=-1)[..., None]
    parts = []
    for part in (floor[..., :seats], floor[..., seats:]):
        total = xp.sum(part, axis=-1)[..., None, None]
        parts.append(part[..., None, :] * xp.minimum(1.0, room / xp.where(total > 0, total, 1.0)))
    return xp.concat(parts, axis=-1)


def equal_point(network: NetworkModel, share: Array) -> Array:
    """EBPA at a share (..., cells), in units of the budgets: (..., cells, 2, entries) (spec multicell 4.8)."""
    xp = array_namespace(share)
    seats = network.model.signal.shape[-1]
    services = xp.stack([1.0 - share, share], axis=-1)[..., None]
    present = xp.sum(network.model.member, axis=-2)
    power = present / xp.clip(xp.sum(present, axis=-1, keepdims=True), min=1.0)
    size = network.size[..., None, :] + 0.0 * services
    band = waterfill(size, xp.full_like(size, xp.inf), network.model.floor[..., seats:] / services)
    return services * xp.concat([power[..., None, :] + xp.zeros_like(band[..., :1]), band], axis=-1)


def allocation_of(problem: MultiCellProblem, network: NetworkModel, value: Array, share: Array) -> MultiCellAllocation:
    """Physical allocation of points (..., cells, 2, entries), on the floors as they are and within the budgets."""
    xp = array_namespace(value)
    seats = network.model.signal.shape[-1]
    above = value - network.model.floor + network.floor[..., None, :]
    point = onto_budgets(network.model._replace(floor=network.floor[..., None, :]), Point(above, share))
    normalised = point.value / xp.stack([1.0 - share, share], axis=-1)[..., None]
    return problem.assemble(
        RelaxedAllocation(normalised[..., :seats], normalised[..., seats:] @ network.model.member), share
    )


def infeasible(problem: MultiCellProblem) -> Array:
    """Elements in which the floors of some cell fit into no share, or not into the given one, (...,) bool."""
    xp = array_namespace(problem.gain)
    return ~xp.all(problem.floors_fit, axis=-1)
