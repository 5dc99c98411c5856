r"""What a slot of the multi-cell network has to cost, counted from its sizes, beside what it does cost.

Counted is the arithmetic of the plain formulas in their cheapest known order, once each, for the true channel, the
combiner ``gev`` and MRT beams; for ``spomp`` also the pilots. A real addition or multiplication is one operation, a
complex multiplication with addition 8, a squared modulus 3, and a transcendental function or a normal number
``FUNCTION``. Bytes are those of what a slot must read and write where it does not stay in a cache: the state, read and
written once; steering vectors of scattered paths, which do not move, read; action and observation. Copies, temporaries
and what Python adds are not counted: these are what a measured slot costs beyond.

With C cells, U users, K of them in a cell, S = C U links, M and N antennas, L paths:

=================== ===================================================================================================
draws               2 for each velocity; a phase and 2 (L - 1) for the fading of a link
motion              positions, distances, two direction cosines and the path loss of a link
steering            of lines of sight alone, a geometric series: 6 (M + N) a link
path gains          a phase, and a complex product for each path
effective channels  behind old combiners and behind new ones: sums over paths, 8 L (M + N) a link, twice
gains               of every beam at every user, on the truth and on the knowledge: (8 M + 3) U^2, twice
combiners           covariances of links from L x L Gram matrices; an N x N inverse and eight power steps a user
groups              correlations inside cells, (8 M + 3) U K, and first fit
rates               interference of both services from the gains, two logarithms a user
observation         logarithms of the gains and of ten features
decoding            4 U + C entries of an action
pilots (``spomp``)  data and its noise by paths, 8 L N P + (2 FUNCTION + 2) N P a link; its inner products with atoms
                    and with derivatives in two dimensions, three times 8 L N P, once and, in a measurement, in each of
                    two Newton steps; P beams in every slot, T M in every fifth (``angle_coherence``)
=================== ===================================================================================================
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import product
from math import nan, prod
from typing import Any

import numpy as np

from jcas_env import JCASVectorEnv
from jcas_env.scenarios.multicell import MultiCell, MultiCellConfig

from ..row import Plan, Row, duration, quartiles
from .measure import effort, interleave, precisions
from .processes import ROOT, processes

FUNCTION = 20.0
"""Operations of a transcendental function or a normal number: about those of a polynomial in a vector unit."""
POWER_STEPS = 8
NEWTON_STEPS = 2


def flops(config: MultiCellConfig) -> dict[str, float]:
    """Real operations of a slot by part, see the module."""
    C, U, K, S = config.cells, config.users, config.users_per_cell, config.cells * config.users
    M, N, L = config.bs_antennas, config.ue_antennas, config.total_paths
    covariance = 4 * L * (L + 1) * M + 8 * N * L**2 + 4 * N * (N + 1) * L
    parts = {
        "draws": FUNCTION * (2 * U + S * (2 * L - 1)),
        "motion": 10 * U + (10 + 3 * FUNCTION) * S,
        "steering": (2 * FUNCTION + 6 * (M + N)) * S,
        "path gains": (FUNCTION + 6 * L) * S,
        "effective channels": 2 * 8 * L * (M + N) * S,
        "gains": 2 * (8 * M + 3) * U**2,
        "combiners": covariance * S + 8 * N**2 * (N + POWER_STEPS) * U,
        "groups": (8 * M + 4) * U * K,
        "rates": 2 * (2 * U + 10 + FUNCTION) * U,
        "observation": (2 + FUNCTION) * (U**2 + 10 * U),
        "decoding": (10 + FUNCTION) * (4 * U + C),
    }
    if config.estimator == "spomp":
        parts["pilots"] = S * (_pilots(config, config.pilots, 0) + _angles(config) / config.angle_coherence)
    return {name: float(count) for name, count in parts.items()}


def _pilots(config: MultiCellConfig, beams: int, newton_steps: int) -> float:
    """Operations of a link's data from so many beams, its noise, and what an estimator takes from it."""
    entries, L = beams * config.ue_antennas, config.total_paths
    data = 8 * L * entries + (2 * FUNCTION + 2) * entries
    return data + 3 * 8 * L * entries * (1 + newton_steps)


def _angles(config: MultiCellConfig) -> float:
    """What a measurement of angles takes beyond a slot in which gains alone are measured, a link."""
    measurement = _pilots(config, config.snapshots * config.bs_antennas, NEWTON_STEPS)
    return measurement - _pilots(config, config.pilots, 0)


def bytes_moved(config: MultiCellConfig) -> dict[str, float]:
    """Bytes of a slot by part, see the module; action and observation are single precision."""
    U, S = config.users, config.cells * config.users
    M, N, L = config.bs_antennas, config.ue_antennas, config.total_paths
    real = 4 if config.dtype == "float32" else 8
    spec: Any = MultiCell(config).observation_spec
    shapes = [part.shape for part in spec.values()] if isinstance(spec, dict) else [spec.shape]
    moving = 4 * U + S * (2 * L - 1)
    knowledge = 2 * S * M + 2 * U * (M + N) + U**2 + 5 * U
    return {
        "network": 2.0 * real * moving,
        "knowledge": 2.0 * real * knowledge,
        "steering vectors": 2.0 * real * S * (L - 1) * (M + N),
        "action and observation": 4.0 * (4 * U + config.cells + sum(prod(shape) for shape in shapes)),
    }


def temporaries(config: MultiCellConfig, lanes: int, seed: int) -> float:
    """Memory that a step holds at its peak beyond what it found, a lane [bytes]."""
    env = JCASVectorEnv("multicell", num_envs=lanes, config=config)
    env.reset(seed=seed)
    env.action_space.seed(seed)
    actions = [env.action_space.sample() for _ in range(config.angle_coherence)]
    env.step(actions[0])
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for action in actions:
            env.step(action)
        return (tracemalloc.get_traced_memory()[1] - before) / lanes
    finally:
        tracemalloc.stop()


SPEEDS = ("matrix_product", "copy")
"""Jobs that tell what the machine can do: operations and bytes per second."""


def slot_cost_rows(plan: Plan) -> Iterator[Row]:
    """Time of a slot against the least that its operations and bytes take at the speed of this core.

    The speed is measured in turns with the slot: operations of a product of complex matrices, bytes of a copy that no
    cache holds. ``ratio`` is the share of the measured time that had to be. ``also``: what was counted, the speeds, the
    operations per second that were reached, and the peak of a step's temporaries.
    """
    lanes = 4 if plan.quick else 64
    seconds, rounds = effort(plan)
    for estimator, dtype in product(("perfect", "spomp"), precisions(plan)):
        name = f"slot, multicell, {estimator}, {dtype}, {lanes} lanes"
        if plan.only not in name:
            continue
        fields: dict[str, Any] = {"estimator": estimator, "dtype": dtype}
        ours = {"open": "environment", "scenario": "multicell", "lanes": lanes, "fields": fields}
        jobs: list[dict[str, Any]] = [ours, *({"open": job, "dtype": dtype} for job in SPEEDS)]
        with processes(*[ROOT] * len(jobs)) as workers:
            for worker, job in zip(workers, jobs, strict=True):
                worker.open(job, plan.seed)
            samples = interleave([partial(worker.rate, seconds) for worker in workers], rounds)
        config = MultiCellConfig(**fields)
        row = roofline(name, config, *samples)
        yield row._replace(also=(row.also or {}) | {"bytes of temporaries": temporaries(config, lanes, plan.seed)})


def roofline(
    name: str, config: MultiCellConfig, slots: Sequence[float], operations: Sequence[float], copied: Sequence[float]
) -> Row:
    """Row of a slot's time against the larger of operations and bytes over their speeds; samples are per second."""
    work, traffic = sum(flops(config).values()), sum(bytes_moved(config).values())
    least = [max(work / speed, traffic / width) for speed, width in zip(operations, copied, strict=True)]
    times, shares = [1.0 / rate for rate in slots], [must * rate for must, rate in zip(least, slots, strict=True)]
    row = duration(name, float(np.median(times)), "operations and bytes at this core's speed", float(np.median(least)),
                   nan, "us/slot")  # fmt: skip
    low, high = quartiles(times)
    return row._replace(
        ratio=float(np.median(shares)),
        value_spread=(1e6 * low, 1e6 * high),
        ratio_spread=quartiles(shares),
        also={
            "operations": work,
            "bytes": traffic,
            "operations/s reached": work * float(np.median(slots)),
            "operations/s of this core": float(np.median(operations)),
            "bytes/s of this core": float(np.median(copied)),
        },
    )
