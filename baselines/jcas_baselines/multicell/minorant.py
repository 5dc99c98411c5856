r"""Concave minorant of the true-interference utility: the model of a cell, and what its step needs of it.

In units of a cell's budgets, with the interference plus noise of user j, affine in its band and the powers,

.. math:: I_j = d_j B + e_j + \sum_{k \in g,\, k \ne j} Y_{jk} p_k, \qquad y_j = I_j + S_j p_j, \qquad
          R_j = B \ln(y_j / I_j) = B \ln(y_j / B) + B \ln(B / I_j)

the first term is concave and the second convex, so that its tangent at the last point gives :math:`\hat R_j \le R_j`
with equality there (spec multicell 4.5). It is computed relative to that point, with :math:`r = B_0/I_0` there,

.. math:: \hat R = B \big(\ln(1 + \delta + x) - \delta\big), \qquad \delta = r I / B - 1, \qquad x = r S p / B

so that no SNR is too small: the logarithms of y and of I would cancel. :mod:`.primal_dual` maximises it.
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple

from array_api_compat import array_namespace, device

from jcas_env.types import Array


class CellModel(NamedTuple):
    """What cells hear of their own, in units of their budgets; flattened batch (n, ...), padded seats and groups."""

    signal: Array
    """(n, 2, seats): S, the positioning factor included."""
    cross: Array
    """(n, seats, seats): Y, receiver first, within the group and without the own beam."""
    density: Array
    """(n, seats): d, noise and interference of the other cells in the whole band."""
    constant: Array
    """(n, seats): e, noise that does not depend on the band."""
    weight: Array
    """(n, 2, seats): a; 0 for users that do not count."""
    member: Array
    """(n, groups, seats): 1 where the user belongs to the group."""
    floor: Array
    """(n, 2, seats + groups): floors of p and B, with some slack."""
    logarithmic: Array
    """(n,) bool: form of the objective."""
    free: Array
    """(n,) bool: whether the positioning share is free."""


class Point(NamedTuple):
    """Allocation in units of the cell's budgets."""

    value: Array
    """(n, 2, seats + groups): v = (p, B)."""
    share: Array
    """(n,): positioning share."""
    found: Array | None = None
    """(n,) bool: whether a step led here; None for a point that is given."""


class Minorant(NamedTuple):
    """The minorant that touches the utility at a point, less a linear price; flattened batch (n, ...)."""

    weight: Array
    """(n, 2, seats): a."""
    price: Array
    """(n, 2, entries): linear price."""
    level_slope: Array
    """(n, 1, seats, entries): gradient of I."""
    constant: Array
    """(n, 1, seats): e."""
    own_slope: Array
    """(n, 2, seats, entries): gradient of S p."""
    band_slope: Array
    """(n, 1, seats, entries): gradient of B."""
    ratio: Array
    """(n, 2, seats): r, B/I where the minorant touches."""
    logarithmic: Array
    """(n,) bool: form of the objective."""


def interference_of(model: CellModel, value: Array) -> tuple[Array, Array, Array]:
    """Power and band of each user, and its interference plus noise, three arrays (n, 2, seats)."""
    seats = model.signal.shape[-1]
    power, band = value[..., :seats], value[..., seats:] @ model.member
    heard = model.density[..., None, :] * band + model.constant[..., None, :]
    return power, band, heard + power @ model.cross.mT


def true_rates(model: CellModel, value: Array) -> Array:
    """R of both services, (n, 2, seats) in natural logarithms per unit of band; 0 for padding."""
    xp = array_namespace(value)
    power, band, level = interference_of(model, value)
    return band * xp.log1p(model.signal * power / xp.where(level > 0, level, 1.0))


def gradients(model: CellModel) -> tuple[Array, Array, Array]:
    """Gradients of I, of y (n, 1 or 2, seats, entries) and of B, with respect to v."""
    xp = array_namespace(model.signal)
    seats = model.signal.shape[-1]
    member = model.member.mT
    level = xp.concat([model.cross, model.density[..., None] * member], axis=-1)[:, None]
    own = model.signal[..., None] * xp.eye(seats, dtype=member.dtype, device=device(member))
    blank = xp.zeros((*own.shape[:-1], member.shape[-1]), dtype=own.dtype, device=device(own))
    summed = level + xp.concat([own, blank], axis=-1)
    band = xp.concat([xp.zeros_like(model.cross), member], axis=-1)[:, None]
    return level, summed, band


def tangent_of(model: CellModel, at: Array) -> tuple[Array, Array]:
    r"""Tangent of :math:`B \ln(B/I)` at a point: gradient (n, 2, seats, entries) and constant (n, 2, seats)."""
    xp = array_namespace(at)
    ratio, band = band_per_level(model, at), at[..., model.signal.shape[-1] :] @ model.member
    level_slope, _, band_slope = gradients(model)
    slope = -ratio[..., None] * level_slope + (xp.log(ratio) + 1.0)[..., None] * band_slope
    return slope, band * xp.log(ratio) - (slope @ at[..., None])[..., 0]


def band_per_level(model: CellModel, at: Array) -> Array:
    """Band over interference and noise at a point, r = B/I, (n, 2, seats); 1 for padding."""
    xp = array_namespace(at)
    _, band, level = interference_of(model, at)
    there = (band > 0) & (level > 0)
    return xp.where(there, band / xp.where(there, level, 1.0), 1.0)


def onto_budgets(model: CellModel, point: Point) -> Point:
    """Scale the slacks above the floors so that powers and bands spend their budgets to rounding."""
    xp = array_namespace(point.value)
    seats = model.signal.shape[-1]
    services = xp.stack([1.0 - point.share, point.share], axis=-1)[..., None]
    parts = []
    for rows in (slice(None, seats), slice(seats, None)):
        floor = model.floor[..., rows]
        slack = xp.clip(point.value[..., rows] - floor, min=0.0)
        total = xp.sum(slack, axis=-1, keepdims=True)
        room = xp.clip(services - xp.sum(floor, axis=-1, keepdims=True), min=0.0)
        parts.append(floor + slack * room / xp.where(total > 0, total, 1.0))
    return Point(xp.concat(parts, axis=-1), point.share, point.found)


def minorant_at(model: CellModel, at: Array, price: Array) -> Minorant:
    """The minorant that touches at a point (n, 2, entries), less a price (n, entries) on both services."""
    xp = array_namespace(at)
    level, summed, band = gradients(model)
    elements = at.shape[0]
    return Minorant(
        weight=model.weight,
        price=xp.broadcast_to(price[:, None, :], at.shape),
        level_slope=xp.broadcast_to(level, (elements, *level.shape[1:])),
        constant=model.constant[:, None, :],
        own_slope=summed - level,
        band_slope=xp.broadcast_to(band, (elements, *band.shape[1:])),
        ratio=band_per_level(model, at),
        logarithmic=model.logarithmic,
    )


def minorant_rates(minorant: Minorant, point: Array) -> tuple[Array, Array, Array]:
    r"""B, :math:`q - 1 = \delta + x` and :math:`\hat R` of each user, three (n, 2, seats); 1, 0 and 0 for padding."""
    xp = array_namespace(point)
    column = point[..., None]
    band = (minorant.band_slope @ column)[..., 0]
    level = (minorant.level_slope @ column)[..., 0] + minorant.constant
    heard = (minorant.own_slope @ column)[..., 0]
    good = (band > 0) & (level > 0)
    band = xp.where(good, band, 1.0)
    part, sounded = minorant.ratio * level / band, minorant.ratio * heard / band
    excess = xp.where(good, part - 1.0, 0.0)
    above = xp.where(good, excess + sounded, 0.0)
    # Near -1 the difference has lost its digits, near 0 the sum would.
    low = good & (above < -0.5)
    # Far outside the budgets, where only a trial step leads, rounding makes q negative: outside whatever the objective.
    whole = part + sounded
    lost = good & (whole <= 0)
    log_of = xp.where(low, xp.log(xp.where(low & ~lost, whole, 1.0)), xp.log1p(xp.where(low, 0.0, above)))
    return band, above, xp.where(lost, -inf, band * (log_of - excess))


def in_domain(minorant: Minorant, point: Array) -> Array:
    """Whether a point is in the domain of the objective, (n,) bool."""
    xp = array_namespace(point)
    _, _, rate = minorant_rates(minorant, point)
    outside = (minorant.weight > 0) & (rate <= 0) & minorant.logarithmic[:, None, None]
    outside = outside | (rate == -inf)
    return ~xp.any(outside, axis=(-2, -1))


def curvature(minorant: Minorant, point: Array, scale: Array) -> tuple[Array, Array]:
    r"""Gradient of -F, (n, 2, entries), and its Hessian scaled on both sides, (n, 2, entries, entries).

    :math:`F = \sum_j a_j \hat R_j` or :math:`\sum_j a_j \ln \hat R_j`, less the price. With :math:`q = 1 + \delta + x`,

    .. math:: \nabla \hat R = \frac{r}{q} \nabla (S p) - r \frac{q - 1}{q} \nabla I + \ln q\, \nabla B, \qquad
              -\nabla^2 \hat R = \frac{\xi \xi^T}{B}, \quad \xi = \frac{r}{q} \nabla y - \nabla B

    and a logarithm adds the outer product of :math:`\nabla \hat R` itself.
    """
    xp = array_namespace(scale)
    band, above, rate = minorant_rates(minorant, point)
    counts = minorant.logarithmic[:, None, None] & (minorant.weight > 0) & (rate > 0)
    rate = xp.where(counts, rate, 1.0)  # who has no say may have no rate
    marginal = minorant.weight / rate
    sum_part = (minorant.ratio / (1.0 + above))[..., None]
    level_part = (minorant.ratio * above / (1.0 + above))[..., None]
    own = sum_part * minorant.own_slope
    outer = own + sum_part * minorant.level_slope - minorant.band_slope
    slope = own - level_part * minorant.level_slope + xp.log1p(above)[..., None] * minorant.band_slope
    gradient = minorant.price - (marginal[..., None, :] @ slope)[..., 0, :]
    rows = xp.sqrt(marginal / band)[..., None] * outer * scale[..., None, :]
    hessian = rows.mT @ rows
    if xp.any(minorant.logarithmic):
        bend = xp.where(minorant.logarithmic[:, None, None], marginal / rate, 0.0)
        rows = xp.sqrt(bend)[..., None] * slope * scale[..., None, :]
        hessian = hessian + rows.mT @ rows
    return gradient, hessian
