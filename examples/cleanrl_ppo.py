"""CleanRL's way: PPO in one file on native lanes, of which an episode's end takes a step of its own (NEXT_STEP)."""

import sys

import gymnasium as gym
import torch
from torch import nn
from torch.distributions import Normal

import jcas_env  # noqa: F401 (registers the environments)

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
lanes, slots, epochs, parts, discount, trace, clip = 32, 32, 8, 4, 0.95, 0.95, 0.2
torch.manual_seed(0)
make = {"id": "jcas/MassiveMIMO-v0", "num_envs": lanes, "observation": "flat"}
envs = gym.make_vec(**make)
inputs, outputs = envs.single_observation_space.shape[0], envs.single_action_space.shape[0]


def network(size: int, gain: float) -> nn.Sequential:
    """An MLP whose last layer begins at a gain."""
    layers = [nn.Linear(inputs, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, size)]
    nn.init.orthogonal_(layers[-1].weight, gain)
    return nn.Sequential(*layers)


actor, critic, log_std = network(outputs, 0.01), network(1, 1.0), nn.Parameter(torch.full((outputs,), -0.5))
weights = [*actor.parameters(), *critic.parameters(), log_std]
optimiser = torch.optim.Adam(weights, 1e-3, eps=1e-5)


@torch.no_grad()
def mean_reward() -> float:
    """Of an episode of the policy without noise, on the same targets whenever it is called."""
    test, total = gym.make_vec(**make), 0.0
    seen, _ = test.reset(seed=10**6)
    for _ in range(test.spec.max_episode_steps):
        seen, reward, *_ = test.step(actor(torch.as_tensor(seen)).clamp(-1, 1).numpy())
        total += float(reward.mean()) / test.spec.max_episode_steps
    return total


print("mean reward, untrained", mean_reward())
seen, done = torch.as_tensor(envs.reset(seed=0)[0]), torch.zeros(lanes, dtype=torch.bool)
for _ in range(steps // (lanes * slots)):
    rollout = []
    for _ in range(slots):
        with torch.no_grad():
            law = Normal(actor(seen), log_std.exp())
            action = law.sample()
            following, reward, terminated, truncated = map(torch.as_tensor, envs.step(action.clamp(-1, 1).numpy())[:4])
            # What is seen after an episode's last slot is its own; its value counts where time alone ended the episode.
            value, later = critic(seen)[:, 0], critic(following)[:, 0] * ~terminated
            error = reward.float() + discount * later - value
        played = ~done  # after an end, a step begins the next episode: it heeds no action and pays nothing
        done = terminated | truncated
        rollout.append((seen, action, law.log_prob(action).sum(-1), value, error, done, played))
        seen = following
    states, actions, before, values, errors, ends, kept = (torch.stack(part) for part in zip(*rollout, strict=True))
    advantages, later = torch.zeros_like(errors), torch.zeros(lanes)
    for slot in reversed(range(slots)):
        later = advantages[slot] = errors[slot] + discount * trace * ~ends[slot] * later
    batch = [part[kept] for part in (states, actions, before, advantages, advantages + values)]
    for _ in range(epochs):
        for chosen in torch.randperm(len(batch[0])).chunk(parts):
            state, action, was, advantage, target = (part[chosen] for part in batch)
            ratio = (Normal(actor(state), log_std.exp()).log_prob(action).sum(-1) - was).exp()
            advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
            gain = torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage).mean()
            loss = 0.5 * (critic(state)[:, 0] - target).square().mean() - gain
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(weights, 0.5)
            optimiser.step()
print("mean reward, trained", mean_reward())
