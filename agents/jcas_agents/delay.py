r"""Training through time: the delay task's policy, by gradients through the queues of several slots (spec learning 4).

.. math:: \min_\theta\ \mathbb{E} \sum_{t = t_0}^{t_0 + 9} \frac1U \sum_u
          \Big(\frac{q_u(t)}{\lambda_u \Delta t}\Big)^2, \qquad
          q_u(t) = \max\big(q_u(t-1) + A_u(t) - R_u(\pi_\theta(\text{known}, q(t-1)))\, \Delta t,\; 0\big)

The channels of an episode do not depend on what is allocated, so they are drawn once; queues, loads and arrivals are
played anew on them. The recursion and the rates are the scenario's own functions on torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from jcas_env.physics.queues import poisson_count
from jcas_env.scenarios.multicell import MultiCell, MultiCellConfig, MultiCellProblem
from jcas_env.scenarios.multicell.action import decode
from jcas_env.scenarios.scenario import require
from jcas_env.tree import stack

from .gradient import BadGradientError, GradientTrainer, Recipe
from .networks import LOGIT_SCALE, EquivariantPolicy, PolicyShape
from .scenes import _DROPPED, SPLITS, Scenes, join


@dataclass(frozen=True, kw_only=True)
class DelayRecipe(Recipe):
    """How a policy of the delay task is trained; recorded in its card."""

    steps: int = 800
    """Updates, one window each."""
    batch: int = 24
    """Lanes that are played side by side."""
    rate: float = 2e-3
    """Largest learning rate of AdamW."""
    window: int = 10
    """Slots through which a gradient runs."""
    load: tuple[float, float] = (0.5, 1.05)
    """Ends of the uniform distribution of a lane's load."""


@dataclass(frozen=True, eq=False)
class Episodes:
    """Channels of many episodes of one configuration."""

    scenes: Scenes
    """Known and true problems without queues, (episodes * slots,): slot t of episode i at index i * slots + t."""
    slots: int
    """Slots of an episode."""
    equal_rate: Any
    """(episodes,): mean data rate of a user under equal allocation in the first slot [bit/s]."""
    config: MultiCellConfig
    """Where they come from."""

    def __len__(self) -> int:
        return len(self.scenes) // self.slots


def draw_episodes(
    config: MultiCellConfig,
    count: int,
    slots: int,
    *,
    split: str = "train",
    progress: Callable[[int], None] | None = None,
) -> Episodes:
    """Play ``count`` episodes with the zero action and keep their channels, as tensors of single precision.

    ``progress`` is called with the number of slots that are new. Queues and arrivals are left to the training.
    """
    require(split in SPLITS, f"`split` must be one of {list(SPLITS)}, got {split!r}")
    scenario = MultiCell(config.with_fields({"reward": "rate", "queues": False}))
    generators = [np.random.default_rng(SPLITS[split] + lane) for lane in range(count)]
    state = scenario.initial(stack([scenario.draw_initial(rng) for rng in generators]))
    rate, _ = scenario.truth(state).rates(scenario.fallback(scenario.problem(state)))
    parts = []
    for _ in range(slots):
        problem = scenario.problem(state)
        parts.append(Scenes(replace(problem, **_DROPPED), replace(scenario.truth(state), **_DROPPED)))
        allocation = scenario.decode(np.zeros((count, scenario.action_size)), problem)
        innovation = stack([scenario.draw(rng, state) for rng in generators])
        state = scenario.transition(state, allocation, innovation)
        if progress is not None:
            progress(count)
    order = np.arange(slots * count).reshape(slots, count).T.reshape(-1)
    scenes = join(parts).take(order).torch(torch.float32)
    return Episodes(scenes, slots, torch.from_numpy(rate.mean(axis=-1)).to(torch.float32), config)


class Lanes(NamedTuple):
    """Episodes in progress."""

    episode: Tensor
    """(lanes,) integer"""
    slot: Tensor
    """(lanes,) integer: slot that comes."""
    rate: Tensor
    """(lanes, users): mean arrivals [bit/s]."""
    queue: Tensor
    """(lanes, users) [bit]"""
    waited: Tensor
    """(lanes, users)"""
    last_power: Tensor
    """(lanes, 2, users) [W]"""


def begin(episodes: Episodes, episode: Tensor, load: Tensor) -> Lanes:
    """Lanes at the first slot of some episodes, with empty queues; ``load`` (lanes,)."""
    first = episodes.scenes.known.last_power[episode * episodes.slots]
    rate = (load * episodes.equal_rate[episode])[:, None].expand(-1, first.shape[-1])
    nothing = torch.zeros_like(rate)
    return Lanes(episode, torch.zeros_like(episode), rate, nothing, nothing, first)


def play(
    policy: Callable[[MultiCellProblem], Tensor], episodes: Episodes, lanes: Lanes, uniform: Tensor
) -> tuple[Lanes, Tensor]:
    """One slot under a policy that maps known problems to actions; ``uniform`` (lanes, users) makes the arrivals.

    Returns the lanes at the next slot and what the slot costs, minus the ``drain`` utility, (lanes,).
    """
    config = episodes.config
    scenes = episodes.scenes.take(lanes.episode * episodes.slots + lanes.slot)
    packets = poisson_count(uniform, lanes.rate * config.slot / config.packet_bits)
    queues: dict[str, Any] = {
        "queue": lanes.queue,
        "arrival_rate": lanes.rate,
        "waited": lanes.waited,
        "last_power": lanes.last_power,
        "reward": "drain",
    }
    known = replace(scenes.known, arrivals=lanes.rate * config.slot, **queues)
    truth = replace(scenes.truth, arrivals=config.packet_bits * packets, **queues)
    action = policy(known)
    if not torch.isfinite(action).all():
        raise BadGradientError("the policy's action is not finite")
    allocation = decode(action, known, logit_scale=LOGIT_SCALE)
    queue, served = truth.serve(truth.rates(allocation)[0])
    slots = queue / (lanes.rate * config.slot).clamp(min=1e-9)
    with torch.no_grad():
        enough = torch.minimum(lanes.rate * config.slot, truth.queue + truth.arrivals)
        waited = torch.where(served >= enough, 0.0, lanes.waited + 1.0)
    after = lanes._replace(slot=lanes.slot + 1, queue=queue, waited=waited, last_power=allocation.power.detach())
    return after, slots
