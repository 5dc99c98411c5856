"""Speed, as ratios against a peer measured in the same run (CPU seconds, one thread)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from itertools import chain
from time import process_time
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from jcas_baselines import ADMM, Exact
from jcas_baselines.convex import per_hertz_optimum
from rich.console import Console
from rich.table import Table

from jcas_env import JCASVectorEnv, RelaxedProblem
from jcas_env.scenarios.multicell import MultiCell, MultiCellConfig
from jcas_env.tree import stack


class Row(NamedTuple):
    """One measurement and its peer."""

    benchmark: str
    value: float
    peer: str
    peer_value: float | None
    unit: str
    ratio: float | None
    """How many times better than the peer."""
    target: float
    """Ratio that is asked for."""


def cpu_seconds(work: Callable[[], Any], *, least: float = 0.3, rounds: int = 3) -> float:
    """CPU time of one call: the best of several rounds of at least ``least`` seconds, after a warm-up [s]."""
    work()
    times = []
    for _ in range(rounds):
        calls, begin = 0, process_time()
        while (spent := process_time() - begin) < least or calls == 0:
            work()
            calls += 1
        times.append(spent / calls)
    return min(times)


def relaxed_cells(cells: int, noise: str = "constant", seed: int = 0) -> RelaxedProblem:
    """Relaxed problems of random cells, both services: batch axes (cells, 2)."""
    scenario = MultiCell(MultiCellConfig.preset("luo2023-static"))
    scenes = -(-cells // scenario.config.cells)
    draws = stack([scenario.draw_initial(np.random.default_rng(seed + scene)) for scene in range(scenes)])
    relaxed = scenario.problem(scenario.initial(draws)).relaxed(noise=noise)  # type: ignore[arg-type]

    parts: list[Any] = [relaxed.weight, relaxed.coefficient, relaxed.group, relaxed.power_floor, relaxed.band_floor]
    shape = (*relaxed.weight.shape[:-1],)
    floors = [np.broadcast_to(part, shape) for part in parts[3:]]
    return RelaxedProblem(*(np.reshape(part, (-1, *part.shape[2:]))[:cells] for part in (*parts[:3], *floors)))


def elements(relaxed: RelaxedProblem, count: int) -> list[RelaxedProblem]:
    """The first few relaxed problems of a batch, one by one."""
    parts: list[Any] = [relaxed.weight, relaxed.coefficient, relaxed.group, relaxed.power_floor, relaxed.band_floor]
    flat = [np.reshape(part, (-1, *part.shape[2:])) for part in parts]
    return [RelaxedProblem(*(value[i] for value in flat)) for i in range(count)]


def solver_rows(cells: int, cone_cells: int) -> Iterator[Row]:
    """Batched closed forms against single calls and against CVXPY, per cell (both services)."""
    relaxed, few = relaxed_cells(cells), relaxed_cells(cone_cells)
    exact = cpu_seconds(lambda: Exact().solve(relaxed)) / cells
    admm = cpu_seconds(lambda: ADMM().solve(relaxed)) / cells
    cone = ADMM(backend="cvxpy")
    cone.solve(relaxed_cells(2, seed=99))  # compile the programs before the clock starts
    cone_admm = cpu_seconds(lambda: cone.solve(few), least=0.0, rounds=1) / cone_cells
    yield _row(f"Exact, batch of {cells} cells", exact, f"CVXPY-ADMM, {cone_cells} cells", cone_admm, 1000.0)
    yield _row(f"ADMM closed form, {cells} cells", admm, f"CVXPY-ADMM, {cone_cells} cells", cone_admm, 80.0)
    singles = elements(relaxed, min(100, 2 * cells))
    single = cpu_seconds(lambda: [Exact().solve(one) for one in singles]) / (len(singles) / 2)
    yield _row(f"Exact, batch of {cells} cells", exact, "Exact, one call per cell and service", single, 5.0)
    physical = relaxed_cells(cells, "per_hertz")
    barrier = cpu_seconds(lambda: Exact(noise="per_hertz").solve(physical), rounds=1) / cells
    singles = elements(physical, min(2 * cone_cells, 2 * cells))
    conic = cpu_seconds(lambda: [per_hertz_optimum(one) for one in singles], least=0.0, rounds=1) / cone_cells
    yield _row(f"Exact per hertz, {cells} cells", barrier, f"CVXPY cone program, {cone_cells} cells", conic, 10.0)


def environment_rows(lanes: int) -> Iterator[Row]:
    """The batched environment against mobile-env, in users moved on by a slot per CPU second."""
    env = JCASVectorEnv("multicell", num_envs=lanes)
    env.reset(seed=0)
    action = np.random.default_rng(0).uniform(-1.0, 1.0, env.action_space.shape or ()).astype(np.float32)
    ours = lanes * env.scenario.config.users / cpu_seconds(lambda: env.step(action), least=1.0)
    peer = "mobile-env 2.1, mobile-medium-central-v0"
    theirs = mobile_env_users_per_second()
    if theirs is None:
        yield Row(f"environment, {lanes} lanes", ours, f"{peer} (not installed)", None, "users/s", None, 20.0)
    else:
        yield Row(f"environment, {lanes} lanes", ours, peer, theirs, "users/s", ours / theirs, 20.0)


def mobile_env_users_per_second() -> float | None:
    """Users per CPU second of the peer with random actions; None where it is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import mobile_env  # noqa: F401 (registers its environments)
        except ImportError:
            return None
        env = gym.make("mobile-medium-central-v0")
        env.reset(seed=0)
        env.action_space.seed(0)

        def step() -> None:
            _, _, terminated, truncated, _ = env.step(env.action_space.sample())
            if terminated or truncated:
                env.reset()

        users: Any = env.unwrapped
        return len(users.users) / cpu_seconds(step, least=1.0)


def _row(benchmark: str, seconds: float, peer: str, peer_seconds: float, target: float) -> Row:
    return Row(benchmark, 1e6 * seconds, peer, 1e6 * peer_seconds, "us/cell", peer_seconds / seconds, target)


def run(*, cells: int, cone_cells: int, lanes: int, console: Console) -> list[Row]:
    """Measure everything; on Ctrl-C the finished rows stay."""
    rows: list[Row] = []
    try:
        with console.status("measuring ..."):
            for row in chain(environment_rows(lanes), solver_rows(cells, cone_cells)):
                rows.append(row)
    except KeyboardInterrupt:
        console.print("interrupted")
    return rows


def show(rows: list[Row], console: Console) -> None:
    """Print the measurements."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("what")
    table.add_column("value", justify="right")
    table.add_column("peer")
    table.add_column("value", justify="right")
    table.add_column("unit")
    table.add_column("times better", justify="right")
    table.add_column("asked", justify="right")
    for row in rows:
        numbers = (row.value, row.peer_value, row.ratio, row.target)
        value, peer_value, ratio, target = ("-" if x is None else f"{x:,.4g}" for x in numbers)
        table.add_row(row.benchmark, value, row.peer, peer_value, row.unit, ratio, target)
    console.print(table)
