"""Small slots of every kind and allocations of them, against which a bound is tried."""

from __future__ import annotations

import numpy as np
from jcas_baselines import Joint

from jcas_env import MultiCellAllocation, MultiCellProblem
from jcas_env.scenarios.multicell.action import decode


def random_problem(rng, batch=(), *, share=None, floors=True, **fields):
    """Small slots of every kind: one to three cells, weak and dead users, uneven weights, budgets and floors."""
    crowd = rng.integers(1, 5, rng.integers(1, 4))
    cell = np.repeat(np.arange(len(crowd)), crowd)
    users = len(cell)
    gain = 10.0 ** rng.uniform(-13, -9, (*batch, users, users))
    gain += np.eye(users) * 10.0 ** rng.uniform(-10, -7, (*batch, users, 1))
    gain[..., rng.random(users) < 0.1, :] = 0.0
    floor = rng.choice([0.0, 1e-3, 0.05]) if floors else 0.0
    values = {
        "gain": gain,
        "leakage": np.zeros(users),
        "sensing_gain": rng.choice([0.0, 0.1, 5.0, 100.0], users),
        "cell": cell,
        "group": rng.integers(0, 3, (*batch, users)),
        "last_power": np.ones((2, users)),
        "weight": rng.random(users),
        "service_weight": rng.choice([0.0, 0.5, 1.0, 2.0], 2),
        "power_budget": 10.0 ** rng.uniform(-2, 2, len(crowd)),
        "band_budget": 10.0 ** rng.uniform(5, 8, len(crowd)),
        "noise_density": 10.0 ** rng.uniform(-20, -18),
        "positioning_share": rng.choice([0.3, 0.5, np.nan]) if share is None else share,
        "queue": np.zeros(users),
        "cell_count": len(crowd),
    }
    values |= {"power_floor": floor * values["power_budget"], "band_floor": floor * values["band_budget"]}
    values |= fields
    for name, trailing in (
        ("leakage", 1),
        ("sensing_gain", 1),
        ("cell", 1),
        ("weight", 1),
        ("queue", 1),
        ("last_power", 2),
    ):
        value = np.asarray(values[name])
        values[name] = np.broadcast_to(value, (*batch, *value.shape[-trailing:]))
    return MultiCellProblem(**values)


def random_allocations(rng, problem, count, spend=(1.0,)):
    """Decoded actions from mild to extreme; with ``spend`` below one, of a part of the slack above the floors."""
    size = 4 * problem.users + problem.cells
    ones = (1,) * (len(problem.batch) + 1)
    spread = rng.choice([0.1, 1.0, 9.0], (count, *ones))
    action = np.clip(spread * rng.normal(size=(count, *problem.batch, size)), -1, 1)
    allocation = decode(action, problem, logit_scale=12.0)
    part, band_part = rng.choice(spend, (2, count, *ones, 1))
    power_floor, band_floor = (
        problem.of_cell(problem.per_cell(x))[..., None, :] for x in (problem.power_floor, problem.band_floor)
    )
    power = power_floor + part * (allocation.power - power_floor)
    band = band_floor + band_part * (allocation.bandwidth - band_floor)
    return MultiCellAllocation(power, band, allocation.group)


def ascended(problem):
    """Best that many short ascents find, as a search for a violation of the bound."""
    return Joint(steps=60, random_starts=4, rate=0.3).solve(problem).objective
