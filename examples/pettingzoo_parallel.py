"""PettingZoo: base stations that share one network of weights learn from their own rewards (REINFORCE)."""

import sys

import numpy as np
import torch

from jcas_env.envs.parallel_env import JCASParallelEnv

slots = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
env = JCASParallelEnv(users_per_cell=4, estimator="crb", observation="flat", own_reward=True)
shape = env.observation_space("station_0").shape, env.action_space("station_0").shape
policy = torch.nn.Sequential(torch.nn.Linear(*shape[0], 64), torch.nn.Tanh(), torch.nn.Linear(64, *shape[1]))
optimiser, mean = torch.optim.Adam(policy.parameters(), 1e-3), 0.0
for slot in range(slots):
    if not env.agents:
        observations, _ = env.reset(seed=slot)
    seen = torch.from_numpy(np.stack(list(observations.values())))
    chosen = torch.distributions.Normal(policy(seen), 0.3)
    actions = chosen.sample()
    observations, rewards, *_ = env.step(dict(zip(env.agents, actions.clamp(-1, 1).numpy(), strict=True)))
    earned = torch.tensor(list(rewards.values()), dtype=torch.float32)
    mean = 0.99 * mean + 0.01 * float(earned.mean())
    loss = -((earned - mean) * chosen.log_prob(actions).sum(-1)).mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
print("mean reward", mean)
