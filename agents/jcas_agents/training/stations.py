r"""Analytic policy gradient for base stations that share weights and decide each from what it sees.

The reward is the network's, as in :mod:`.multicell`: the gradient of what all earn passes through what each decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from jcas_env.scenarios.multicell import MultiCellConfig
from jcas_env.scenarios.multicell.action import decode

from ..data.station_scenes import StationScenes, draw_station_scenes, joined
from ..policies.policy import LOGIT_SCALE
from ..policies.stations import StationPolicy
from .multicell import MultiCellTrainer, with_shares
from .trainer import finite

SLOTS = 4
"""Slots of an episode that are scenes; in the first one nobody has reported."""


def draw_station_bank(
    configs: Sequence[MultiCellConfig], count: int, *, progress: Callable[[int], None] | None = None
) -> list[StationScenes]:
    """Scenes of several configurations as :func:`.multicell.draw_bank` draws them: :data:`SLOTS` of each episode.

    ``count`` scenes each, a multiple of :data:`SLOTS` or less than one more.
    """
    kinds: dict[Any, list[StationScenes]] = {}
    episodes = -(-count // SLOTS)
    for index, config in enumerate(configs):
        scenes = draw_station_scenes(config, episodes, SLOTS, split="train", first=index * episodes)
        shared = with_shares(scenes, np.random.default_rng(index))
        kinds.setdefault((config.users, config.service_weight), []).append(
            replace(scenes, known=shared.known, truth=shared.truth)
        )
        if progress is not None:
            progress(count)
    return [joined(parts).torch() for parts in kinds.values()]


class StationTrainer(MultiCellTrainer):
    """Trains on banks of scenes as stations see them."""

    kind = StationPolicy

    def utility(self, scenes: Any) -> Tensor:
        """True utility of what all stations decide, (scenes,)."""
        policy: Any = self.policy
        action = finite(policy.joint(scenes.views))
        return scenes.truth.utility(decode(action, scenes.known, logit_scale=LOGIT_SCALE))
