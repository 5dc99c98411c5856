r"""Proximal policy optimisation on native lanes: nothing is copied between an environment on a device and the network.

For every slot of every lane, with the ratio :math:`\rho = \pi(a \mid o)/\pi_\mathrm{old}(a \mid o)`,

.. math:: \max_\pi\; \overline{\min\big(\rho A,\ \mathrm{clip}(\rho, 1 - \epsilon, 1 + \epsilon) A\big)}
          - c\, \overline{(V - \hat V)^2}, \qquad
          A_t = \sum_k (\gamma\lambda)^k \big(r_{t+k} + \gamma V_{t+k+1} - V_{t+k}\big)

(Schulman et al., 2017; advantages as in their eq. 11). An episode that is cut off is worth its last value; the step in
which a NEXT_STEP lane is reset is nobody's and counts for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from jcas_env import JCASVectorEnv
from jcas_env.checks import require

from ..data.relative import relative_reward
from ..policies.equivariant import KINDS, propose, spread_out
from ..policies.multicell import EquivariantPolicy, PolicyShape

Seen = dict[str, Tensor] | Tensor
"""Observations of all lanes."""


@dataclass(frozen=True, kw_only=True)
class PPORecipe:
    """How :class:`LanePPO` trains. The defaults suit slots that do not depend on each other, as without queues."""

    slots: int = 4
    """Slots of a rollout."""
    epochs: int = 4
    """Times that a rollout is gone through."""
    minibatch: int = 512
    """Samples of a step of the optimiser."""
    rate: float = 1e-3
    """Learning rate of Adam."""
    discount: float = 0.0
    """gamma; 0 where an action changes nothing that comes."""
    trace: float = 1.0
    """lambda."""
    clip: float = 0.2
    """epsilon."""
    value_weight: float = 0.5
    """c."""
    deviation: float = 0.22
    """Standard deviation of the first actions, in units of an action."""
    largest_norm: float = 0.5
    """Largest norm of a gradient."""
    relative: bool = True
    """Learn from how much an action earns beyond the equal allocation in its slot (spec learning 2)."""

    def __post_init__(self) -> None:
        for name in ("slots", "epochs", "minibatch", "rate", "deviation", "largest_norm"):
            require(getattr(self, name) > 0, f"`{name}` must be positive, got {getattr(self, name)!r}")
        for name in ("discount", "trace", "clip"):
            require(0 <= getattr(self, name) <= 1, f"`{name}` must be in [0, 1], got {getattr(self, name)!r}")


class LaneActorCritic(nn.Module):
    """Actions of the multi-cell policy network, a deviation for each kind of entry, a value of the mean user."""

    def __init__(self, env: JCASVectorEnv, deviation: float) -> None:
        super().__init__()
        shape = PolicyShape(width=16, layers=1, heads=1, queues=env.scenario.config.has_queues)
        self.network = EquivariantPolicy(shape)
        self.users, self.entries = env.scenario.config.users, env.scenario.action_size
        self.log_std = nn.Parameter(torch.full((KINDS + 1,), log(deviation)))
        self.value = nn.Sequential(nn.Linear(shape.width, 64), nn.Tanh(), nn.Linear(64, 1))

    def forward(self, seen: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and deviation of the actions, (lanes, entries) and (entries,), and values (lanes,)."""
        proposal, hidden = propose(self.network.parts, seen)
        deviation = spread_out(self.log_std, self.users, self.entries).exp()
        # A value that fits poorly at first would otherwise move the actor's network.
        return torch.tanh(proposal), deviation, self.value(hidden.mean(-2).detach())[..., 0]


class MLPActorCritic(nn.Module):
    """Two perceptrons on a flat observation."""

    def __init__(self, env: JCASVectorEnv, deviation: float, width: int = 256) -> None:
        super().__init__()
        space = env.single_observation_space
        assert space.shape is not None
        (inputs,), entries = space.shape, env.scenario.action_size
        self.actor, self.critic = (
            nn.Sequential(nn.Linear(inputs, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, n))
            for n in (entries, 1)
        )
        self.log_std = nn.Parameter(torch.full((entries,), log(deviation)))

    def forward(self, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and deviation of the actions, (lanes, entries) and (entries,), and values (lanes,)."""
        return torch.tanh(self.actor(seen)), self.log_std.exp(), self.critic(seen)[..., 0]


class Rollout(NamedTuple):
    """Some slots of all lanes; leading axes (slots, lanes)."""

    seen: Any
    action: Tensor
    """(..., entries): before the environment clips it."""
    chance: Tensor
    """Logarithm of the action's density."""
    value: Tensor
    reward: Tensor
    ended: Tensor
    """1 where an episode was cut off after the slot."""
    counts: Tensor
    """Whether the slot was played, and not spent on a reset."""


class LanePPO:
    """Trains an actor and critic on the lanes of an environment, in NumPy or on a device.

    Parameters
    ----------
    env : JCASVectorEnv
        Autoreset mode NEXT_STEP (the default). A multi-cell environment with the ``dict`` observation gets the
        equivariant network, any other must give a flat one.
    recipe : PPORecipe, optional
    seed : int
        Of weights, exploration and networks.

    Raises ``ValueError`` for another autoreset mode, for a dict observation that no network reads, and for the relative
    reward of queues, where what an action costs comes later.
    """

    def __init__(self, env: JCASVectorEnv, recipe: PPORecipe | None = None, *, seed: int = 0) -> None:
        mode = env.metadata["autoreset_mode"]
        require(mode.value == "NextStep", f"`autoreset_mode` must be NEXT_STEP, got {mode}")
        self.env, self.recipe = env, PPORecipe() if recipe is None else recipe
        structured = isinstance(env.single_observation_space.sample(), dict)
        known = env.scenario.name == "multicell" or not structured
        require(known, f"`observation` must be 'flat' in {env.scenario.name}, got 'dict'")
        queues = self.recipe.relative and getattr(env.scenario.config, "reward", None) == "delay"
        require(not queues, "`relative` must be False with the delay reward, got True")
        first, _ = env.reset(seed=seed)
        part = next(iter(first.values())) if isinstance(first, Mapping) else first
        self._on_tensors = isinstance(part, Tensor)
        self.device = part.device if self._on_tensors else torch.device("cpu")
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            kind = LaneActorCritic if structured else MLPActorCritic
            self.model = kind(env, self.recipe.deviation).to(self.device)
        self.generator = torch.Generator(self.device).manual_seed(seed)
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=self.recipe.rate)
        self._seen = self._tensors(first)
        self._over = torch.zeros(env.num_envs, device=self.device)

    def iterate(self) -> dict[str, float]:
        """One rollout and its updates: ``samples``, and the means of ``reward`` and training reward over them."""
        rollout, last = self._roll_out()
        advantage = self._advantages(rollout, last)
        target = advantage + rollout.value
        samples = torch.nonzero(rollout.counts.flatten())[:, 0]
        flat = _each(lambda part: part.flatten(0, 1), (rollout.seen, rollout.action, rollout.chance, advantage, target))
        for _ in range(self.recipe.epochs):
            order = samples[torch.randperm(len(samples), generator=self.generator, device=self.device)]
            for chosen in order.split(self.recipe.minibatch):
                self._update(*_each(lambda part, chosen=chosen: part[chosen], flat))
        return {"samples": len(samples), "reward": float(rollout.reward[rollout.counts > 0].mean())}

    # ---------------------------------------------------------------- rollouts

    @torch.no_grad()
    def _roll_out(self) -> tuple[Rollout, Tensor]:
        """Slots of all lanes, and the value of what follows them."""
        slots = []
        for _ in range(self.recipe.slots):
            mean, deviation, value = self.model(self._seen)
            noise = torch.randn(mean.shape, generator=self.generator, device=self.device)
            action = mean + deviation * noise
            equal = self._equal() if self.recipe.relative else None
            following, earned, terminated, truncated, _ = self.env.step(self._for_env(action))
            reward = self._tensors(earned)
            if equal is not None:
                ratio = getattr(self.env.scenario.config, "ratio_scale", False)
                reward = relative_reward(reward, equal, ratio=ratio)
            counts, self._over = 1.0 - self._over, self._tensors(terminated | truncated)
            chance = _log_density(action, mean, deviation)
            slots.append(Rollout(self._seen, action, chance, value, reward * counts, self._over, counts))
            self._seen = self._tensors(following)
        together = Rollout(*_each(lambda *parts: torch.stack(parts), *slots))
        return together, self.model(self._seen)[2]

    def _equal(self) -> Tensor:
        """Reward of the equal allocation in the slot that comes, (lanes,)."""
        return self._tensors(self.env.truth.utility(self.env.scenario.fallback(self.env.problem)))

    def _advantages(self, rollout: Rollout, last: Tensor) -> Tensor:
        """Generalised advantages, (slots, lanes); a slot that ends an episode is worth the value of what it left."""
        gamma, trace = self.recipe.discount, self.recipe.trace
        advantages, total = [], torch.zeros_like(last)
        for slot in reversed(range(self.recipe.slots)):
            reward, value, ended = rollout.reward[slot], rollout.value[slot], rollout.ended[slot]
            total = reward + gamma * last - value + gamma * trace * (1.0 - ended) * total
            advantages.append(total)
            last = value
        return torch.stack(advantages[::-1])

    def _update(self, seen: Any, action: Tensor, before: Tensor, advantage: Tensor, target: Tensor) -> None:
        """One step of the optimiser on a minibatch."""
        recipe = self.recipe
        mean, deviation, value = self.model(seen)
        ratio = (_log_density(action, mean, deviation) - before).exp()
        scaled = (advantage - advantage.mean()) / (advantage.std(correction=0) + 1e-8)
        gain = torch.minimum(ratio * scaled, ratio.clamp(1.0 - recipe.clip, 1.0 + recipe.clip) * scaled)
        cost = recipe.value_weight * (value - target).square().mean() - gain.mean()
        self.optimiser.zero_grad()
        cost.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), recipe.largest_norm)
        self.optimiser.step()

    # ---------------------------------------------------------------- between environment and network

    def _tensors(self, value: Any) -> Any:
        """What an environment gives as tensors; those of a device stay where they are."""
        if isinstance(value, Mapping):
            return {name: self._tensors(part) for name, part in value.items()}
        return torch.as_tensor(value).to(torch.float32)

    def _for_env(self, action: Tensor) -> Any:
        """Actions where the environment's lanes live."""
        return action if self._on_tensors else action.numpy()


def _log_density(action: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """Logarithm of a normal density up to a constant, summed over the entries of an action."""
    return -(0.5 * ((action - mean) / deviation).square() + deviation.log()).sum(-1)


def _each(function: Any, *trees: Any) -> Any:
    """Apply a function to corresponding tensors of tuples and dicts."""
    first = trees[0]
    if isinstance(first, tuple):
        return tuple(_each(function, *parts) for parts in zip(*trees, strict=True))
    if isinstance(first, dict):
        return {name: _each(function, *(tree[name] for tree in trees)) for name in first}
    return function(*trees)
