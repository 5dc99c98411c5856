"""The interior-point method of the bound's relaxations: as good as another solver's optimum, and blind to its batch."""

from __future__ import annotations

import numpy as np
import pytest
from jcas_baselines.bounding.relaxation import (
    STEEP,
    Box,
    Group,
    Relaxed,
    log_sinr,
    paying,
    propagate,
    softplus,
    solve_relaxation,
    true_value,
)
from scipy.optimize import minimize


def random_nodes(rng, nodes, users, sizes=None):
    """Groups with interference over decades, boxes and prices; absent users as the trees pad them."""
    size = np.full(nodes, users) if sizes is None else rng.choice(sizes, nodes)
    present = np.arange(users) < size[:, None]
    both = present[:, :, None] & present[:, None, :] & ~np.eye(users, dtype=bool)
    cross = np.where(both, 10.0 ** rng.uniform(-4, 0, both.shape), 0.0)
    noise = np.where(present, 10.0 ** rng.uniform(-5, -1, present.shape), 1.0)
    group = Group(cross, noise, np.where(present, rng.uniform(0.2, 1.0, present.shape), 0.0), present)
    low = np.where(present, rng.uniform(-5, -3, present.shape), 0.0)
    high = np.where(present, low + rng.uniform(1.0, 6.0, present.shape), 1.0)
    free = np.full_like(low, np.inf)
    box, empty = propagate(group, Box(low, high, -free, free))
    assert not empty.any()
    return group, 10.0 ** rng.uniform(-2, 0, nodes), box, (low + high) / 2


def bound_of(found, box):
    return found.value + np.maximum(found.slope * (box.low - found.point), found.slope * (box.high - found.point)).sum(
        -1
    )


def best_of_relaxation(group, price, box, node):
    """The relaxation's optimum by SLSQP in (y, t): no softened minimum, no barrier."""
    users = int(group.present[node].sum())
    one = Group(*(part[node] for part in group))
    low, high, least, most = (part[node, :users] for part in box)
    chord = (softplus(most) - softplus(least)) / (most - least)

    def lines(y):
        z = log_sinr(one, np.r_[y, box.low[node, users:]])[0][:users]
        return np.stack([softplus(least) + STEEP * (z - least), softplus(least) + chord * (z - least), softplus(most)])

    def earned(y):
        return (one.worth[:users] * lines(y).min(axis=0)).sum() - price[node] * np.exp(y).sum()

    found = minimize(
        lambda x: price[node] * np.exp(x[:users]).sum() - one.worth[:users] @ x[users:],
        np.r_[(low + high) / 2, lines((low + high) / 2).min(axis=0)],
        bounds=[*zip(low, high, strict=True), *[(None, None)] * users],
        constraints={"type": "ineq", "fun": lambda x: (lines(x[:users]) - x[users:]).ravel()},
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-12},
    )
    return earned(np.clip(found.x[:users], low, high))


@pytest.mark.parametrize("users", [1, 3, 6])
def test_certificate_is_at_another_solvers_optimum(rng, users):
    """Never below it, and within 3e-3 nats of a user."""
    group, price, box, start = random_nodes(rng, 25, users)
    bound = bound_of(solve_relaxation(group, price, box, start), box)
    best = np.array([best_of_relaxation(group, price, box, node) for node in range(25)])
    assert (bound >= best - 1e-9).all()
    assert (bound <= best + 3e-3 * group.worth.mean(axis=-1)).all()


def test_a_node_does_not_see_its_batch(rng):
    """Alone, in another order and beside other sizes the same tangent to the last digits."""
    group, price, box, start = random_nodes(rng, 300, 7, sizes=[1, 2, 5, 7])
    target = bound_of(solve_relaxation(group, price, box, start), box) + rng.uniform(-0.5, 0.5, 300)
    whole = solve_relaxation(group, price, box, start, target)
    order = rng.permutation(300)
    for some in (order, order[:1], order[:2], order[5:40]):
        part = Group(*(value[some] for value in group)), price[some], Box(*(value[some] for value in box))
        found = solve_relaxation(*part, start[some], target[some])
        for name in Relaxed._fields:
            np.testing.assert_allclose(getattr(found, name), getattr(whole, name)[some], rtol=1e-12, atol=1e-12)


def test_a_node_that_is_good_enough_is_worked_on_no_more(rng):
    group, price, box, start = random_nodes(rng, 100, 5)
    best = bound_of(solve_relaxation(group, price, box, start), box)
    for room in (0.0, 0.3, 10.0):
        bound = bound_of(solve_relaxation(group, price, box, start, best + room), box)
        assert (bound >= best - 2e-3).all()
        assert (bound <= best + room + 1e-4).all()


def local_maximum(group, price, box, start):
    """Where a user's power would neither rise nor fall, by L-BFGS-B on what is relaxed, with its own gradient."""

    def fallen(y):
        z, share = log_sinr(group, y)
        pull = group.worth / (1.0 + np.exp(-z))
        return -true_value(group, price, y), -(pull - pull @ share - price * np.exp(y))

    options = {"ftol": 1e-16, "gtol": 1e-11, "maxiter": 2000}
    found = minimize(fallen, start, jac=True, bounds=list(zip(box.low, box.high, strict=True)), options=options)
    return found.x, np.abs(np.clip(found.x - found.jac, box.low, box.high) - found.x).max()


def test_what_pays_holds_every_local_maximum(rng):
    """In boxes around it of any size, whose lower ends may be raised where the maximum is off its group's own."""
    group, price, whole, _ = random_nodes(rng, 60, 4)
    shrunk = settled = 0
    for node in range(60):
        one, box = Group(*(part[node] for part in group)), Box(*(part[node] for part in whole))
        for _ in range(4):
            best, slope = local_maximum(one, price[node], box, rng.uniform(box.low, box.high))
            if slope > 1e-8:
                continue
            settled += 1
            z, _ = log_sinr(one, best)
            low = np.where(best > box.low + 1e-6, rng.uniform(box.low, best), box.low)
            part = Box(low, rng.uniform(best, box.high), z - rng.exponential(1.0, 4), z + rng.exponential(1.0, 4))
            part, empty = propagate(one, part)
            assert not empty
            paid = paying(*(Group(*(value[None] for value in one)), price[None, node]), Box(*(v[None] for v in part)))
            assert (best <= paid.high[0] + 1e-6).all()
            shrunk += (paid.high[0] < part.high - 0.1).sum()
    assert settled > 100
    assert shrunk > 100


def test_a_user_that_is_alone_pays_up_to_where_its_rate_stops_being_worth_it():
    """h / (j + p) = mu at p = 2 / 0.5 - 1 = 3; a floor above it stays."""
    one = np.ones((2, 1))
    group = Group(np.zeros((2, 1, 1)), one, 2.0 * one, one.astype(bool))
    box = Box(np.log([[0.1], [3.5]]), np.log([[9.0], [9.0]]), -3.0 * one, 3.0 * one)
    np.testing.assert_allclose(np.exp(paying(group, np.full(2, 0.5), box).high[:, 0]), [3.0, 3.5])


def test_a_user_pays_for_what_others_lose():
    """User 0, A = 0.5 at user 1 with p_1 in [2, 4], x_1 >= 1: L_1 <= 3 = 1 + 0.5 * 4, C = 0.5 * 2 / 3 * 0.5 = 1 / 6."""
    group = Group(
        np.array([[[0.0, 0.0], [0.5, 0.0]]]), np.ones((1, 2)), np.full((1, 2), 2.0), np.ones((1, 2), dtype=bool)
    )
    box = Box(np.log([[0.1, 2.0]]), np.log([[4.0, 4.0]]), np.array([[-3.0, 0.0]]), np.full((1, 2), 3.0))
    assert np.exp(paying(group, np.array([1.0 / 3.0]), box).high[0, 0]) == pytest.approx(2.0 / (1 / 3 + 1 / 6) - 1.0)
