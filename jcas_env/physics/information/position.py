r"""Position and orientation error bounds from Fisher information (lu2022 eq. 4-8, spec mesh 1.3).

The information of :mod:`.fisher` is about delay, angles and complex gain; here it becomes bounds of a position in the
plane (the anchor at the origin, its array along x) and of the user's orientation, by inverting the full matrix or in
closed form. Singular information is an infinite bound with a :class:`Reason`, never a large number.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from array_api_compat import array_namespace, device

from ...types import Array
from ...units import SPEED_OF_LIGHT
from .line_of_sight import SINGULAR, AngularInformation, eliminate_gain


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


def position_jacobian(distance: Array, aod: Array, /) -> Array:
    r"""Derivatives of the channel parameters with respect to (p_x, p_y, alpha, Re h, Im h).

    With :math:`u = (\cos\theta, \sin\theta)` and :math:`u_\perp = (-\sin\theta, \cos\theta)`,

    .. math:: \frac{\partial\tau}{\partial p} = \frac{u}{c}, \quad
              \frac{\partial\theta}{\partial p} = \frac{\partial\phi}{\partial p} = \frac{u_\perp}{d}, \quad
              \frac{\partial\phi}{\partial\alpha} = -1

    Returns T, (..., 5, 5), :math:`T_{ij} = \partial\eta_j/\partial\mu_i`, so that
    :math:`J_\mu = T J T^T` (lu2022 eq. 4, spec mesh 1.3). ``distance`` [m] and ``aod`` [rad] (...,).
    """
    xp = array_namespace(distance, aod)
    zero, one = xp.zeros_like(distance), xp.ones_like(distance)
    cos, sin = xp.cos(aod), xp.sin(aod)
    rows = [
        [cos / SPEED_OF_LIGHT, -sin / distance, -sin / distance, zero, zero],
        [sin / SPEED_OF_LIGHT, cos / distance, cos / distance, zero, zero],
        [zero, zero, -one, zero, zero],
        [zero, zero, zero, one, zero],
        [zero, zero, zero, zero, one],
    ]
    return xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)


def unit_diagonal(information: Array, /) -> tuple[Array, Array]:
    """Scale a symmetric matrix (..., n, n) to unit diagonal; also the scale (..., n), zero where the diagonal is."""
    xp = array_namespace(information)
    diagonal = xp.linalg.diagonal(information)
    scale = xp.where(diagonal > 0, xp.sqrt(1.0 / xp.where(diagonal > 0, diagonal, 1.0)), 0.0)
    return information * scale[..., :, None] * scale[..., None, :], scale


def is_regular(information: Array, /) -> Array:
    """Whether the smallest eigenvalue of the unit-diagonal matrix exceeds ``SINGULAR``, (...,) bool.

    In single precision rounding alone makes eigenvalues of some 1e-6, which is then the limit.
    """
    xp = array_namespace(information)
    scaled, _ = unit_diagonal(information)
    limit = max(SINGULAR, 10.0 * float(xp.finfo(information.dtype).eps))
    return xp.min(xp.linalg.eigvalsh(scaled), axis=-1) > limit


def bounds_by_inversion(information: Array, distance: Array, aod: Array, /) -> ErrorBounds:
    r"""Bounds from the full 5x5 information by inverting :math:`J_\mu = T J T^T`, exact for any beams and tones.

    .. math:: \mathrm{PEB}^2 = \mathrm{tr}\,[J_\mu^{-1}]_{1:2,1:2}, \qquad \mathrm{OEB}^2 = [J_\mu^{-1}]_{33}

    Parameters
    ----------
    information : Array, shape (..., 5, 5)
        Of (tau, theta, phi, Re h, Im h), for the symbols that are observed.
    distance, aod : Array, shape (...,)
        d [m] and theta [rad].

    Returns
    -------
    ErrorBounds
        lu2022 eq. 6, 7 with the square root over everything (spec mesh 1.3, 5.8).
    """
    xp = array_namespace(information, distance)
    regular = is_regular(information) & (distance > 0)
    eye = xp.eye(5, dtype=information.dtype, device=device(information))
    safe = xp.where(regular[..., None, None], information, eye)
    jacobian = position_jacobian(xp.where(regular, distance, xp.ones_like(distance)), aod)
    scaled, scale = unit_diagonal(jacobian @ safe @ xp.matrix_transpose(jacobian))
    inverse = xp.linalg.solve(scaled, xp.broadcast_to(eye, scaled.shape))
    variance = xp.linalg.diagonal(inverse) * scale**2
    position = xp.sqrt(variance[..., 0] + variance[..., 1])
    reason = reason_of(eliminate_gain(information), distance, regular)
    return _infinite_where_singular(position, xp.sqrt(variance[..., 2]), reason)


def reason_of(angular: AngularInformation, distance: Array, regular: Array, /) -> Array:
    """First :class:`Reason` that applies to each element, (...,) int64; REGULAR where ``regular``."""
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
