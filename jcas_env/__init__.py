"""Resource allocation for joint communication and sensing, as Gymnasium environments.

Importing the package registers every entry of :data:`SCENARIOS`: ``jcas/MultiCell-v0``, ``jcas/Mesh-v0`` and
``jcas/MassiveMIMO-v0``::

    import gymnasium as gym, jcas_env

    env = gym.make("jcas/MultiCell-v0", users_per_cell=6)
    envs = gym.make_vec("jcas/MultiCell-v0", num_envs=256)  # native, batched
"""

from __future__ import annotations

import gymnasium as gym

from .envs import EnvState, JCASEnv, JCASVectorEnv
from .envs.horizon import RegisteredHorizon as _RegisteredHorizon
from .scenarios import SCENARIOS, make_scenario
from .scenarios.massive_mimo import (
    MassiveMIMO,
    MassiveMIMOAllocation,
    MassiveMIMOConfig,
    MassiveMIMOOutcome,
    MassiveMIMOProblem,
)
from .scenarios.mesh import CountModel, Mesh, MeshAllocation, MeshConfig, MeshOutcome, MeshProblem
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

__version__ = "0.2.0"

for _name, (_scenario, _) in SCENARIOS.items():
    gym.register(
        id=f"jcas/{_scenario.__name__}-v0",
        entry_point="jcas_env.envs:JCASEnv",
        vector_entry_point="jcas_env.envs:JCASVectorEnv",
        max_episode_steps=_RegisteredHorizon(make_scenario(_name).horizon),
        kwargs={"scenario": _name},
    )

__all__ = [
    "SCENARIOS",
    "CountModel",
    "EnvState",
    "JCASEnv",
    "JCASVectorEnv",
    "MassiveMIMO",
    "MassiveMIMOAllocation",
    "MassiveMIMOConfig",
    "MassiveMIMOOutcome",
    "MassiveMIMOProblem",
    "Mesh",
    "MeshAllocation",
    "MeshConfig",
    "MeshOutcome",
    "MeshProblem",
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
