"""A reward of one's own: a wrapper that makes it of what the slot's `info` says.

Solvers go on maximising the configured reward; for fairness there is `reward="fair"`, which they know. A policy is
trained on the wrapper by any library.
"""

import gymnasium as gym
import numpy as np

import jcas_env  # noqa: F401  (registers the environments)


class WorstUser(gym.Wrapper):
    """Data rate of the user who gets least, less a price for every millimetre of position error [Mbit/s]."""

    price = 0.01

    def step(self, action):
        """Play a slot; the reward is another one."""
        observation, _, terminated, truncated, info = self.env.step(action)
        error = info["position_error_m"][info["located"]]
        reward = info["rate"].min() / 1e6 - self.price * 1e3 * (np.median(error) if error.size else 0.0)
        return observation, float(reward), terminated, truncated, info


env = WorstUser(gym.make("jcas/MultiCell-v0"))
env.reset(seed=0)
for share in (-0.5, 0.0, 0.5):
    action = np.full(env.action_space.shape, share, np.float32)
    print(f"all entries {share}: reward {np.mean([env.step(action)[1] for _ in range(10)]):.3f}")
