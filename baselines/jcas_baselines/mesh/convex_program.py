r"""Cone program of the mesh at a given share, in CVXPY, with rows and cones of numbers near one.

A cone is as well conditioned as its entries are alike: :math:`t^2 \le x z` with :math:`x \gg t` is written as the
difference of two nearly equal numbers. Users differ by decades in every information, so all of them are in units of
what an equal share of the band gives to that user. One program is built for each shape and compiled once; every solve
starts from its numbers alone (spec mesh 3.1).
"""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

TOLERANCE = 1e-10
"""Of gap and feasibility: values then agree with closed forms to better than 1e-6, and it costs three more steps."""
SOLVERS: dict[str, dict[str, Any]] = {
    "CLARABEL": {
        "accept_unknown": True, "tol_gap_abs": TOLERANCE, "tol_gap_rel": TOLERANCE, "tol_feas": TOLERANCE,
    },
    "SCS": {},
}  # fmt: skip
"""Asked in this order, until one answers, and their options: an answer that stopped short is one, and said to be so."""


class Bins(NamedTuple):
    """Subcarriers of one instance gathered in bins; informations are normalised, in units of 1 / E_ref."""

    member: np.ndarray
    """(subcarriers,) integer: bin of each subcarrier."""
    size: np.ndarray
    """(bins,): subcarriers of each bin."""
    delay: np.ndarray
    """(users, bins, 3): means of the delay information times 1, omega, omega^2, omega in units of the half band."""
    departure: np.ndarray
    """(users, bins): information of a subcarrier about theta."""
    arrival: np.ndarray
    """(users, bins): information of a subcarrier about phi."""
    rate: np.ndarray
    """(users, bins): rate of a subcarrier over R_ref."""


class Accuracy(IntEnum):
    """How a program ended."""

    EXACT = 0
    """Solved as accurately as asked."""
    INACCURATE = 1
    """The solver stopped short of that, with an answer."""
    FAILED = 2
    """No solver answered."""


class Suggestion(NamedTuple):
    """What a solver says; nothing in it is relied on."""

    amount: np.ndarray
    """(users, bins): subcarriers of each bin; equal shares where no solver answered."""
    level: np.ndarray
    """(users,): multipliers of :math:`t \\le P_u`, in any common unit."""
    floor: np.ndarray
    """(users,): multipliers of :math:`R_u \\ge z`."""
    accuracy: Accuracy
    """How the solver ended."""


class EqualShares(NamedTuple):
    """What an equal share of the band gives, the units of the program's numbers."""

    information: np.ndarray
    """(3, users): about tau, theta, phi."""
    centre: np.ndarray
    """(users,): mean frequency, weighted by information, in units of the half band."""
    level: float
    """Harmonic sum of the informations of the worst user."""
    rate: np.ndarray
    """(users,): rate over R_ref."""


@lru_cache(maxsize=64)
def _program(users: int, bins: int, selective: bool, log: bool) -> dict[str, Any]:
    r"""Program of one shape: :math:`\max a t + b \sum R_u` under :math:`\sum_i t^2/x_{ui} \le t` and the floors.

    Or of the logarithms of t and of the sum. With :math:`t = t_0 \tau` and :math:`x_{ui} = s_{ui} x'_{ui}` the cones
    are :math:`\tau^2 \le x'_{ui} z_{ui}` and the row :math:`\sum_i (t_0/s_{ui}) z_{ui} \le \tau`.
    :math:`x_{u\tau} \le m_2 - m_1^2/m_0` is a cone as well; by symmetry :math:`m_1 = 0` in a flat channel.
    """
    import cvxpy as cp

    part, level = cp.Variable((users, bins), nonneg=True), cp.Variable(nonneg=True)
    delay = cp.Variable(users, nonneg=True)
    inverse = cp.Variable((3, users), nonneg=True)
    data = {name: cp.Parameter((users, bins), nonneg=True) for name in ("m0", "m2", "departure", "arrival", "rate")}
    data["m1"] = cp.Parameter((users, bins))
    data["weight"] = cp.Parameter((3, users), nonneg=True)
    data["earned"] = cp.Parameter((users, bins), nonneg=True)
    data["floor"] = cp.Parameter(users, nonneg=True)
    positioning = cp.Parameter(nonneg=True)

    def total(name: str) -> Any:
        return cp.sum(cp.multiply(data[name], part), axis=1)

    floors = total("rate") >= data["floor"]
    reached = cp.sum(cp.multiply(data["weight"], inverse), axis=0) <= level
    constraints = [cp.sum(part, axis=0) <= 1.0, floors, reached]
    for row, information in enumerate((delay, total("departure"), total("arrival"))):
        ends = cp.vstack([2.0 * level * np.ones(users), information - inverse[row]])
        constraints.append(cp.SOC(information + inverse[row], ends))
    if selective:
        first, zeroth, slack = total("m1"), total("m0"), cp.Variable(users, nonneg=True)
        constraints += [delay + slack <= total("m2"), cp.SOC(zeroth + slack, cp.vstack([2.0 * first, zeroth - slack]))]
    else:
        constraints.append(delay <= total("m2"))
    if log:
        share = cp.Parameter(nonneg=True)
        summed = cp.Variable(nonneg=True)
        constraints.append(summed <= cp.sum(total("earned")))
        goal = positioning * cp.log(level) + share * cp.log(summed)
    else:
        share, goal = None, positioning * level + cp.sum(total("earned"))
    program = cp.Problem(cp.Maximize(goal), constraints)
    return {
        "program": program, "part": part, "floors": floors, "reached": reached,
        "positioning": positioning, "share": share, **data,
    }  # fmt: skip


def equal_shares(bins: Bins) -> EqualShares:
    """Units of a program: what each user has of an equal share of every bin."""
    equal = bins.size / len(bins.rate)
    m0, m1, m2 = ((bins.delay[..., k] * equal).sum(axis=1) for k in range(3))
    delay = np.maximum(m2 - m1**2 / m0, 1e-3 * m2)  # one tone alone has none
    others = ((part * equal).sum(axis=1) for part in (bins.departure, bins.arrival))
    information = np.stack([delay, *others])
    level = float((1.0 / (1.0 / information).sum(axis=0)).min())
    return EqualShares(information, m1 / m0, level, (bins.rate * equal).sum(axis=1))


def ask(bins: Bins, worth: tuple[float, float], floor: float, log: bool) -> Suggestion:
    """Amounts and multipliers for worths of P and of the total rate and for rate floors z, rates in units of R_ref.

    With ``log`` the worths are those of the logarithms. CVXPY; no solver's failure is an error, ``accuracy`` tells.
    """
    users, selective = len(bins.rate), bool(np.any(bins.delay[..., 1]))
    units, program = equal_shares(bins), _program(users, len(bins.size), selective, log)
    scale = _fill(program, bins, units, worth, floor, log)
    accuracy = _solved(program["program"])
    if accuracy == Accuracy.FAILED:
        return Suggestion(np.tile(bins.size / users, (users, 1)), np.zeros(users), np.zeros(users), accuracy)
    nu, sigma = (np.maximum(np.asarray(program[name].dual_value), 0.0) for name in ("reached", "floors"))
    return Suggestion(np.maximum(program["part"].value, 0.0) * bins.size, nu, sigma * scale / units.rate, accuracy)


def _fill(
    program: dict[str, Any], bins: Bins, units: EqualShares, worth: tuple[float, float], floor: float, log: bool
) -> float:
    """Write the numbers of an instance; returns the unit of its objective."""
    m0, m1, m2 = (bins.delay[..., k] * bins.size / units.information[0][:, None] for k in range(3))
    centre = units.centre[:, None]
    program["m0"].value, program["m1"].value = m0, m1 - centre * m0
    program["m2"].value = np.maximum(m2 - 2.0 * centre * m1 + centre**2 * m0, 0.0)
    for name, unit in zip(("departure", "arrival"), units.information[1:], strict=True):
        program[name].value = getattr(bins, name) * bins.size / unit[:, None]
    program["rate"].value = bins.rate * bins.size / units.rate[:, None]
    program["weight"].value = units.level / units.information
    program["floor"].value = floor / units.rate
    if log:
        program["earned"].value = bins.rate * bins.size / units.rate.sum()
        program["positioning"].value, program["share"].value = worth
        return 1.0
    scale = worth[0] * units.level + worth[1] * float(units.rate.sum())
    program["earned"].value = worth[1] * bins.rate * bins.size / scale
    program["positioning"].value = worth[0] * units.level / scale
    return scale


def _solved(program: Any) -> Accuracy:
    """Solve by the first solver that answers, each from the numbers alone: nothing is kept of an earlier solve."""
    import cvxpy as cp

    for name, options in SOLVERS.items():
        data, chain, inverse = program.get_problem_data(name, solver_opts=dict(options))
        raw = chain.solve_via_data(program, data, warm_start=False, solver_opts=dict(options))
        solution = chain.invert(raw, inverse)
        if solution.status in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE):
            program.unpack(solution)
            return Accuracy.EXACT if solution.status == cp.OPTIMAL else Accuracy.INACCURATE
    return Accuracy.FAILED
