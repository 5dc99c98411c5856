"""Between action vectors in [-1, 1] and allocations: every action is feasible (spec multicell 7)."""

from __future__ import annotations

from collections.abc import Callable

from ...checks import first_bad_entry, require
from ...physics.membership import same_group
from ...types import COMMUNICATION, POSITIONING, Array, array_namespace, as_array, at_hand
from ..decoding import check_action, logistic, simplex_shares
from .problem.allocation import MultiCellAllocation
from .problem.problem import MultiCellProblem

ENTRIES = ("power_C", "power_O", "band_C", "band_O")
"""Order of a user's four logits."""


def action_size(users: int, cells: int) -> int:
    """Four logits per user and one share logit per cell."""
    return len(ENTRIES) * users + cells


def entry_names(users: int) -> Callable[[int, int], str]:
    """What an entry of an action decides."""

    def name(entry: int, size: int) -> str:  # noqa: ARG001
        if entry >= len(ENTRIES) * users:
            return f"positioning share of cell {entry - len(ENTRIES) * users}"
        return f"user {entry // len(ENTRIES)}, {ENTRIES[entry % len(ENTRIES)]}"

    return name


def positioning_shares(problem: MultiCellProblem, logit: Array) -> Array:
    r"""Positioning share of every cell.

    .. math:: \beta = \beta_{\min} + (\beta_{\max} - \beta_{\min})\, \mathrm{sigmoid}(z), \qquad
              \beta_{\min} = \max\Big(\frac{N_i P_\mathrm{thr}}{P_{\max}}, \frac{G_i B_\mathrm{thr}}{B_{\max}}\Big),
              \quad \beta_{\max} = 1 - \beta_{\min}

    where the problem leaves the share free, else the fixed one. ``logit`` and result (..., cells). Raises
    ``ValueError`` where the floors leave no share; one half on a device, and where whole subcarriers leave none, see
    :func:`decode`.
    """
    xp = array_namespace(problem.gain, logit)
    least = problem.least_share
    full = ~problem.floors_fit & ~problem.short_of_subcarriers
    if at_hand(full) and xp.any(full):
        index, value = first_bad_entry(least, full)
        room = float(problem.most_share[index])
        raise ValueError(
            f"the floors of cell {index[-1]} need {value:.4g} of the budget for each service; two services "
            f"leave at most {room:.4g}"
        )
    least = xp.minimum(least, 0.5)
    free = least + (1.0 - 2.0 * least) * logistic(logit)
    return xp.where(problem.share_is_free, free, problem.share)


def decode(action: Array, problem: MultiCellProblem, *, logit_scale: float) -> MultiCellAllocation:
    r"""Allocation of an action vector.

    Entries 4u .. 4u+3 are the logits [power_C, power_O, band_C, band_O] of user u, entry 4U + i raises the
    positioning share of cell i. With z = s a and the budgets :math:`P_s, B_s` of a service,

    .. math:: P_u = P_\mathrm{thr} + (P_s - N_i P_\mathrm{thr})\,
              \frac{e^{z_u}}{\sum_{v \in i} e^{z_v}}, \qquad
              B_g = B_\mathrm{thr} + (B_s - G_i B_\mathrm{thr})\,
              \frac{\sum_{u \in g} e^{z_u}}{\sum_{v \in i} e^{z_v}}

    Parameters
    ----------
    action : Array, shape (..., 4 * users + cells)
        Finite; values outside [-1, 1] are clipped to the box.
    problem : MultiCellProblem
        Known problem; its grouping is the allocation's.
    logit_scale : float
        s, logits per unit of action [-].

    Returns
    -------
    MultiCellAllocation
        Feasible: floors hold and budgets are spent to rounding. The zero action is the equal allocation per
        user with half of everything for positioning (spec multicell 7). Raises ``ValueError`` for NaN, Inf, a
        wrong shape or dtype.

    Notes
    -----
    Whole subcarriers are the exception, because how many groups a cell has is the scene's: where a cell has more than
    its band has subcarriers, no allocation is feasible, and :func:`fallback` is played there whatever the action. Of
    that, too, no more is transmitted than the band holds, and ``violation`` tells which floors it breaks.
    """
    users, cells = problem.users, problem.cells
    action = as_array(check_action(action, action_size(users, cells), entry_names(users)), problem.gain)
    xp = array_namespace(problem.gain)
    z = logit_scale * xp.minimum(xp.maximum(action, -1.0), 1.0)
    share = positioning_shares(problem, z[..., len(ENTRIES) * users :])
    logits = xp.reshape(z[..., : len(ENTRIES) * users], (*z.shape[:-1], users, len(ENTRIES)))
    logits = xp.moveaxis(logits, -1, -2)  # (..., 4, users)
    split = simplex_shares(logits, problem.same_cell, bound=logit_scale)
    mates = xp.astype(problem.mates, split.dtype)
    # A little share is what rounding of a large one leaves, and a subcarrier of a floor must not be lost by that.
    rest = xp.maximum(1.0 - share, xp.minimum(problem.least_share, 0.5))
    services = xp.stack([problem.of_cell(rest), problem.of_cell(share)], axis=-2)

    def fill(part: Array, budget: Array | float, floor: Array | float, count: Array) -> Array:
        least = problem.per_user(floor)[..., None, :]
        return least + (services * problem.per_user(budget)[..., None, :] - count[..., None, :] * least) * part

    power = fill(split[..., :2, :], problem.power_budget, problem.power_floor, problem.crowd)
    bandwidth = fill(split[..., 2:, :] @ mates, problem.band_budget, problem.band_floor, problem.groups)
    if problem.subcarrier_spacing:
        short, equal = problem.of_cell(problem.short_of_subcarriers)[..., None, :], fallback(problem)
        power, bandwidth = xp.where(short, equal.power, power), xp.where(short, equal.bandwidth, bandwidth)
    group = xp.broadcast_to(problem.group, (*power.shape[:-2], users))
    return MultiCellAllocation(power, bandwidth, group)


def fallback(problem: MultiCellProblem) -> MultiCellAllocation:
    """Equal power per user and band per group size at half share, with whatever floors still fit.

    Played where no allocation keeps every floor; this one spends exactly the budgets.
    """
    xp = array_namespace(problem.gain)
    share = xp.where(problem.share_is_free, 0.5, problem.share)
    services = xp.stack([problem.of_cell(1.0 - share), problem.of_cell(share)], axis=-2)
    power = services * (problem.per_user(problem.power_budget) / problem.crowd)[..., None, :]
    band = services * (problem.per_user(problem.band_budget) * problem.group_size / problem.crowd)[..., None, :]
    return MultiCellAllocation(power, band, problem.group)


def encode_allocation(allocation: MultiCellAllocation, problem: MultiCellProblem, *, logit_scale: float) -> Array:
    r"""Action whose decoding is nearest to an allocation.

    Inverts :func:`decode` where the logits fit into the box; what lies on a floor would need a logit of minus
    infinity and gets the lowest one, :math:`-s`, which leaves it at most :math:`e^{-2s}` of the best user's
    slack (4.5e-5 at s = 5). A member of a group gets an equal part of the group's band logit. Round trip of a
    decoded action: exact.

    Parameters
    ----------
    allocation : MultiCellAllocation
        Feasible, with the problem's own grouping.
    problem : MultiCellProblem
    logit_scale : float

    Returns
    -------
    Array, shape (..., 4 * users + cells)
        In [-1, 1]. Raises ``ValueError`` for an allocation that was made for other groups.
    """
    xp = array_namespace(problem.gain, allocation.power)
    same_groups = xp.all(same_group(problem.cell, allocation.group) == problem.mates)
    require(bool(same_groups), "`allocation.group` must be the problem's own grouping to be encoded as an action")
    tiny = xp.finfo(problem.gain.dtype).smallest_normal
    power_slack = allocation.power - problem.per_user(problem.power_floor)[..., None, :]
    band_slack = allocation.bandwidth - problem.per_user(problem.band_floor)[..., None, :]
    band_slack = band_slack / problem.group_size[..., None, :]
    slack = xp.concat([power_slack, band_slack], axis=-2)
    logits = xp.log(xp.clip(slack, min=tiny))
    same_cell = problem.same_cell[..., None, :, :]
    top = xp.max(xp.where(same_cell, logits[..., None, :], -xp.inf), axis=-1)
    logits = xp.clip(logits - top, min=-2.0 * logit_scale)
    bottom = xp.min(xp.where(same_cell, logits[..., None, :], xp.inf), axis=-1)
    logits = logits - bottom / 2.0  # centred: the spread is at most 2 s, so every logit fits into [-s, s]
    per_user = xp.reshape(xp.moveaxis(logits, -2, -1), (*logits.shape[:-2], len(ENTRIES) * problem.users))
    least = problem.least_share
    spent = problem.cell_sum(allocation.power[..., POSITIONING, :])
    total = problem.cell_sum(allocation.power[..., COMMUNICATION, :]) + spent
    # Nothing is spent in a cell without users, and floors may leave one share only: the middle then, as good as any.
    chosen = (total > 0) & (least < 0.5)
    share = spent / xp.where(chosen, total, 1.0)
    part = xp.where(chosen, (share - least) / xp.where(chosen, 1.0 - 2.0 * least, 1.0), 0.5)
    part = xp.clip(part, min=tiny, max=1.0 - xp.finfo(problem.gain.dtype).eps)
    share_logit = xp.where(problem.share_is_free, xp.log(part / (1.0 - part)), xp.zeros_like(part))
    return xp.clip(xp.concat([per_user, share_logit], axis=-1) / logit_scale, min=-1.0, max=1.0)
