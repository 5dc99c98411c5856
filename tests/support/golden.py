"""Golden numbers: the start of one episode of every scenario by default, as it was on the machine that wrote them.

``python3 -m support.golden FILE``, in ``tests`` with the packages on the path, writes them anew: where a change of the
physics is meant, and nowhere else.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from jcas_env import SCENARIOS, JCASEnv

SEED, SLOTS = 7, 10
FILE = Path(__file__).with_name("golden.json")


def episode(name: str) -> dict[str, list[float]]:
    """Rewards of the slots, and what is reported of the last one, under random actions."""
    env, rng = JCASEnv(name), np.random.default_rng(SEED)
    env.reset(seed=SEED)
    rewards = []
    for _ in range(SLOTS):
        _, reward, _, _, info = env.step(rng.uniform(-1.0, 1.0, env.action_space.shape))
        rewards.append(reward)
    told = {key: np.asarray(value, dtype=float).ravel().tolist() for key, value in info.items()}
    return {"reward": rewards} | told


def episodes() -> dict[str, dict[str, list[float]]]:
    """The numbers of every scenario."""
    return {name: episode(name) for name in SCENARIOS}


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(episodes(), indent=1) + "\n")
