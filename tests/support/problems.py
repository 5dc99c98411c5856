"""Random multi-cell problems from plain arrays: ordinary ones, and the corners of what a solver may meet."""

from __future__ import annotations

import numpy as np

from jcas_env import MultiCellProblem

CORNERS = (
    "ordinary",
    "tight floors",
    "one-user cells",
    "one-group cells",
    "twelve-group cells",
    "users with zero gain",
)


def random_problem(
    rng: np.random.Generator,
    count: int,
    corner: str = "ordinary",
    *,
    cells: int = 2,
    crowd: int = 12,
    share: float = np.nan,
    **fields,
) -> MultiCellProblem:
    """``count`` slots of ``cells`` cells with ``crowd`` users each, of one kind."""
    crowd = 1 if corner == "one-user cells" else crowd
    users = cells * crowd
    own = 10 ** rng.uniform(-10, -7, (count, users))
    gain = own[..., None] * 10 ** rng.uniform(-5, -0.5, (count, users, users))
    gain[:, np.arange(users), np.arange(users)] = own
    cell = np.broadcast_to(np.repeat(np.arange(cells), crowd), (count, users))
    outside = cell[:, :, None] != cell[:, None, :]
    gain = np.where(outside, 1e-2 * gain, gain)
    group = rng.integers(0, rng.integers(1, 6), (count, users))
    if corner == "one-group cells":
        group = np.zeros_like(group)
    if corner == "twelve-group cells":
        group = np.broadcast_to(np.tile(np.arange(crowd), cells), (count, users)).copy()
    if corner == "users with zero gain":
        dead = rng.random((count, users)) < 0.3
        gain = np.where(dead[:, :, None], 0.0, gain)
    floor = 0.5 / crowd if corner == "tight floors" else 0.01
    values = {
        "gain": gain,
        "leakage": 1e-3 * own * rng.random((count, users)),
        "sensing_gain": rng.uniform(0.01, 6.0, (count, users)),
        "cell": cell,
        "group": group,
        "last_power": np.full((count, 2, users), 10.0 / (2 * crowd)),
        "weight": np.full((count, users), 1.0 / crowd),
        "service_weight": np.array([1.0, 1.0]),
        "power_budget": 10.0,
        "band_budget": 10e6,
        "power_floor": 10.0 * floor,
        "band_floor": 10e6 * floor,
        "noise_density": 2e-20,
        "positioning_share": share,
        "queue": np.zeros((count, users)),
        "cell_count": cells,
    }
    return MultiCellProblem(**(values | fields))


def mixed_problem(rng: np.random.Generator, count: int, *, crowd: int = 12, **fields) -> MultiCellProblem:
    """Slots of every corner in one batch, ``count`` in all."""
    each = -(-count // len(CORNERS))
    parts = [random_problem(rng, each, corner, crowd=crowd) for corner in CORNERS if corner != "one-user cells"]
    parts.append(random_problem(rng, each, crowd=crowd))  # room for the missing corner, and infeasible ones below
    names = ("gain", "leakage", "sensing_gain", "cell", "group", "last_power", "weight", "queue")
    values = {name: np.concatenate([getattr(part, name) for part in parts])[:count] for name in names}
    floors = {}
    for name, budget in (("power_floor", 10.0), ("band_floor", 10e6)):
        levels = [float(getattr(part, name)) for part in parts]
        levels[-1] = 0.6 * budget / crowd  # floors that fit into no share
        floors[name] = np.repeat(levels, each)[:count, None]
    last = parts[0]
    rest = {
        name: getattr(last, name)
        for name in (
            "service_weight",
            "power_budget",
            "band_budget",
            "noise_density",
            "positioning_share",
            "cell_count",
        )
    }
    return MultiCellProblem(**(values | floors | rest | fields))
