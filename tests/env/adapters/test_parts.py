"""Lanes that are worked on in parts: the same slots as all at once, in memory that does not grow with the lanes."""

from __future__ import annotations

import numpy as np
import pytest

from jcas_env import JCASVectorEnv, MultiCell
from jcas_env.scenarios.multicell.network.draws import DRAWN_AT_ONCE, draw_initial

SMALL = {"users_per_cell": 3, "bs_antennas": 8, "ue_antennas": 2, "horizon": 7}


def episode(monkeypatch, size, mode, fields):
    """Rewards, observations and info of ten steps, with a partial reset where lanes may be out of step."""
    monkeypatch.setattr(MultiCell, "lanes_at_once", property(lambda _: size))
    env = JCASVectorEnv("multicell", num_envs=5, autoreset_mode=mode, **SMALL, **fields)
    env.reset(seed=3)
    rng, told, done = np.random.default_rng(0), [], np.zeros(5, dtype=bool)
    for slot in range(10):
        mask = done | (np.arange(5) == 1) if slot in (2, 8) else done & (mode == "Disabled")
        if mask.any():
            env.reset(options={"reset_mask": mask})
        observation, reward, _, done, info = env.step(rng.uniform(-1, 1, env.action_space.shape).astype(np.float32))
        told.append((reward, *observation.values(), info["nmse"], info["position"], info["rate"]))
    return told


@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
@pytest.mark.parametrize(
    "fields", [{"estimator": "spomp"}, {"estimator": "crb", "reward": "delay", "kalman": True}], ids=["spomp", "queues"]
)
def test_parts_of_the_lanes_play_what_all_lanes_play_at_once(mode, fields, monkeypatch):
    whole = episode(monkeypatch, None, mode, fields)
    for size in (1, 2):
        for ours, theirs in zip(episode(monkeypatch, size, mode, fields), whole, strict=True):
            for a, b in zip(ours, theirs, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-9, atol=2e-6 if a.dtype == np.float32 else 1e-9)


def test_a_part_draws_no_more_pilot_noise_than_what_is_stated():
    scenario = MultiCell()
    pilots = draw_initial(scenario.config, np.random.default_rng(0)).noise.pilots
    assert scenario.lanes_at_once * 2 * pilots.size <= DRAWN_AT_ONCE < (scenario.lanes_at_once + 1) * 2 * pilots.size


def test_with_the_true_channel_all_lanes_are_one_part():
    assert JCASVectorEnv("multicell", estimator="perfect").scenario.lanes_at_once is None
