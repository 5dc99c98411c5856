r"""The best prices of interference: Newton's method on the smoothed bound of :mod:`.coupling`.

Every maximum of two in the bound becomes, at temperature :math:`\tau`,

.. math:: \min_{T} T - \tau \ln(T - a) - \tau \ln(T - b)
          = \frac{a + b}{2} + r - \tau \ln(\tau + r) + \text{const}, \qquad
          r = \sqrt{\delta^2 + \tau^2}, \; \delta = \frac{a - b}{2}

whose slopes :math:`\frac12 (1 \pm \delta / (\tau + r))` never vanish, and every price and credit that may not be
negative gets :math:`-\tau \ln`. The sum is convex in :math:`(\mu, \nu, \eta, \pi)`; it is followed to small
:math:`\tau`. Newton's method only chooses prices: the bound is that of :func:`.coupling.priced_bound` at the best
of all iterates, so its accuracy matters for tightness alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..engines.iterate import iterate
from .coupling import Network, Tariff, advantage, charge, priced_bound

START, END, COOLING = 1e-2, 1e-5, 0.1
"""First and last temperature, in units of the network's scale, and the factor between two."""
CENTRED = 1.0
"""Half the squared Newton decrement, over the temperature, at which the next one is due."""
LIMIT, HALVINGS = 120, 30
"""Most Newton steps, and most halvings of each."""
FIRST_POWER, FIRST_BAND, FIRST_HEARD = 0.05, 1.0, 0.01
"""First prices, in units of the network's scale: about those of the best groups at a power price of a nat a budget."""
RIDGE = 1e-13
"""Added to the diagonal of the scaled Hessian, which is one."""


class _State(NamedTuple):
    """The descent of every element, (n, ...)."""

    network: Network
    credit: np.ndarray
    """(n, 2 users, prices): xi is this times the prices."""
    prices: np.ndarray
    """(n, prices): mu, nu (2 cells each), eta, pi (2 users each)."""
    temperature: np.ndarray
    """(n,)"""
    bound: np.ndarray
    """(n,): least certificate of all iterates."""


class _Smooth(NamedTuple):
    """A smoothed maximum of a and b."""

    value: np.ndarray
    first: np.ndarray
    """Slope in a."""
    second: np.ndarray
    """Slope in b; both sum to 1."""
    bend: np.ndarray
    """Curvature in a - b."""


class _Users(NamedTuple):
    """What users earn in a band, with slopes and curvatures in (eta, pi), (n, 2, users) each."""

    value: np.ndarray
    heard: np.ndarray
    paid: np.ndarray
    heard_heard: np.ndarray
    heard_paid: np.ndarray
    paid_paid: np.ndarray


def lowest_bound(network: Network) -> np.ndarray:
    """Bound on every element at the best prices that are found, (n,) [Mbit/s] (spec bound 3 R2, J a variable)."""
    credit, prices = _credit(network), _first(network)
    count = len(prices)
    begin = _State(network, credit, prices, np.full(count, START), priced_bound(network, _tariff(network, prices)))
    state, _, _ = iterate(begin, _newton, limit=LIMIT)
    return state.bound * network.scale


def _tariff(network: Network, prices: np.ndarray) -> Tariff:
    """Prices (n, prices) by their kind."""
    n, services, users = network.worth.shape
    cells = services * network.cell.shape[1]
    parts = np.split(prices, [cells, 2 * cells, 2 * cells + services * users], axis=-1)
    return Tariff(*(part.reshape(n, services, -1) for part in parts))


def _flat(parts: tuple[np.ndarray, ...]) -> np.ndarray:
    """One row an element of what is (n, ...), in the order of :class:`Tariff`."""
    return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=-1)


def _first(network: Network) -> np.ndarray:
    """Prices to begin with, (n, prices): pi at half of its charge, so that all credits are positive."""
    n, services, users = network.worth.shape
    power = np.full((n, services, network.cell.shape[1]), FIRST_POWER)
    heard = np.full((n, services, users), FIRST_HEARD)
    paid = 0.5 * charge(network, power, heard)
    return _flat((power, np.full_like(power, FIRST_BAND), heard, paid))


def _diagonal(blocks: np.ndarray) -> np.ndarray:
    """Block-diagonal matrices of two services' blocks, (n, 2, rows, columns) -> (n, 2 rows, 2 columns)."""
    n, services, rows, columns = blocks.shape
    wide = blocks[:, :, :, None, :] * np.eye(services)[None, :, None, :, None]
    return wide.reshape(n, services * rows, services * columns)


def _credit(network: Network) -> np.ndarray:
    r"""Matrix of :math:`\xi = \mu + c^T \eta - \pi` in the prices, (n, 2 users, prices)."""
    n, services, users = network.worth.shape
    cells = network.cell.shape[1]
    own = np.broadcast_to(np.swapaxes(network.cell, -1, -2)[:, None], (n, services, users, cells))
    causes = np.tile(np.swapaxes(network.coupling, -1, -2), (1, services, services))
    pays = np.broadcast_to(-np.eye(services * users), (n, services * users, services * users))
    return np.concatenate([_diagonal(own), np.zeros((n, services * users, services * cells)), causes, pays], axis=-1)


def _maximum(a: np.ndarray, b: np.ndarray, temperature: np.ndarray) -> _Smooth:
    """The smoothed maximum of the module's first formula, without its constant."""
    half = (a - b) / 2.0
    radius = np.hypot(half, temperature)
    value = (a + b) / 2.0 + radius - temperature * np.log1p(radius / temperature)
    lean = half / (temperature + radius)
    bend = 0.25 * temperature / (radius * (temperature + radius))
    return _Smooth(value, 0.5 * (1.0 + lean), 0.5 * (1.0 - lean), bend)


def _earn(network: Network, tariff: Tariff, band: np.ndarray, temperature: np.ndarray) -> _Users:
    r"""Smoothed maximum over both ends of the interference of :math:`w \varphi(\pi, t) + \eta t`.

    The band w is (n, 2, users) or (n, 1, users). phi falls by :math:`w h / \pi (1 - e^{-a})` with pi, a the advantage,
    and is curved by :math:`w h / \pi^2` where it is positive.
    """
    value, slope, curve = [], [], []
    for level in (network.level, network.level * network.loudest):
        ahead = advantage(network.worth, level, tariff.paid)
        value.append(band * network.worth * (ahead + np.expm1(-ahead)))
        slope.append(band * network.worth / tariff.paid * np.expm1(-ahead))
        curve.append(band * np.where(ahead > 0, network.worth, 0.0) / tariff.paid**2)
    best = _maximum(value[0], value[1] + tariff.heard, temperature[:, None, None])
    apart = slope[0] - slope[1]
    return _Users(
        best.value,
        best.second,
        best.first * slope[0] + best.second * slope[1],
        best.bend,
        -best.bend * apart,
        best.bend * apart**2 + best.first * curve[0] + best.second * curve[1],
    )


class _Model(NamedTuple):
    """The smoothed bound at a point, (n,), and what its derivatives are made of."""

    value: np.ndarray
    """(n,): inf where a price or credit is not positive."""
    ends: _Smooth
    """(n, cells): income at both ends of the share."""
    narrow: _Users
    """Users on their band floors."""
    wide: _Users
    """Users in the widest band."""
    groups: _Smooth
    """(n, 2, users): groups on their band floors, or in the widest band for its rent."""
    exists: np.ndarray
    """(n, 1, users): 1 where the user stands for a group."""


def _model(state: _State, prices: np.ndarray) -> _Model:
    """The smoothed bound at prices (n, prices)."""
    network, heat = state.network, state.temperature
    tariff = _tariff(network, prices)
    line = (network.power * tariff.power[:, None] + network.band * tariff.band[:, None]).sum(axis=2)
    ends = _maximum(line[:, 0], line[:, 1], heat[:, None])
    narrow = _earn(network, tariff, network.band_floor, heat)
    wide = _earn(network, tariff, network.widest @ network.cell + network.band_floor, heat)
    to_group = np.swapaxes(network.group, -1, -2)
    rent = (tariff.band * network.widest) @ network.leader
    groups = _maximum(narrow.value @ to_group, wide.value @ to_group - rent, heat[:, None, None])
    exists = network.leader.sum(axis=1, keepdims=True)
    rest = network.power_floor * tariff.paid + network.offset * tariff.heard + exists * groups.value
    slack = _slack(state, prices)
    inside = (slack > 0).all(axis=-1)
    logs = np.log(np.where(slack > 0, slack, 1.0)).sum(axis=-1)
    value = ends.value.sum(axis=-1) + rest.sum(axis=(-2, -1)) - heat * logs
    return _Model(np.where(inside, value, np.inf), ends, narrow, wide, groups, exists)


def _slack(state: _State, prices: np.ndarray) -> np.ndarray:
    """Everything that may not be negative, prices and credits, (n, prices + 2 users); linear in the prices."""
    return np.concatenate([prices, (state.credit @ prices[..., None])[..., 0]], axis=-1)


def _derivatives(state: _State, model: _Model) -> tuple[np.ndarray, np.ndarray]:
    """Gradient (n, prices) and Hessian (n, prices, prices)."""
    weights = tuple((model.exists * part) @ state.network.group for part in (model.groups.first, model.groups.second))
    credit = (state.credit @ state.prices[..., None])[..., 0]
    return _gradient(state, model, weights, credit), _hessian(state, model, weights, credit)


def _gradient(state: _State, model: _Model, weights: tuple[np.ndarray, ...], credit: np.ndarray) -> np.ndarray:
    """Slopes of the smoothed bound; ``weights`` (n, 2, users) are those of the floor and of the widest band."""
    network, heat = state.network, state.temperature[:, None]
    at_floor, at_most = weights
    ends = [part[:, None, :] for part in (model.ends.first, model.ends.second)]
    rents = network.widest * ((model.exists * model.groups.second) @ np.swapaxes(network.leader, -1, -2))
    gradient = _flat(
        (
            ends[0] * network.power[:, 0] + ends[1] * network.power[:, 1],
            ends[0] * network.band[:, 0] + ends[1] * network.band[:, 1] - rents,
            network.offset + at_floor * model.narrow.heard + at_most * model.wide.heard,
            network.power_floor + at_floor * model.narrow.paid + at_most * model.wide.paid,
        )
    )
    return gradient - heat / state.prices - ((heat / credit)[:, None, :] @ state.credit)[:, 0]


def _hessian(state: _State, model: _Model, weights: tuple[np.ndarray, ...], credit: np.ndarray) -> np.ndarray:
    """Curvature: of the maxima over bands and ends and of the credits' logarithms, as bends of linear functions.

    Beside it stands what is diagonal in the users: the prices' logarithms and the maxima over their interference.
    """
    network, heat = state.network, state.temperature[:, None]
    at_floor, at_most = weights
    rows = np.concatenate([_between_bands(network, model), _between_ends(network), state.credit], axis=1)
    bends = np.concatenate([_flat((model.exists * model.groups.bend, model.ends.bend)), heat / credit**2], axis=1)
    hessian = np.swapaxes(rows, -1, -2) @ (bends[..., None] * rows)
    count, prices = model.narrow.value[0].size, state.prices.shape[-1]
    own = np.arange(prices)
    paid = own[prices - count :]
    heard = paid - count
    hessian[:, own, own] += heat / state.prices**2
    for row, column, name in ((heard, heard, "heard_heard"), (heard, paid, "heard_paid"), (paid, paid, "paid_paid")):
        block = _flat((at_floor * getattr(model.narrow, name) + at_most * getattr(model.wide, name),))
        hessian[:, row, column] += block
        if name == "heard_paid":
            hessian[:, column, row] += block
    return hessian


def _between_bands(network: Network, model: _Model) -> np.ndarray:
    """Gradients of what groups earn on their floors less what they earn in the widest band, (n, 2 users, prices)."""
    leader = np.swapaxes(network.leader, -1, -2)
    rent = _diagonal(leader[:, None] * network.widest[:, :, None, :])
    parts = [
        _diagonal(network.group[:, None] * part[:, :, None, :])
        for part in (model.narrow.heard - model.wide.heard, model.narrow.paid - model.wide.paid)
    ]
    return np.concatenate([np.zeros_like(rent), rent, *parts], axis=-1)


def _between_ends(network: Network) -> np.ndarray:
    """Gradients of the difference of a cell's income at both ends of its share, (n, cells, prices)."""
    n, services, users = network.worth.shape
    eye = np.eye(network.cell.shape[1])
    parts = [
        (part[:, 0] - part[:, 1])[:, s, :, None] * eye
        for part in (network.power, network.band)
        for s in range(services)
    ]
    return np.concatenate([*parts, np.zeros((n, len(eye), 2 * services * users))], axis=-1)


def _newton(state: _State) -> tuple[_State, np.ndarray]:
    """One damped Newton step; the temperature falls where the point is near its centre."""
    model = _model(state, state.prices)
    step, decrement = _newton_step(*_derivatives(state, model))
    # 95 % of the way to where the first price or credit would be zero; at most the whole step.
    closing = (-_slack(state, step) / _slack(state, state.prices)).max(axis=-1)
    length = 0.95 / np.maximum(closing, 0.95)
    for _ in range(HALVINGS):
        trial = _model(state, state.prices + length[:, None] * step).value
        # Near the centre a gain is smaller than the rounding of the values that are compared.
        enough = trial <= model.value - 0.1 * length * decrement + 1e-12 * np.abs(model.value)
        if enough.all():
            break
        length = np.where(enough, length, 0.5 * length)
    # An element without a step that is finite and helps stays where it is and is done.
    moves = enough & np.isfinite(decrement)
    prices = np.where(moves[:, None], state.prices + length[:, None] * step, state.prices)
    bound = np.minimum(state.bound, priced_bound(state.network, _tariff(state.network, prices)))
    centred = 0.5 * decrement <= CENTRED * state.temperature
    done = ~moves | (centred & (state.temperature <= END))
    heat = np.where(centred, np.maximum(COOLING * state.temperature, END), state.temperature)
    return state._replace(prices=prices, bound=bound, temperature=heat), done


def _newton_step(gradient: np.ndarray, hessian: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Step (n, prices) and decrement (n,), less step times gradient.

    Prices differ by decades, so the Hessian is scaled to a unit diagonal, which a ridge then keeps off singularity.
    """
    size = np.sqrt(np.diagonal(hessian, axis1=-2, axis2=-1))
    scaled = hessian / size[:, :, None] / size[:, None, :] + RIDGE * np.eye(size.shape[-1])
    step = -np.linalg.solve(scaled, (gradient / size)[..., None])[..., 0] / size
    return step, -(step * gradient).sum(axis=-1)
