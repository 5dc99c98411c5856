r"""Analytic policy gradient: maximise the true utility through the physics' own functions on torch (spec learning 4).

.. math:: \max_\theta\ \mathbb{E}\Big[\frac{1}{n} \sum_i 5 \Big(\frac{r_i(\pi_\theta(\text{known}_i))}
          {r_i(\text{equal})} - 1\Big)\Big]

For logarithms the difference instead, :func:`.relative.relative_reward`.
The policy reads the known (stale, noisy) channel; the gradient passes through the decoder and the utility of the
true one. Nothing is copied from the environment: ``problem.utility`` is the reward.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jcas_env.checks import require
from jcas_env.scenarios.multicell import MultiCellConfig
from jcas_env.scenarios.multicell.action import action_size, decode

from ..data.relative import relative_reward
from ..data.scenes import Scenes, draw_scenes, join
from ..policies.multicell import EquivariantPolicy, PolicyShape
from ..policies.policy import LOGIT_SCALE
from .trainer import Trainer, TrainingRecipe, finite, new_policy


def mixed_configs(**fields: Any) -> list[MultiCellConfig]:
    """The mixture of spec learning 4 at fixed shares, and 12 users per cell with the environment's free share."""
    knowledge: list[dict[str, Any]] = [{}, {"csi_nmse": 0.1}, {"csi_delay": 1}]
    fixed = [
        MultiCellConfig.preset(
            "luo2023-static", users_per_cell=users, ue_antennas=antennas, power_budget=watt, **csi, **fields
        )
        for users in (6, 9, 12, 24)
        for antennas in (2, 3, 4)
        for watt in (0.01, 1.0, 10.0)
        for csi in knowledge
    ]
    free = {"positioning_share": None, "service_weight": (1.0, 1.5)}
    return fixed + [
        MultiCellConfig.preset("luo2023-static", ue_antennas=antennas, **free, **csi, **fields)
        for antennas in (2, 3, 4)
        for csi in knowledge
    ]


def draw_bank(
    configs: Sequence[MultiCellConfig],
    count: int,
    *,
    split: str = "train",
    progress: Callable[[int], None] | None = None,
) -> list[Scenes]:
    """Scenes of several configurations, one bank per number of users and pair of service weights, float64 tensors.

    ``count`` scenes each. A fixed positioning share is redrawn uniformly in [0.15, 0.85], clipped to what the floors
    allow; ``progress`` is called with the number of scenes that are new.
    """
    kinds: dict[Any, list[Scenes]] = {}
    for index, config in enumerate(configs):
        scenes = draw_scenes(config, count, split=split, first=index * count)
        kinds.setdefault((config.users, config.service_weight), []).append(
            with_shares(scenes, np.random.default_rng(index))
        )
        if progress is not None:
            progress(count)
    return [join(parts).torch() for parts in kinds.values()]


def with_shares(scenes: Scenes, rng: np.random.Generator) -> Scenes:
    """Draw the positioning share of every scene where it is fixed."""
    if np.all(np.isnan(scenes.known.positioning_share)):
        return scenes
    least = 1.02 * np.max(np.maximum(scenes.known.least_share, scenes.truth.least_share), axis=-1, keepdims=True)
    least = np.minimum(least, 0.5)
    share = np.clip(rng.uniform(0.15, 0.85, least.shape), least, 1.0 - least)
    return Scenes(*(replace(side, positioning_share=share) for side in (scenes.known, scenes.truth)))


def utility_of(policy: EquivariantPolicy, scenes: Scenes) -> Tensor:
    """True utility of the policy's allocations, (scenes,); raises :class:`BadGradientError` for NaN weights."""
    allocation = decode(finite(policy.action_for(scenes.known)), scenes.known, logit_scale=LOGIT_SCALE)
    return scenes.truth.utility(allocation)


def equal_utility(scenes: Scenes) -> Tensor:
    """True utility of the zero action, (scenes,): the scale of the training reward."""
    zero = torch.zeros(
        (len(scenes), action_size(scenes.known.users, scenes.known.cells)), dtype=scenes.known.gain.dtype
    )
    with torch.no_grad():
        return scenes.truth.utility(decode(zero, scenes.known, logit_scale=LOGIT_SCALE))


def training_reward(utility: Tensor, equal: Tensor, reward: str) -> Tensor:
    """:func:`.relative.relative_reward` of the ``rate`` or the ``fair`` utility."""
    return relative_reward(utility, equal, ratio=reward == "rate")


class MultiCellTrainer(Trainer):
    """Trains on banks of scenes, one decision each."""

    policy: EquivariantPolicy
    kind: type[EquivariantPolicy] = EquivariantPolicy
    """Kind of policy."""

    def __init__(self, banks: Sequence[Scenes], recipe: TrainingRecipe, shape: PolicyShape | None = None) -> None:
        require(bool(banks), "`banks` is empty: there are no scenes to train on")
        super().__init__(new_policy(self.kind, shape, recipe.seed), recipe)
        self.banks = list(banks)
        self.equal = [equal_utility(bank) for bank in self.banks]

    def batch(self, step: int) -> tuple[int, np.ndarray]:
        """Bank and scenes of a step; a bank is drawn as often as it has scenes."""
        rng = np.random.default_rng([self.recipe.seed, step])
        sizes = np.array([len(bank) for bank in self.banks], dtype=float)
        bank = int(rng.choice(len(sizes), p=sizes / sizes.sum()))
        pairs = (self.banks[bank].known.users / 36) ** 2
        return bank, rng.integers(len(self.banks[bank]), size=max(1, round(self.recipe.batch / max(1.0, pairs))))

    def update(self) -> float:
        """One step; returns the mean training reward. Raises :class:`BadGradientError`."""
        which, index = self.batch(self.step)
        scenes = self.banks[which].take(index)
        utility = self.utility(scenes)
        gain = training_reward(utility, self.equal[which][index], scenes.truth.reward).mean()
        self.descend(-gain)
        return float(gain.detach())

    def utility(self, scenes: Scenes) -> Tensor:
        """True utility of the policy's allocations, (scenes,)."""
        return utility_of(self.policy, scenes)

    def batch_record(self) -> dict[str, Any]:
        """Bank and indices of its scenes."""
        which, index = self.batch(self.step)
        return {"bank": which, "scenes": index.tolist()}
