"""A registered environment for Stable-Baselines3 in one line."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
from stable_baselines3.common.vec_env import VecMonitor

import jcas_env  # noqa: F401 (registers the environments)

from .adapter import SB3VectorAdapter


def make_sb3_env(
    id: str = "jcas/MultiCell-v0",
    num_envs: int = 16,
    *,
    relative: bool = False,
    filename: str | None = None,
    info_keywords: tuple[str, ...] = (),
    **fields: Any,
) -> VecMonitor:
    """Lanes of a registered environment as a monitored ``VecEnv``: one native environment, no processes.

    Parameters
    ----------
    id : str
        As for ``gymnasium.make_vec``.
    num_envs : int
        Number of lanes; one that is seeded with s follows the lanes of seeds s, s + 1, ...
    relative : bool
        Whether the reward is compared with the equal allocation's, see :class:`.SB3VectorAdapter`; else it is the
        environment's own.
    filename, info_keywords : optional
        As for SB3's ``VecMonitor``: where episodes are written to, and entries of ``info`` that are kept with them.
    **fields
        Keywords of ``JCASVectorEnv``, e.g. ``observation="flat"`` for an ``MlpPolicy``, ``render_mode="rgb_array"``,
        or any field of the scenario's configuration.

    Returns
    -------
    VecMonitor
        Episode returns are sums of the rewards.
    """
    keywords = {"autoreset_mode": "SameStep"} | fields
    env = gym.make_vec(id, num_envs=num_envs, vectorization_mode="vector_entry_point", **keywords)
    return VecMonitor(SB3VectorAdapter(env, relative=relative), filename, tuple(info_keywords))  # type: ignore[arg-type]
