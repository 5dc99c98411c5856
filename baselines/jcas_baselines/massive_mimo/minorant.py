r"""Concave minorant of the massive MIMO sum rate at a point, and its maximiser (nguyen2024 eq. 20-26, spec mimo 4)."""

from __future__ import annotations

from typing import NamedTuple

from array_api_compat import array_namespace

from jcas_env.physics.mrt import mrt_sinr
from jcas_env.physics.rates import spectral_efficiency
from jcas_env.types import Array


class Iterate(NamedTuple):
    """A point of the algorithm and the data of its problem, batch axis first."""

    power: Array
    """(batch, users): p [W]."""
    sensing: Array
    """(batch,): T [W]."""
    rate: Array
    """(batch,): weighted sum rate [bit/s/Hz]."""
    gain: Array
    """(batch, users): N_t beta [-]."""
    signal: Array
    """(batch, users): N_t^2 xi [-]."""
    weight: Array
    """(batch, users) [-]."""
    noise: Array
    """(batch,): sigma^2 [W]."""
    stream_information: Array
    """(batch,): a [1/rad^2]."""
    beam_information: Array
    """(batch,): b [1/rad^2]."""
    demand: Array
    """(batch,): c, echo noise over demanded bound [W/rad^2]."""
    total: Array
    """(batch,): S_max [W]."""
    beam_gain: Array
    """(batch,): gain of the beam at the target over that of the streams, N_t if aligned [-]."""


class Surrogate(NamedTuple):
    r"""Coefficients of :math:`\ln(1 + x/y) \ge A - B/x' - C y'`, tight where x' = x, y' = y; any shape."""

    level: Array
    """A [-]"""
    inverse: Array
    """B [W]"""
    slope: Array
    """C [1/W]"""


def surrogate(x: Array, y: Array) -> Surrogate:
    r"""Concave minorant of the logarithm of a ratio at a point (nguyen2024 eq. 20).

    .. math:: A = \ln(1 + x/y) + \frac{2x}{x+y}, \qquad B = \frac{x^2}{x+y}, \qquad C = \frac{x}{(x+y)\, y}

    For the rates :math:`x = N_t^2 \xi_k p_k`, :math:`y = N_t \beta_k S + \sigma^2`. The paper's eq. 22 prints N_t for
    N_t^2 in the numerator of C, with which the bound would exceed the rate at its own point (spec mimo 6.1).

    Parameters
    ----------
    x, y : Array, shape (...,)
        Signal power, not negative, and interference plus noise, positive [W].
    """
    xp = array_namespace(x, y)
    return Surrogate(xp.log1p(x / y) + 2.0 * x / (x + y), x**2 / (x + y), x / ((x + y) * y))


def update(point: Iterate) -> tuple[Array, Array]:
    r"""Maximiser of the surrogate, :math:`\max -\sum_k w_k (B_k/x_k + C_k y_k)` under budget and demand.

    At given P the streams share it as :math:`p_k = P q_k / q` with :math:`q_k = \sqrt{w_k B_k / (N_t^2 \xi_k)}`, which
    leaves :math:`\min q^2/P + D (P + T)` with :math:`D = \sum_k w_k C_k N_t \beta_k`: P is its unconstrained optimum
    :math:`F = q/\sqrt D` if that meets the demand alone, else the optimum along :math:`a P + b T = c` (spec mimo 4).

    Returns
    -------
    power (batch, users), sensing_power (batch,) : Array
        [W]; exact, no iteration.
    """
    xp = array_namespace(point.power)
    a, b, c = point.stream_information, point.beam_information, point.demand
    total = xp.sum(point.power, axis=-1) + point.sensing
    y = point.gain * total[..., None] + point.noise[..., None]
    bound = surrogate(point.signal * point.power, y)
    root = xp.sqrt(point.weight * bound.inverse / point.signal)
    q = xp.sum(root, axis=-1)
    price = xp.sum(point.weight * bound.slope * point.gain, axis=-1)
    free = q / xp.sqrt(xp.where(price > 0, price, 1.0))  # F
    useful = b > a
    lever = xp.where(useful, 1.0 - a / xp.where(useful, b, 1.0), 1.0)
    knee = c / xp.where(a > 0, a, 1.0)
    most = xp.where(useful, (b * point.total - c) / xp.where(useful, b - a, 1.0), point.total)
    along = xp.minimum(free / xp.sqrt(lever), knee)
    streams = xp.where(useful & (free < knee), along, xp.maximum(free, xp.where(useful, 0.0, knee)))
    streams = xp.clip(xp.minimum(xp.minimum(streams, most), point.total), min=0.0)
    short = (c - a * streams) / xp.where(useful, b, 1.0)
    sensing = xp.where(useful, xp.clip(short, min=0.0), 0.0)
    some = q > 0
    split = xp.where(some[..., None], root / xp.where(some, q, 1.0)[..., None], 1.0 / point.power.shape[-1])
    return streams[..., None] * split, sensing


def sum_rate(point: Iterate, power: Array, sensing: Array, factor: float) -> Array:
    """Weighted sum rate of a point, (batch,) [bit/s/Hz]; ``factor`` is the share of time that carries data."""
    xp = array_namespace(power)
    sinr = mrt_sinr(power, sensing, point.gain, point.signal, point.noise, antennas=1)
    return factor * xp.sum(point.weight * spectral_efficiency(sinr), axis=-1)
