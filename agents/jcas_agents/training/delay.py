r"""Training through time: the delay task's policy, by gradients through the queues of several slots (spec learning 4).

.. math:: \min_\theta\ \mathbb{E} \sum_{t = t_0}^{t_0 + 9}
          \frac{\overline{s(t) + 0.1\, s(t)^2}}{1 + \overline{s(t_0 - 1)}}, \qquad
          s_u(t) = \frac{q_u(t)}{\lambda_u \Delta t}, \qquad
          q_u(t) = \max\big(q_u(t-1) + A_u(t) - R_u(\pi_\theta(\text{known}, q(t-1)))\, \Delta t,\; 0\big)

The bar is the mean over users. The mean is what counts in the end; the square, which the specification names alone,
feels long queues early. The denominator, the backlog at the beginning of the window,
keeps the few overloaded networks from drowning the rest.
The channels of an episode do not depend on what is allocated, so they are drawn once; queues, loads and arrivals are
played anew on them. The recursion and the rates are the scenario's own functions on torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from jcas_env.checks import require
from jcas_env.scenarios.multicell import MultiCellProblem
from jcas_env.scenarios.multicell.action import decode
from jcas_env.scenarios.multicell.network.traffic import arrival_rates, begin_traffic, next_traffic
from jcas_env.scenarios.multicell.problem.backlog import slots_of_arrivals
from jcas_env.scenarios.multicell.state import Traffic
from jcas_env.tree import tree_map

from ..data.episodes import Episodes
from ..policies.multicell import EquivariantPolicy, PolicyShape
from ..policies.policy import LOGIT_SCALE
from .trainer import Trainer, TrainingRecipe, finite, new_policy


@dataclass(frozen=True, kw_only=True)
class DelayRecipe(TrainingRecipe):
    """How a policy of the delay task is trained; recorded in its card."""

    steps: int = 1000
    """Updates, one window each."""
    batch: int = 24
    """Lanes that are played side by side."""
    square: float = 0.1
    """Weight of the squared backlog beside the backlog."""
    window: int = 10
    """Slots through which a gradient runs."""
    load: tuple[float, float] = (0.5, 1.05)
    """Ends of the uniform distribution of a lane's load."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.window > 0, f"`window` must be positive, got {self.window!r}")
        low, high = self.load
        require(0 < low <= high, f"`load` must be two positive numbers in order, got {self.load!r}")


class Lanes(NamedTuple):
    """Episodes in progress, at a decision."""

    episode: Tensor
    """(lanes,) integer"""
    slot: Tensor
    """(lanes,) integer: slot that comes."""
    queue: Tensor
    """(lanes, users): backlog before it [bit]."""
    traffic: Traffic
    """What arrives."""
    last_power: Tensor
    """(lanes, 2, users): powers on the air in the slot before [W]."""


def begin(episodes: Episodes, episode: Tensor, load: Tensor, uniform: Tensor) -> Lanes:
    """Lanes at the first slot of some episodes, with empty queues; ``load`` (lanes, 1), ``uniform`` (lanes, users)."""
    rate = arrival_rates(load, episodes.equal_rate[episode])
    power = episodes.scenes.known.last_power[episode * episodes.slots]
    traffic = begin_traffic(episodes.config, rate, uniform)
    return Lanes(episode, torch.zeros_like(episode), torch.zeros_like(rate), traffic, power)


def play(
    policy: Callable[[MultiCellProblem], Tensor], episodes: Episodes, lanes: Lanes, uniform: Tensor
) -> tuple[Lanes, Tensor]:
    """One slot under a policy that maps known problems to actions.

    ``uniform`` (lanes, users) makes the arrivals of the next slot. Returns the lanes there, and the backlogs that this
    slot leaves in slots of arrivals, (lanes, users). Raises :class:`BadGradientError` for an action that is not finite.
    """
    config, traffic = episodes.config, lanes.traffic
    scenes = episodes.scenes.take(lanes.episode * episodes.slots + lanes.slot)
    queues: dict[str, Any] = {
        "queue": lanes.queue,
        "arrival_rate": traffic.rate,
        "waited": traffic.waited,
        "last_power": lanes.last_power,
    }
    known = scenes.known.changed(arrivals=traffic.rate * config.slot, **queues)
    truth = scenes.truth.changed(arrivals=traffic.arrivals, **queues)
    allocation = decode(finite(policy(known)), known, logit_scale=LOGIT_SCALE)
    queue, served = truth.serve(truth.rates(allocation)[0])
    coming = next_traffic(config, traffic, lanes.queue + traffic.arrivals, served, uniform)
    after = lanes._replace(slot=lanes.slot + 1, queue=queue, traffic=coming, last_power=allocation.power.detach())
    return after, slots_of_arrivals(queue, truth.mean_arrivals)


def restarted(lanes: Lanes, fresh: Lanes, where: Tensor) -> Lanes:
    """Lanes with those that are marked, (lanes,) bool, replaced."""
    return tree_map(lambda new, old: torch.where(where.reshape(-1, *(1,) * (old.ndim - 1)), new, old), fresh, lanes)


class DelayTrainer(Trainer):
    """Trains a policy window by window; lanes go on where the last window ended, until their episode is over.

    In the beginning the lanes stand at different windows of their first episode, so that every update sees short and
    long backlogs. Its whole state, the lanes included, can be saved and put back.
    """

    policy: EquivariantPolicy
    recipe: DelayRecipe

    def __init__(self, episodes: Episodes, recipe: DelayRecipe, shape: PolicyShape | None = None) -> None:
        require(
            episodes.slots % recipe.window == 0,
            f"`window` must divide the {episodes.slots} slots of an episode, got {recipe.window}",
        )
        shape = PolicyShape(queues=True) if shape is None else shape
        super().__init__(new_policy(EquivariantPolicy, shape, recipe.seed), recipe)
        self.episodes = episodes
        lanes = self._fresh(np.random.default_rng([recipe.seed, recipe.steps]))
        offset = torch.arange(recipe.batch) * recipe.window % episodes.slots
        self.lanes = lanes._replace(slot=offset)

    def _fresh(self, rng: np.random.Generator) -> Lanes:
        """Every lane at the beginning of a random episode with a random load."""
        count, users = self.recipe.batch, self.episodes.equal_rate.shape[-1]
        episode = torch.from_numpy(rng.integers(len(self.episodes), size=count))
        load = torch.from_numpy(rng.uniform(*self.recipe.load, (count, 1))).to(torch.float32)
        return begin(self.episodes, episode, load, _uniform(rng, count, users))

    def update(self) -> float:
        """One window; returns minus the mean backlog in slots of arrivals. Raises :class:`BadGradientError`."""
        rng = np.random.default_rng([self.recipe.seed, self.step])
        over = self.lanes.slot >= self.episodes.slots
        lanes = restarted(tree_map(torch.detach, self.lanes), self._fresh(rng), over)
        slots = lanes.queue / (lanes.traffic.rate * self.episodes.config.slot)
        scale = 1.0 + slots.mean(-1)
        cost, backlog = torch.zeros(()), 0.0
        for _ in range(self.recipe.window):
            lanes, slots = play(self.policy.action_for, self.episodes, lanes, _uniform(rng, *lanes.queue.shape))
            cost = cost + ((slots + self.recipe.square * slots**2).mean(-1) / scale).mean()
            backlog += float(slots.detach().mean()) / self.recipe.window
        self.descend(cost)
        self.lanes = tree_map(torch.detach, lanes)
        return -backlog

    # ---------------------------------------------------------------- saving

    def tensors(self) -> dict[str, Tensor]:
        """Those of every trainer, and the lanes."""
        return super().tensors() | self._lanes()

    def expected(self) -> dict[str, Tensor]:
        """The same, see :meth:`.Trainer.expected`."""
        return super().expected() | self._lanes()

    def _lanes(self) -> dict[str, Tensor]:
        """Tensors of the lanes, by name."""
        *plain, traffic, power = self.lanes
        lanes = dict(zip(_LANES, (*plain, *traffic, power), strict=True))
        return {f"lanes.{name}": value for name, value in lanes.items()}

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        """Take over weights, moments and lanes; ``ValueError`` for lanes at an episode or slot that there is not."""
        for name, most in (("episode", len(self.episodes) - 1), ("slot", self.episodes.slots)):
            value = tensors[f"lanes.{name}"]
            inside = bool(((value >= 0) & (value <= most)).all())
            require(inside, f"`{name}` of the state's lanes must lie in [0, {most}], got {value.tolist()}")
        super()._restore(tensors)
        episode, slot, queue, rate, arrivals, waited, power = (tensors[f"lanes.{name}"] for name in _LANES)
        self.lanes = Lanes(episode, slot, queue, Traffic(rate, arrivals, waited), power)

    def batch_record(self) -> dict[str, Any]:
        """Episodes and slots at which the lanes stand; the saved state holds the lanes whole."""
        return {"episodes": self.lanes.episode.tolist(), "slots": self.lanes.slot.tolist()}


_LANES = ("episode", "slot", "queue", "rate", "arrivals", "waited", "last_power")
"""Names of the lanes' tensors in a file."""


def _uniform(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.random(shape, dtype=np.float32))
