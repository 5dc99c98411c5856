"""The gradient in closed form: of the utility, and through the decoding, against autograd and against differences."""

from __future__ import annotations

import array_api_strict
import numpy as np
import pytest
import torch
from support.backends import BACKENDS, convert, to_numpy
from support.extreme import extreme_multicell, extreme_queues
from support.problems import random_problem
from support.scenes import static

from jcas_env.scenarios.multicell.action import action_size, decode
from jcas_env.scenarios.multicell.action_gradient import ActionGradient
from jcas_env.scenarios.multicell.problem.gradient import UtilityGradient

SCALE = 60.0
COUNT, CANDIDATES = 5, 3
ROUNDING = 1e-5
"""A gradient is a sum of terms as large as the utility, each with its rounding: what is below this part of the utility
counts as this part where errors are relative."""
REWARDS = ("rate", "fair", "delay", "drain")


def with_a_share(problem):
    """The problem without the floors that fit into no share."""
    fits = problem.floors_fit.all(axis=-1)[:, None]
    floors = {name: np.where(fits, getattr(problem, name), 0.0) for name in ("power_floor", "band_floor")}
    return problem.changed(**floors)


def narrowed(problem):
    """The problem in single precision."""
    narrow = {name: getattr(problem, name).astype(np.float32) for name in ("gain", "leakage", "sensing_gain", "weight")}
    return problem.changed(**narrow, service_weight=problem.service_weight.astype(np.float32))


def with_queues(problem, rng, reward):
    """Queues in slots of 0 to 3 times what comes, and arrivals that some users do not have."""
    arrivals = rng.uniform(0.0, 5e4, problem.weight.shape) * (rng.random(problem.weight.shape) > 0.2)
    queue = arrivals * rng.uniform(0.0, 3.0, arrivals.shape)
    return problem.changed(
        reward=reward, queue=queue, arrival_rate=arrivals / problem.slot, arrivals=arrivals, waited=0.0 * queue
    )


def ordinary(rng, reward):
    share, noise = float(rng.choice([np.nan, 0.3])), str(rng.choice(["per_hertz", "constant"]))
    problem = random_problem(rng, COUNT, share=share, noise=noise, useful_time=0.7, service_weight=np.array([1.0, 1.5]))
    return problem.changed(reward=reward) if reward in ("rate", "fair") else with_queues(problem, rng, reward)


def extreme(rng, reward):
    if reward in ("rate", "fair"):
        return with_a_share(extreme_multicell(rng, COUNT, reward=reward))
    return with_a_share(extreme_queues(rng, COUNT)).changed(reward=reward)


def candidates(rng, problem):
    """Logits (batch, candidates, size) near the equal allocation, and far out, some beyond the box."""
    spread = rng.choice([0.5, 5.0, 30.0])
    return rng.normal(0.0, spread, (*problem.batch, CANDIDATES, action_size(problem.users, problem.cells)))


def by_autograd(problem, logits):
    """Utility and gradient of the plain formulas, which take candidates in front of the batch."""
    point = torch.from_numpy(np.moveaxis(logits, -2, 0).copy()).requires_grad_(True)
    known = convert(problem, "torch")
    value = known.utility(decode(point / SCALE, known, logit_scale=SCALE))
    value.sum().backward()
    return np.moveaxis(value.detach().numpy(), 0, -1), np.moveaxis(point.grad.numpy(), 0, -2)


def assert_equal(found, expected):
    """Utility to 1e-12, gradient to 1e-9 of its largest entry."""
    (value, gradient), (true_value, true_gradient) = found, expected
    np.testing.assert_allclose(value, true_value, rtol=1e-12, atol=1e-300)
    size = np.maximum(np.abs(true_gradient).max(axis=-1), ROUNDING * np.abs(true_value))[..., None]
    assert (np.abs(gradient - true_gradient) <= 1e-9 * size).all()


@pytest.mark.parametrize("reward", REWARDS)
@pytest.mark.parametrize("kind", [ordinary, extreme])
def test_equals_autograd_through_the_plain_formulas(kind, reward):
    for seed in range(25):
        rng = np.random.default_rng([21, seed])
        problem = kind(rng, reward)
        logits = candidates(rng, problem)
        assert_equal(ActionGradient(problem, SCALE)(logits), by_autograd(problem, logits))


@pytest.mark.parametrize("reward", REWARDS)
def test_equals_central_differences(reward, rng):
    """(f(z + h) - f(z - h)) / 2h with h = 1e-4, whose error is h^2 of the third derivative and eps/h."""
    problem = ordinary(rng, reward)
    logits = rng.normal(0.0, 1.0, (COUNT, 1, action_size(problem.users, problem.cells)))
    step = 1e-4 * np.eye(logits.shape[-1])[:, None, None, :]

    def value(z):
        return problem.utility(decode(z[..., 0, :] / SCALE, problem, logit_scale=SCALE))

    differences = np.moveaxis((value(logits + step) - value(logits - step)) / 2e-4, 0, -1)
    _, gradient = ActionGradient(problem, SCALE)(logits)
    np.testing.assert_allclose(gradient[:, 0, :], differences, rtol=1e-5, atol=1e-6 * np.abs(differences).max())


def test_slopes_of_an_allocation_by_differences(rng):
    """With respect to watts and hertz, one user at a time, its mates' band held."""
    problem = ordinary(rng, "rate")
    there = decode(rng.uniform(-0.5, 0.5, (COUNT, action_size(problem.users, problem.cells))), problem, logit_scale=5.0)
    slopes = UtilityGradient(problem)(there.power[:, None, ...], there.bandwidth[:, None, ...])
    np.testing.assert_allclose(slopes.value[:, 0], problem.utility(there), rtol=1e-12)
    for name in ("power", "bandwidth"):
        here = getattr(there, name)
        for service, user in ((0, 0), (1, 0), (0, 7), (1, 20)):
            step = np.zeros_like(here)
            step[:, service, user] = 1e-4 * here[:, service, user]
            up, down = (problem.utility(there._replace(**{name: here + sign * step})) for sign in (1.0, -1.0))
            expected = (up - down) / (2.0 * step[:, service, user])
            np.testing.assert_allclose(getattr(slopes, name)[:, 0, service, user], expected, rtol=1e-5)


def test_a_single_user_by_hand():
    """One user, no interference: U = B log2(1 + x) / 1e6 with x = P G / (N0 B).

    dU/dP = B / (P ln 2) x / (1 + x), dU/dB = log2(1 + x) - x / ((1 + x) ln 2), both over 1e6; at
    P = 2 W, B = 4 Hz, G = 1, N0 = 0.5 W/Hz: x = 1, 4 / 2 / 2 / ln 2 = 1.442695 and 1 - 0.7213475 = 0.2786525.
    """
    rng = np.random.default_rng(0)
    problem = random_problem(rng, 1, "one-user cells", cells=1, share=0.5)
    problem = problem.changed(gain=np.ones((1, 1, 1)), noise_density=0.5, service_weight=np.array([1.0, 0.0]))
    slopes = UtilityGradient(problem)(np.full((1, 1, 2, 1), 2.0), np.full((1, 1, 2, 1), 4.0))
    np.testing.assert_allclose(1e6 * slopes.value, 4.0, rtol=1e-12)
    np.testing.assert_allclose(1e6 * slopes.power[0, 0, :, 0], [1.442695, 0.0], rtol=1e-6)
    np.testing.assert_allclose(1e6 * slopes.bandwidth[0, 0, :, 0], [0.2786525, 0.0], rtol=1e-6)


def test_what_cannot_move_has_no_slope(rng):
    """A given share, a logit beyond the box, and users who hear nothing."""
    problem = random_problem(rng, 2, "users with zero gain", share=0.5)
    logits = rng.normal(0.0, 1.0, (2, 1, action_size(problem.users, problem.cells)))
    logits[..., 0] = 2.0 * SCALE
    _, gradient = ActionGradient(problem, SCALE)(logits)
    assert (gradient[..., -problem.cells :] == 0).all()
    assert (gradient[..., 0] == 0).all()
    there = decode(logits[..., 0, :] / SCALE, problem, logit_scale=SCALE)
    deaf = np.diagonal(problem.gain, axis1=-2, axis2=-1) == 0
    slopes = UtilityGradient(problem)(there.power[:, None, ...], there.bandwidth[:, None, ...])
    assert (slopes.bandwidth[:, 0, 0, :][deaf] == 0).all()
    assert (slopes.power[:, 0, 0, :][deaf] <= 0).all()


@pytest.mark.parametrize("library", list(BACKENDS))
def test_holds_in_every_library(library, rng):
    problem = with_queues(random_problem(rng, 2, crowd=3), rng, "drain")
    for known in (problem, problem.changed(reward="rate"), problem.changed(reward="fair", noise="constant")):
        logits = candidates(rng, known)
        found = ActionGradient(convert(known, library), SCALE)(BACKENDS[library](logits))
        if library == "strict":
            assert all(isinstance(part, array_api_strict._array_object.Array) for part in found)
        for part, expected in zip(found, ActionGradient(known, SCALE)(logits), strict=True):
            np.testing.assert_allclose(to_numpy(part), expected, rtol=1e-9, atol=1e-12)


def test_single_precision_stays(rng):
    problem = random_problem(rng, 2, crowd=3)
    logits = rng.normal(0.0, 3.0, (2, 4, action_size(problem.users, problem.cells)))
    value, gradient = ActionGradient(problem, SCALE)(logits)
    narrow = ActionGradient(narrowed(problem), SCALE)(logits.astype(np.float32))
    assert [part.dtype for part in narrow] == [np.float32, np.float32]
    np.testing.assert_allclose(narrow[0], value, rtol=1e-4)
    np.testing.assert_allclose(narrow[1], gradient, atol=1e-4 * np.abs(gradient).max())


def test_an_element_of_a_batch_and_a_problem_without_one_are_the_same(rng):
    problem = ordinary(rng, "fair")
    logits = candidates(rng, problem)
    value, gradient = ActionGradient(problem, SCALE)(logits)
    names = ("gain", "leakage", "sensing_gain", "cell", "group", "last_power", "weight", "queue")
    single = problem.changed(**{name: getattr(problem, name)[3] for name in names})
    alone = ActionGradient(single, SCALE)(logits[3])
    np.testing.assert_allclose(alone[0], value[3], rtol=1e-12)
    np.testing.assert_allclose(alone[1], gradient[3], rtol=1e-9, atol=1e-12)


def test_on_the_default_environment():
    problem = static(2, positioning_share=None, service_weight=(1.0, 1.5)).truth
    logits = candidates(np.random.default_rng(3), problem)
    plain = problem.changed(beam_channel=None, air_channel=None, correlation=None)
    assert_equal(ActionGradient(problem, SCALE)(logits), by_autograd(plain, logits))


def test_what_has_no_gradient_is_refused_by_name(rng):
    problem = random_problem(rng, 1)
    with pytest.raises(ValueError, match="subcarrier_spacing"):
        UtilityGradient(problem.changed(subcarrier_spacing=15e3))
    with pytest.raises(ValueError, match="logit_scale"):
        ActionGradient(problem, 1e3)
    power = np.ones((1, 1, 2, problem.users))
    with pytest.raises(ValueError, match="arrival"):
        UtilityGradient(problem.changed(reward="drain"))(power, 1e5 * power)
