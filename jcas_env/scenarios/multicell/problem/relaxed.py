"""The relaxed problem of one cell and one service, on which luo2023 Algorithm 3 works, and the way there and back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import Any, NamedTuple

import numpy as np

from ....checks import glance, require, require_all
from ....physics.membership import Groups, Membership, canonical_groups
from ....physics.rates import Noise, in_group_interference, saturated_ratio, spectral_efficiency
from ....types import COMMUNICATION, POSITIONING, Array, array_namespace, as_array, is_array
from ...fields import CheckedFields
from ..settings import Intercell
from .allocation import MultiCellAllocation
from .checks import Budgets

_REAL = ("weight", "coefficient", "power_floor", "band_floor")


class RelaxedAllocation(NamedTuple):
    """Point of the two simplices of a relaxed problem."""

    power: Array
    """(..., users): share p of the service's power budget; sums to one [-]."""
    bandwidth: Array
    """(..., users): share b of the service's band that the user's group gets, repeated over its members;
    sums to one over groups [-]."""


@dataclass(frozen=True, eq=False)
class RelaxedProblem(CheckedFields):
    r"""Allocation of normalised power and band with the interference frozen.

    .. math:: \max_{p, b} f = \sum_u a_u\, b_{g(u)} \log_2(1 + c_u p_u)
              \qquad\text{or}\qquad \sum_u a_u\, b_{g(u)} \log_2\!\big(1 + c_u p_u / b_{g(u)}\big)

    subject to :math:`\sum_u p_u = 1`, :math:`\sum_g b_g = 1`, :math:`p \ge \underline p`,
    :math:`b \ge \underline b`: the constant-noise form on the left, the per-hertz form on the right. Which of
    them holds is the solver's statement (``Exact(noise=...)``), because the coefficients differ as well.
    Leading axes are batch: cells, services, slots (luo2023 eq. 32, spec multicell 4.1). Raises
    ``ValueError`` for wrong shapes and for weights, coefficients or floors that are negative or not finite.
    """

    weight: Array
    """(..., users): user weights a [-]."""
    coefficient: Array
    """(..., users): signal to interference ratio c at full power [-]."""
    group: Array
    """(..., users) integer: group label; -1 marks an absent user (padding of smaller cells)."""
    power_floor: Array | float
    """scalar or (...,): least share of power of a user [-]."""
    band_floor: Array | float
    """scalar or (...,): least share of band of a group [-]."""

    @staticmethod
    def fit_fields(fields: dict[str, Any]) -> dict[str, Any]:
        """Lists and numbers become arrays."""
        kinds = dict.fromkeys(_REAL, float) | {"group": None}
        return {n: value if is_array(value) else np.asarray(value, dtype=kinds[n]) for n, value in fields.items()}

    @staticmethod
    def check_fields(fields: dict[str, Any]) -> dict[str, Any]:
        """Fields by name, fitted; raises ``ValueError`` for what the class does not allow."""
        fields = RelaxedProblem.fit_fields(fields)
        users = fields["coefficient"].shape[-1:]
        for name in ("weight", "coefficient", "group"):
            shape = tuple(fields[name].shape)
            require(shape[-1:] == users, f"`{name}` must have {users} users on its last axis, got shape {shape}")
        kind = fields["group"].dtype
        integral = array_namespace(fields["group"]).isdtype(kind, "integral")
        require(integral, f"`group` must hold integers, got {kind}")
        for name in _REAL:
            value = fields[name]
            good = array_namespace(value).isfinite(value) & (value >= 0)
            require_all(name, value, good, "finite and at least 0")
        return fields

    @staticmethod
    def plausible(fields: dict[str, Any]) -> bool:
        """Whether shares near zero leave numbers of the floors, at a glance."""
        least, most = glance(fields[name] for name in _REAL)
        return bool(least >= 0) and bool(most < inf)

    @cached_property
    def groups(self) -> Groups:
        """Groups in canonical order."""
        return canonical_groups(self.group, dtype=self.coefficient.dtype)

    @property
    def present(self) -> Array:
        """(..., users) bool: which users exist."""
        return self.group >= 0

    def efficiency(self, allocation: RelaxedAllocation, noise: Noise = "constant") -> Array:
        """Each user's term of the objective without its weight, ``b log2(1 + c p [/ b])``, (..., users) [-]."""
        xp = array_namespace(self.coefficient, allocation.power)
        power, band = allocation
        snr = self.coefficient * power
        if noise == "per_hertz":
            snr = xp.where(band > 0, snr / xp.where(band > 0, band, xp.ones_like(band)), xp.zeros_like(snr))
        return band * spectral_efficiency(snr)

    def objective(self, allocation: RelaxedAllocation, noise: Noise = "constant") -> Array:
        """Relaxed objective f of normalised power and band, (...,) [-] (spec multicell 4.1)."""
        xp = array_namespace(self.coefficient, allocation.power)
        value = self.weight * self.efficiency(allocation, noise)
        return xp.sum(xp.where(self.present, value, xp.zeros_like(value)), axis=-1)


def relax(
    share: Array,
    *,
    gain: Array,
    leakage: Array,
    sensing_gain: Array,
    weight: Array,
    membership: Membership,
    budgets: Budgets,
    noise: Noise,
    intercell: Intercell,
) -> RelaxedProblem:
    r"""Freeze the interference of a problem and separate its cells and services.

    With :math:`I_j^0 = \frac{P_s}{N_i} \sum_{k \in g, k \ne j} G_{jk}` (equal power) and :math:`k_I` = C - 1
    as printed or 1 as a valid bound,

    .. math:: c_j = \frac{\kappa_j^s G_{jj} P_s}{k_I \lambda_j^2 P_{\max} + N_0 B_{\max} + I_j^0}
              \qquad\text{or}\qquad
              \frac{\kappa_j^s G_{jj} P_s}{B_s [N_0 + k_I \lambda_j^2 P_{\max}/B_{\max} + I_j^0 G_i/B_s]}

    for ``noise`` constant and per hertz.

    Parameters
    ----------
    share : Array, shape (..., cells)
        Positioning share in (0, 1); leading axes beyond the other arguments' are candidates [-].
    gain : Array, shape (..., users, users)
        G, receiver first [-].
    leakage, sensing_gain, weight : Array, shape (..., users)
        lambda_j^2, kappa_j and a_j [-].
    membership : Membership
    budgets : Budgets
    noise : {"constant", "per_hertz"}
    intercell : {"printed", "bound"}

    Returns
    -------
    RelaxedProblem
        Batch axes (..., cells, 2); users are the seats of a cell (luo2023 eq. 14, 32, spec multicell 4.1).
    """
    xp = array_namespace(gain)
    spread = xp.stack([membership.of_cell(1.0 - share), membership.of_cell(share)], axis=-2)  # (..., 2, users)
    power_budget, band_budget, _, _, noise_density = (value[..., None, :] for value in budgets.per_user(membership))
    power = spread * power_budget
    equal = power / membership.crowd[..., None, :]
    mates = in_group_interference(equal, gain, membership.cell, membership.group)
    stations = membership.cells - 1 if intercell == "printed" else 1
    outside = stations * leakage[..., None, :] * power_budget
    if noise == "constant":
        level = outside + noise_density * band_budget + mates
    else:
        level = spread * (outside + noise_density * band_budget) + mates * membership.groups[..., None, :]
    kappa = xp.stack([xp.ones_like(sensing_gain), sensing_gain], axis=-2)
    coefficient = saturated_ratio(kappa * xp.linalg.diagonal(gain)[..., None, :] * power, level)

    taken = membership.taken[..., None, :]
    seated = xp.stack([membership.gather(coefficient[..., s, :]) for s in (COMMUNICATION, POSITIONING)], axis=-2)
    group = xp.where(taken, membership.gather(membership.group)[..., None, :], -1)
    worth = xp.where(taken, membership.gather(weight)[..., None, :], 0.0)
    services = xp.stack([1.0 - share, share], axis=-1)  # (..., cells, 2)
    return RelaxedProblem.derived(
        weight=xp.broadcast_to(worth, seated.shape),
        coefficient=xp.where(taken, seated, 0.0),
        group=xp.broadcast_to(group, seated.shape),
        power_floor=(budgets.power_floor / budgets.power)[..., None] / services,
        band_floor=(budgets.band_floor / budgets.band)[..., None] / services,
    )


def relaxed_rates(efficiency: Array, share: Array, *, band: Array, membership: Membership) -> tuple[Array, Array]:
    """Data and positioning rates that a relaxed problem promises.

    Parameters
    ----------
    efficiency : Array, shape (..., cells, 2, seats)
        Of :meth:`RelaxedProblem.efficiency` [-].
    share : Array, shape (..., cells)
        Positioning share [-].
    band : Array, shape (..., cells)
        Budget of band, pilots' time taken off [Hz].
    membership : Membership

    Returns
    -------
    rate, positioning_rate : Array, shape (..., users)
        [bit/s] (spec multicell 4.1).
    """
    communication = efficiency[..., COMMUNICATION, :] * ((1.0 - share) * band)[..., None]
    positioning = 0.5 * efficiency[..., POSITIONING, :] * (share * band)[..., None]
    return membership.scatter(communication), membership.scatter(positioning)


def assemble(
    allocation: RelaxedAllocation, share: Array | float, *, membership: Membership, budgets: Budgets
) -> MultiCellAllocation:
    """Physical allocation from normalised ones.

    ``allocation`` (..., cells, 2, seats) and ``share``, a number or (..., cells) [-] -> powers [W] and bands [Hz],
    (..., 2, users).
    """
    xp = array_namespace(allocation.power)
    share = share if is_array(share) else as_array(share, allocation.power)
    services = xp.stack([1.0 - share, share], axis=-1)

    def physical(part: Array, budget: Array) -> Array:
        value = part * (services * budget[..., None])[..., None]
        return xp.stack([membership.scatter(value[..., s, :]) for s in (COMMUNICATION, POSITIONING)], axis=-2)

    power = physical(allocation.power, budgets.power)
    group = xp.broadcast_to(membership.group, (*power.shape[:-2], power.shape[-1]))
    return MultiCellAllocation(power, physical(allocation.bandwidth, budgets.band), group)
