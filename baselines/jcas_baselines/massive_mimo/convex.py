"""Subproblem (26) of nguyen2024 in CVXPY, as printed: slow, obvious, the cross-check of the closed form."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from jcas_env.types import Array

from .minorant import Iterate


@lru_cache(maxsize=16)
def _program(users: int) -> dict[str, Any]:
    r"""Parametrised subproblem (26) for one frame.

    Variables are scaled by the current point, without which the solver is inaccurate: :math:`p_k = p_k^{(i)} u_k`,
    :math:`T = S_{max} t`, :math:`\varphi = \varphi^{(i)} f`, and T_1, T_2 by numbers whose product is
    :math:`(\varphi^{(i)})^2 = T_1 T_2` at the current point (spec mimo 4). Constraints: (19c), (24) and the cone (25);
    T_3 = 0.
    """
    import cvxpy as cp

    names = ("inverse", "price", "share", "first_stream", "second_stream", "demand_stream")
    parts = {name: cp.Parameter(users, nonneg=True) for name in names}
    scalars = ("beam_price", "first_beam", "second_beam", "demand_beam")
    parts |= {name: cp.Parameter(nonneg=True) for name in scalars}
    streams, beam, link = cp.Variable(users, nonneg=True), cp.Variable(nonneg=True), cp.Variable(nonneg=True)
    first = parts["first_stream"] @ streams + parts["first_beam"] * beam
    second = parts["second_stream"] @ streams + parts["second_beam"] * beam
    loss = parts["inverse"] @ cp.inv_pos(streams) + parts["price"] @ streams + parts["beam_price"] * beam
    constraints = [
        parts["share"] @ streams + beam <= 1,
        parts["demand_stream"] @ streams + parts["demand_beam"] * beam <= 2 * link - 1,
        cp.SOC(0.5 * (first + second), cp.hstack([link, 0.5 * (first - second)])),
    ]
    program = cp.Problem(cp.Minimize(loss), constraints)
    return {"program": program, "streams": streams, "beam": beam, **parts}


def _solve_frame(
    p: np.ndarray, sensing: float, x: np.ndarray, y: np.ndarray, gain: np.ndarray, weight: np.ndarray, echo: Any
) -> tuple[np.ndarray, float]:
    """One subproblem at p (users,) and T [W]; ``x``, ``y`` signal and noise of the rates there [W].

    ``echo`` is (a, b, c, S_max, N_t), as in :class:`.Iterate`. Returns the new p and T [W].
    """
    a, b, c, total, lit = echo
    # T_1 without its factor N_t N_r, which cancels: P + N_t T; T_2 = a P + b T.
    first, second = p.sum() + lit * sensing, a * p.sum() + b * sensing
    link = np.sqrt(first * second)
    bound_inverse, slope = weight * x / (x + y), weight * x / ((x + y) * y)
    price = float(slope @ gain)
    scale = 1.0 / max(bound_inverse.sum(), 1e-300)
    program = _program(p.size)
    values = {
        "inverse": scale * bound_inverse,
        "price": scale * price * p,
        "beam_price": scale * price * total,
        "share": p / total,
        "first_stream": p / first,
        "first_beam": lit * total / first,
        "second_stream": a * p * first / link**2,
        "second_beam": b * total * first / link**2,
        "demand_stream": c * p / link**2,
        "demand_beam": c * lit * total / link**2,
    }
    for name, value in values.items():
        program[name].value = value
    program["program"].solve(solver="CLARABEL", warm_start=False)
    return p * np.asarray(program["streams"].value), total * float(program["beam"].value)


def conic_update(point: Iterate) -> tuple[Array, Array]:
    """Maximiser of the surrogate by a conic solver, one element after the other.

    Same contract as :func:`.minorant.update`; NumPy only.
    """
    batch = point.power.shape[0]
    total = np.sum(point.power, axis=-1) + point.sensing
    x = point.signal * point.power
    y = point.gain * total[:, None] + point.noise[:, None]
    echo = (point.stream_information, point.beam_information, point.demand, point.total, point.beam_gain)
    answers = [
        _solve_frame(
            point.power[i], point.sensing[i], x[i], y[i], point.gain[i], point.weight[i], tuple(e[i] for e in echo)
        )
        for i in range(batch)
    ]
    return np.stack([power for power, _ in answers]), np.asarray([sensing for _, sensing in answers])
