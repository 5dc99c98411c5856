"""skrl: PPO on native lanes, which start again in the step in which an episode ends."""

import sys

import gymnasium as gym
from skrl.agents.torch.ppo import PPO, PPO_CFG
from skrl.envs.wrappers.torch import wrap_env
from skrl.memories.torch import RandomMemory
from skrl.trainers.torch import SequentialTrainer
from skrl.utils import set_seed
from skrl.utils.model_instantiators.torch import deterministic_model, gaussian_model

import jcas_env  # noqa: F401 (registers the environments)

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
set_seed(0)
task = {"users_per_cell": 4, "estimator": "crb", "observation": "flat"}
env = wrap_env(gym.make_vec("jcas/MultiCell-v0", num_envs=16, autoreset_mode="SameStep", **task))
spaces = {"observation_space": env.observation_space, "action_space": env.action_space, "device": env.device}
network = [{"name": "net", "input": "OBSERVATIONS", "layers": [64, 64], "activations": "tanh"}]
models = {
    "policy": gaussian_model(**spaces, network=network, output="ACTIONS", initial_log_std=-1.0, clip_actions=True),
    "value": deterministic_model(**spaces, network=network, output="ONE"),
}
memory = RandomMemory(memory_size=32, num_envs=env.num_envs, device=env.device)
# What skrl sees after an episode's last slot is the next one's first: no discount reaches over that.
cfg = PPO_CFG(rollouts=32, learning_epochs=4, mini_batches=4, discount_factor=0.0, learning_rate=3e-4)
cfg.experiment.write_interval = cfg.experiment.checkpoint_interval = 0  # no files
agent = PPO(models=models, memory=memory, cfg=cfg, **spaces)
SequentialTrainer(env=env, agents=agent, cfg={"timesteps": steps // env.num_envs, "headless": True}).train()
print("mean reward of the last rollout", memory.get_tensor_by_name("rewards").mean().item())
