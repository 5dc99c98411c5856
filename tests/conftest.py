"""Fixtures: backends on which the physics must hold, a generator, and how much the long tests do."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support.backends import BACKENDS, to_numpy

torch.set_num_threads(1)


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
    parser.addoption(
        "--walk",
        type=int,
        default=6000,
        metavar="STEPS",
        help="how many steps of random configurations the long walk takes (default: 6000)",
    )
    parser.addoption(
        "--mutations",
        type=int,
        default=600,
        metavar="COUNT",
        help="how many mutated folders of runs the long tests go on from (default: 600)",
    )


@pytest.fixture
def problems(request: pytest.FixtureRequest) -> int:
    """How many random extreme problems a long test solves."""
    return request.config.getoption("--problems")


@pytest.fixture
def walk_steps(request: pytest.FixtureRequest) -> int:
    """How many steps the long walk over configurations takes."""
    return request.config.getoption("--walk")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20231)
