r"""The mesh at a given share over bins of subcarriers: a cone program's answer, and a bound that does not trust it.

Subcarriers whose frequencies have nearly the same magnitude are one bin: for a flat channel a user gains nothing by
telling +f from -f, because the precision is concave and symmetric. A bin carries the mean of its :math:`\omega^2`, so
one bin is the count model. In a frequency-selective channel bins are contiguous and carry mean ratios and rates. The
program itself is in :mod:`.convex_program` (spec mesh 3.1, 3.4).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jcas_env.physics.information.angle import array_sensitivity
from jcas_env.scenarios.mesh import MeshProblem
from jcas_env.units import SPEED_OF_LIGHT

from .convex_program import Accuracy, Bins, ask
from .counts import LEAST


class ToneInformation(NamedTuple):
    """What every single subcarrier gives to every user, (users, subcarriers), in the same units as :class:`Bins`."""

    omega: np.ndarray
    """(subcarriers,): distance from the band's centre, in units of the half band [-]."""
    delay: np.ndarray
    """Information about tau at one half band off a user's mean frequency [1 / E_ref]."""
    departure: np.ndarray
    """Information about theta [1 / E_ref]."""
    arrival: np.ndarray
    """Information about phi [1 / E_ref]."""
    rate: np.ndarray
    """Rate at beta = 0 over R_ref [-]."""


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
    accuracy: Accuracy
    """How the solver ended."""


def tones_of(problem: MeshProblem) -> ToneInformation:
    """Information and rate of single subcarriers of one instance (spec mesh 3.3, last paragraph)."""
    users, total = problem.users, problem.subcarriers
    snr = np.broadcast_to(problem.snr.reshape(users, -1), (users, total))
    rate = np.broadcast_to(problem.rate_per_subcarrier.reshape(users, -1), (users, total))
    half = float(np.abs(problem.omega).max())
    common = 2.0 * snr * problem.symbols * float(problem.error_scale)
    split, uniformity = problem.beam_split, problem.uniformity
    departure = array_sensitivity(np.sin(problem.aod) ** 2, antennas=problem.tx_antennas)
    arrival = array_sensitivity(np.sin(problem.aoa) ** 2, antennas=problem.rx_antennas)
    return ToneInformation(
        problem.omega / half,
        common * (1.0 - split) * (half / SPEED_OF_LIGHT) ** 2,
        common * split * (departure / (problem.distance**2 + uniformity))[:, None],
        common * (1.0 - split) * (arrival / uniformity)[:, None],
        rate / float(problem.rate_scale),
    )


def bins_of(problem: MeshProblem, tones: ToneInformation, bins: int) -> Bins:
    """Gather subcarriers into at most ``bins`` bins: of equal magnitude of f where the channel is flat, else of f."""
    place = tones.omega if problem.selective else np.abs(tones.omega)
    distinct = np.unique(np.round(place, 12))
    # Edges that part the distinct frequencies into bins of equal numbers.
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


def solve_bins(
    tones: ToneInformation, bins: Bins, *, worth: tuple[float, float], floor: float, log: bool = False
) -> BinAnswer:
    """Maximise ``worth[0] P + worth[1] sum R``, or of their logarithms, under ``R_u >= floor`` over bins.

    Rates in units of R_ref. What the solver says is only a suggestion: its amounts are repaired to keep budgets and
    floors, valued here, and its multipliers go through :func:`placement_bound`. A program that fails leaves the fairest
    amounts and a bound that is still valid; ``accuracy`` tells.
    """
    users = len(bins.rate)
    asked = ask(bins, worth, floor, log)
    # No bin is spent more than once, and no user is below the floor, whatever the solver's tolerance.
    amount = asked.amount * (bins.size / np.maximum(asked.amount.sum(axis=0), bins.size))
    amount = _repaired(amount, bins, floor)
    informations = _informations(amount, bins)
    rate = (amount * bins.rate).sum(axis=1)
    positioning, whole = float((1.0 / (1.0 / informations).sum(axis=0)).min()), float(rate.sum())
    value = worth[0] * positioning + worth[1] * whole
    if log:
        value = worth[0] * np.log(max(positioning, LEAST)) + worth[1] * np.log(max(whole, LEAST))
        worth = worth[0] / max(positioning, LEAST), worth[1] / max(whole, LEAST)  # of the tangent
    at = worth[0] * positioning + worth[1] * whole
    kept = rate.min() >= floor * (1.0 - 1e-9)
    nu, sigma = asked.level, asked.floor
    nu = nu * worth[0] / nu.sum() if nu.sum() > 0 else np.full(users, worth[0] / users)  # must sum to P's worth
    linear = placement_bound(tones, informations, _centres(amount, bins), nu, sigma, worth[1], floor)
    return BinAnswer(
        amount,
        float(value) if kept else -np.inf,
        float(value) + linear - at,
        float(sigma.sum()),
        positioning,
        whole,
        asked.accuracy,
    )


def fairest(bins: Bins) -> tuple[np.ndarray, np.ndarray]:
    r"""Amounts (users, bins) with the largest common rate, and weights (users,) of the rates that prove it.

    Where every user has the same rate on all bins :math:`n_u \propto 1/r_u`, else a linear program whose rows
    have the unit of an equal share. What it says is a suggestion, too: for any weights m that are not negative
    :math:`\sum_u m_u \min_u R_u \le \sum_n \max_u m_u r_{un}`.
    """
    alone = (bins.rate * bins.size).sum(axis=1)  # with the whole band
    even = 1.0 / (alone * (1.0 / alone).sum())
    amount = even[:, None] * bins.size
    if np.all(bins.rate == bins.rate[:, :1]):
        return amount, even
    found, multiplier = _fairest_program(bins, alone)
    if found is None:
        return amount, even
    # Budgets kept whatever the program's tolerance; nothing worse than what is known beforehand.
    found = found / np.maximum(found.sum(axis=0), 1.0) * bins.size
    if (found * bins.rate).sum(axis=1).min() > (amount * bins.rate).sum(axis=1).min():
        amount = found
    weight = multiplier / alone
    return amount, weight if weight.sum() > 0 else even


def _fairest_program(bins: Bins, alone: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
    """Parts (users, bins) of each bin with the largest common rate, None without an answer, and multipliers (users,).

    The common rate is a variable in units of what ``even`` amounts give to all, rates in those of the user ``alone``.
    """
    from scipy.optimize import linprog

    users, count = bins.rate.shape
    common = 1.0 / (1.0 / alone).sum()
    gain = bins.rate * bins.size / alone[:, None]
    budget = np.concatenate([np.tile(np.eye(count), (1, users)), np.zeros((count, 1))], axis=1)
    rates = np.concatenate(
        [-np.kron(np.eye(users), np.ones(count)) * gain.reshape(-1), (common / alone)[:, None]], axis=1
    )
    goal = np.append(np.zeros(users * count), -1.0)
    limits = np.concatenate([np.ones(count), np.zeros(users)])
    program = linprog(goal, A_ub=np.concatenate([budget, rates]), b_ub=limits, method="highs")
    if program.x is None:
        return None, np.zeros(users)
    part = np.maximum(program.x[:-1].reshape(users, count), 0.0)
    return part, np.maximum(-program.ineqlin.marginals[count:], 0.0)


def _repaired(amount: np.ndarray, bins: Bins, floor: float) -> np.ndarray:
    """As little of the fairest amounts mixed in as brings every user to the floor; budgets stay kept."""
    rate = (amount * bins.rate).sum(axis=1)
    if floor <= 0 or (rate >= floor).all():
        return amount
    fair, _ = fairest(bins)
    rise = (fair * bins.rate).sum(axis=1) - rate
    short = rate < floor
    # The part of the fairest amounts that the neediest user takes; all of them where it gains nothing from a part.
    part = ((floor - rate) / np.where(short & (rise > 0), rise, np.inf))[short]
    part = min(float(np.where(rise[short] > 0, part, 1.0).max()) * (1.0 + 1e-12), 1.0)
    return (1.0 - part) * amount + part * fair


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
    tones: ToneInformation,
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
