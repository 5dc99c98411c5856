"""Random problems that are legal and extreme: what any solver must end with a status, whatever its numbers are.

Gains of zero and from 1e-30 to 1e10, noise from 1e-30 to 1e3, single users, weights of zero, floors of zero and floors
that leave nothing, free and fixed shares, each reward and each noise. A problem's shape (users, cells) is that of
its batch; everything else is drawn for each element.
"""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np

from jcas_env import MassiveMIMOProblem, MeshProblem, MultiCellProblem, Status

FEASIBLE = {"float64": 1e-9, "float32": 1e-5}
"""Violation that rounding explains."""


def suited(solver, problem):
    """The method with the options that a problem knows: no separate shares where they are given."""
    if getattr(solver, "split", None) == "separate" and not problem.share_is_free.any():
        return replace(solver, split=None)
    return solver


def powers_of_ten(rng: np.random.Generator, low: float, high: float, shape, zeros: float = 0.0) -> np.ndarray:
    """Log-uniform numbers, a share of them zero."""
    return np.where(rng.random(shape) < zeros, 0.0, 10.0 ** rng.uniform(low, high, shape))


def choose(rng: np.random.Generator, count: int, *values) -> np.ndarray:
    """One of the values for each element, (count,)."""
    return np.asarray(values)[rng.integers(len(values), size=count)]


def extreme_multicell(rng: np.random.Generator, count: int, dtype: str = "float64", **changes) -> MultiCellProblem:
    """``count`` slots of one random shape: 1 to 3 cells of 1 to 6 users, perhaps one cell without any."""
    cells, crowd = int(rng.integers(1, 4)), int(rng.integers(1, 7))
    users = cells * crowd
    shape = count, users
    cell = np.broadcast_to(np.repeat(np.arange(cells), crowd), shape).copy()
    empty = int(rng.random() < 0.2)
    centre = rng.uniform(-30, 10, (count, 1))
    own = 10.0 ** (centre + rng.uniform(-6, 6, shape) * choose(rng, count, 0.0, 0.3, 1.0)[:, None]).clip(-30, 10)
    cross = powers_of_ten(rng, -12, 2, (count, users, users), zeros=float(rng.choice([0.0, 0.3, 1.0])))
    gain = (own[..., None] * cross).clip(0.0, 1e10)
    gain[:, np.arange(users), np.arange(users)] = own * (rng.random(shape) > rng.choice([0.0, 0.2, 0.9]))
    groups = rng.integers(1, crowd + 1, count)
    group = np.sort(rng.integers(0, groups[:, None, None], (count, cells, crowd)), axis=-1)
    # Labels 0, 1, ... without gaps.
    jump = np.diff(group, axis=-1, prepend=group[..., :1]) > 0
    group = np.cumsum(jump, axis=-1).reshape(shape)
    number = 1 + group.reshape(count, cells, crowd).max(axis=(-2, -1))
    part = choose(rng, count, 0.0, 0.01, 0.1, 0.499, 0.5, 0.5, 0.6)
    band_part = choose(rng, count, 0.0, 0.01, 0.1, 0.499, 0.5, 0.5, 0.6)
    weight = powers_of_ten(rng, -3, 0, shape, zeros=float(rng.choice([0.0, 0.3, 0.7])))
    budget, band = powers_of_ten(rng, -3, 3, (count, 1)), powers_of_ten(rng, 3, 9, (count, 1))
    correlation = rng.random((count, users, users))
    values = {
        "gain": gain,
        "leakage": own * powers_of_ten(rng, -12, 1, shape, zeros=0.3),
        "sensing_gain": powers_of_ten(rng, -6, 4, shape, zeros=0.1),
        "cell": cell,
        "group": group,
        "last_power": np.repeat(budget[:, None] / (2 * crowd), users, axis=-1) * rng.random((count, 2, users)),
        "weight": weight,
        "service_weight": np.array([[1.0, 1.0], [1.0, 1.5], [1.0, 0.0], [0.0, 1.0]][rng.integers(4)]),
        "power_budget": budget,
        "band_budget": band,
        "power_floor": budget * (part / crowd)[:, None],
        "band_floor": band * (band_part / number)[:, None],
        "noise_density": powers_of_ten(rng, -30, 3, (count, 1)),
        "positioning_share": float(rng.choice([np.nan, np.nan, 0.5, 0.2])),
        "queue": np.zeros(shape),
        "correlation": 0.5 * (correlation + np.swapaxes(correlation, -1, -2)),
        "reward": str(rng.choice(["rate", "fair"])),
        "noise": str(rng.choice(["per_hertz", "constant"])),
        "cell_count": cells + empty,
    } | changes
    return MultiCellProblem(**cast(values, dtype))


def extreme_queues(rng: np.random.Generator, count: int, dtype: str = "float64", **changes) -> MultiCellProblem:
    """:func:`extreme_multicell` with the ``delay`` reward: queues of 0 and 1e-3 to 1e15 bit, arrivals to match, or not.

    Users without backlog, without arrivals, and without both; arrivals known by their mean, or as they came.
    """
    problem = extreme_multicell(rng, count, **changes)
    shape = problem.weight.shape
    rate = powers_of_ten(rng, -6, 15, shape, zeros=float(rng.choice([0.0, 0.3, 1.0])))
    known = bool(rng.random() < 0.5)
    values = {item.name: getattr(problem, item.name) for item in fields(problem)} | {
        "reward": "delay",
        "queue": powers_of_ten(rng, -3, 15, shape, zeros=float(rng.choice([0.0, 0.3, 1.0]))),
        "arrival_rate": rate,
        "arrivals": rate * problem.slot if known else 12000.0 * rng.poisson(0.5, shape),
        "waited": rng.integers(0, 100, shape).astype(float),
    }
    return MultiCellProblem(**cast(values, dtype))


def extreme_mesh(rng: np.random.Generator, count: int, dtype: str = "float64", **changes) -> MeshProblem:
    """``count`` frames of 1 to 6 users with SNRs of 1e-12 to 1e15 a subcarrier, floors that bind, fit or do not."""
    users = changes.pop("users", None) or int(rng.integers(1, 7))
    shape, subcarriers = (count, users), int(rng.choice([2 * users, 2 * users + 1, 60, 601]))
    centre = rng.uniform(-9, 12, (count, 1))
    values = {
        "distance": powers_of_ten(rng, -1, 4, shape),
        "aod": rng.uniform(0.01, np.pi - 0.01, shape),
        "aoa": rng.uniform(0.01, np.pi - 0.01, shape),
        "snr": 10.0 ** (centre + rng.uniform(-3, 3, shape) * choose(rng, count, 0.0, 0.3, 1.0)[:, None]),
        "subcarriers": subcarriers,
        "rate_floor": powers_of_ten(rng, 3, 9, (count,), zeros=0.3),
        "positioning_weight": float(rng.choice([0.01, 0.5, 0.99])),
        "objective": str(rng.choice(["sum", "log"])),
        "share_min": float(rng.choice([1e-9, 1e-3, 0.1])),
    } | changes
    return MeshProblem(**cast(values, dtype))


def extreme_mimo(rng: np.random.Generator, count: int, dtype: str = "float64", **changes) -> MassiveMIMOProblem:
    """``count`` frames of 1 to 6 users with gains of 1e-30 to 1e10 and echo noise to match, binding, or hopeless."""
    users, antennas = changes.pop("users", None) or int(rng.integers(1, 7)), int(rng.integers(6, 20))
    shape = count, users
    gain = 10.0 ** (rng.uniform(-30, 10, (count, 1)) + rng.uniform(-3, 3, shape)).clip(-30, 10)
    values = {
        "large_scale_gain": gain,
        "estimate_variance": gain * rng.choice([1.0, 0.9, 1e-3, 1e-9], shape),
        "noise_power": powers_of_ten(rng, -30, 3, (count,)),
        "echo_noise": powers_of_ten(rng, -6, 9, (count,)),
        "power_budget": powers_of_ten(rng, -3, 3, (count,)),
        "crb_limit": powers_of_ten(rng, -9, 3, (count,)),
        "tx_antennas": antennas,
        "rx_antennas": int(rng.integers(1, 20)),
        "target_angle": rng.uniform(-1.5, 1.5, count),
        "rate_factor": float(rng.choice([1.0, 0.9])),
    } | changes
    return MassiveMIMOProblem(**cast(values, dtype))


def demanding_mimo(rng: np.random.Generator, count: int, dtype: str = "float64") -> MassiveMIMOProblem:
    """:func:`extreme_mimo` with rate floors, weights of zero, beams that miss, priors, each objective and reward."""
    users = int(rng.integers(1, 7))
    shape = count, users
    return extreme_mimo(
        rng,
        count,
        dtype,
        users=users,
        objective=str(rng.choice(["sum", "min"])),
        reward=str(rng.choice(["tracking", "frame", "constrained"])),
        rate_floor=powers_of_ten(rng, -6, 2, shape, zeros=0.5),
        weight=powers_of_ten(rng, -6, 2, shape, zeros=0.3),
        beam_angle=rng.uniform(-1.5, 1.5, count),
        prior_variance=powers_of_ten(rng, -9, 3, (count,)),
        variance_limit=powers_of_ten(rng, -9, 3, (count,)),
    )


def cast(values: dict, dtype: str) -> dict:
    """Floating arrays in a precision."""
    return {
        name: value.astype(dtype) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value
        for name, value in values.items()
    }


def violation_of_two_shares(problem: MultiCellProblem, allocation) -> np.ndarray:
    """Violation where power and band may be split at positioning shares of their own."""
    power = replace(problem, band_floor=0.0), allocation._replace(bandwidth=np.zeros_like(allocation.bandwidth))
    band = replace(problem, power_floor=0.0), allocation._replace(power=np.zeros_like(allocation.power))
    return np.maximum(*(part.violation(answer) for part, answer in (power, band)))


def assert_answered(problem, solution, dtype: str = "float64", *, one_share: bool = True) -> None:
    """A status each; NaN under INFEASIBLE and there alone; what is returned breaks nothing; a bound is a bound.

    ``one_share``: whether a multi-cell allocation must spend power and band at one positioning share.
    """
    assert solution.status.shape == problem.batch
    lost = np.asarray(solution.status) == Status.INFEASIBLE
    parts = solution.allocation
    names = parts._fields if hasattr(parts, "_fields") else [item.name for item in fields(parts)]
    for name in names:
        value = np.asarray(getattr(parts, name)) if getattr(parts, name) is not None else None
        if value is None or value.dtype.kind != "f":
            continue
        bad = ~np.isfinite(value)
        bad = bad.reshape(*lost.shape, -1).any(axis=-1) if bad.ndim > lost.ndim else bad
        assert not (bad & ~lost).any(), f"{name} is not finite in {np.flatnonzero(bad & ~lost)}"
    objective = np.asarray(solution.objective)
    assert np.isnan(objective[lost]).all()
    assert np.isfinite(objective[~lost]).all(), np.flatnonzero(~np.isfinite(objective) & ~lost)
    assert not np.isnan(np.asarray(solution.bound)[~lost]).any()
    earned = objective[~lost].astype(float)
    assert (np.asarray(solution.bound)[~lost] >= earned - FEASIBLE[dtype] * np.abs(earned)).all()
    violation = problem.violation(parts) if one_share else violation_of_two_shares(problem, parts)
    violation = np.asarray(violation)[~lost]
    assert violation.max(initial=0.0) <= FEASIBLE[dtype], np.flatnonzero(violation > FEASIBLE[dtype])
