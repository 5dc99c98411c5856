"""RLlib: PPO on native lanes, or on a policy that all base stations share; from a laptop to a cluster (--address)."""

import argparse

import ray
from jcas_agents.rllib import on_lanes, on_stations
from ray.rllib.algorithms.ppo import PPOConfig

parser = argparse.ArgumentParser()
parser.add_argument("steps", type=int, nargs="?", default=200_000)
parser.add_argument("--address", default="local", help="a cluster's, or local: a Ray of its own on this machine")
parser.add_argument("--runners", type=int, default=0, help="processes that play; 0: the one that learns")
parser.add_argument("--stations", action="store_true", help="one agent a base station")
options = parser.parse_args()

ray.init(address=options.address)
task = {"users_per_cell": 4, "estimator": "crb"}
config = PPOConfig().training(gamma=0.0, lr=3e-4, train_batch_size_per_learner=1600, minibatch_size=320)
config = on_stations(config, **task) if options.stations else on_lanes(config, "jcas/MultiCell-v0", **task)
config.env_runners(num_env_runners=options.runners)
algorithm = config.build_algo()
steps = 0
while steps < options.steps:
    result = algorithm.train()["env_runners"]
    steps = result["num_env_steps_sampled_lifetime"]
    print(int(steps), "steps, return of an episode", result.get("episode_return_mean"))
algorithm.stop()
ray.shutdown()
