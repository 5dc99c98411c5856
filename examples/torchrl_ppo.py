"""TorchRL: PPO on lanes that stay on their device, from the channels to the gradients."""

import sys

import torch
from jcas_agents.torchrl import JCASTorchRLEnv
from tensordict.nn import NormalParamExtractor, TensorDictModule
from torchrl.collectors import Collector
from torchrl.modules import MLP, ProbabilisticActor, TanhNormal, ValueOperator
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value import GAE

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
device = "cuda" if torch.cuda.is_available() else "cpu"
task = {"users_per_cell": 4, "estimator": "crb", "observation": "flat", "dtype": "float32"}
env = JCASTorchRLEnv("jcas/MultiCell-v0", 16, device=device, **task)
torch.manual_seed(0)
env.set_seed(0)
net = torch.nn.Sequential(MLP(out_features=2 * env.action_spec.shape[-1], num_cells=[64, 64]), NormalParamExtractor())
heads = TensorDictModule(net, in_keys=["observation"], out_keys=["loc", "scale"])
actor = ProbabilisticActor(heads, in_keys=["loc", "scale"], distribution_class=TanhNormal, return_log_prob=True)
critic = ValueOperator(MLP(out_features=1, num_cells=[64, 64]), in_keys=["observation"])
actor, critic = actor.to(device), critic.to(device)
critic(actor(env.reset()))  # lazy layers get their sizes
loss, advantage = ClipPPOLoss(actor, critic), GAE(gamma=0.95, lmbda=0.95, value_network=critic)
optimiser = torch.optim.Adam(loss.parameters(), 3e-4)
for batch in Collector(env, actor, frames_per_batch=512, total_frames=steps, auto_register_policy_transforms=True):
    for _ in range(4):
        advantage(batch)
        for part in batch.flatten(0, 1)[torch.randperm(batch.numel(), device=device)].split(128):
            losses = loss(part)
            optimiser.zero_grad()
            sum(losses[name] for name in ("loss_objective", "loss_critic", "loss_entropy")).backward()
            optimiser.step()
print("mean reward of the last batch", batch["next", "reward"].mean().item())
