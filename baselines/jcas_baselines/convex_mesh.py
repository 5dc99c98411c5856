r"""The mesh at a given share as a cone program over bins of subcarriers, in CVXPY, and a bound that does not trust it.

Subcarriers whose frequencies have nearly the same magnitude are one bin: for a flat channel a user gains nothing by
telling +f from -f, because the precision is concave and symmetric. A bin carries the mean of its :math:`\omega^2`, so
one bin is the count model. In a frequency-selective channel bins are contiguous and carry mean ratios and rates. One
program is built for each shape and compiled once (spec mesh 3.1, 3.4).
"""

from __future__ import annotations

import contextlib
import warnings
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from jcas_env.physics.bounds import array_sensitivity
from jcas_env.scenarios.mesh import MeshProblem
from jcas_env.units import SPEED_OF_LIGHT

LEAST = 1e-300
"""Guard of divisions and logarithms."""


class Bins(NamedTuple):
    """Subcarriers of one instance gathered in bins; informations are normalised, in units of 1 / E_ref."""

    member: np.ndarray
    """(subcarriers,) integer: bin of each subcarrier."""
    size: np.ndarray
    """(bins,)"""
    delay: np.ndarray
    """(users, bins, 3): means of the delay information times 1, omega, omega^2, omega in units of the half band."""
    departure: np.ndarray
    """(users, bins): information of a subcarrier about theta."""
    arrival: np.ndarray
    """(users, bins): about phi."""
    rate: np.ndarray
    """(users, bins): rate of a subcarrier over R_ref."""


class Tones(NamedTuple):
    """What every single subcarrier gives to every user, (users, subcarriers), in the same units as :class:`Bins`."""

    omega: np.ndarray
    """(subcarriers,), in units of the half band."""
    delay: np.ndarray
    departure: np.ndarray
    arrival: np.ndarray
    rate: np.ndarray


class BinAnswer(NamedTuple):
    """Solution of one program."""

    amount: np.ndarray
    """(users, bins): subcarriers of each bin."""
    value: float
    """Objective of ``amount``, evaluated here."""
    bound: float
    """What no assignment of single subcarriers at this share exceeds; valid whatever the solver's accuracy."""
    price: float
    """Sum of the multipliers of :math:`R_u \\ge z`, rates in units of R_ref."""
    positioning: float
    """P of the answer."""
    rate: float
    """Total rate of the answer, in units of R_ref."""


def tones_of(problem: MeshProblem) -> Tones:
    """Information and rate of single subcarriers of one instance (spec mesh 3.3, last paragraph)."""
    users, total = problem.users, problem.subcarriers
    snr = np.broadcast_to(problem.snr.reshape(users, -1), (users, total))
    rate = np.broadcast_to(problem.rate_per_subcarrier.reshape(users, -1), (users, total))
    half = float(np.abs(problem.omega).max())
    common = 2.0 * snr * problem.symbols * float(problem.error_scale)
    split, uniformity = problem.beam_split, problem.uniformity
    departure = array_sensitivity(np.sin(problem.aod) ** 2, antennas=problem.tx_antennas)
    arrival = array_sensitivity(np.sin(problem.aoa) ** 2, antennas=problem.rx_antennas)
    return Tones(
        problem.omega / half,
        common * (1.0 - split) * (half / SPEED_OF_LIGHT) ** 2,
        common * split * (departure / (problem.distance**2 + uniformity))[:, None],
        common * (1.0 - split) * (arrival / uniformity)[:, None],
        rate / float(problem.rate_scale),
    )


def bins_of(problem: MeshProblem, tones: Tones, bins: int) -> Bins:
    """Gather subcarriers into at most ``bins`` bins: of equal magnitude of f where the channel is flat, else of f."""
    place = tones.omega if problem.selective else np.abs(tones.omega)
    distinct = np.unique(np.round(place, 12))
    edge = distinct[(np.arange(1, min(bins, len(distinct))) * len(distinct)) // min(bins, len(distinct))]
    member = np.searchsorted(edge, np.round(place, 12), side="right")
    one_hot = (member[:, None] == np.arange(member.max() + 1)).astype(float)
    size = one_hot.sum(axis=0)
    moments = np.stack([np.ones_like(tones.omega), tones.omega, tones.omega**2], axis=-1)
    delay = np.einsum("un,nk,nb->ubk", tones.delay, moments, one_hot) / size[:, None]
    if not problem.selective:
        delay[..., 1] = 0.0  # both signs in equal parts
    return Bins(
        member, size, delay, *((part @ one_hot) / size for part in (tones.departure, tones.arrival, tones.rate))
    )


@lru_cache(maxsize=16)
def _program(users: int, bins: int, selective: bool, log: bool) -> dict[str, Any]:
    r"""Program of one shape: :math:`\max a t + b \sum R_u` under :math:`\sum_i t^2/x_{ui} \le t` and the floors.

    Or of the logarithms of t and of the sum.
    :math:`x_{u\tau} \le m_2 - m_1^2/m_0` is a cone as well; by symmetry :math:`m_1 = 0` in a flat channel.
    """
    import cvxpy as cp

    amount, level = cp.Variable((users, bins), nonneg=True), cp.Variable(nonneg=True)
    delay = cp.Variable(users, nonneg=True)
    inverse = cp.Variable((3, users), nonneg=True)
    data = {name: cp.Parameter((users, bins), nonneg=True) for name in ("m0", "m2", "departure", "arrival", "rate")}
    data["m1"] = cp.Parameter((users, bins))
    worth = {name: cp.Parameter(nonneg=True) for name in ("positioning", "data", "floor")}
    size = cp.Parameter(bins, nonneg=True)

    def total(name: str) -> Any:
        return cp.sum(cp.multiply(data[name], amount), axis=1)

    rate = total("rate")
    floors, reached = rate >= worth["floor"], cp.sum(inverse, axis=0) <= level
    constraints = [cp.sum(amount, axis=0) <= size, floors, reached]
    for row, information in enumerate((delay, total("departure"), total("arrival"))):
        ends = cp.vstack([2.0 * level * np.ones(users), information - inverse[row]])
        constraints.append(cp.SOC(information + inverse[row], ends))
    if selective:
        first, zeroth, slack = total("m1"), total("m0"), cp.Variable(users, nonneg=True)
        constraints += [delay + slack <= total("m2"), cp.SOC(zeroth + slack, cp.vstack([2.0 * first, zeroth - slack]))]
    else:
        constraints.append(delay <= total("m2"))
    level_, rate_ = (cp.log(level), cp.log(cp.sum(rate))) if log else (level, cp.sum(rate))
    goal = worth["positioning"] * level_ + worth["data"] * rate_
    program = cp.Problem(cp.Maximize(goal), constraints)
    return {"program": program, "amount": amount, "floors": floors, "reached": reached, "size": size, **data, **worth}


def solve_bins(tones: Tones, bins: Bins, *, worth: tuple[float, float], floor: float, log: bool = False) -> BinAnswer:
    """Maximise ``worth[0] P + worth[1] sum R``, or of their logarithms, under ``R_u >= floor`` over bins.

    Rates in units of R_ref. What the solver says is only a suggestion: its amounts are repaired to keep budgets and
    floors, valued here, and its multipliers go through :func:`placement_bound`. A program that fails leaves a value of
    -inf and a bound that is still valid.
    """
    users, total = len(bins.rate), bins.size.sum()
    amount, nu, sigma = _ask(bins, worth, floor, log)
    amount = amount * (bins.size / np.maximum(amount.sum(axis=0), bins.size))
    if floor > 0 and ((amount * bins.rate).sum(axis=1) < floor).any():
        amount = _repaired(amount, bins, floor)
    informations = _informations(amount, bins)
    rate = (amount * bins.rate).sum(axis=1)
    positioning, whole = float((1.0 / (1.0 / informations).sum(axis=0)).min()), float(rate.sum())
    if log:
        value = worth[0] * np.log(max(positioning, LEAST)) + worth[1] * np.log(max(whole, LEAST))
        worth = worth[0] / max(positioning, LEAST), worth[1] / max(whole, LEAST)
    else:
        value = worth[0] * positioning + worth[1] * whole
    at = worth[0] * positioning + worth[1] * whole
    kept = rate.min() >= floor * (1.0 - 1e-9) and amount.sum() <= total * (1.0 + 1e-9)
    nu = nu * worth[0] / nu.sum() if nu.sum() > 0 else np.full(users, worth[0] / users)
    linear = placement_bound(tones, informations, _centres(amount, bins), nu, sigma, worth[1], floor)
    return BinAnswer(
        amount, float(value) if kept else -np.inf, float(value) + linear - at, float(sigma.sum()), positioning, whole
    )


def _ask(bins: Bins, worth: tuple[float, float], floor: float, log: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Amounts (users, bins) and multipliers of level and floors (users,) as the solver says, none negative."""
    import cvxpy as cp

    users, total = len(bins.rate), bins.size.sum()
    program = _program(users, len(bins.size), bool(np.any(bins.delay[..., 1])), log)
    scale = float(np.median(bins.departure) * total / users)  # numbers near one for the solver
    program["size"].value = bins.size / total
    for name, part in zip(("m0", "m1", "m2"), np.moveaxis(bins.delay, -1, 0), strict=True):
        program[name].value = part * total / scale
    for name in ("departure", "arrival"):
        program[name].value = getattr(bins, name) * total / scale
    program["rate"].value = bins.rate * total
    program["positioning"].value, program["data"].value = worth[0] * (1.0 if log else scale), worth[1]
    program["floor"].value = floor
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # inaccurate answers are judged by a bound that does not need them
        with contextlib.suppress(cp.error.SolverError):
            program["program"].solve(solver="CLARABEL")
    if program["program"].status not in ("optimal", "optimal_inaccurate"):
        return np.tile(bins.size / users, (users, 1)), np.zeros(users), np.zeros(users)
    nu, sigma = (np.maximum(np.asarray(program[name].dual_value), 0.0) for name in ("reached", "floors"))
    return np.maximum(program["amount"].value, 0.0) * total, nu, sigma


def _repaired(amount: np.ndarray, bins: Bins, floor: float) -> np.ndarray:
    """Scale short users up to the floor at the cost of those above it."""
    rate = (amount * bins.rate).sum(axis=1)
    grown = amount * np.maximum(floor / rate, 1.0)[:, None]
    excess = np.maximum(grown.sum(axis=0) - bins.size, 0.0)
    donor = np.maximum(rate - floor, 0.0)[:, None] * amount
    return np.maximum(grown - donor * (excess / np.maximum(donor.sum(axis=0), LEAST)), 0.0)


def _informations(amount: np.ndarray, bins: Bins) -> np.ndarray:
    """Normalised informations about tau, theta, phi of fractional amounts, (3, users)."""
    m0, m1, m2 = ((amount * bins.delay[..., k]).sum(axis=1) for k in range(3))
    delay = m2 - m1**2 / np.maximum(m0, LEAST)
    others = ((amount * part).sum(axis=1) for part in (bins.departure, bins.arrival))
    return np.maximum(np.stack([delay, *others]), LEAST)


def _centres(amount: np.ndarray, bins: Bins) -> np.ndarray:
    """Mean frequency of each user's subcarriers, weighted by information, (users,)."""
    m0, m1 = ((amount * bins.delay[..., k]).sum(axis=1) for k in range(2))
    return m1 / np.maximum(m0, LEAST)


def placement_bound(
    tones: Tones,
    informations: np.ndarray,
    centre: np.ndarray,
    nu: np.ndarray,
    sigma: np.ndarray,
    data: float,
    floor: float,
) -> float:
    r"""Objective that no assignment of single subcarriers exceeds at a share, by weak duality (spec mesh 3.3).

    .. math:: v \le \sum_n \max_u\big\{\nu_u [q_1^2 a_\tau(\omega_n - m_u)^2 + q_2^2 a_\theta + q_3^2 a_\phi]
              + (b + \sigma_u) r_{un}\big\} - z \sum_u \sigma_u

    for any :math:`\nu \ge 0` that sums to the worth of P, :math:`\sum_i q_i = 1`, centres m and
    :math:`\sigma \ge 0`: nothing here needs to be optimal. The weights are those of the harmonic sum at the
    solver's answer, :math:`q_i \propto 1/x_i`.
    """
    q = (1.0 / informations) / (1.0 / informations).sum(axis=0)
    delay = (q[0] ** 2)[:, None] * tones.delay * (tones.omega - centre[:, None]) ** 2
    angles = (q[1] ** 2)[:, None] * tones.departure + (q[2] ** 2)[:, None] * tones.arrival
    worth = nu[:, None] * (delay + angles) + (data + sigma)[:, None] * tones.rate
    return float(worth.max(axis=0).sum() - floor * sigma.sum())
