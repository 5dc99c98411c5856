"""Gradient of the utility in closed form: which way an allocation earns more."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import log
from typing import NamedTuple

from ....checks import require
from ....types import COMMUNICATION, Array, array_namespace, device
from ....units import MEGA
from .problem import LEAST_RATE, MultiCellProblem


class Slopes(NamedTuple):
    """An allocation's utility and its derivatives."""

    value: Array
    """(..., n): utility."""
    power: Array
    """(..., n, 2, users): derivative with respect to a power [1/W]."""
    bandwidth: Array
    """(..., n, 2, users): derivative with respect to the band that a user sees, its mates' held [1/Hz]."""


class _Received(NamedTuple):
    """What the rates depend on, (..., n, 2, users)."""

    level: Array
    """I: interference and noise [W]."""
    density: Array
    """D: what the band adds to it, other cells and, per hertz, noise [W/Hz]; (..., n, 1, users)."""
    effective: Array
    """kappa x: SINR times the positioning factor, which is 1 for data [-]."""
    moves: Array
    """bool: where the SINR is not cut at the end of the precision."""


@dataclass(frozen=True, eq=False)
class UtilityGradient:
    r"""Utility of a problem for many allocations with its own grouping, and the gradient.

    With :math:`I_j^s` and :math:`x_j^s` of spec multicell 2.5, :math:`D_j` the density that multiplies the band in
    :math:`I_j^s`, efficiency :math:`e_j^s = h_s \log_2(1 + \kappa_j^s x_j^s)` with :math:`h = (1, 1/2)`,
    :math:`\kappa^C = 1`, and :math:`\rho_j^s = \partial U / \partial R_j^s`,

    .. math:: v_j^s = \frac{\partial U}{\partial I_j^s}
              = -\frac{\rho_j^s h_s B_j^s}{\ln 2}\,\frac{\kappa_j^s x_j^s}{1 + \kappa_j^s x_j^s}\,\frac{1}{I_j^s}

    .. math:: \frac{\partial U}{\partial P_k^s} = \frac{\rho_k^s h_s B_k^s}{\ln 2}\,
              \frac{\kappa_k^s G_{kk} / I_k^s}{1 + \kappa_k^s x_k^s}
              + \sum_{j \in g(k),\, j \ne k} G_{jk} v_j^s
              + \frac{1}{B_{\max}} \sum_{j\,\text{in other cells}} G_{jk} \sum_{s'} B_j^{s'} v_j^{s'}

    .. math:: \frac{\partial U}{\partial B_j^s} = \rho_j^s e_j^s + D_j v_j^s

    and :math:`\rho` is :math:`a w_s / C` for ``rate``, the same over the rate for ``fair`` (0 below the floor of the
    logarithm), :math:`\Delta t / (U \lambda \Delta t)` where a backlog is left for ``delay``, that times twice the
    backlog in slots for ``drain``.

    ``problem.utility`` is the plain formula, and the value here is the same but for the order of sums: C cells'
    mean of sums is the sum over users, since each is served by one. At a kink the gradient is that of one side. What
    depends on the problem alone is computed once. Calling takes allocations with an axis of n candidates after the
    batch axes, because a product of one matrix with many vectors then is one product.
    """

    problem: MultiCellProblem
    """With continuous bands: whole subcarriers have no gradient (``ValueError``)."""

    def __post_init__(self) -> None:
        whole = self.problem.subcarrier_spacing
        require(not whole, f"whole subcarriers have no gradient: `subcarrier_spacing` is {whole!r}, not 0")

    def __call__(self, power: Array, bandwidth: Array) -> Slopes:
        """Utility and gradient at allocations, ``power`` [W] and ``bandwidth`` [Hz] (..., n, 2, users)."""
        xp = array_namespace(power)
        received = self._receive(power, bandwidth)
        efficiency = self._bits * xp.log1p(received.effective)
        value, worth = self._score(bandwidth * efficiency)
        # B rho h / ln 2 over 1 + kappa x, which both slopes of the SINR have in common.
        common = xp.where(received.moves, self._bits * worth * bandwidth / (1.0 + received.effective), 0.0)
        by_level = -common * _ratio(received.effective, received.level, self._most)
        to_others = xp.sum(bandwidth * by_level, axis=-2) @ self._between
        by_power = common * _ratio(self._signal, received.level, self._most)
        by_power = by_power + rows_times(by_level, self._in_group) + to_others[..., None, :]
        return Slopes(value, by_power, worth * efficiency + by_level * received.density)

    # ---------------------------------------------------------------- the rates and what they are worth

    def _receive(self, power: Array, bandwidth: Array) -> _Received:
        """Levels and SINRs, as :func:`.rates.interference` and :func:`.rates.sinr` have them."""
        xp = array_namespace(power)
        density = (xp.sum(power, axis=-2) @ xp.matrix_transpose(self._between))[..., None, :]
        constant = self.problem.noise == "constant"
        if not constant:
            density = density + self._noise
        level = rows_times(power, xp.matrix_transpose(self._in_group)) + bandwidth * density
        if constant:
            level = level + self._noise
        signal = power * self._signal
        moves = signal < self._ceiling * xp.minimum(level, 1.0)
        return _Received(level, density, _ratio(signal, level, self._ceiling), moves)

    def _score(self, rate: Array) -> tuple[Array, Array]:
        """Utility (..., n) of rates (..., n, 2, users), and its derivative with respect to each."""
        xp, problem = array_namespace(rate), self.problem
        if problem.reward in ("delay", "drain"):
            return self._backlog_score(rate)
        if problem.reward == "rate":
            return xp.sum(self._weight * rate, axis=(-2, -1)), self._weight
        heard = rate >= LEAST_RATE * MEGA
        floored = xp.where(heard, rate, LEAST_RATE * MEGA)
        value = xp.sum(MEGA * self._weight * xp.log(floored / MEGA), axis=(-2, -1))
        return value, xp.where(heard, MEGA * self._weight / floored, 0.0)

    def _backlog_score(self, rate: Array) -> tuple[Array, Array]:
        """The same for what is left in the queues, see :func:`.backlog_score`; positioning is worth nothing."""
        xp, problem = array_namespace(rate), self.problem
        data = rate[..., COMMUNICATION, :]
        left = xp.clip(self._offered - data * problem.slot, min=0.0)
        slots = left * self._per_arrival
        falls = xp.where(left > 0, problem.slot * self._per_arrival / problem.users, 0.0)
        cost, worth = (slots, falls) if problem.reward == "delay" else (slots**2, 2.0 * slots * falls)
        return -xp.sum(cost, axis=-1) / problem.users, xp.stack([worth, xp.zeros_like(worth)], axis=-2)

    # ---------------------------------------------------------------- what depends on the problem alone

    @cached_property
    def _in_group(self) -> Array:
        """(..., users, users): gains of beams of the own group but the own beam, receiver first [-]."""
        xp, gain = array_namespace(self.problem.gain), self.problem.gain
        index = xp.arange(self.problem.users, device=device(gain))
        return xp.where(self.problem.mates & (index[:, None] != index), gain, 0.0)

    @cached_property
    def _between(self) -> Array:
        """(..., users, users): gains of the other cells' beams over the band of their cell, receiver first [1/Hz]."""
        xp, gain = array_namespace(self.problem.gain), self.problem.gain
        return (
            xp.where(self.problem.same_cell, 0.0, gain) / self.problem.per_user(self.problem.band_budget)[..., None, :]
        )

    @cached_property
    def _kappa(self) -> Array:
        """(..., 1, 2, users): what multiplies the SINR under the logarithm [-]."""
        xp, kappa = array_namespace(self.problem.gain), self.problem.sensing_gain
        return xp.stack([xp.ones_like(kappa), kappa], axis=-2)[..., None, :, :]

    @cached_property
    def _signal(self) -> Array:
        """(..., 1, 2, users): gain of the own beam times kappa [-]."""
        xp = array_namespace(self.problem.gain)
        return self._kappa * xp.linalg.diagonal(self.problem.gain)[..., None, None, :]

    @cached_property
    def _noise(self) -> Array:
        """(..., 1, 1, users): noise density [W/Hz], or where it is constant the noise of the whole band [W]."""
        problem = self.problem
        noise = problem.per_user(problem.noise_density)
        if problem.noise == "constant":
            noise = noise * problem.per_user(problem.band_budget)
        return noise[..., None, None, :]

    @cached_property
    def _ceiling(self) -> Array:
        """(..., 1, 2, users): largest kappa x: that of the largest SINR that has a product with kappa [-]."""
        xp = array_namespace(self.problem.gain)
        limits = xp.finfo(self.problem.gain.dtype)
        return limits.max * (1.0 - 4.0 * limits.eps) * xp.minimum(self._kappa, 1.0)

    @cached_property
    def _most(self) -> float:
        """Where ratios are cut that other factors multiply."""
        limits = array_namespace(self.problem.gain).finfo(self.problem.gain.dtype)
        return float(limits.max * limits.eps)

    @cached_property
    def _bits(self) -> Array:
        """(..., 1, 2, 1): bits per nat of a data and of a positioning rate, pilots' time taken off [-]."""
        xp, gain = array_namespace(self.problem.gain), self.problem.gain
        unit = xp.asarray([[1.0 / log(2.0)], [0.5 / log(2.0)]], dtype=gain.dtype, device=device(gain))
        return self.problem.duty[..., None, None, None] * unit

    @cached_property
    def _weight(self) -> Array:
        """(..., 1, 2, users): what a bit/s is worth under the ``rate`` reward [s/bit]."""
        problem = self.problem
        share = problem.weight[..., None, :] * problem.service_weight[:, None] / (problem.cells * MEGA)
        return share[..., None, :, :]

    @cached_property
    def _offered(self) -> Array:
        """(..., 1, users): backlog and arrivals [bit]."""
        problem = self.problem
        require(problem.arrivals is not None, "this problem has no queues: `arrivals` is None")
        return (problem.queue + problem.arrivals)[..., None, :]

    @cached_property
    def _per_arrival(self) -> Array:
        """(..., 1, users): one over a slot's mean arrivals; 0 where nothing ever arrives [1/bit]."""
        xp, mean = array_namespace(self.problem.gain), self.problem.mean_arrivals
        comes = mean > 0
        return xp.where(comes, 1.0 / xp.where(comes, mean, 1.0), 0.0)[..., None, :]


def rows_times(value: Array, matrix: Array) -> Array:
    """Rows of (..., n, k, users) times (..., users, users), the n k rows of a batch element in one product."""
    xp = array_namespace(value)
    flat = xp.reshape(value, (*value.shape[:-3], -1, value.shape[-1]))
    return xp.reshape(flat @ matrix, value.shape)


def _ratio(part: Array, whole: Array, most: Array | float) -> Array:
    """``part / whole`` of numbers that are not negative, at most ``most``; 0 where the whole is 0.

    No warning, whatever the numbers are (compare :func:`.rates.saturated_ratio`).
    """
    xp = array_namespace(part, whole)
    return xp.minimum(part, most * xp.minimum(whole, 1.0)) / xp.where(whole > 0, whole, 1.0)
