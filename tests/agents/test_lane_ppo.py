"""PPO on native lanes: it learns, on a device without a copy, and counts no slot that was nobody's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from jcas_agents.checkpoint import load_policy, save_policy
from jcas_agents.training.ppo import LanePPO, PPORecipe, Rollout

from jcas_env import JCASVectorEnv

SMALL = {"estimator": "perfect", "users_per_cell": 3, "bs_antennas": 8, "ue_antennas": 2, "dtype": "float32"}


def lanes(scenario="multicell", count=64, **fields):
    return JCASVectorEnv(scenario, num_envs=count, **((SMALL if scenario == "multicell" else {}) | fields))


@pytest.mark.parametrize("device", [None, "cpu"])
def test_it_learns_to_beat_the_equal_allocation_which_it_starts_around(device):
    ppo = LanePPO(lanes(count=128, device=device), seed=0)
    rewards = [ppo.iterate()["reward"] for _ in range(40)]
    assert np.mean(rewards[:5]) < 0.0  # noise around the equal allocation costs
    assert np.mean(rewards[-10:]) > 0.1


def test_nothing_leaves_the_device(monkeypatch):
    ppo = LanePPO(lanes(device="cpu"), seed=0)

    def refuse(*_):
        raise AssertionError("a tensor became a NumPy array")

    monkeypatch.setattr(torch.Tensor, "numpy", refuse)
    monkeypatch.setattr(torch.Tensor, "__array__", refuse)
    assert ppo.iterate()["samples"] == 4 * 64


def test_a_seed_repeats_the_training_and_leaves_the_global_generator_alone():
    torch.manual_seed(3)
    state = torch.get_rng_state()
    curves = []
    for _ in range(2):
        ppo = LanePPO(lanes(count=16, device="cpu"), seed=7)
        curves.append([ppo.iterate()["reward"] for _ in range(3)])
    assert curves[0] == curves[1]
    assert torch.equal(torch.get_rng_state(), state)


def test_slots_in_which_lanes_are_reset_are_no_samples():
    ppo = LanePPO(lanes(count=8, horizon=3), PPORecipe(slots=4), seed=0)
    assert ppo.iterate()["samples"] == 3 * 8  # the fourth step resets
    assert ppo.iterate()["samples"] == 4 * 8 - 8  # slots 1 to 3, then the next reset


def test_advantages_of_a_hand_worked_rollout():
    ppo = LanePPO(lanes(count=1), PPORecipe(slots=3, discount=0.5, trace=0.8), seed=0)
    reward, value = torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([[0.5], [1.0], [2.0]])
    ended = torch.tensor([[0.0], [1.0], [0.0]])
    nothing = torch.zeros(3, 1)
    found = ppo._advantages(Rollout(None, nothing, nothing, value, reward, ended, nothing + 1), torch.tensor([6.0]))
    # 4 + .5*6 - 2 = 5; 2 + .5*2 - 1 = 2, cut; 1 + .5*1 - .5 = 1, + .5*.8*2 = 1.8
    torch.testing.assert_close(found, torch.tensor([[1.8], [2.0], [5.0]]))


@pytest.mark.parametrize(
    ("scenario", "fields"),
    [
        ("mesh", {"observation": "flat", "users": 4}),
        ("massive-mimo", {"users": 3}),
        ("multicell", {"observation": "flat"}),
    ],
)
def test_flat_observations_are_read_by_a_perceptron(scenario, fields):
    ppo = LanePPO(lanes(scenario, 8, **fields), seed=0)
    assert np.isfinite(ppo.iterate()["reward"])


def test_the_delay_reward_is_learnt_as_it_is():
    ppo = LanePPO(lanes(count=8, reward="delay"), PPORecipe(discount=0.9, relative=False), seed=0)
    assert np.isfinite(ppo.iterate()["reward"])
    with pytest.raises(ValueError, match="`relative` must be False with the delay reward"):
        LanePPO(lanes(count=8, reward="delay"))


def test_the_network_is_a_policy_that_can_be_saved(tmp_path):
    ppo = LanePPO(lanes(count=8), seed=0)
    ppo.iterate()
    save_policy(tmp_path / "p.safetensors", ppo.model.network, {})
    again = load_policy(tmp_path / "p.safetensors")
    observation, _ = ppo.env.reset(seed=5)
    np.testing.assert_array_equal(again.act(observation), ppo.model.network.act(observation))


def test_what_it_cannot_train_on_is_refused_by_name():
    with pytest.raises(ValueError, match="`autoreset_mode` must be NEXT_STEP, got .*SAME_STEP"):
        LanePPO(lanes(autoreset_mode="SameStep"))
    with pytest.raises(ValueError, match="`observation` must be 'flat' in mesh, got 'dict'"):
        LanePPO(lanes("mesh", 4))
    with pytest.raises(ValueError, match="`slots` must be positive, got 0"):
        PPORecipe(slots=0)
    with pytest.raises(ValueError, match=r"`discount` must be in \[0, 1\], got 1.5"):
        PPORecipe(discount=1.5)
