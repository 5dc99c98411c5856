"""A channel estimator of one's own in the loop: least squares, shrunk by what the noise explains.

An estimator is a function of pilot data that returns an `Estimate`, for any number of links at once; its row in
`ESTIMATORS` says which data it wants, and makes its name a value of the field `estimator`.
"""

import gymnasium as gym
import numpy as np

import jcas_env  # noqa: F401  (registers the environments)
from jcas_env.physics.estimation import DATA, ESTIMATORS, Estimate, Estimator, ls


def shrunk(received, beams, noise_power, paths) -> Estimate:
    """Channels (..., snapshots, rx, tx) of unit mean power: noise of variance s^2 shrinks them by 1/(1 + s^2)."""
    found = ls(received, beams, noise_power, paths=paths)
    return found._replace(channel=found.channel / (1.0 + noise_power)[..., None, None, None])


ESTIMATORS["shrunk"] = Estimator(shrunk, DATA, frames=1)

for name in ("ls", "shrunk", "spomp"):
    env = gym.make("jcas/MultiCell-v0", estimator=name, pilot_power=0.01)
    env.reset(seed=0)
    earned, errors = [], []
    for _ in range(10):
        _, reward, _, _, info = env.step(np.zeros(env.action_space.shape, np.float32))
        earned.append(reward)
        errors.append(info["nmse"].mean())
    print(f"{name}: NMSE {10 * np.log10(np.mean(errors)):.1f} dB, reward {np.mean(earned):.2f}")
