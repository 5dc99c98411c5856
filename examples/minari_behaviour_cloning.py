"""Minari: behaviour cloning of a search from a dataset of `jcas dataset`, scored on episodes held out of it."""

import subprocess
import sys

import minari
import numpy as np
import torch
from torch.nn import Linear, Sequential, SiLU

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 500
name, cells, users, held_out = "jcas/multicell-search-20-v0", 3, 4, 20
if name not in minari.list_local_datasets():
    task = f"--set users_per_cell={users} --set estimator=crb --episodes 100 --horizon 2 --allocator search-20"
    subprocess.run([sys.executable, "-m", "jcas_experiments", "dataset", "multicell", *task.split()], check=True)
dataset = minari.load_dataset(name)
env, references = dataset.recover_environment(), dataset.storage.metadata["jcas"]["score"]["references"]
train, test = np.split(np.arange(len(dataset)), [-held_out])
seen = torch.from_numpy(np.concatenate([dataset[i].observations["users"][:-1] for i in train]))
chosen = torch.from_numpy(np.concatenate([dataset[i].actions for i in train]))
torch.manual_seed(0)
network = Sequential(Linear(3 * seen.shape[-1], 64), SiLU(), Linear(64, 64), SiLU(), Linear(64, 5))


def policy(features):
    """One network for all users, who see their features and the mean and maximum of those in their cell."""
    own = features.unflatten(-2, (cells, users))
    crowd = torch.cat([own.mean(-2, keepdim=True), own.amax(-2, keepdim=True)], -1)
    out = torch.tanh(network(torch.cat([own, crowd.expand(*own.shape[:-1], -1)], -1)))
    return torch.cat([out[..., :4].flatten(-3), out[..., 4].mean(-1)], -1)


def score():
    """Mean return on the networks held out: 0 is that of the equal split there, 1 that of the best that is known."""
    rewards = []
    for seed in test:
        (observation, _), over = env.reset(seed=int(seed)), False
        while not over:
            with torch.no_grad():
                action = policy(torch.from_numpy(observation["users"])).numpy()
            observation, reward, _, over, _ = env.step(action)
            rewards.append(reward)
    least, best = (np.sum(references[end]["returns"][-held_out:]) for end in ("min", "max"))
    return (np.sum(rewards) - least) / (best - least)


print("untrained", score())
optimiser = torch.optim.Adam(network.parameters(), 3e-3)
for _ in range(steps):
    some = torch.randint(len(seen), (128,))
    loss = (policy(seen[some]) - chosen[some]).square().mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
print("cloned", score())
