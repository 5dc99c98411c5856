"""No library: native lanes, a network in PyTorch, and the gradient of REINFORCE."""

import sys

import gymnasium as gym
import torch

import jcas_env  # noqa: F401 (registers the environments)

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
task = {"users_per_cell": 4, "estimator": "crb", "observation": "flat"}
envs = gym.make_vec("jcas/MultiCell-v0", num_envs=16, autoreset_mode="SameStep", **task)
shape = envs.single_observation_space.shape[0], envs.single_action_space.shape[0]
policy = torch.nn.Sequential(torch.nn.Linear(shape[0], 64), torch.nn.Tanh(), torch.nn.Linear(64, shape[1]))
optimiser = torch.optim.Adam(policy.parameters(), 1e-3)
seen, _ = envs.reset(seed=0)
for _ in range(steps // envs.num_envs):
    chosen = torch.distributions.Normal(policy(torch.as_tensor(seen)), 0.3)
    actions = chosen.sample()
    seen, rewards, *_ = envs.step(actions.clamp(-1, 1).numpy())
    gain = torch.as_tensor(rewards - rewards.mean(), dtype=torch.float32)
    loss = -(gain * chosen.log_prob(actions).sum(-1)).mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
print("mean reward of the last slot", rewards.mean())
