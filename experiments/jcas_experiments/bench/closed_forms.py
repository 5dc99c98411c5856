"""Speed of the batched closed forms against single calls and against CVXPY, per cell (both services)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from jcas_baselines import ADMM, Exact
from jcas_baselines.multicell.convex_relaxed import per_hertz_optimum

from jcas_env import RelaxedProblem
from jcas_env.scenarios.multicell import MultiCell, MultiCellConfig

from ..networks import first_states
from .row import Row, cpu_seconds, duration


def relaxed_cells(cells: int, noise: str = "constant", seed: int = 0) -> RelaxedProblem:
    """Relaxed problems of random cells, both services: batch axes (cells, 2)."""
    scenario = MultiCell(MultiCellConfig.preset("luo2023-static"))
    scenes = -(-cells // scenario.config.cells)
    relaxed = scenario.problem(first_states(scenario, range(seed, seed + scenes))).relaxed(noise=noise)  # type: ignore[arg-type]

    parts: list[Any] = [relaxed.weight, relaxed.coefficient, relaxed.group, relaxed.power_floor, relaxed.band_floor]
    shape = (*relaxed.weight.shape[:-1],)
    floors = [np.broadcast_to(part, shape) for part in parts[3:]]
    return RelaxedProblem(*(np.reshape(part, (-1, *part.shape[2:]))[:cells] for part in (*parts[:3], *floors)))


def elements(relaxed: RelaxedProblem, count: int) -> list[RelaxedProblem]:
    """The first few relaxed problems of a batch, one by one."""
    parts: list[Any] = [relaxed.weight, relaxed.coefficient, relaxed.group, relaxed.power_floor, relaxed.band_floor]
    flat = [np.reshape(part, (-1, *part.shape[2:])) for part in parts]
    return [RelaxedProblem(*(value[i] for value in flat)) for i in range(count)]


def closed_form_rows(cells: int, cone_cells: int, seed: int = 0) -> Iterator[Row]:
    """Batched closed forms against single calls and against CVXPY, per cell (both services)."""
    relaxed, few, row = (
        relaxed_cells(cells, seed=seed),
        relaxed_cells(cone_cells, seed=seed),
        partial(duration, unit="us/cell"),
    )
    exact = cpu_seconds(lambda: Exact().solve(relaxed)) / cells
    admm = cpu_seconds(lambda: ADMM().solve(relaxed)) / cells
    cone = ADMM(backend="cvxpy")
    cone.solve(relaxed_cells(2, seed=seed + 99))  # compile the programs before the clock starts
    cone_admm = cpu_seconds(lambda: cone.solve(few), least=0.0, rounds=1) / cone_cells
    yield row(f"Exact, batch of {cells} cells", exact, f"CVXPY-ADMM, {cone_cells} cells", cone_admm, 1000.0)
    yield row(f"ADMM closed form, {cells} cells", admm, f"CVXPY-ADMM, {cone_cells} cells", cone_admm, 80.0)
    singles = elements(relaxed, min(100, 2 * cells))
    single = cpu_seconds(lambda: [Exact().solve(one) for one in singles]) / (len(singles) / 2)
    yield row(f"Exact, batch of {cells} cells", exact, "Exact, one call per cell and service", single, 5.0)
    physical = relaxed_cells(cells, "per_hertz", seed)
    barrier = cpu_seconds(lambda: Exact(noise="per_hertz").solve(physical), rounds=1) / cells
    singles = elements(physical, min(2 * cone_cells, 2 * cells))
    conic = cpu_seconds(lambda: [per_hertz_optimum(one) for one in singles], least=0.0, rounds=1) / cone_cells
    yield row(f"Exact per hertz, {cells} cells", barrier, f"CVXPY cone program, {cone_cells} cells", conic, 10.0)
