r"""Position and orientation error bounds from Fisher information (lu2022 eq. 4-8, spec mesh 1.3).

The information of :mod:`.line_of_sight` about delay and angles becomes bounds of a position in the plane (the anchor at
the origin, its array along x) and of the user's orientation, in closed form. Singular information is an infinite bound
with a :class:`Reason`, never a large number.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from ...types import Array, array_namespace, device
from ...units import SPEED_OF_LIGHT
from .line_of_sight import SINGULAR, AngularInformation


class Reason(IntEnum):
    """Why a bound is infinite; the first that applies."""

    REGULAR = 0
    """The bounds are finite."""
    AT_ANCHOR = 1
    """The user stands at the anchor: angles have no meaning."""
    NO_SIGNAL = 2
    """No power arrives."""
    NO_ARRIVAL = 3
    """The user's array does not resolve the angle of arrival: one element, or endfire."""
    NO_DELAY = 4
    """The tones do not resolve the delay: one subcarrier, or a phase that the complex gain absorbs."""
    NO_DEPARTURE = 5
    """The beams do not resolve the angle of departure: one beam, one element, or endfire."""
    COUPLED = 6
    """Delay and angle of departure can be traded for one another."""


class ErrorBounds(NamedTuple):
    """Bounds for one observation, and why they are infinite where they are."""

    position: Array
    """(...,): position error bound (PEB) [m]."""
    orientation: Array
    """(...,): orientation error bound (OEB) [rad]."""
    reason: Array
    """(...,) integer: :class:`Reason`."""


def reason_of(angular: AngularInformation, distance: Array, regular: Array, /) -> Array:
    """First :class:`Reason` that applies to each element, (...,) int64; REGULAR where ``regular``, (...,) bool.

    ``distance`` (...,) [m] (spec mesh 7.3).
    """
    xp = array_namespace(distance)
    blank = xp.zeros(regular.shape, dtype=xp.int64, device=device(distance))
    reason = xp.where(regular, blank, blank + int(Reason.COUPLED))
    nothing = (angular.delay <= 0) & (angular.departure <= 0) & (angular.arrival <= 0)
    causes = (
        (angular.departure <= 0, Reason.NO_DEPARTURE),
        (angular.delay <= 0, Reason.NO_DELAY),
        (angular.arrival <= 0, Reason.NO_ARRIVAL),
        (nothing, Reason.NO_SIGNAL),
        (distance <= 0, Reason.AT_ANCHOR),
    )
    for cause, name in causes:
        reason = xp.where(cause & ~regular, blank + int(name), reason)
    return reason


def closed_form_bounds(angular: AngularInformation, distance: Array, /) -> ErrorBounds:
    r"""Bounds from the information without the complex gain, inverted by hand.

    .. math:: \mathrm{PEB}^2 = c^2 C_{\tau\tau} + d^2 C_{\theta\theta}, \qquad
              \mathrm{OEB}^2 = C_{\theta\theta} + C_{\phi\phi}

    with C the inverse of the 2x2 block of delay and departure; exact also where they are coupled (spec mesh 1.3).
    ``distance`` (...,) [m].
    """
    xp = array_namespace(distance)
    delay, departure, arrival, coupling = angular
    known = (delay > 0) & (departure > 0)
    one = xp.ones_like(delay)
    # Root by root: the product of two informations overflows in single precision.
    correlation = coupling / xp.sqrt(xp.where(known, delay, one)) / xp.sqrt(xp.where(known, departure, one))
    kept = 1.0 - correlation**2
    limit = max(SINGULAR, 10.0 * float(xp.finfo(kept.dtype).eps))
    regular = known & (kept > limit) & (arrival > 0) & (distance > 0)
    delay, departure, arrival, kept = (xp.where(regular, x, one) for x in (delay, departure, arrival, kept))
    position = xp.sqrt((SPEED_OF_LIGHT**2 / delay + distance**2 / departure) / kept)
    orientation = xp.sqrt(1.0 / (departure * kept) + 1.0 / arrival)
    return _infinite_where_singular(position, orientation, reason_of(angular, distance, regular))


def _infinite_where_singular(position: Array, orientation: Array, reason: Array) -> ErrorBounds:
    xp = array_namespace(position, reason)
    infinite = reason != int(Reason.REGULAR)
    return ErrorBounds(xp.where(infinite, xp.inf, position), xp.where(infinite, xp.inf, orientation), reason)


def inverse_equivalent_error(angular: AngularInformation, distance: Array, /, *, uniformity: float) -> Array:
    r"""Reciprocal of the equivalent error of one observation, for uncoupled information.

    .. math:: \frac1E = \Big(\frac{c^2}{\Phi_{\tau\tau}} + \frac{d^2+\gamma}{\Phi_{\theta\theta}} +
              \frac{\gamma}{\Phi_{\phi\phi}}\Big)^{-1} = \frac{1}{\mathrm{PEB}^2 + \gamma\,\mathrm{OEB}^2}

    The reciprocal is zero, a value and not an exception, where an information is; it is concave and of degree one
    in the subcarriers' weights, and grows in proportion to the number of symbols (lu2022 eq. 8, spec mesh 3.1, 5.28).

    Parameters
    ----------
    angular : AngularInformation
        Without coupling.
    distance : Array, shape (...,)
        d [m].
    uniformity : float
        gamma, what a squared radian is worth [m^2/rad^2].

    Returns
    -------
    Array, shape (...,)
        1/E [1/m^2].
    """
    xp = array_namespace(distance)
    weights = (SPEED_OF_LIGHT**2, distance**2 + uniformity, uniformity)
    information = (angular.delay, angular.departure, angular.arrival)
    known = (angular.delay > 0) & (angular.departure > 0) & (angular.arrival > 0) & (distance > 0)
    error = xp.zeros_like(distance)
    for weight, value in zip(weights, information, strict=True):
        error = error + weight / xp.where(known, value, xp.ones_like(value))
    return xp.where(known, 1.0 / error, xp.zeros_like(error))
