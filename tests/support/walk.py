"""Walks over configurations: every field at its ends and between them, in pairs and in crowds, and what must hold."""

from __future__ import annotations

from math import exp, log

import numpy as np

from jcas_env import JCASEnv, JCASVectorEnv
from jcas_env.scenarios import SCENARIOS
from jcas_env.scenarios.kinds import Integer, Kind, Number, OneOrEach, OrNone
from jcas_env.types import rounding

SMALL = {
    "multicell": {"users_per_cell": 3, "bs_antennas": 6, "ue_antennas": 2, "paths": 2, "snapshots": 2, "grid": 16},
    "mesh": {"users": 4, "bandwidth": 30e6, "rate_floor": 0.0},
    "massive-mimo": {},
}
"""Where walks begin: scenes in which a step takes milliseconds."""

ROOM, LITTLE_ROOM = 3e4, 4e3
"""Entries of the largest array of a scene that is walked through, and of one in haste; more is legal and takes long."""

INFINITE = {
    "multicell": {"position", "position_error_m", "peb_m"},
    "mesh": {"peb", "oeb"},
    "massive-mimo": {"crb", "crb_min"},
}
"""What ``info`` documents as infinite or NaN: users that are not located, singular information."""


def between(kind: Kind, rng: np.random.Generator):
    """A value inside of a kind's range, or None where it has nothing but ends."""
    if isinstance(kind, OrNone | OneOrEach):
        return between(kind.kind, rng)
    if not isinstance(kind, Integer | Number):
        return None
    low, high = kind.ends
    wide = low > 0 and high > 1e3 * low
    value = exp(rng.uniform(log(low), log(high))) if wide else rng.uniform(low, high)
    value = min(max(value, low), high)
    return round(value) if isinstance(kind, Integer) else value


def walk(name: str, seed: int, changes: int | None = None, room: float = ROOM):
    """A configuration and the fields in which it is away from where walks begin.

    Fields go to an end, or in between, one after the other; what a rule between fields refuses stays where it was.
    """
    rng = np.random.default_rng([seed, len(name)])
    config = SCENARIOS[name][1]().with_fields(SMALL[name])
    kinds = config.kinds()
    count = int(rng.integers(1, len(kinds))) if changes is None else changes
    moved = {}
    for field in rng.permutation(list(kinds))[:count].tolist():
        kind = kinds[field]
        inside = between(kind, rng)
        value = kind.ends[rng.integers(len(kind.ends))] if inside is None or rng.random() < 0.6 else inside
        try:
            trial = config.with_fields({field: value})
        except ValueError:
            continue
        if max(trial.entries.values(), default=0) <= room:
            config, moved[field] = trial, value
    return config, moved


def actions(rng: np.random.Generator, shape: tuple[int, ...], step: int) -> np.ndarray:
    """Corners of the box, random actions and zeros, by turns."""
    found = [rng.choice([-1.0, 1.0], shape), rng.uniform(-1.0, 1.0, shape), np.zeros(shape)][step % 3]
    return found.astype(np.float32)


def play(name: str, config, seed: int, steps: int = 4):
    """Play an episode of corners, random actions and the fallback; tell what no legal configuration may do."""
    env = JCASEnv(name, config=config)
    rng = np.random.default_rng(seed)
    seen, info = env.reset(seed=seed)
    faults = [] if env.observation_space.contains(seen) else ["observation at reset"]
    for step in range(min(steps, config.horizon)):
        problem = env.problem
        if step == 3:
            seen, reward, _, _, info = env.step_allocation(env.scenario.fallback(problem))
        else:
            seen, reward, _, _, info = env.step(actions(rng, env.action_space.shape, step))
        if not env.observation_space.contains(seen):
            faults.append(f"observation {step}")
        faults += outcome_faults(name, config, problem, reward, info, step)
    return faults


def outcome_faults(name: str, config, problem, reward, info, step: int):
    """What is wrong with the reward and the ``info`` of a step, of one lane or of many."""
    faults = [] if np.all(np.isfinite(np.asarray(reward))) else [f"reward {step} = {reward}"]
    faults += [
        f"info {key} {step}"
        for key, value in info.items()
        if key.removeprefix("_") not in INFINITE[name] and not np.all(np.isfinite(np.asarray(value)))
    ]
    floors = name == "mesh" and config.rate_floor > 0  # a price there, which a policy may pay
    # Documented: a scene may have more groups than the band has whole subcarriers.
    crowded = name == "multicell" and np.any(np.asarray(problem.short_of_subcarriers))
    allowed = rounding(np.empty(0, config.dtype))
    if not (floors or crowded or np.all(np.asarray(info["violation"]) <= allowed)):
        faults.append(f"violation {step} = {info['violation']}")
    return faults


def parts(observation) -> dict:
    """An observation by name."""
    return observation if isinstance(observation, dict) else {"observation": observation}


def compare_lanes(name: str, config, seed: int, steps: int = 3):
    """Tell in what a lane of three differs from the same lane alone: to the last bit, it must not."""
    many, alone = JCASVectorEnv(name, config=config, num_envs=3), [JCASEnv(name, config=config) for _ in range(3)]
    seen, _ = many.reset(seed=seed)
    told = [(parts(seen), {}, [(parts(env.reset(seed=seed + lane)[0]), {}) for lane, env in enumerate(alone)])]
    rng = np.random.default_rng(seed)
    for step in range(min(steps, config.horizon)):
        action = actions(rng, many.action_space.shape, step)
        seen, reward, _, _, info = many.step(action)
        single = []
        for lane, env in enumerate(alone):
            mine, earned, _, _, stated = env.step(action[lane])
            single.append((parts(mine), {**stated, "reward": earned}))
        told.append((parts(seen), {**info, "reward": reward}, single))
    return [
        f"{key} {step - 1} of lane {lane}"
        for step, (seen, info, single) in enumerate(told)
        for lane, (mine, stated) in enumerate(single)
        for all_lanes, own in ((seen, mine), (info, stated))
        for key in own
        if not np.array_equal(all_lanes[key][lane], own[key], equal_nan=True)
    ]


def play_tensors(name: str, config, seed: int, steps: int = 4):
    """:func:`play` of two lanes of tensors."""
    env = JCASVectorEnv(name, config=config, num_envs=2, device="cpu")
    rng = np.random.default_rng(seed)
    seen, _ = env.reset(seed=seed)
    faults = [f"{key} at reset" for key, value in parts(seen).items() if not np.all(np.isfinite(np.asarray(value)))]
    for step in range(min(steps, config.horizon)):
        problem = env.problem
        if step == 3:
            seen, reward, _, _, info = env.step_allocation(env.scenario.fallback(problem))
        else:
            seen, reward, _, _, info = env.step(actions(rng, env.action_space.shape, step))
        faults += [f"{key} {step}" for key, value in parts(seen).items() if not np.all(np.isfinite(np.asarray(value)))]
        faults += outcome_faults(name, config, problem, reward, info, step)
    return faults
