"""Speed of the batched environment against that of mobile-env."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np

from jcas_env import JCASVectorEnv

from .row import Row, cpu_seconds

PEER = "mobile-env 2.1, mobile-medium-central-v0"


def environment_rows(lanes: int, seed: int = 0) -> Iterator[Row]:
    """The batched environment against its peer, in users moved on by a slot per CPU second.

    The flagship with true channel knowledge and with each way of estimating: with pilots, most of a slot is estimation.
    """
    theirs = mobile_env_users_per_second(seed)
    for estimator, target in (("perfect", 20.0), ("crb", float("nan")), ("spomp", float("nan"))):
        ours = users_per_second(lanes, estimator, seed)
        name = f"environment, {lanes} lanes, estimator {estimator}"
        if theirs is None:
            yield Row(name, ours, f"{PEER} (not installed)", None, "users/s", None, target)
        else:
            yield Row(name, ours, PEER, theirs, "users/s", ours / theirs, target)


def users_per_second(lanes: int, estimator: str, seed: int = 0) -> float:
    """Users per CPU second of the flagship with random actions."""
    env = JCASVectorEnv("multicell", num_envs=lanes, estimator=estimator)
    env.reset(seed=seed)
    action = np.random.default_rng(seed).uniform(-1.0, 1.0, env.action_space.shape or ()).astype(np.float32)
    return lanes * env.scenario.config.users / cpu_seconds(lambda: env.step(action), least=1.0)


def mobile_env_users_per_second(seed: int = 0) -> float | None:
    """Users per CPU second of the peer with random actions; None where it is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import mobile_env  # noqa: F401 (registers its environments)
        except ImportError:
            return None
        env = gym.make("mobile-medium-central-v0")
        env.reset(seed=seed)
        env.action_space.seed(seed)

        def step() -> None:
            _, _, terminated, truncated, _ = env.step(env.action_space.sample())
            if terminated or truncated:
                env.reset()

        users: Any = env.unwrapped
        return len(users.users) / cpu_seconds(step, least=1.0)
