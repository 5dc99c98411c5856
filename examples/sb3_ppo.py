"""Stable-Baselines3: PPO on native lanes, compared with the equal split on the same networks."""

import sys

from jcas_agents import evaluate
from jcas_agents.sb3 import make_sb3_env
from jcas_baselines import EqualAllocation
from stable_baselines3 import PPO

from jcas_env import make_scenario

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
task = {"users_per_cell": 4, "estimator": "crb", "observation": "flat"}
env = make_sb3_env("jcas/MultiCell-v0", num_envs=16, **task)
model = PPO("MlpPolicy", env, n_steps=32, batch_size=256, gamma=0.0, seed=0, device="cpu").learn(steps)
scenario = make_scenario("multicell", **task)
for allocator in (EqualAllocation(), model):
    print(type(allocator).__name__, evaluate(scenario, allocator, episodes=8, seed=0).utility.mean())
