"""One frame of the massive MIMO base station as a problem: what is known, or what is true."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import inf

from ...physics.arrays import sum_of_few
from ...physics.information.echo import (
    EchoGains,
    aligned_information,
    echo_gains,
    echo_information,
    least_sensing_share,
    most_informative_share,
)
from ...physics.mrt import mrt_sinr
from ...physics.rates import spectral_efficiency
from ...types import Array, array_namespace, as_array
from ..fields import CheckedFields
from . import checks
from .allocation import MassiveMIMOAllocation, MassiveMIMOOutcome
from .config import Objective, Reward

CRB_CAP = 1e3
"""The bound enters the logarithm of the ``frame`` reward at most as this [rad^2] (spec mimo 7)."""

REACH = 1e-12
"""Relative slack with which a demand counts as reachable: at the very limit rounding decides otherwise."""


@dataclass(frozen=True, eq=False)
class MassiveMIMOProblem(CheckedFields):
    r"""One frame: users served by maximum-ratio transmission, and a target (nguyen2024 eq. 19, spec mimo 1).

    The same type says what an allocator may know (the target is where the beam points) and what is true; ``utility``
    on the truth is the reward. Constructible from plain arrays. Fields (...,) may be numbers. Only ratios of powers
    matter, so any unit will do if it is the same in all of them. Raises ``ValueError`` that names field, index
    and value.
    """

    large_scale_gain: Array
    """(..., users): beta_k, positive [-]."""
    estimate_variance: Array
    """(..., users): xi_k, variance of the channel estimate, positive [-]."""
    noise_power: Array
    """(...,): sigma^2 at the users, positive [W]."""
    echo_noise: Array | float
    """(...,): scaled echo noise, sigma_r^2 / (2 |alpha|^2 L), positive [W]."""
    power_budget: Array | float
    """(...,): P_t, radiated power [W]."""
    crb_limit: Array | float
    """(...,): CRB_0, demanded bound on the angle's variance, positive; inf: none [rad^2]."""
    tx_antennas: int
    """N_t."""
    rx_antennas: int
    """N_r."""
    target_angle: Array | float = 0.0
    """(...,): theta, from broadside [rad]."""
    beam_angle: Array = None
    """(...,): direction of the sensing beam [rad]; None: at the target."""
    rate_factor: float = 1.0
    """Share of a coherence interval that carries data, 1 - tau_p / tau_c [-]."""
    weight: Array | None = None
    """(..., users): weights of the rates [-]; None: ones."""
    rate_floor: Array | float = 0.0
    """(..., users) or a number: least rate that ``Exact`` guarantees each user [bit/s/Hz]."""
    pilot_overlap: Array | None = None
    """(..., users, users): squared inner products of the pilots [-]; None: orthonormal."""

    prior_variance: Array | float = inf
    """(...,): V^-, variance of the predicted angle [rad^2]; inf: nothing is known beforehand."""
    variance_limit: Array | float = inf
    """(...,): V_max, variance above which the tracking reward is reduced, positive; inf: none [rad^2]."""
    penalty: float = 10.0
    """lambda, cost of a decade above the limit [bit/s/Hz]."""
    reward: Reward = "constrained"
    """Form of the utility: ``tracking``, ``frame``, or ``constrained`` (the rates alone)."""
    objective: Objective = "sum"
    """Utility of the rates: weighted sum, or the least rate."""

    fit_fields = staticmethod(checks.fit_fields)
    check_fields = staticmethod(checks.check_fields)
    plausible = staticmethod(checks.plausible)

    # ---------------------------------------------------------------- sizes and limits

    @property
    def batch(self) -> tuple[int, ...]:
        """Leading batch axes."""
        return tuple(self.large_scale_gain.shape[:-1])

    @property
    def users(self) -> int:
        """Number of users."""
        return int(self.large_scale_gain.shape[-1])

    @property
    def largest_total(self) -> Array:
        """(...,): S_max, largest total power per transmit antenna [W]."""
        return self.power_budget / self.tx_antennas

    @cached_property
    def echo(self) -> EchoGains:
        """Information coefficients of the target under this frame's sensing beam."""
        return echo_gains(
            self.target_angle, self.beam_angle, tx_antennas=self.tx_antennas, rx_antennas=self.rx_antennas
        )

    def aligned(self) -> MassiveMIMOProblem:
        """The same frame with the target where the beam points."""
        return self if self.target_angle is self.beam_angle else self.changed(target_angle=self.beam_angle)

    def with_target(self, angle: Array) -> MassiveMIMOProblem:
        """The same frame with the target at an angle (...,) [rad]; raises ``ValueError`` where that is not finite."""
        target = checks.fitted_field("target_angle", angle, self.large_scale_gain)
        checks.require_rule("target_angle", target, "finite")
        stated = {name: getattr(self, name) for name in self.__dataclass_fields__}
        moved = object.__new__(type(self))
        vars(moved).update(stated | {"target_angle": target})  # the other fields are fitted
        return moved

    def with_beam_error(self, error: Array | float) -> MassiveMIMOProblem:
        """The same frame with the target off the beam by an assumed ``error`` [rad], (...,).

        Raises ``ValueError`` where that is no finite angle.
        """
        off = self.changed(target_angle=self.beam_angle + as_array(error, self.beam_angle))
        checks.require_rule("target_angle", off.target_angle, "finite")
        return off

    # ---------------------------------------------------------------- what the demand takes

    @cached_property
    def best_information(self) -> Array:
        """(...,): most information about the angle per unit of total power, max(a, b) if aligned [1/rad^2]."""
        if self.target_angle is self.beam_angle:
            return self._aligned_information
        share = most_informative_share(self.echo)
        return echo_information(1.0 - share, share, self.echo)

    @property
    def _aligned_information(self) -> Array:
        """:attr:`best_information` of a target where the beam points."""
        return aligned_information(self.beam_angle, tx_antennas=self.tx_antennas, rx_antennas=self.rx_antennas)

    @cached_property
    def crb_min(self) -> Array:
        r"""(...,): least bound within reach, :math:`\bar\sigma^2 / \max I(S_{max})`; inf without any [rad^2]."""
        return self._least_bound(self.best_information)

    def _least_bound(self, information: Array) -> Array:
        """Bound of full power at an information per unit of power, (...,) [rad^2]."""
        return self.echo_noise * reciprocal(information * self.largest_total)

    @property
    def feasible(self) -> Array:
        """(...,) bool: whether the demanded bound is within reach."""
        return self._within_reach(self.crb_min)

    def _within_reach(self, crb_min: Array) -> Array:
        """Whether the demanded bound is, where ``crb_min`` (...,) is the least."""
        xp = array_namespace(crb_min)
        return (self.crb_limit >= crb_min * (1.0 - REACH)) & xp.isfinite(crb_min) | xp.isinf(self.crb_limit)

    @property
    def sufficient_power(self) -> Array:
        """(...,): radiated power at which the demand is within reach, N_t c / max(a, b) if aligned [W]."""
        xp = array_namespace(self.echo_noise)
        needed = self.tx_antennas * self.echo_noise / self.crb_limit  # zero without a demand
        return needed * xp.where(needed > 0, reciprocal(self.best_information), xp.ones_like(needed))

    def least_sensing_power(self, crb_limit: Array | None = None) -> Array:
        """(...,): least T at full power that meets the demand (or another one), else the most informative T [W]."""
        xp = array_namespace(self.large_scale_gain)
        total = self.largest_total
        some = total > 0  # without power no demand is met: the share of a power of zero does not matter
        limit = self.crb_limit if crb_limit is None else crb_limit
        demand = self.echo_noise / limit / xp.where(some, total, xp.ones_like(total))
        return total * least_sensing_share(self.echo, demand)

    def lacking_bound(self) -> Array:
        r"""(...,): bound on the angle that the prior still lacks for the variance limit [rad^2].

        The largest CRB with which :math:`1/(1/V^- + 1/\mathrm{CRB}) \le V_{max}`, that is
        :math:`V_{max} / (1 - V_{max}/V^-)`; inf where the prior keeps the limit by itself (spec mimo 7).
        """
        xp = array_namespace(self.large_scale_gain)
        prior, limit = self.prior_variance, self.variance_limit
        lacking = prior > limit
        gap = xp.where(lacking, 1.0 - limit / xp.where(lacking, prior, xp.ones_like(prior)), xp.ones_like(prior))
        return xp.where(lacking, limit / gap, xp.full_like(limit, inf))

    # ---------------------------------------------------------------- what an allocation earns

    def rates(self, allocation: MassiveMIMOAllocation) -> Array:
        """Data rate of every user, (..., users) [bit/s/Hz] (nguyen2024 Theorem 1, spec mimo 1.1)."""
        return self._rates(allocation, None)

    def _rates(self, allocation: MassiveMIMOAllocation, total: Array | None) -> Array:
        sinr = mrt_sinr(
            allocation.power,
            allocation.sensing_power,
            self.large_scale_gain,
            self.estimate_variance,
            self.noise_power,
            antennas=self.tx_antennas,
            overlap=self.pilot_overlap,
            total=total,
        )
        return self.rate_factor * spectral_efficiency(sinr)

    def information(self, allocation: MassiveMIMOAllocation) -> Array:
        """Fisher information about the target's angle, (...,) [1/rad^2]."""
        return self._information(sum_of_few(allocation.power), allocation.sensing_power)

    def _information(self, streams: Array, sensing_power: Array) -> Array:
        """That of a total power of the streams, (...,)."""
        return echo_information(streams, sensing_power, self.echo) / self.echo_noise

    def crb(self, allocation: MassiveMIMOAllocation) -> Array:
        """Cramér-Rao bound of the target's angle, inf without information, (...,) [rad^2] (spec mimo 1.2)."""
        return reciprocal(self.information(allocation))

    def posterior(self, information: Array, crb: Array | None = None) -> Array:
        r"""Variance after a measurement, :math:`1/(1/V^- + I)`, (...,) [rad^2]; the prior's where I = 0.

        ``crb`` is the reciprocal of the information, where it is at hand.
        """
        xp = array_namespace(information)
        # Where nothing is known beforehand the product of prior and information would be inf * 0.
        known = xp.isfinite(self.prior_variance)
        prior = xp.where(known, self.prior_variance, 1.0)
        return xp.where(known, prior / (1.0 + prior * information), reciprocal(information) if crb is None else crb)

    def score(self, rate: Array) -> Array:
        """Utility of the rates alone, weighted sum or least rate, (...,) [bit/s/Hz]."""
        xp = array_namespace(rate)
        return xp.min(rate, axis=-1) if self.objective == "min" else sum_of_few(self.weight * rate)

    def cost(self, information: Array) -> Array:
        """Decades by which the tracker's variance exceeds its limit, (...,) [-]."""
        return decades(self.posterior(information) / self.variance_limit)

    def _reward(self, rate: Array, crb: Array, cost: Array) -> Array:
        if self.reward == "tracking":
            assert cost is not None
            return self.score(rate) - self.penalty * cost
        if self.reward == "frame":
            capped = array_namespace(rate).minimum(crb, CRB_CAP)
            return self.score(rate) - self.penalty * decades(capped / self.crb_limit)
        return self.score(rate)

    def utility(self, allocation: MassiveMIMOAllocation) -> Array:
        r"""Configured reward, (...,) [bit/s/Hz] (spec mimo 7).

        ``tracking``: :math:`\sum_k w_k R_k - \lambda \max(0, \log_{10} V/V_{max})`; ``frame``: the same with
        CRB / CRB_0; ``constrained``: the rates alone. On the truth it is the environment's reward.
        """
        information = self.information(allocation)
        cost = self.cost(information) if self.reward == "tracking" else None
        return self._reward(self.rates(allocation), reciprocal(information), cost)

    def violation(self, allocation: MassiveMIMOAllocation, total: Array | None = None) -> Array:
        """Excess over the power budget, see :func:`.worst_violation`; the demand on the bound is a price."""
        return checks.worst_violation(
            allocation, power_budget=self.power_budget, tx_antennas=self.tx_antennas, total=total
        )

    def check_allocation(self, allocation: MassiveMIMOAllocation) -> MassiveMIMOAllocation:
        """An allocation as arrays of this problem's kind; raises ``ValueError`` that names a bad entry."""
        return checks.check_allocation(allocation, like=self.large_scale_gain)

    def outcome(self, allocation: MassiveMIMOAllocation) -> MassiveMIMOOutcome:
        """Rates, utility, violation and what the target's tracker gets."""
        xp = array_namespace(allocation.power)
        streams, sensing = sum_of_few(allocation.power), allocation.sensing_power
        total = streams + sensing
        rate, information = self._rates(allocation, total), self._information(streams, sensing)
        crb = reciprocal(information)
        variance = self.posterior(information, crb)
        cost = decades(variance / self.variance_limit)
        predicted = self._least_bound(self._aligned_information)
        return MassiveMIMOOutcome(
            rate=rate,
            utility=self._reward(rate, crb, cost),
            violation=self.violation(allocation, total),
            crb=crb,
            crb_min=predicted,
            feasible=self._within_reach(predicted),
            variance=variance,
            beam_error=self.beam_angle - self.target_angle,
            sensing_share=sensing / xp.where(total > 0, total, 1.0),
            cost=cost,
        )


def reciprocal(value: Array) -> Array:
    """``1 / value`` of something not negative, inf where that is no number; any shape."""
    xp = array_namespace(value)
    some = value >= xp.finfo(value.dtype).smallest_normal
    return xp.where(some, 1.0 / xp.where(some, value, xp.ones_like(value)), xp.full_like(value, inf))


def decades(ratio: Array) -> Array:
    """``max(0, log10(ratio))`` of something not negative; any shape."""
    xp = array_namespace(ratio)
    return xp.log10(xp.maximum(ratio, 1.0))
