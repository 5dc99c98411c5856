"""Water-filling on legal but extreme weights and coefficients, in both precisions."""

from __future__ import annotations

from fractions import Fraction
from math import log

import numpy as np
import pytest
from support.extreme import powers_of_ten

from jcas_env.physics.water_filling import penalised_waterfill, waterfill

ROUNDING = {"float64": 1e-9, "float32": 1e-5}


def drawn(rng: np.random.Generator, dtype: str, count: int = 20) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, coefficients and floors (count, users): c of 1e-35 to 1e35 and of zero, floors that leave nothing."""
    shape = count, int(rng.integers(1, 7))
    weight = powers_of_ten(rng, -6, 0, shape, zeros=float(rng.choice([0.0, 0.3])))
    centre = rng.uniform(-29, 29, (count, 1))
    coefficient = 10.0 ** (centre + rng.uniform(-6, 6, shape) * rng.choice([0.0, 0.1, 1.0], (count, 1)))
    coefficient *= rng.random(shape) > rng.choice([0.0, 0.3])
    floor = rng.choice([0.0, 0.01, 0.5, 1.0], (count, 1)) * rng.dirichlet(np.ones(shape[1]), count)
    return weight.astype(dtype), coefficient.astype(dtype), floor.astype(dtype)


def above(weight: Fraction, coefficient: Fraction, floor: Fraction, price: Fraction) -> Fraction:
    """Power of a user at a price, without rounding: max(f, w / (t ln 2) - 1/c)."""
    if not weight or not coefficient:
        return floor
    return max(floor, weight / (price * Fraction(log(2.0))) - 1 / coefficient)


def exact_power(weight, coefficient, floor, multiplier: float, penalty: float) -> np.ndarray:
    """Solution of one penalised problem by bisection of the price in exact arithmetic."""
    users = [tuple(map(Fraction, map(float, user))) for user in zip(weight, coefficient, floor, strict=True)]
    low, high = -60.0, 60.0
    for _ in range(70):
        price = Fraction(10.0 ** (0.5 * (low + high)))
        total = sum(above(*user, price) for user in users)
        dear = Fraction(multiplier) + Fraction(penalty) * (total - 1) > price
        low, high = (0.5 * (low + high), high) if dear else (low, 0.5 * (low + high))
    # Between two prices that double precision just tells apart the powers of a tiny c jump: the sum says how far.
    ends = np.array([[float(above(*user, Fraction(10.0**end))) for user in users] for end in (low, high)])
    totals = ends.sum(axis=-1)
    wanted = 1.0 + (10.0 ** (0.5 * (low + high)) - multiplier) / penalty
    part = np.clip((wanted - totals[1]) / (totals[0] - totals[1]), 0.0, 1.0) if totals[0] > totals[1] else 0.0
    return ends[1] + part * (ends[0] - ends[1])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("multiplier", [-5.0, 0.0, 0.3, 40.0])
@pytest.mark.parametrize("penalty", [0.1, 10.0])
def test_penalised_powers_are_those_of_exact_arithmetic(dtype, multiplier, penalty):
    for seed in range(5):
        weight, coefficient, floor = drawn(np.random.default_rng([1, seed]), dtype)
        price = np.full(len(weight), multiplier, dtype=dtype)
        power = penalised_waterfill(weight, coefficient, floor, multiplier=price, penalty=penalty)
        assert power.dtype == dtype
        able = (weight > 0) & (coefficient > 0)
        for i in np.flatnonzero(able.any(axis=-1)):
            expected = exact_power(weight[i], coefficient[i], floor[i], multiplier, penalty)
            size = max(1.0, expected.max())
            np.testing.assert_allclose(power[i], expected, rtol=0, atol=ROUNDING[dtype] * size)
        np.testing.assert_array_equal(power[~able], floor[~able])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_powers_fill_the_budget_and_keep_their_floors(dtype):
    for seed in range(50):
        weight, coefficient, floor = drawn(np.random.default_rng([2, seed]), dtype)
        power = waterfill(weight, coefficient, floor)
        assert power.dtype == dtype
        present = (weight + coefficient + floor > 0).any(axis=-1)  # else padding alone, which gets nothing
        np.testing.assert_allclose(power.sum(axis=-1), present, rtol=ROUNDING[dtype])
        assert (power >= floor * (1 - ROUNDING[dtype])).all()


def test_water_level_far_above_one_still_finds_the_best_user():
    # c of 1e-20: log(1 + c p) is linear, so the slack goes to the largest product w c; w c p = 2e-20, 3e-20.
    power = waterfill(np.array([1.0, 1.0, 0.5]), np.array([2e-20, 3e-20, 4e-20]), 0.1)
    np.testing.assert_allclose(power, [0.1, 0.8, 0.1], rtol=1e-12)


def test_a_price_far_below_one_still_finds_the_best_user():
    # The same, priced at 10 (p_1 + p_2 + p_3 - 1), which is w c / ln 2 = 4e-20 at the optimum: the sum is 1.
    coefficient = np.array([2e-20, 3e-20, 4e-20])
    power = penalised_waterfill(np.array([1.0, 1.0, 0.5]), coefficient, 0.1, multiplier=np.asarray(0.0), penalty=10.0)
    np.testing.assert_allclose(power, [0.1, 0.8, 0.1], rtol=1e-12)
