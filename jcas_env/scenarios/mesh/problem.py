"""The allocation problem of a frame: where the users are, what they hear, what is asked and what is earned."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import log, pi

from array_api_compat import array_namespace, device

from ...physics.information.angle import array_sensitivity
from ...physics.information.line_of_sight import AngularInformation, pair_information
from ...physics.information.position import ErrorBounds, closed_form_bounds, inverse_equivalent_error
from ...types import Array, as_array
from ..fields import CheckedFields
from . import checks
from .allocation import MeshAllocation, MeshOutcome
from .config import Objective
from .counts import LEAST_VALUE, CountModel
from .subcarriers import comb_moments, comb_placement, moments_per_user, proportional_counts
from .tones import Tones, tones_of_band, tones_of_places, tones_of_users


@dataclass(frozen=True, eq=False)
class MeshProblem(CheckedFields):
    r"""One frame of the mesh (spec mesh 1, 2, DESIGN 7.1).

    Subcarrier n serves user u in both phases: for a part beta of the frame it carries known symbols on a pair of
    beams, for the rest data. ``utility`` is the environment's reward. Knowledge and truth coincide: users are observed
    where the allocation finds them. Constructible from plain arrays; raises ``ValueError`` that names field, index and
    value.
    """

    distance: Array
    """(..., users): distances d from the anchor [m]."""
    aod: Array
    """(..., users): angles of departure theta from the anchor's array axis [rad]."""
    aoa: Array
    """(..., users): angles of arrival phi from the users' array axes [rad]."""
    snr: Array
    """(..., users), or (..., users, subcarriers) in a frequency-selective channel: signal to noise ratio per subcarrier
    and symbol, matched receive array, beam gain one [-]."""
    subcarriers: int
    """Number N of subcarriers."""
    subcarrier_spacing: float = 150e3
    """Spacing of the subcarriers; a symbol lasts its reciprocal [Hz]."""
    tx_antennas: int = 30
    """Elements of the anchor's array, at least 2."""
    rx_antennas: int = 30
    """Elements of a user's array, at least 2."""
    rate_floor: Array | float = 100e6
    """R*, least data rate of every user, scalar or (...,); 0: none [bit/s]."""
    positioning_weight: Array | float = 0.5
    """rho of ``sum``, mu of ``log``, scalar or (...,) [-]."""
    objective: Objective = "sum"
    """Form of the utility."""
    reference_error: Array | None = None
    """(...,): E_ref; None: worst equivalent error with every subcarrier shared equally, beta = 1 [m^2]."""
    reference_rate: Array | None = None
    """(...,): R_ref; None: mean rate with every subcarrier shared equally, beta = 0 [bit/s]."""
    frame: float = 10e-3
    """Frame T_F [s]."""
    networking_time: float = 0.0
    """Control stage T_A before the frame [s]."""
    beam_split: float = 0.25
    """eta in (0, 1), share of the beams' power on the slope of the array response."""
    uniformity: float = 1.0
    """gamma, what a squared radian is worth [m^2/rad^2]."""
    share_min: float = 1e-3
    """beta_lo."""
    least_subcarriers: int = 2
    """Subcarriers that an action or a rounded solution gives to every user at least."""
    penalty: float = 1.0
    """kappa, price of a relative shortfall from the rate floor."""

    fit_fields = staticmethod(checks.fit_fields)
    check_fields = staticmethod(checks.check_fields)
    plausible = staticmethod(checks.plausible)

    # ---------------------------------------------------------------- sizes and physics

    @property
    def batch(self) -> tuple[int, ...]:
        """Leading batch axes."""
        return tuple(self.distance.shape[:-1])

    @property
    def users(self) -> int:
        """Number of users."""
        return int(self.distance.shape[-1])

    @property
    def selective(self) -> bool:
        """Whether the channel differs between subcarriers."""
        return bool(self.snr.ndim > self.distance.ndim)

    def per_instance(self, value: Array | float) -> Array:
        """A number given as a scalar or (...,), as an array (...,)."""
        xp = array_namespace(self.distance)
        return xp.broadcast_to(as_array(value, self.distance), self.batch)

    @property
    def efficiency(self) -> float:
        """Part of the time that frames leave to the services, T_F / (T_A + T_F) (spec mesh 5.29)."""
        return self.frame / (self.networking_time + self.frame)

    @property
    def symbols(self) -> float:
        """Positioning symbols of a frame at beta = 1, T_F / T_s."""
        return self.frame * self.subcarrier_spacing * self.efficiency

    @cached_property
    def omega(self) -> Array:
        """Centred angular frequencies of the subcarriers, (subcarriers,) [rad/s]."""
        xp = array_namespace(self.distance)
        index = xp.arange(self.subcarriers, dtype=self.distance.dtype, device=device(self.distance))
        return 2.0 * pi * self.subcarrier_spacing * (index - (self.subcarriers - 1) / 2)

    @cached_property
    def rate_per_subcarrier(self) -> Array:
        r"""Rate of a subcarrier at beta = 0, :math:`\Delta f \log_2(1 + \mathrm{snr}(1 - \eta))`, shape of ``snr``.

        In bit/s, with the efficiency of the frame (spec mesh 1.5).
        """
        xp = array_namespace(self.snr)
        heard = xp.log1p(self.snr * (1.0 - self.beam_split)) / log(2.0)
        return self.efficiency * self.subcarrier_spacing * heard

    @cached_property
    def shared(self) -> Tones:
        """Sums over the whole band, as if every user had every subcarrier."""
        return tones_of_band(self.omega, self.snr, self.rate_per_subcarrier, selective=self.selective)

    def tones(self, assignment: Array) -> Tones:
        """Sums over the subcarriers that each user got, for an assignment (..., subcarriers)."""
        if self.selective:
            return tones_of_users(self.omega, self.snr, self.rate_per_subcarrier, assignment)
        moments = moments_per_user(assignment, users=self.users)
        return tones_of_places(moments, self.subcarrier_spacing, self.rate_per_subcarrier)

    def _tones_on_air(self, whole: MeshAllocation) -> Tones:
        """Those of an allocation of whole subcarriers; a comb in a flat channel is summed and not placed."""
        if whole.assignment is not None or self.selective:
            return self.tones(self.on_air(whole).assignment)
        moments = comb_moments(whole.counts, total=self.subcarriers)
        return tones_of_places(moments, self.subcarrier_spacing, self.rate_per_subcarrier)

    def information(self, tones: Tones, symbols: Array | float) -> AngularInformation:
        """Information of a number of positioning symbols, scalar or (..., 1), about every user."""
        return AngularInformation(*(part * self._energy * symbols for part in self._unit_information(tones)))

    @property
    def _energy(self) -> Array:
        """Ratio of a symbol that :attr:`tones` do not carry, (..., users)."""
        xp = array_namespace(self.distance)
        return xp.ones_like(self.distance) if self.selective else self.snr

    def _unit_information(self, tones: Tones) -> AngularInformation:
        """Information of a symbol at a ratio of one.

        Bounds and precisions are homogeneous in the energy, which is put in at their end: squared frequencies times
        large ratios overflow in single precision.
        """
        xp = array_namespace(self.distance)
        return pair_information(
            tones.count,
            tones.spread,
            snr=xp.ones_like(self.distance),
            departure_sensitivity=array_sensitivity(xp.sin(self.aod) ** 2, antennas=self.tx_antennas),
            arrival_sensitivity=array_sensitivity(xp.sin(self.aoa) ** 2, antennas=self.rx_antennas),
            split=self.beam_split,
        )

    def precision(self, tones: Tones) -> Array:
        """Reciprocal of the equivalent error at beta = 1, (..., users) [1/m^2]."""
        information = self._unit_information(tones)
        unit = inverse_equivalent_error(information, self.distance, uniformity=self.uniformity)
        return unit * self._energy * self.symbols

    @cached_property
    def error_scale(self) -> Array:
        """E_ref in force, (...,) [m^2]: given, or of the worst user when all share every subcarrier equally."""
        xp = array_namespace(self.distance)
        if self.reference_error is not None:
            return self.per_instance(self.reference_error)
        return self.users / xp.min(self.precision(self.shared), axis=-1)

    @cached_property
    def rate_scale(self) -> Array:
        """R_ref in force, (...,) [bit/s]: given, or the mean rate when all share every subcarrier equally."""
        xp = array_namespace(self.distance)
        if self.reference_rate is not None:
            return self.per_instance(self.reference_rate)
        return xp.mean(self.shared.rate, axis=-1) / self.users

    @cached_property
    def count_model(self) -> CountModel:
        """The problem with nothing but counts: every user spread over the whole band (spec mesh 2).

        Exact for a flat channel and continuous combs; for a frequency-selective one the users' means over the band.
        """
        return CountModel(
            information=self.error_scale[..., None] * self.precision(self.shared) / self.subcarriers,
            rate=self.shared.rate / self.subcarriers,
            subcarriers=self.subcarriers,
            rate_floor=self.per_instance(self.rate_floor),
            positioning_weight=self.per_instance(self.positioning_weight),
            rate_scale=self.rate_scale,
            share_min=self.share_min,
            objective=self.objective,
        )

    # ---------------------------------------------------------------- what an allocation earns

    def on_air(self, allocation: MeshAllocation) -> MeshAllocation:
        """The allocation as it is transmitted: :meth:`whole` subcarriers, a comb where no assignment is given."""
        if allocation.assignment is not None:
            return allocation
        whole = self.whole(allocation)
        return whole._replace(assignment=comb_placement(whole.counts, total=self.subcarriers))

    def whole(self, allocation: MeshAllocation) -> MeshAllocation:
        """The allocation in whole subcarriers.

        Fractional counts are rounded by the largest remainder to as many subcarriers as they hold together.
        """
        if allocation.assignment is not None:
            return allocation
        xp = array_namespace(self.distance)
        counts = allocation.counts
        # A solver's NaN answer has no subcarriers to place; its share, NaN too, makes the utility NaN.
        known = xp.where(xp.isnan(counts), xp.zeros_like(counts), counts)
        whole = xp.round(known)
        if xp.any(known != whole):
            # What the counts leave of the band is rounded along as one more user, so that the others keep their parts.
            held = xp.sum(known, axis=-1, keepdims=True)
            parts = xp.concat([known, xp.clip(self.subcarriers - held, min=0.0)], axis=-1) / self.subcarriers
            whole = proportional_counts(parts, total=self.subcarriers, least=0)[..., :-1]
        return allocation._replace(counts=whole)

    def performance(self, allocation: MeshAllocation) -> tuple[Array, Array]:
        """Normalised positioning term P at beta = 1, (...,), and rates R_u at beta = 0, (..., users) [bit/s].

        With the true frequencies of the subcarriers that each user got (spec mesh 2).
        """
        xp = array_namespace(self.distance)
        tones = self._tones_on_air(self.whole(allocation))
        return self.error_scale * xp.min(self.precision(tones), axis=-1), tones.rate

    def score(self, positioning: Array, rate: Array, share: Array) -> Array:
        r"""Reward of the terms of :meth:`performance` at a share, penalty included, (...,).

        .. math:: F = \rho\,\beta P + (1-\rho)(1-\beta)\bar R/R_{ref}, \qquad
                  L = \mu\log(\beta P) + (1-\mu)\log((1-\beta)\bar R/R_{ref}),

        each less :math:`\kappa \sum_u \max(0, 1 - (1-\beta)R_u/R^*)`; logarithms of at least 1e-12
        (spec mesh 2, 6).
        """
        xp = array_namespace(self.distance)
        services = (share * positioning, (1.0 - share) * xp.mean(rate, axis=-1) / self.rate_scale)
        if self.objective == "log":
            services = tuple(xp.log(xp.clip(part, min=LEAST_VALUE)) for part in services)
        weight = self.per_instance(self.positioning_weight)
        short = self.shortfall(rate, share)
        return weight * services[0] + (1.0 - weight) * services[1] - self.penalty * short

    def shortfall(self, rate: Array, share: Array) -> Array:
        """Sum over users of what they lack of the rate floor, relative to it, (...,) [-]."""
        xp = array_namespace(self.distance)
        floor = self.per_instance(self.rate_floor)[..., None]
        asked = floor > 0  # a floor of zero is met by any rate, and divides nothing
        reached = (1.0 - share)[..., None] * rate / xp.where(asked, floor, xp.ones_like(floor))
        return xp.sum(xp.where(asked, xp.clip(1.0 - reached, min=0.0), 0.0 * reached), axis=-1)

    def utility(self, allocation: MeshAllocation) -> Array:
        """Configured reward (...,): :meth:`score` of what the allocation performs. NaN for a NaN allocation."""
        positioning, rate = self.performance(allocation)
        return self.score(positioning, rate, allocation.positioning_share)

    def violation(self, allocation: MeshAllocation) -> Array:
        """Relative shortfalls from the rate floor, what the share lacks of beta_lo, and what exceeds the band, (...,).

        The sum of them; whole subcarriers beyond the band count as a share of it, and are not transmitted.
        """
        whole = self.whole(allocation)
        return self._violation(whole, self._tones_on_air(whole).rate)

    def _violation(self, air: MeshAllocation, rate: Array) -> Array:
        xp = array_namespace(rate, air.positioning_share)
        lacking = self.shortfall(rate, air.positioning_share) + xp.clip(self.share_min - air.positioning_share, min=0.0)
        return lacking + xp.clip(xp.sum(air.counts, axis=-1) / self.subcarriers - 1.0, min=0.0)

    def check_allocation(self, allocation: MeshAllocation) -> MeshAllocation:
        """An allocation as arrays of this problem's kind; raises ``ValueError`` that names a bad entry."""
        return checks.check_allocation(allocation, like=self.distance, subcarriers=self.subcarriers)

    def bounds(self, allocation: MeshAllocation) -> ErrorBounds:
        """Position and orientation error bound of every user over the positioning symbols of the frame."""
        tones = self._tones_on_air(self.whole(allocation))
        return self._bounds(tones, allocation.positioning_share)

    def _bounds(self, tones: Tones, share: Array) -> ErrorBounds:
        xp = array_namespace(share)
        energy = self._energy * self.symbols * share[..., None]
        # Without energy the information is singular: the bounds are inf for that reason, and nothing divides by zero.
        lit = energy > 0
        unit = AngularInformation(*(xp.where(lit, part, 0.0 * part) for part in self._unit_information(tones)))
        distance = xp.broadcast_to(self.distance, unit.delay.shape)
        position, orientation, reason = closed_form_bounds(unit, distance)
        root = xp.sqrt(xp.where(lit, energy, xp.ones_like(energy)))
        return ErrorBounds(position / root, orientation / root, reason)

    def outcome(self, allocation: MeshAllocation) -> MeshOutcome:
        """Rates, bounds, utility and violation of an allocation."""
        xp = array_namespace(self.distance)
        air, share = self.whole(allocation), allocation.positioning_share
        tones = self._tones_on_air(air)
        positioning = self.error_scale * xp.min(self.precision(tones), axis=-1)
        peb, oeb, _ = self._bounds(tones, share)
        model = self.count_model
        return MeshOutcome(
            rate=(1.0 - share)[..., None] * tones.rate,
            peb=peb,
            oeb=oeb,
            utility=self.score(positioning, tones.rate, share),
            violation=self._violation(air, tones.rate),
            positioning_share=share,
            counts=air.counts,
            feasible=xp.broadcast_to(model.feasible, share.shape),
            rate_floor_max=xp.broadcast_to(model.rate_floor_max, share.shape),
        )
