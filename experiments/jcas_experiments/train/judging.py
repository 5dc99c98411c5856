"""What a policy is worth while it learns: episodes, or frozen scenes, that no training sees, and the equal split."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from jcas_agents import evaluate
from jcas_agents.data.scene_env import SceneVectorEnv
from jcas_agents.data.scenes import SPLITS
from jcas_baselines import ConstantRule

from jcas_env.scenarios.multicell import MultiCellConfig
from jcas_env.scenarios.scenario import Scenario

HELD_OUT = 200
"""Scenes of the split validation on which a run on frozen scenes is judged."""
EPISODES = 16
"""Episodes of that split on which another run is judged."""


class Judgement(NamedTuple):
    """What a policy earns without exploring."""

    over_equal: float
    """Mean true utility beside the equal split's, see :func:`over`."""
    episode_return: float
    """Mean sum of the environment's rewards over an episode."""
    violation: float
    """Largest relative violation of a constraint in any slot."""


class Judge(Protocol):
    """Judges whatever :func:`jcas_agents.evaluate` plays."""

    def judge(self, candidate: Any) -> Judgement:
        """What a candidate earns, always on the same scenes."""
        ...


def over(earned: float, equal: float, *, ratio: bool) -> float:
    """A mean utility beside that of the equal split: by ratio where rewards are rates, by difference elsewhere."""
    return earned / equal if ratio else earned - equal


class EqualSplit:
    """The zero action of a scenario."""

    def __init__(self, scenario: Scenario) -> None:
        self.size = scenario.action_size

    def act(self, observation: Any) -> np.ndarray:
        """Zeros, (..., action_size)."""
        part = next(iter(observation.values())) if isinstance(observation, dict) else observation
        return np.zeros((len(part), self.size), dtype=np.float32)


class EpisodeJudge:
    """Judges on whole episodes of the split validation."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario, self.episodes = scenario, EPISODES
        self.ratio = scenario.config.ratio_scale
        self.equal = float(self._played(EqualSplit(scenario)).utility.mean())

    def judge(self, candidate: Any) -> Judgement:
        """What a policy, solver or model earns."""
        found = self._played(candidate)
        mean = float(found.utility.mean())
        return Judgement(over(mean, self.equal, ratio=self.ratio), mean * self.scenario.horizon, found.violation)

    def _played(self, candidate: Any) -> Any:
        return evaluate(self.scenario, candidate, episodes=self.episodes, seed=SPLITS["validation"])


class SceneJudge:
    """Judges a model on frozen scenes of the split validation, one slot each."""

    def __init__(self, config: MultiCellConfig, count: int = HELD_OUT) -> None:
        self.env = SceneVectorEnv(config, scenes=count, num_envs=1, split="validation")
        self.ratio = config.ratio_scale
        self.equal = float(self.env.bank_equal.mean())

    def judge(self, candidate: Any) -> Judgement:
        """What the deterministic action of a model earns."""
        action, _ = candidate.predict(self.env.views, deterministic=True)
        return self._judged(self.env.scenario.decode(action, self.env.bank.known))

    def constant(self) -> float:
        """What the constant rule has over the equal split."""
        return self._judged(ConstantRule().solve(self.env.bank.known).allocation).over_equal

    def _judged(self, allocation: Any) -> Judgement:
        truth = self.env.bank.truth
        mean = float(np.mean(truth.utility(allocation)))
        broken = float(np.max(truth.violation(allocation)))
        return Judgement(over(mean, self.equal, ratio=self.ratio), mean, broken)
