"""The process that is measured: reads requests as JSON lines, answers likewise. It knows public names alone.

It is started with the path of *some* checkout of the project in front, this one or its parent, and so imports nothing
from this package. Requests: ``{"open": job, **arguments}``, ``{"run": seconds}``, ``{"memory": true}``,
``{"close": true}``; a fault is answered as ``{"error": text}``.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from itertools import cycle
from time import process_time
from typing import Any, NamedTuple

import numpy as np

ACTIONS = 8
"""Random actions drawn before the clock starts, played in turn."""


class Job(NamedTuple):
    """Work that can be repeated."""

    work: Callable[[], int]
    """Does a piece of it; returns the environments' steps that it took."""
    prepare: Callable[[], None] = lambda: None
    """What has to be done before a piece and is not measured."""
    users: int = 1
    """Users of an environment; 1 in a loop, whose samples are counted."""
    links: int = 0
    """Links of a slot: pairs of a transmitter and a receiver whose channel the slot moves on."""
    antennas: tuple[int, int] = (1, 1)
    """Antennas at the two ends of a link."""


def repeat(job: Job, seconds: float) -> dict[str, float]:
    """Pieces of work until ``seconds`` of CPU time are spent, at least one: steps, and CPU seconds."""
    steps, spent = 0, 0.0
    while spent < seconds or steps == 0:
        job.prepare()
        begin = process_time()
        steps += job.work()
        spent += process_time() - begin
    return {"steps": steps, "cpu": spent}


def links_of(config: Any) -> tuple[int, tuple[int, int]]:
    """Links of a slot, and the antennas at their two ends.

    The multi-cell network has one for each pair of station and user, the mesh one a user; massive MIMO one a user, who
    has a single antenna (its echo is not counted).
    """
    if hasattr(config, "cells"):
        return config.cells * config.users, (config.bs_antennas, config.ue_antennas)
    single = hasattr(config, "pilot_length")
    return config.users, (config.tx_antennas, 1 if single else config.rx_antennas)


def environment(scenario: str, lanes: int, seed: int, fields: dict[str, Any]) -> Job:
    """Random actions in ``lanes`` lanes of the native vector environment, or in the single one for 0.

    A piece is as many slots as lie between two measurements of angles, so that each contains one; resets are outside
    the clock.
    """
    from jcas_env import JCASEnv, JCASVectorEnv

    env: Any = JCASVectorEnv(scenario, num_envs=lanes, **fields) if lanes else JCASEnv(scenario, **fields)
    config = env.scenario.config
    period = min(getattr(config, "angle_coherence", 1), config.horizon)
    left = 0

    def prepare() -> None:
        nonlocal left
        if left < period:
            env.reset(seed=seed)
            left = config.horizon
        left -= period

    actions = _draw(env.action_space, seed)

    def work() -> int:
        for _ in range(period):
            env.step(next(actions))
        return period * max(lanes, 1)

    count, antennas = links_of(config)
    return Job(work, prepare, config.users, count, antennas)


def _draw(space: Any, seed: int) -> Any:
    """Random actions, over and over."""
    space.seed(seed)
    return cycle([space.sample() for _ in range(ACTIONS)])


def _mobile(size: str) -> Any:
    """One of mobile-env's environments; importing the package registers them."""
    import gymnasium as gym

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own imports
        import mobile_env  # noqa: F401

        return gym.make(f"mobile-{size}-central-v0").unwrapped


def mobile(size: str, seed: int) -> Job:
    """Random actions in one of mobile-env's environments; a link is a pair of station and user without antennas."""
    env = _mobile(size)
    actions = _draw(env.action_space, seed)
    running = False

    def prepare() -> None:
        nonlocal running
        if not running:
            env.reset(seed=seed)

    def work() -> int:
        nonlocal running
        _, _, terminated, truncated, _ = env.step(next(actions))
        running = not (terminated or truncated)
        return 1

    return Job(work, prepare, env.NUM_USERS, env.NUM_STATIONS * env.NUM_USERS)


def linear_policy(scenario: str, lanes: int, seed: int, fields: dict[str, Any]) -> Job:
    """A loop in NumPy, resets included: a linear policy with noise reads the flat observation."""
    from jcas_env import JCASVectorEnv

    env: Any = JCASVectorEnv(scenario, num_envs=lanes, observation="flat", **fields)
    rng = np.random.default_rng(seed)
    seen, _ = env.reset(seed=seed)
    size = (np.shape(seen)[-1], env.single_action_space.shape[0])
    weight = rng.normal(0.0, 0.01, size).astype(np.float32)

    def work() -> int:
        nonlocal seen
        noise = rng.standard_normal((lanes, size[1]), dtype=np.float32)
        seen, *_ = env.step(np.tanh(np.asarray(seen, dtype=np.float32) @ weight + 0.3 * noise))
        return lanes

    return Job(work)


def plain_ppo(scenario: str, lanes: int, seed: int, fields: dict[str, Any]) -> Job:
    """The loop of ``plain_ppo.py`` on the native lanes; a piece is a rollout and its updates."""
    from jcas_env import JCASVectorEnv

    loop = runpy.run_path(os.path.join(os.path.dirname(__file__), "plain_ppo.py"))["PlainPPO"]
    return Job(loop(JCASVectorEnv(scenario, num_envs=lanes, observation="flat", **fields), seed).iterate)


def sb3_ppo(scenario: str, lanes: int, seed: int, fields: dict[str, Any]) -> Job:
    """Stable-Baselines3's PPO with its own defaults, rollouts of 32 slots, on the native lanes."""
    from jcas_agents.sb3 import SB3VectorAdapter

    from jcas_env import JCASVectorEnv

    env = JCASVectorEnv(scenario, num_envs=lanes, observation="flat", autoreset_mode="SameStep", **fields)
    return _sb3(SB3VectorAdapter(env, relative=False), 32 * lanes, seed, n_steps=32, batch_size=8 * lanes)


def sb3_ppo_mobile(size: str, seed: int) -> Job:
    """Stable-Baselines3's PPO with its own defaults on one of mobile-env's environments."""
    return _sb3(_mobile(size), 64, seed, n_steps=64)


def _sb3(env: Any, samples: int, seed: int, **options: Any) -> Job:
    """A piece is one rollout of ``samples`` and its updates."""
    import torch
    from stable_baselines3 import PPO

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    model = PPO("MlpPolicy", env, seed=seed, device="cpu", **options)

    def work() -> int:
        before = model.num_timesteps
        model.learn(samples, reset_num_timesteps=False)
        return model.num_timesteps - before

    return Job(work)


def matrix_product(dtype: str, seed: int) -> Job:
    """Real operations of a product of two complex matrices that a cache holds, 8 for each product with addition."""
    size, kind = 256, np.complex64 if dtype == "float32" else np.complex128
    a = np.random.default_rng(seed).standard_normal((size, size)).astype(kind)
    out = np.empty_like(a)

    def work() -> int:
        np.matmul(a, a, out=out)
        return 8 * size**3

    return Job(work)


def copy(dtype: str, seed: int) -> Job:
    """Bytes read and written by a copy that no cache holds."""
    source = np.random.default_rng(seed).integers(0, 255, 1 << 26, dtype=np.uint8).view(dtype)
    target = np.empty_like(source)

    def work() -> int:
        np.copyto(target, source)
        return 2 * source.nbytes

    return Job(work)


JOBS: dict[str, Callable[..., Job]] = {
    job.__name__: job
    for job in (environment, mobile, linear_policy, plain_ppo, sb3_ppo, sb3_ppo_mobile, matrix_product, copy)
}
"""What can be opened."""


def peak_memory() -> float:
    """Largest resident memory that this process has had [bytes].

    Linux keeps it for the program itself; ``getrusage`` would inherit that of whoever started it.
    """
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            return 1024.0 * next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1.0 if sys.platform == "darwin" else 1024.0)


def answer(request: dict[str, Any], jobs: dict[str, Job]) -> dict[str, Any]:
    """What one request is answered with; ``jobs`` holds the one that is open."""
    if "open" in request:
        name = request.pop("open")
        jobs["open"] = job = JOBS[name](**request)
        return {"users": job.users, "links": job.links, "antennas": job.antennas}
    if "run" in request:
        return repeat(jobs["open"], request["run"])
    if "memory" in request:
        return {"memory": peak_memory()}
    jobs.clear()
    return {}


def serve() -> None:
    """Answer until the input ends. Ctrl-C is for whoever asks; what libraries print goes to standard error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    jobs: dict[str, Job] = {}
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line), jobs)
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
        print(json.dumps(reply), file=channel, flush=True)


if __name__ == "__main__":
    serve()
