"""Our environments for RLlib's algorithms (new API stack): native lanes, and one agent a base station."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym

from jcas_env import SCENARIOS, JCASEnv, JCASVectorEnv, make_scenario
from jcas_env.checks import require, require_library

require_library("ray", "2.60", "3", extra="rllib")

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig  # noqa: E402
from ray.rllib.connectors.env_to_module import FlattenObservations  # noqa: E402
from ray.rllib.env.wrappers.pettingzoo_env import ParallelPettingZooEnv  # noqa: E402
from ray.tune.registry import register_env  # noqa: E402

LANES, STATIONS = "jcas_lanes", "jcas_stations"
"""Names by which RLlib's registry knows what is made here."""
SHARED = "shared"
"""Name of the policy of all stations."""


def on_lanes(config: AlgorithmConfig, id: str, *, num_envs: int = 16, **fields: Any) -> AlgorithmConfig:
    """Let an algorithm learn on an environment's native lanes: ``num_envs`` of them in every env runner.

    RLlib steps one :class:`jcas_env.JCASVectorEnv` and not as many single environments. A dict observation reaches the
    network as one vector, its parts in the order of their names.

    Parameters
    ----------
    config : AlgorithmConfig
        For example ``PPOConfig()``; it is changed and returned.
    id : str
        ``jcas/MultiCell-v0``, ``jcas/Mesh-v0`` or ``jcas/MassiveMIMO-v0``.
    **fields
        Any field of the scenario's configuration, e.g. ``users_per_cell=6``.
    """
    scenario = gym.spec(id).kwargs.get("scenario", "")
    require(scenario in SCENARIOS, f"`id` must be an environment of jcas_env, got {id!r}")
    kind = make_scenario(str(scenario), **fields).config.observation
    register_env(LANES, _lanes)
    config.environment(LANES, env_config={"scenario": scenario, **fields})
    config.env_runners(num_envs_per_env_runner=num_envs, gym_env_vectorize_mode="vector_entry_point")
    return _flattened(config, kind, multi_agent=False)


def on_stations(config: AlgorithmConfig, *, own_reward: bool = False, **fields: Any) -> AlgorithmConfig:
    """Let an algorithm learn one policy for all base stations, each of which sees and decides for its own cell.

    The environment is :class:`jcas_env.envs.parallel_env.JCASParallelEnv`, with its ``own_reward`` and any field of
    :class:`jcas_env.MultiCellConfig`. The stations' policy is called ``shared``; another mapping may be set after this.
    """
    kind = make_scenario("multicell", **fields).config.observation
    register_env(STATIONS, _stations)
    config.environment(STATIONS, env_config={"own_reward": own_reward, **fields})
    config.multi_agent(policies={SHARED}, policy_mapping_fn=_one_policy)
    return _flattened(config, kind, multi_agent=True)


def _flattened(config: AlgorithmConfig, kind: str, *, multi_agent: bool) -> AlgorithmConfig:
    """Put RLlib's flattening in front of the network where the observation is a dict."""
    if kind == "dict":
        config.env_runners(env_to_module_connector=lambda *_, **__: FlattenObservations(multi_agent=multi_agent))
    return config


def _lanes(context: Mapping[str, Any]) -> JCASEnv | JCASVectorEnv:
    """RLlib asks for lanes by ``num_envs``, and for a single environment, of which it wants the spaces, without."""
    return JCASVectorEnv(**context) if "num_envs" in context else JCASEnv(**context)


def _stations(context: Mapping[str, Any]) -> ParallelPettingZooEnv:
    from jcas_env.envs.parallel_env import JCASParallelEnv

    return ParallelPettingZooEnv(JCASParallelEnv(**context))


def _one_policy(*_: Any, **__: Any) -> str:
    return SHARED
