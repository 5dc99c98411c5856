"""The convex step of SCA in CVXPY: the cross-check of :mod:`.primal_dual`, and the ``backend="cvxpy"``."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from jcas_env.types import Array

from .minorant import CellModel, Point, gradients, tangent_of

SETTINGS = {"solver": "CLARABEL", "warm_start": False, "tol_gap_abs": 1e-8, "tol_gap_rel": 1e-8}


@lru_cache(maxsize=64)
def _program(users: int, entries: int, logarithmic: tuple[bool, ...], free: bool) -> dict[str, Any]:
    r"""Parametrised program of one cell: ``B ln(y/B) = -rel_entr(B, y/s) + B ln s``, both services.

    ``logarithmic`` says for each service and user whether the logarithm of the rate counts, and is empty for rates;
    ``s = 1 + S/N`` brings y near one for the solver's sake (spec multicell 4.5, 6.6).
    """
    import cvxpy as cp

    share = cp.Variable() if free else cp.Parameter()
    parts: dict[str, Any] = {"share": share, "constraints": [], "value": []}
    earned = 0
    for service in range(2):
        value, rate = cp.Variable(entries), cp.Variable(users)
        named = {
            "weight": cp.Parameter(users, nonneg=True),
            "price": cp.Parameter(entries),
            "summed": cp.Parameter((users, entries)),  # of y/s
            "level": cp.Parameter(users),
            "band": cp.Parameter((users, entries)),
            "linear": cp.Parameter((users, entries)),  # tangent, and ln s in the column of the band
            "offset": cp.Parameter(users),
            "floor": cp.Parameter(entries),
            "budgets": cp.Parameter((2, entries)),
        }
        parts |= {f"{name}{service}": parameter for name, parameter in named.items()}
        width, seen = cp.Variable(users), cp.Variable(users)
        parts["constraints"] += [
            value >= named["floor"],
            named["budgets"] @ value == (share if service else 1 - share) * np.ones(2),
            width == named["band"] @ value,
            seen == named["summed"] @ value + named["level"],
            rate <= -cp.rel_entr(width, seen) + named["linear"] @ value + named["offset"],
        ]
        counting = np.flatnonzero(logarithmic[service * users : (service + 1) * users])
        if not logarithmic:
            earned += named["weight"] @ rate
        elif len(counting):
            earned += named["weight"][counting] @ cp.log(rate[counting])
        earned -= named["price"] @ value
        parts["value"].append(value)
    parts["program"] = cp.Problem(cp.Maximize(earned), parts["constraints"])
    return parts


def maximise_minorant(model: CellModel, at: Point, price: Array) -> Point:
    """Same contract as :func:`.primal_dual.maximise_minorant`, one cell after the other; NumPy only."""
    tangent, offset = tangent_of(model, at.value)
    _, summed, band = gradients(model)
    value, share = np.array(at.value), np.array(at.share)
    found = np.ones(share.shape, dtype=bool)
    for i in range(value.shape[0]):
        here, exists = model.member[i].sum(axis=0) > 0, model.member[i].sum(axis=1) > 0
        if not here.any():
            continue
        kept = np.concatenate([here, exists])
        users, groups = int(here.sum()), int(exists.sum())
        weight = model.weight[i][:, here]
        kind = tuple(bool(w > 0) for w in weight.ravel()) if model.logarithmic[i] else ()
        program = _program(users, users + groups, kind, bool(model.free[i]))
        if not model.free[i]:
            program["share"].value = share[i]
        scale = 1.0 + model.signal[i][:, here] / users
        for service in range(2):
            lines = np.ix_(here, kept)
            factor = scale[service]
            given = {
                "weight": weight[service],
                "price": np.concatenate([price[i][here], np.zeros(groups)]),
                "summed": summed[i, service][lines] / factor[:, None],
                "level": model.constant[i][here] / factor,
                "band": band[i, 0][lines],
                "linear": tangent[i, service][lines] + np.log(factor)[:, None] * band[i, 0][lines],
                "offset": offset[i, service][here],
                "floor": model.floor[i, service][kept],
                "budgets": np.repeat([[1.0, 0.0], [0.0, 1.0]], [users, groups], axis=1),
            }
            for name, entry in given.items():
                program[f"{name}{service}"].value = entry
        found[i] = _solved(program["program"])
        if not found[i]:
            continue
        for service in range(2):
            value[i, service, kept] = program["value"][service].value
        share[i] = float(program["share"].value)
    return Point(value, share, found)


def _solved(program: Any) -> bool:
    """Solve; false where the solver gives up, so that the cell keeps its point and says so."""
    import cvxpy as cp

    try:
        program.solve(**SETTINGS)
    except cp.SolverError:
        return False
    return program.status == cp.OPTIMAL
