"""Resource allocation for joint communication and sensing, as Gymnasium environments.

Importing the package registers ``jcas/MultiCell-v0`` and ``jcas/MassiveMIMO-v0``::

    import gymnasium as gym, jcas_env

    env = gym.make("jcas/MultiCell-v0", users_per_cell=6)
    envs = gym.make_vec("jcas/MultiCell-v0", num_envs=256)  # native, batched
"""

from __future__ import annotations

import gymnasium as gym

from .envs import EnvState, JCASEnv, JCASVectorEnv
from .scenarios import SCENARIOS, make_scenario
from .scenarios.massive_mimo import (
    MassiveMIMO,
    MassiveMIMOAllocation,
    MassiveMIMOConfig,
    MassiveMIMOOutcome,
    MassiveMIMOProblem,
)
from .scenarios.multicell import (
    MultiCell,
    MultiCellAllocation,
    MultiCellConfig,
    MultiCellOutcome,
    MultiCellProblem,
    RelaxedAllocation,
    RelaxedProblem,
)
from .types import Status

__version__ = "0.1.0"

gym.register(
    id="jcas/MultiCell-v0",
    entry_point="jcas_env.envs:JCASEnv",
    vector_entry_point="jcas_env.envs:JCASVectorEnv",
    kwargs={"scenario": "multicell"},
)
gym.register(
    id="jcas/MassiveMIMO-v0",
    entry_point="jcas_env.envs:JCASEnv",
    vector_entry_point="jcas_env.envs:JCASVectorEnv",
    kwargs={"scenario": "massive-mimo"},
)

__all__ = [
    "SCENARIOS",
    "EnvState",
    "JCASEnv",
    "JCASVectorEnv",
    "MassiveMIMO",
    "MassiveMIMOAllocation",
    "MassiveMIMOConfig",
    "MassiveMIMOOutcome",
    "MassiveMIMOProblem",
    "MultiCell",
    "MultiCellAllocation",
    "MultiCellConfig",
    "MultiCellOutcome",
    "MultiCellProblem",
    "RelaxedAllocation",
    "RelaxedProblem",
    "Status",
    "make_scenario",
]
