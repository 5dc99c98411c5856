"""Clairvoyant yardstick of the tracking task: a dynamic program that knows every gain to come."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jcas_env.checks import require
from jcas_env.scenarios.massive_mimo import MassiveMIMO
from jcas_env.scenarios.massive_mimo.action import split
from jcas_env.scenarios.massive_mimo.state import State
from jcas_env.tree import stack

from .closed_form import share_grid

VARIANCES = 120
"""Points of the grid of variances, log-spaced in [V_max / 100, 30 V_max] (spec mimo 7)."""


class Clairvoyant(NamedTuple):
    """Answer of the dynamic program."""

    reward: np.ndarray
    """(episodes,): mean reward per frame of the best plan."""
    sensing_share: np.ndarray
    """(episodes, frames): the plan's sensing shares."""
    variance: np.ndarray
    """(episodes, frames): variance after each frame under the plan [rad^2]."""


def future(scenario: MassiveMIMO, *, episodes: int, seed: int) -> list[State]:
    """States of every frame of the episodes of ``seed + i``, with a leading (episodes,) axis.

    Gains, echo and target do not depend on what is transmitted, so any allocation reveals them; estimate and
    variance do, and are to be replaced.
    """
    generators = [np.random.default_rng(seed + lane) for lane in range(episodes)]
    state = scenario.sample(generators)
    states = [state]
    for _ in range(scenario.horizon - 1):
        allocation = scenario.fallback(scenario.problem(state))
        state = scenario.transition(state, allocation, stack([scenario.draw(rng, state) for rng in generators]))
        states.append(state)
    return states


def clairvoyant(scenario: MassiveMIMO, *, episodes: int, seed: int, grid: int = VARIANCES) -> Clairvoyant:
    r"""Best plan of sensing shares for known gains, echoes and target: an upper bound up to the grid's error.

    .. math:: J_t(V) = \max_{T/S} \big\{ r_t(V, T/S) + J_{t+1}\big(V_t(V, T/S)\big) \big\}

    over the variance V after a frame, on a logarithmic grid with linear interpolation, and the sensing shares of
    :func:`.closed_form.share_grid`, at full power with water-filled streams. The beam is taken to be one
    predicted standard deviation off the target in every frame, which makes V a deterministic function of the plan; it
    bounds policies in an environment with ``tracker="one-sigma"``.

    Parameters
    ----------
    scenario : MassiveMIMO
        With that tracker and without an energy budget, else ``ValueError``.
    episodes, seed : int
        Episode i is the one that the environment draws with ``seed + i``.
    grid : int
        Points of the grid of variances.

    Returns
    -------
    Clairvoyant
        spec mimo 7.
    """
    config = scenario.config
    require(config.tracker == "one-sigma", f"`tracker` must be 'one-sigma' for the bound, got {config.tracker!r}")
    require(config.energy_budget is None, "the bound knows no `energy_budget`")
    states = future(scenario, episodes=episodes, seed=seed)
    nodes = np.geomspace(config.variance_limit / 100.0, 30.0 * config.variance_limit, grid)
    value = np.zeros((grid, episodes))
    values = [value]
    for state in reversed(states[1:]):
        value = _best(scenario, state, nodes[:, None], nodes, value)[0]
        values.append(value)
    return _follow(scenario, states, nodes, values[::-1])


def _best(
    scenario: MassiveMIMO, state: State, variance: np.ndarray, nodes: np.ndarray, later: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Value, sensing share, reward and next variance of the best choice at variances (..., episodes).

    All shares are tried at all variances at once, on a new first axis; ``later`` (nodes, episodes) is J of the next
    frame on the grid ``nodes`` (nodes,).
    """
    batch = np.broadcast_shapes(variance.shape, state.angle.shape)
    shares = share_grid(state.angle)
    transmitted = split(scenario.problem(state), np.broadcast_to(shares[:, None], (len(shares), batch[-1])))
    transmitted = type(transmitted)(transmitted.power[:, None], transmitted.sensing_power[:, None])
    here = State(*(np.broadcast_to(leaf, (*batch[:-1], *leaf.shape)) for leaf in state))
    # Another variance before the frame moves the beam that is aimed with it.
    here = here._replace(variance=np.broadcast_to(variance, batch))
    here = here._replace(estimate=scenario.aim(here.angle, here.angle, scenario.prior_variance(here)))
    truth = scenario.truth(here)
    reward = truth.utility(transmitted)
    following = truth.posterior(truth.information(transmitted))
    total = reward + interpolate(nodes, later, following)
    choice = np.argmax(total, axis=0)[None]
    picked = [np.take_along_axis(part, choice, axis=0)[0] for part in (total, reward, following)]
    return picked[0], shares[choice[0]], picked[1], picked[2]


def interpolate(nodes: np.ndarray, values: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Linear in the logarithm: values (nodes, episodes) at points (..., episodes); constant beyond the ends."""
    step = np.log(nodes[1] / nodes[0])
    place = np.clip(np.log(points / nodes[0]) / step, 0.0, len(nodes) - 1.0)
    left = np.minimum(place.astype(int), len(nodes) - 2)
    lane = np.arange(values.shape[-1])
    return values[left, lane] + (place - left) * (values[left + 1, lane] - values[left, lane])


def _follow(scenario: MassiveMIMO, states: list[State], nodes: np.ndarray, values: list[np.ndarray]) -> Clairvoyant:
    """Follow the plan from the first variance."""
    variance = states[0].variance[None]
    rewards, shares, variances = [], [], []
    for state, later in zip(states, values, strict=True):
        _, share, reward, variance = _best(scenario, state, variance, nodes, later)
        rewards.append(reward[0])
        shares.append(share[0])
        variances.append(variance[0])
    return Clairvoyant(np.mean(rewards, axis=0), np.stack(shares, axis=-1), np.stack(variances, axis=-1))
