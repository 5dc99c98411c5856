"""The plain training loop that is timed: in a measuring process, on the environments of whichever checkout."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


class PlainPPO:
    r"""Proximal policy optimisation as a reader would write it in PyTorch: an MLP of 64 x 64 on the flat observation.

    Rollouts of 32 slots, generalised advantages with :math:`\gamma = 0.95`, :math:`\lambda = 0.95`, four epochs of
    four minibatches, ratio clipped at 0.2, Adam at 3e-4. What it learns is not the point here; what it costs is.
    """

    slots, epochs, parts, discount, trace, clip = 32, 4, 4, 0.95, 0.95, 0.2

    def __init__(self, env: Any, seed: int) -> None:
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        torch.manual_seed(seed)
        self.env = env
        first, _ = env.reset(seed=seed)
        self.seen = torch.as_tensor(np.asarray(first, dtype=np.float32))
        inputs, outputs = self.seen.shape[-1], env.single_action_space.shape[0]
        self.actor, self.critic = (
            nn.Sequential(nn.Linear(inputs, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, size))
            for size in (outputs, 1)
        )
        self.log_std = nn.Parameter(torch.full((outputs,), -1.0))
        weights = [*self.actor.parameters(), *self.critic.parameters(), self.log_std]
        self.optimizer = torch.optim.Adam(weights, lr=3e-4)

    def policy(self, seen: Tensor) -> torch.distributions.Normal:
        """Distribution of the action before clipping."""
        return torch.distributions.Normal(self.actor(seen), self.log_std.exp())

    def iterate(self) -> int:
        """One rollout and its updates; returns the samples."""
        slots = []
        with torch.no_grad():
            for _ in range(self.slots):
                law = self.policy(self.seen)
                action = law.sample()
                following, reward, terminated, truncated, _ = self.env.step(action.clamp(-1.0, 1.0).numpy())
                done = torch.as_tensor((terminated | truncated).astype(np.float32))
                gained = torch.as_tensor(np.asarray(reward, dtype=np.float32))
                value = self.critic(self.seen)[:, 0]
                slots.append((self.seen, action, law.log_prob(action).sum(-1), value, gained, done))
                self.seen = torch.as_tensor(np.asarray(following, dtype=np.float32))
            seen, action, before, value, reward, done = (torch.stack(part) for part in zip(*slots, strict=True))
            advantage = self._advantages(reward, value, self.critic(self.seen)[:, 0], done)
        batch = [part.flatten(0, 1) for part in (seen, action, before, advantage, advantage + value)]
        for _ in range(self.epochs):
            for chosen in torch.randperm(len(batch[0])).chunk(self.parts):
                self._update(*(part[chosen] for part in batch))
        return len(batch[0])

    def _advantages(self, reward: Tensor, value: Tensor, last: Tensor, done: Tensor) -> Tensor:
        """Generalised advantages, (slots, lanes)."""
        advantage, total = [], torch.zeros_like(last)
        for slot in reversed(range(len(reward))):
            error = reward[slot] + self.discount * (1.0 - done[slot]) * last - value[slot]
            total = error + self.discount * self.trace * (1.0 - done[slot]) * total
            advantage.append(total)
            last = value[slot]
        return torch.stack(advantage[::-1])

    def _update(self, seen: Tensor, action: Tensor, before: Tensor, advantage: Tensor, target: Tensor) -> None:
        """One step of the optimiser on a minibatch."""
        ratio = (self.policy(seen).log_prob(action).sum(-1) - before).exp()
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        gain = torch.minimum(ratio * advantage, ratio.clamp(1.0 - self.clip, 1.0 + self.clip) * advantage)
        loss = 0.5 * (self.critic(seen)[:, 0] - target).square().mean() - gain.mean()
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.optimizer.param_groups[0]["params"], 0.5)
        self.optimizer.step()
