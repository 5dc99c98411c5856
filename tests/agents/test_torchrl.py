"""TorchRL: its own wrappers on our environments, and lanes of a device without a way through NumPy."""

from __future__ import annotations

import gymnasium as gym
import pytest
import torch

pytest.importorskip("torchrl", reason="needs TorchRL: pip install 'jcas-env[torchrl]'")

from jcas_agents.torchrl import JCASTorchRLEnv
from torchrl.envs import GymEnv, GymWrapper, check_env_specs

from jcas_env import JCASVectorEnv

IDS = ("jcas/MultiCell-v0", "jcas/Mesh-v0", "jcas/MassiveMIMO-v0")
SMALL = {"users_per_cell": 3, "observation": "flat"}
by_id = pytest.mark.parametrize("id", IDS)


def native(id, mode, **fields):
    return gym.make_vec(id, num_envs=3, autoreset_mode=mode, vectorization_mode="vector_entry_point", **fields)


@by_id
def test_torchrl_s_own_wrappers_take_the_registered_defaults(id):
    for env in (GymEnv(id), GymWrapper(native(id, "Disabled")), GymWrapper(native(id, "SameStep"))):
        check_env_specs(env)


@by_id
@pytest.mark.parametrize("fields", [{}, {"observation": "flat", "max_episode_steps": 3, "dtype": "float32"}])
def test_lanes_of_a_device_keep_their_specs(id, fields):
    env = JCASTorchRLEnv(id, 3, **fields)
    check_env_specs(env)
    assert env.reward_spec.dtype == getattr(torch, fields.get("dtype", "float64"))


@pytest.mark.parametrize(("mode", "resets"), [("Disabled", 1), ("SameStep", 2)])
def test_the_wrapper_sees_what_native_lanes_show_across_the_end_of_an_episode(mode, resets):
    """In TorchRL's form the observation after an episode's last step is its last one, not the next one's first.

    Lanes that have been reset in the same step and all end together are reset once more by TorchRL.
    """
    env = GymWrapper(native(IDS[0], mode, max_episode_steps=3, **SMALL))
    env.set_seed(5)
    rolled = env.rollout(7, break_when_any_done=False)
    lanes = JCASVectorEnv(num_envs=3, max_episode_steps=3, autoreset_mode="Disabled", **SMALL)
    lanes.reset(seed=5)  # TorchRL seeds by a reset, and begins with another one
    seen, _ = lanes.reset()
    for slot in range(7):
        assert torch.equal(rolled["observation"][:, slot], torch.as_tensor(seen))
        seen, reward, _, truncated, _ = lanes.step(rolled["action"][:, slot].numpy())
        assert torch.equal(rolled["next", "observation"][:, slot], torch.as_tensor(seen))
        assert torch.allclose(rolled["next", "reward"][:, slot, 0], torch.as_tensor(reward, dtype=torch.float32))
        assert rolled["next", "done"][:, slot, 0].tolist() == truncated.tolist() == [slot % 3 == 2] * 3
        for _ in range(truncated.any() * resets):
            seen, _ = lanes.reset(options={"reset_mask": truncated})


def test_lanes_of_a_device_never_go_through_numpy(monkeypatch):
    env = JCASTorchRLEnv(IDS[0], 4, max_episode_steps=3, estimator="perfect", **SMALL)
    env.reset()

    def refused(*_, **__):
        raise AssertionError("a tensor went to NumPy")

    for name in ("numpy", "__array__", "cpu"):
        monkeypatch.setattr(torch.Tensor, name, refused)
    rolled = env.rollout(7, break_when_any_done=False)
    assert rolled["next", "done"][..., 0].tolist() == [[False, False, True] * 2 + [False]] * 4


def test_lanes_of_a_device_are_the_vector_environment_s():
    env = JCASTorchRLEnv(IDS[0], 3, max_episode_steps=4, **SMALL)
    env.set_seed(2)
    rolled = env.rollout(4)
    lanes = JCASVectorEnv(num_envs=3, device="cpu", max_episode_steps=4, **SMALL)
    seen, _ = lanes.reset(seed=2)
    for slot in range(4):
        assert torch.equal(rolled["observation"][:, slot], seen)
        seen, reward, _, truncated, _ = lanes.step(rolled["action"][:, slot])
        assert torch.equal(rolled["next", "reward"][:, slot, 0], reward)
        assert torch.equal(rolled["next", "truncated"][:, slot, 0], truncated)
    assert not rolled["next", "terminated"].any()


def test_a_part_of_the_lanes_is_reset_alone():
    env = JCASTorchRLEnv(IDS[0], 3, **SMALL)
    first = env.reset()
    env.step(env.rand_action(first))
    mask = torch.tensor([[False], [True], [False]])
    again = env.reset(first.clone().set("_reset", mask))
    assert again.batch_size == (3,)
    assert env.lanes.state.slot.tolist() == [1, 0, 1]
