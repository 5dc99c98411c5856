"""Backends on which the physics must hold, and small scenes to hold it on."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import array_api_strict
import numpy as np
import pytest
import torch

from jcas_env.scenarios.multicell import MultiCell, MultiCellConfig
from jcas_env.tree import stack

torch.set_num_threads(1)


def _read_only(value: Any) -> np.ndarray:
    array = np.array(value)
    array.flags.writeable = False
    return array


BACKENDS: dict[str, Callable[[Any], Any]] = {
    "numpy": np.asarray,
    "read-only": _read_only,
    "strict": array_api_strict.asarray,
    "torch": lambda value: torch.from_numpy(np.array(value)),
}


def to_numpy(value: Any) -> np.ndarray:
    """Back to NumPy, whatever the library."""
    return value.detach().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)


@pytest.fixture(params=list(BACKENDS))
def backend(request: pytest.FixtureRequest) -> SimpleNamespace:
    """``asarray`` into a library, and ``numpy`` out of it."""
    return SimpleNamespace(name=request.param, asarray=BACKENDS[request.param], numpy=to_numpy)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--problems",
        type=int,
        default=1000,
        metavar="COUNT",
        help="how many random extreme problems each solver answers in the long tests (default: 1000)",
    )


@pytest.fixture
def problems(request: pytest.FixtureRequest) -> int:
    """How many random extreme problems a long test solves."""
    return request.config.getoption("--problems")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20231)


def scenes(config: MultiCellConfig, count: int, seed: int = 0) -> tuple[MultiCell, Any]:
    """A scenario and a batch of first states, lane i of seed + i."""
    scenario = MultiCell(config)
    draws = [scenario.draw_initial(np.random.default_rng(seed + lane)) for lane in range(count)]
    return scenario, scenario.initial(stack(draws))


def static(count: int, seed: int = 0, **fields: Any) -> SimpleNamespace:
    """Scenes of the tables of spec multicell 10: known and true problem of one slot."""
    scenario, state = scenes(MultiCellConfig.preset("luo2023-static", **fields), count, seed)
    return SimpleNamespace(scenario=scenario, state=state, problem=scenario.problem(state), truth=scenario.truth(state))
