"""What Stable-Baselines3 can learn: every scenario and reward, where it plays, and what judges it."""

from __future__ import annotations

from typing import Any, NamedTuple

from jcas_agents.data.scene_env import SceneVectorEnv
from jcas_agents.sb3 import SB3VectorAdapter
from stable_baselines3.common.vec_env import VecEnv, VecMonitor

from jcas_env import JCASVectorEnv, make_scenario
from jcas_env.checks import require, suggest
from jcas_env.scenarios.multicell import MultiCell
from jcas_env.scenarios.scenario import Scenario

from .judging import HELD_OUT, EpisodeJudge, Judge, SceneJudge
from .setups import SETUPS, built_setup

NETWORKS = ("equivariant", "mlp")
"""Networks, see :data:`jcas_agents.sb3.RECIPES`."""


class Arena(NamedTuple):
    """One task of Stable-Baselines3."""

    scenario: str
    reward: str
    network: str
    settings: tuple[str, ...]
    """Those that the user gave."""
    built: Scenario
    """With the observation that the network reads."""

    @property
    def one_slot(self) -> bool:
        """Whether a decision is all there is, so that frozen scenes serve: nothing is carried from slot to slot."""
        return isinstance(self.built, MultiCell) and not self.built.config.has_queues

    @property
    def discount(self) -> float:
        """Discount of what later slots earn: none where a slot is all there is."""
        return 0.0 if self.one_slot else 0.95

    def lanes(self, scenes: int, count: int) -> VecEnv:
        """Where it is played: on a bank of frozen scenes, or on lanes of the environment.

        Rewards are compared with the equal split's, but for those of queues.
        """
        if self.one_slot:
            env: Any = SceneVectorEnv(self.built.config, scenes=scenes, num_envs=count)
        else:
            env = JCASVectorEnv(self.built, num_envs=count, autoreset_mode="SameStep")
        return VecMonitor(SB3VectorAdapter(env, relative=getattr(self.built.config, "reward", None) != "delay"))

    def judge(self, scenes: int) -> Judge:
        """Who judges it."""
        if self.one_slot:
            return SceneJudge(self.built.config, min(HELD_OUT, scenes))
        return EpisodeJudge(self.built)


def arena(scenario: str, reward: str | None, network: str | None, settings: list[str]) -> Arena:
    """The task that a command names; raises ``ValueError`` that says what there is."""
    require(scenario in SETUPS, f"unknown scenario {scenario!r}: {suggest(scenario, list(SETUPS))}")
    here = SETUPS[scenario]
    wanted = next(iter(here)) if reward is None else reward
    require(wanted in here, f"`--reward` of {scenario} must be one of {list(here)}, got {wanted!r}")
    for item in settings:
        name = item.partition("=")[0].strip()
        require(name not in ("reward", "objective"), f"`--set {item}`: choose it by `--reward`, one of {list(here)}")
        require(name != "observation", f"`--set {item}`: the network chooses what it reads, see `--policy-network`")
    built = built_setup(scenario, wanted, settings)
    fits = scenario == "multicell" and wanted != "delay" and not built.config.has_queues
    chosen = network or ("equivariant" if fits else "mlp")
    require(chosen in NETWORKS, f"`--policy-network` must be one of {list(NETWORKS)}, got {chosen!r}")
    require(fits or chosen == "mlp", f"`--policy-network equivariant` is for multicell without queues, got {scenario} "
                                     f"for {wanted!r}")  # fmt: skip
    view: Any = {"observation": "flat" if chosen == "mlp" else "dict"}
    return Arena(scenario, wanted, chosen, tuple(settings), make_scenario(built, **view))
