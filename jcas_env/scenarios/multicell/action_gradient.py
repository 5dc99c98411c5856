"""Gradient of what an action earns: the utility's, through the decoding."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from ...checks import require
from ...physics.membership import one_hot
from ...types import Array, array_namespace
from .action import ENTRIES
from .problem.gradient import UtilityGradient, rows_times
from .problem.problem import MultiCellProblem

WIDEST = 80.0
"""Largest logit whose exponential, and the sum over a cell, is a number in single precision."""


class _Decoded(NamedTuple):
    """Logits on the way to an allocation, (..., n, what, users) or as stated."""

    split: Array
    """Softmax inside the cell, of the four logits [-]."""
    part: Array
    """(..., n, 2, 2, users): part of the slack above the floors, of power and of the group's band [-]."""
    room: Array
    """(..., n, 2, 2, users): slack of power [W] and of band [Hz] of the cell's services."""
    sigmoid: Array
    """(..., n, cells): of the share logit [-]."""
    fade: Array
    """(..., n, cells): 1 - sigmoid, without its cancellation [-]."""


@dataclass(frozen=True, eq=False)
class ActionGradient:
    r"""Utility of the allocation that logits z decode to, and its gradient.

    With the split :math:`\sigma_u`, softmax of z in the cell, the room :math:`\Delta_P = P_s - N_i P_\mathrm{thr}`,
    and :math:`\Delta_B` likewise, the chain rule through :func:`.decode` is

    .. math:: \frac{\partial U}{\partial z_u} = \sigma_u \Big(c_u - \sum_{v \in i} \sigma_v c_v\Big), \qquad
              c_u = \Delta_P \frac{\partial U}{\partial P_u} \;\text{or}\;
              \Delta_B \sum_{v \in g(u)} \frac{\partial U}{\partial B_v}

    .. math:: \frac{\partial U}{\partial z_i^\beta} = (1 - 2 \beta_{\min})\, \varsigma (1 - \varsigma)
              \sum_{u \in i} \Big(P_{\max} \Big[\sigma \frac{\partial U}{\partial P}\Big]_C^O
              + B_{\max} \Big[\sigma_g \frac{\partial U}{\partial B}\Big]_C^O\Big)_u, \qquad
              \varsigma = \mathrm{sigmoid}(z_i^\beta), \quad \sigma_g = \sum_{v \in g(u)} \sigma_v

    0 for a share that is not free, and for a logit outside the box, which is clipped. ``problem.utility`` of
    ``decode`` is the plain formula. Equal to it but for rounding: logits are at most ``logit_scale``, so exponentials
    need no peak taken off, and sums over a cell are products with a matrix of ones and zeros.
    """

    problem: MultiCellProblem
    """With continuous bands, and floors that leave a share."""
    logit_scale: float
    """Logits are clipped to plus and minus this [-]."""

    def __post_init__(self) -> None:
        fits = 0 < self.logit_scale <= WIDEST
        require(fits, f"`logit_scale` must be in (0, {WIDEST:g}], got {self.logit_scale!r}")

    def __call__(self, logits: Array) -> tuple[Array, Array]:
        """Utility (..., n) and gradient (..., n, 4 * users + cells) at logits in the order of an action.

        n candidates are an axis of their own after the problem's batch axes.
        """
        xp = array_namespace(logits)
        scale = self.logit_scale
        decoded = self._decode(xp.minimum(xp.maximum(logits, -scale), scale))
        allocation = self._floor + decoded.room * decoded.part
        slopes = self._utility(allocation[..., 0, :, :], allocation[..., 1, :, :])
        by_part = xp.stack([slopes.power, slopes.bandwidth], axis=-3)
        gradient = xp.concat([self._by_logit(decoded, by_part), self._by_share(decoded, by_part)], axis=-1)
        return slopes.value, xp.where(xp.abs(logits) <= scale, gradient, 0.0)

    def _decode(self, logits: Array) -> _Decoded:
        """As :func:`.decode` does."""
        xp, count = array_namespace(logits), len(ENTRIES) * self.problem.users
        weight = xp.exp(self._by_entry(logits[..., :count]))
        split = weight / rows_times(weight, self._cell_mates)
        part = xp.stack([split[..., :2, :], rows_times(split[..., 2:, :], self._mates)], axis=-3)
        fade = xp.exp(-logits[..., count:])
        sigmoid = 1.0 / (1.0 + fade)
        free = self._least_share + (1.0 - 2.0 * self._least_share) * sigmoid
        positioning = xp.where(self._is_free, free, self._share) @ xp.matrix_transpose(self._serves)
        services = xp.stack([1.0 - positioning, positioning], axis=-2)[..., None, :, :]
        return _Decoded(split, part, services * self._budget - self._reserved, sigmoid, fade * sigmoid)

    def _by_logit(self, decoded: _Decoded, by_part: Array) -> Array:
        """(..., n, 4 * users): derivative with respect to the logits of power and band."""
        xp = array_namespace(by_part)
        rise = decoded.room * by_part
        rise = xp.concat([rise[..., 0, :, :], rows_times(rise[..., 1, :, :], self._mates)], axis=-2)
        rise = rise - rows_times(decoded.split * rise, self._cell_mates)
        gradient = xp.matrix_transpose(decoded.split * rise)
        return xp.reshape(gradient, (*gradient.shape[:-2], -1))

    def _by_share(self, decoded: _Decoded, by_part: Array) -> Array:
        """(..., n, cells): derivative with respect to the share logits."""
        xp = array_namespace(by_part)
        earned = self._budget * decoded.part * by_part
        moved = xp.sum(earned[..., 1, :] - earned[..., 0, :], axis=-2) @ self._serves
        slope = (1.0 - 2.0 * self._least_share) * decoded.sigmoid * decoded.fade
        return xp.where(self._is_free, slope * moved, 0.0)

    def _by_entry(self, logits: Array) -> Array:
        """(..., n, 4 * users) in the order of an action -> (..., n, 4, users)."""
        xp = array_namespace(logits)
        return xp.matrix_transpose(xp.reshape(logits, (*logits.shape[:-1], self.problem.users, len(ENTRIES))))

    # ---------------------------------------------------------------- what depends on the problem alone

    @cached_property
    def _utility(self) -> UtilityGradient:
        """The gradient before the chain rule."""
        return UtilityGradient(self.problem)

    def _ones(self, where: Array) -> Array:
        """A mask as numbers of the problem's precision."""
        return array_namespace(where).astype(where, self.problem.gain.dtype)

    @cached_property
    def _cell_mates(self) -> Array:
        """(..., users, users): 1 where two users share the cell."""
        return self._ones(self.problem.same_cell)

    @cached_property
    def _mates(self) -> Array:
        """(..., users, users): 1 where two users share the group."""
        return self._ones(self.problem.mates)

    @cached_property
    def _serves(self) -> Array:
        """(..., users, cells): 1 where a cell serves a user."""
        xp = array_namespace(self.problem.gain)
        return self._ones(xp.matrix_transpose(one_hot(self.problem.cell, self.problem.cells)))

    @cached_property
    def _is_free(self) -> Array:
        """(..., 1, cells) bool: where the allocator decides the share."""
        return self.problem.share_is_free[..., None, :]

    @cached_property
    def _share(self) -> Array:
        """(..., 1, cells): the given share, one half where it is free [-]."""
        xp = array_namespace(self.problem.gain)
        return xp.where(self.problem.share_is_free, 0.5, self.problem.share)[..., None, :]

    @cached_property
    def _least_share(self) -> Array:
        """(..., 1, cells): the smallest share [-]."""
        xp = array_namespace(self.problem.gain)
        return xp.minimum(self.problem.least_share, 0.5)[..., None, :]

    def _pair(self, power: Array | float, bandwidth: Array | float) -> Array:
        """Numbers per cell of power and band for each user, (..., 1, 2, 1, users)."""
        xp, problem = array_namespace(self.problem.gain), self.problem
        shape = (*problem.batch, problem.users)
        values = [xp.broadcast_to(problem.per_user(value), shape) for value in (power, bandwidth)]
        return xp.stack(values, axis=-2)[..., None, :, None, :]

    @cached_property
    def _floor(self) -> Array:
        """(..., 1, 2, 1, users): floors [W, Hz]."""
        return self._pair(self.problem.power_floor, self.problem.band_floor)

    @cached_property
    def _budget(self) -> Array:
        """(..., 1, 2, 1, users): budgets of both services together [W, Hz]."""
        return self._pair(self.problem.power_budget, self.problem.band_budget)

    @cached_property
    def _reserved(self) -> Array:
        """(..., 1, 2, 1, users): what the floors of a service take in the cell [W, Hz]."""
        xp = array_namespace(self.problem.gain)
        count = xp.stack([self.problem.crowd, self.problem.groups], axis=-2)
        return count[..., None, :, None, :] * self._floor
