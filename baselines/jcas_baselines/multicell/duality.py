r"""Weak duality for the per-hertz problem: what power and band are worth, and a bound that needs no convergence.

For any prices :math:`\lambda_P, \lambda_B` and credits :math:`\mu, \nu \ge 0` of the floors, the maximum of the
Lagrangian of :math:`\sum_u a_u b_g \ln(1 + c_u p_u / b_g)` over :math:`p, b \ge 0` is 0 or infinite, because it is
homogeneous. It is 0 if and only if every group pays for its band,

.. math:: \sum_{u \in g} \varphi_u(\lambda_P - \mu_u) \le \lambda_B - \nu_g, \qquad
          \varphi_u(\pi) = \max_{x \ge 0} a_u \ln(1 + c_u x) - \pi x
                         = a_u \ln\frac{a_u c_u}{\pi} - a_u + \frac{\pi}{c_u} \;\; (\pi < a_u c_u), \text{ else } 0

and then, for budgets :math:`s_P, s_B` in any unit and floors in the same unit,

.. math:: v(s_P, s_B) \le \lambda_P s_P + \lambda_B s_B - \sum_u \mu_u \underline p_u - \sum_g \nu_g \underline b_g

for all budgets at once: a Benders cut. Any point of the interior gives such prices: the marginal values
:math:`\pi_u = a_u c_u / (1 + r_u)`, capped at :math:`\lambda_P`, and :math:`\lambda_B = \max_g \sum \varphi_u`.
For logarithms, :math:`\ln R \le \ln R_0 + R/R_0 - 1` reduces the problem to weights :math:`a_u / R_{0,u}`.
"""

from __future__ import annotations

from math import e
from typing import Literal, NamedTuple

from array_api_compat import array_namespace

from jcas_env.physics.membership import Groups
from jcas_env.scenarios.multicell import RelaxedAllocation, RelaxedProblem
from jcas_env.types import Array, as_array

from .relaxed_solver import Floors

Form = Literal["rate", "log"]
"""Weighted sum of the rates, or of their logarithms."""


class BudgetPrices(NamedTuple):
    """What a unit of a service's normalised budgets is worth, (...,) in natural logarithms [-]."""

    power: Array
    band: Array


def perspective_prices(
    relaxed: RelaxedProblem,
    groups: Groups,
    floors: Floors,
    allocation: RelaxedAllocation,
    *,
    barrier: Array | float,
    form: Form,
    least: Array | float,
) -> tuple[Array, Array, BudgetPrices]:
    r"""Value at a point, certified bound on the optimum, and the prices that prove it.

    Parameters
    ----------
    relaxed, groups, floors, allocation
        Problem with normalised budgets, and a point of it.
    barrier : float or Array, shape (...,)
        Barrier parameter t of the point: near the central path :math:`\lambda_P - \pi_u = 1/(t (p_u -
        \underline p_u))`, which suggests the price. Any positive number gives a valid bound.
    form : {"rate", "log"}
        Sum of the rates, or of their logarithms, :math:`\sum_u a_u \ln \max(R_u, \epsilon)`.
    least : float or Array, shape (...,)
        The floor :math:`\epsilon` of the rates in the logarithm. Because :math:`\ln\max(R, \epsilon) \le \ln R_0
        + R/R_0 - 1` for every :math:`R_0 \ge e \epsilon`, the bound holds with it. At 0, users that cannot be heard
        do not count.

    Returns
    -------
    value, bound : Array, shape (...,)
    prices : Prices
    """
    xp = array_namespace(relaxed.coefficient)
    power, band = allocation
    weight = xp.where(relaxed.present, relaxed.weight, 0.0)
    coefficient = xp.where(relaxed.present, relaxed.coefficient, 0.0)
    ratio = coefficient * power / xp.where(band > 0, band, 1.0)
    value, offset, weight = _linearised(weight, coefficient, band * xp.log1p(ratio), form, least)
    worth = weight * coefficient / (1.0 + ratio)  # pi_u
    slack = xp.where(relaxed.present, power - floors.power, 0.0)
    crowd = groups.users / barrier
    price = (xp.sum(slack * worth, axis=-1) + crowd) / xp.clip(xp.sum(slack, axis=-1), min=1e-300)
    dearest = xp.max(worth, axis=-1)
    price = xp.where(dearest > 0, xp.minimum(price, dearest + crowd), 0.0)  # nothing to earn: power is free
    point = _Point(weight, ratio, worth)
    # Where everybody's rate is linear in power, the price is the dearest marginal value and nothing else: what it falls
    # short of that by, relative, costs half its square times the weights, however little can be earned.
    bounds = [_dual(relaxed, groups, floors, point, offered) for offered in (price, dearest)]
    first = bounds[0][0] <= bounds[1][0]
    dual, power_price, band_price = (xp.where(first, *parts) for parts in zip(*bounds, strict=True))
    return value, xp.maximum(offset + dual, value), BudgetPrices(power_price, band_price)


class _Point(NamedTuple):
    """Weights of the linearised rates, power over band times c, and marginal values of power, (..., users)."""

    weight: Array
    ratio: Array
    worth: Array


def _dual(
    relaxed: RelaxedProblem, groups: Groups, floors: Floors, point: _Point, price: Array
) -> tuple[Array, Array, Array]:
    """Dual function at a price of power (...,) with the best price of band: its value, and both prices."""
    xp = array_namespace(price)
    paid = xp.minimum(price[..., None], point.worth)
    able = paid > 0
    # phi in r = a c / pi - 1, which is the ratio of power to band where nothing is capped: a difference of logarithms
    # would leave eps times the weight of a profit that is r^2/2 times the weight.
    safe = xp.where(able, paid, 1.0)
    rise = xp.where(able, (point.ratio * point.worth + (point.worth - paid)) / safe, 0.0)
    profit = groups.total(point.weight * (xp.log1p(rise) - rise / (1.0 + rise)))
    band_price = xp.max(xp.where(groups.size > 0, profit, 0.0), axis=-1)
    credit = xp.where(relaxed.present, price[..., None] - paid, 0.0)
    band_credit = xp.where(groups.size > 0, band_price[..., None] - profit, 0.0)
    kept = xp.sum(credit * floors.power, axis=-1) + xp.sum(band_credit * floors.band, axis=-1)
    return price + band_price - kept, price, band_price


def _linearised(
    weight: Array, coefficient: Array, rate: Array, form: Form, least: Array | float
) -> tuple[Array, Array, Array]:
    """Value, and the constant and weights of a sum of rates that bounds it from above and touches it here."""
    xp = array_namespace(rate)
    if form == "rate":
        value = xp.sum(weight * rate, axis=-1)
        return value, 0.0 * value, weight
    least = (as_array(least, rate) + 0.0 * rate[..., 0])[..., None]
    known = weight > 0
    heard = known & (coefficient > 0) & (rate > 0)
    floored = xp.maximum(rate, least)
    value = xp.sum(xp.where(known & (floored > 0), weight * xp.log(xp.where(floored > 0, floored, 1.0)), 0.0), axis=-1)
    touch = xp.where(heard, xp.maximum(rate, e * least), 1.0)
    silent = known & ~heard & (least > 0)
    offset = xp.where(heard, weight * (xp.log(touch) - 1.0), 0.0)
    offset = offset + xp.where(silent, weight * xp.log(xp.where(silent, least, 1.0)), 0.0)
    return value, xp.sum(offset, axis=-1), xp.where(heard, weight / touch, 0.0)
