"""The same convex programs in CVXPY: slow, obvious, the cross-check of the closed forms.

CVXPY is imported when a program is first built.
"""

from __future__ import annotations

from functools import lru_cache
from math import log
from typing import Any

import numpy as np

from jcas_env.scenarios.multicell import RelaxedAllocation, RelaxedProblem
from jcas_env.types import Array

from .augmented_lagrangian import AugmentedState
from .duality import Form

PRECISE = {"solver": "CLARABEL", "tol_gap_abs": 1e-10, "tol_gap_rel": 1e-10, "tol_feas": 1e-10}
"""Settings of the cross-checks."""


@lru_cache(maxsize=64)
def _power_program(users: int) -> dict[str, Any]:
    """Parametrised power step of luo2023 eq. 38 for one cell and service.

    ``log(1 + c p)`` enters as ``log(offset + slope p)``, both divided by ``1 + c/N``: a constant for the optimum,
    and numbers near one for the solver.
    """
    import cvxpy as cp

    parts = {name: cp.Parameter(users, nonneg=True) for name in ("weight", "offset", "slope", "floor")}
    multiplier, penalty = cp.Parameter(), cp.Parameter(nonneg=True)
    # The logarithm's argument is a variable of its own, so that CVXPY compiles the program once (DPP).
    power, heard = cp.Variable(users), cp.Variable(users)
    residual = cp.sum(power) - 1
    earned = parts["weight"] @ cp.log(heard) / log(2.0)
    lagrangian = -earned + multiplier * residual + penalty / 2 * cp.square(residual)
    constraints = [power >= parts["floor"], heard == parts["offset"] + cp.multiply(parts["slope"], power)]
    program = cp.Problem(cp.Minimize(lagrangian), constraints)
    return {"program": program, "answer": power, "multiplier": multiplier, "penalty": penalty, **parts}


@lru_cache(maxsize=64)
def _band_program(groups: int) -> dict[str, Any]:
    """Parametrised band step of luo2023 eq. 38 for one cell and service."""
    import cvxpy as cp

    value, floor = cp.Parameter(groups), cp.Parameter(groups, nonneg=True)
    multiplier, penalty = cp.Parameter(), cp.Parameter(nonneg=True)
    band = cp.Variable(groups)
    residual = cp.sum(band) - 1
    lagrangian = -value @ band + multiplier * residual + penalty / 2 * cp.square(residual)
    program = cp.Problem(cp.Minimize(lagrangian), [band >= floor])
    return {
        "program": program,
        "answer": band,
        "value": value,
        "floor": floor,
        "multiplier": multiplier,
        "penalty": penalty,
    }


def _solve(program: dict[str, Any], **parameters: Any) -> np.ndarray:
    for name, value in parameters.items():
        program[name].value = value
    program["program"].solve(solver="CLARABEL", warm_start=False)
    return np.asarray(program["answer"].value)


def admm_update(state: AugmentedState, penalty: float) -> tuple[Array, Array]:
    """Power step, then band step, as the convex programs of luo2023 eq. 38, one element after the other.

    Same contract as the closed form; NumPy only.
    """
    power, band = np.array(state.power), np.array(state.band)
    for i in range(power.shape[0]):
        member = np.asarray(state.member[i], dtype=float)
        exists, present = member.any(axis=1), member.any(axis=0)
        weight, coefficient = state.weight[i][present], state.coefficient[i][present]
        scale = 1.0 + coefficient / present.sum()
        power[i, present] = _solve(
            _power_program(int(present.sum())),
            weight=weight * (state.band[i] @ member)[present],
            offset=1.0 / scale,
            slope=coefficient / scale,
            floor=state.power_floor[i][present],
            multiplier=state.power_multiplier[i],
            penalty=penalty,
        )
        efficiency = weight * np.log2(1.0 + coefficient * power[i, present])
        band[i, exists] = _solve(
            _band_program(int(exists.sum())),
            value=member[exists][:, present] @ efficiency,
            floor=state.band_floor[i][exists],
            multiplier=state.band_multiplier[i],
            penalty=penalty,
        )
    return power, band


@lru_cache(maxsize=64)
def _filling_program(users: int) -> dict[str, Any]:
    """Parametrised water-filling, scaled as in :func:`_power_program`."""
    import cvxpy as cp

    parts = {name: cp.Parameter(users, nonneg=True) for name in ("weight", "offset", "slope", "floor")}
    power, heard = cp.Variable(users), cp.Variable(users)
    constraints = [
        cp.sum(power) == 1,
        power >= parts["floor"],
        heard == parts["offset"] + cp.multiply(parts["slope"], power),
    ]
    return {
        "program": cp.Problem(cp.Maximize(parts["weight"] @ cp.log(heard)), constraints),
        "answer": power,
        **parts,
    }


def constant_noise_optimum(relaxed: RelaxedProblem) -> RelaxedAllocation:
    """Constant-noise optimum of one relaxed problem: a water-filling program at every vertex of the band's simplex.

    Unbatched, NumPy; every user present (spec multicell 4.3).
    """
    labels, index = np.unique(relaxed.group, return_inverse=True)
    users, floor = relaxed.coefficient.shape[-1], float(relaxed.band_floor)
    scale = 1.0 + relaxed.coefficient / users
    vertices = []
    for winner in range(len(labels)):
        band = np.where(index == winner, 1.0 - (len(labels) - 1) * floor, floor)
        power = _solve(
            _filling_program(users),
            weight=relaxed.weight * band,
            offset=1.0 / scale,
            slope=relaxed.coefficient / scale,
            floor=np.full(users, float(relaxed.power_floor)),
        )
        vertices.append(RelaxedAllocation(power, band))
    return max(vertices, key=lambda vertex: float(relaxed.objective(vertex)))


def per_hertz_optimum(relaxed: RelaxedProblem, form: Form = "rate") -> RelaxedAllocation:
    r"""Per-hertz optimum of one relaxed problem as an exponential cone program.

    ``b ln(1 + c p / b) = -rel_entr(b, b + c p)``, with the second argument scaled by ``1 + c/N`` for the solver's
    sake (spec multicell 4.7, 6.6); for ``form="log"`` the logarithms of these, over the users that can be heard.
    Unbatched, NumPy; every user present.
    """
    import cvxpy as cp

    labels, index = np.unique(relaxed.group, return_inverse=True)
    power, band = cp.Variable(relaxed.coefficient.shape[-1]), cp.Variable(len(labels))
    earned = weighted_rates(relaxed, power, band[index], form)
    constraints = [
        cp.sum(power) == 1,
        cp.sum(band) == 1,
        power >= float(relaxed.power_floor),
        band >= float(relaxed.band_floor),
    ]
    cp.Problem(cp.Maximize(earned), constraints).solve(**PRECISE)
    return RelaxedAllocation(np.asarray(power.value), np.asarray(band.value)[index])


def per_hertz_optima(relaxed: RelaxedProblem, form: Form) -> RelaxedAllocation:
    """Per-hertz optima of a batch, one after the other; padding is left out. NumPy only."""
    power, band = np.zeros(relaxed.coefficient.shape), np.zeros(relaxed.coefficient.shape)
    for i in np.ndindex(relaxed.coefficient.shape[:-1]):
        here = relaxed.group[i] >= 0
        if not here.any():
            continue
        parts = (relaxed.weight[i][here], relaxed.coefficient[i][here], relaxed.group[i][here])
        floors = np.asarray(relaxed.power_floor)[i], np.asarray(relaxed.band_floor)[i]
        answer = per_hertz_optimum(RelaxedProblem(*parts, *floors), form)
        power[i][here], band[i][here] = answer
    return RelaxedAllocation(power, band)


def weighted_rates(relaxed: RelaxedProblem, power: Any, width: Any, form: Form) -> Any:
    """Weighted rates, or their logarithms, as an expression of CVXPY in natural logarithms."""
    import cvxpy as cp

    scale = 1.0 + relaxed.coefficient / relaxed.coefficient.shape[-1]
    seen = cp.multiply(1.0 / scale, width) + cp.multiply(relaxed.coefficient / scale, power)
    rate = -cp.rel_entr(width, seen) + cp.multiply(np.log(scale), width)
    if form == "rate":
        return relaxed.weight @ rate
    heard = np.flatnonzero(relaxed.coefficient > 0)
    return relaxed.weight[heard] @ cp.log(rate[heard])
