"""Lanes on a device: the same slots as in NumPy given the same draws, and a vector environment of tensors."""

from __future__ import annotations

from contextlib import ExitStack

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from jcas_env import JCASVectorEnv, make_scenario
from jcas_env.randomness import TensorGenerator, complex_normal
from jcas_env.tree import stack, tree_map

SMALL = {
    "multicell": {"users_per_cell": 4, "bs_antennas": 8, "ue_antennas": 2, "horizon": 8},
    "mesh": {"users": 5, "horizon": 8},
    "massive-mimo": {"users": 3, "tx_antennas": 8, "rx_antennas": 8, "horizon": 8},
}
KINDS = [
    ("multicell", {"estimator": "perfect"}),
    ("multicell", {"estimator": "crb"}),
    ("multicell", {"estimator": "spomp"}),
    ("multicell", {"estimator": "perfect", "reward": "delay", "kalman": True, "blockage": True, "csi_nmse": 0.01}),
    ("mesh", {}),
    ("massive-mimo", {}),
]
for_all = pytest.mark.parametrize(
    ("name", "fields"), KINDS, ids=lambda x: x if isinstance(x, str) else "-".join(map(str, x))
)


DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def tensors(tree, device):
    """A nest of arrays as tensors."""
    return tree_map(lambda leaf: torch.from_numpy(np.array(leaf)).to(device), tree)


def tensor_env(name, lanes=4, **fields):
    return JCASVectorEnv(name, num_envs=lanes, device="cpu", **(SMALL[name] | {"dtype": "float32"} | fields))


def parts(observation):
    return observation if isinstance(observation, dict) else {"all": observation}


@for_all
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-7), ("float32", 1e-5)])
def test_an_episode_on_tensors_earns_what_it_earns_in_numpy_given_the_same_draws(
    name, fields, dtype, tolerance, device
):
    scenario = make_scenario(name, **(SMALL[name] | fields), dtype=dtype)
    if dtype == "float32" and fields.get("estimator") == "spomp":
        tolerance = 5e-4  # the last Newton step is as long as the rounding of the data allows
    generators = [np.random.default_rng(seed) for seed in range(6)]
    drawn = stack([scenario.draw_initial(generator) for generator in generators])
    host, there = scenario.initial(drawn), scenario.initial(tensors(drawn, device))
    actions = np.random.default_rng(1).uniform(-1, 1, (8, 6, scenario.action_size)).astype(dtype)
    for action in actions:
        seen, known = parts(scenario.observation(host)), scenario.problem(host)
        on_tensors, known_there = parts(scenario.observation(there)), scenario.problem(there)
        for key, value in seen.items():
            assert on_tensors[key].dtype == torch.float32
            # Gains of beams that all but miss a user are differences of rounding errors in single precision.
            assert np.median(np.abs(on_tensors[key].cpu().numpy() - value)) <= tolerance, key
        host_allocation = scenario.decode(action, known)
        allocation = scenario.decode(torch.from_numpy(action).to(device), known_there)
        reward, same = scenario.reward(host, host_allocation), scenario.reward(there, allocation).cpu().numpy()
        np.testing.assert_allclose(same, reward, rtol=tolerance, atol=tolerance)
        innovation = stack([scenario.draw(generator, host) for generator in generators])
        host = scenario.transition(host, host_allocation, innovation)
        there = scenario.transition(there, allocation, tensors(innovation, device))
        assert isinstance(there.slot, np.ndarray)


@for_all
@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
def test_lanes_on_a_device_keep_the_contract_of_lanes_in_numpy(name, fields, mode):
    env = tensor_env(name, autoreset_mode=mode, **fields)
    peer = JCASVectorEnv(name, num_envs=4, autoreset_mode=mode, **(SMALL[name] | {"dtype": "float32"} | fields))
    observation, info = env.reset(seed=3)
    peer_observation, peer_info = peer.reset(seed=3)
    assert info.keys() == peer_info.keys()
    spaces = parts(env.observation_space)
    done = np.zeros(4, dtype=bool)
    for slot in range(12):
        if mode == "Disabled" and (done.any() or slot == 2):
            mask = done if done.any() else np.array([True, False, False, False])
            env.reset(options={"reset_mask": mask.copy()})
            peer.reset(options={"reset_mask": mask.copy()})
        action = env.action_space.sample()
        ours = env.step(torch.from_numpy(action))
        theirs = peer.step(action)
        observation, reward, terminated, truncated, info = ours
        for key, value in parts(observation).items():
            theirs_too = parts(theirs[0])[key]
            assert (tuple(value.shape), value.dtype) == (theirs_too.shape, torch.float32)
            if isinstance(spaces, dict):
                assert np.isfinite(value.numpy()).all()
        assert reward.dtype == torch.float32
        assert torch.isfinite(reward).all()
        np.testing.assert_array_equal(truncated.numpy(), theirs[3])
        np.testing.assert_array_equal(terminated.numpy(), theirs[2])
        assert info.keys() == theirs[4].keys()
        for key, value in theirs[4].items():
            if key.startswith("_") and key not in ("_final_info",):
                np.testing.assert_array_equal(info[key].numpy(), value)
            elif not key.startswith(("final", "_final")):
                assert tuple(info[key].shape) == value.shape, key
                assert info[key].device.type == "cpu"
        done = theirs[3]
    assert peer_observation is not None


def test_a_seed_repeats_an_episode_and_a_snapshot_continues_it():
    env = tensor_env("multicell", estimator="perfect")
    action = torch.zeros(4, env.scenario.action_size)

    def play(slots):
        return torch.stack([env.step(action)[1] for _ in range(slots)])

    env.reset(seed=5)
    first = play(3)
    snapshot = env.get_state()
    rest = play(3)
    env.reset(seed=5)
    assert torch.equal(play(3), first)
    env.set_state(snapshot)
    assert torch.equal(play(3), rest)
    env.reset(seed=6)
    assert not torch.equal(play(3), first)
    assert env.np_random_seed == (6,) * 4


def test_networks_of_a_device_are_distributed_as_those_of_numpy():
    fields = {"estimator": "perfect", "dtype": "float64", "horizon": 2}
    on_tensors = tensor_env("multicell", 600, **fields)
    in_numpy = JCASVectorEnv("multicell", num_envs=600, **(SMALL["multicell"] | fields))
    on_tensors.reset(seed=0)
    in_numpy.reset(seed=0)
    zero = np.zeros((600, on_tensors.scenario.action_size))
    ours, theirs = on_tensors.step(torch.from_numpy(zero))[1].numpy(), in_numpy.step(zero)[1]
    error = np.hypot(ours.std(), theirs.std()) / np.sqrt(600)
    assert abs(ours.mean() - theirs.mean()) < 4 * error
    assert ours.std() == pytest.approx(theirs.std(), rel=0.15)


def test_complex_normals_of_a_device_have_unit_power():
    source = TensorGenerator(torch.Generator().manual_seed(0), 1000, torch.float64)
    sample = complex_normal(source, 20)
    assert sample.shape == (1000, 20)
    power, mean = (sample.abs() ** 2).mean().item(), sample.mean().abs().item()
    assert power == pytest.approx(1.0, abs=0.03)
    assert mean < 0.03
    uniform = source.uniform(2.0, 5.0, (50,))
    assert 2.0 <= uniform.min() < 2.01
    assert 4.99 < uniform.max() < 5.0


def test_no_gradient_passes_through_a_step_and_a_callers_tensor_is_left_alone():
    env = tensor_env("massive-mimo")
    env.reset(seed=0)
    action = torch.full((4, env.scenario.action_size), 0.5, requires_grad=True)
    observation, reward, *_ = env.step(action)
    assert not reward.requires_grad
    assert not any(value.requires_grad for value in parts(observation).values())
    assert (action == 0.5).all()


def test_make_vec_takes_a_device_and_draws_its_lanes():
    env = gym.make_vec("jcas/MultiCell-v0", num_envs=2, device="cpu", render_mode="rgb_array", **SMALL["multicell"])
    observation, _ = env.reset(seed=0)
    assert all(isinstance(value, torch.Tensor) for value in observation.values())
    frames = env.render()
    assert len(frames) == 2
    assert frames[0].shape[-1] == 3


@pytest.mark.parametrize("device", ["nowhere", "cuda:77", 3.5])
def test_a_device_that_is_not_there_is_refused_by_name(device):
    with pytest.raises(ValueError, match=r"`device` must be one that this machine has, .*got"):
        JCASVectorEnv("mesh", num_envs=2, device=device)


def test_what_a_device_cannot_do_is_refused_by_name():
    env = tensor_env("mesh")
    with pytest.raises(ValueError, match=r"`seed` must be an integer of at least 0 or None, got \[1, 2, 3, 4\]"):
        env.reset(seed=[1, 2, 3, 4])
    env.reset(seed=0)
    with pytest.raises(ValueError, match="a partial reset takes none"):
        env.reset(seed=1, options={"reset_mask": np.array([True, False, False, False])})
    with pytest.raises(ValueError, match="`action` must have 4 lanes"):
        env.step(torch.zeros(3, env.scenario.action_size))


class Unseen(TensorGenerator):
    """Draws without values on the device ``meta``, where a look at a value, and a mix of devices, fails."""

    def __init__(self, lanes):
        self.lanes, self.dtype = lanes, torch.float32

    def _draw(self, sample, size, dtype=None):
        shape = () if size is None else (size,) if isinstance(size, int) else size
        return torch.empty((self.lanes, *shape), dtype=dtype or self.dtype, device="meta")


def env_on_meta(scenario, monkeypatch):
    """Lanes on the device ``meta``, which has no generator of its own."""
    env = JCASVectorEnv(scenario, num_envs=4, device="cpu")
    monkeypatch.setattr(env._place, "device", torch.device("meta"))
    monkeypatch.setattr(env._place, "_source", lambda mask: Unseen(int(mask.sum())))
    return env


class NoCopies(TorchDispatchMode):
    """Refuses copies between the host and a device: each waits for all that the device has to do."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default):
            places = {value.device.type for value in (*args, result) if isinstance(value, torch.Tensor)}
            assert len(places) == 1, f"{function} between {places}"
        return result


class NoLists(TorchFunctionMode):
    """Refuses tensors that are made of lists on a device, which are copies too."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function in (torch.asarray, torch.as_tensor, torch.tensor):
            assert isinstance(args[0], torch.Tensor) or result.device.type == "cpu", f"{args[0]!r} on {result.device}"
        return result


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("multicell", {"estimator": "perfect"}),
        ("multicell", {"estimator": "perfect", "reward": "fair", "angle_coherence": 1}),
        ("multicell", {"estimator": "perfect", "kalman": True, "blockage": True, "csi_nmse": 0.01}),
        ("multicell", {"estimator": "perfect", "combiner": "null_mrc", "precoder": "zf"}),
        ("multicell", {"estimator": "perfect", "clusters": (2, 2, 5.0), "pilot_overhead": True}),
        ("massive-mimo", {}),
        ("massive-mimo", {"action": "share", "rate_floor": 0.1}),
    ],
)
def test_a_slot_with_the_true_channel_never_waits_for_the_device(name, fields, monkeypatch):
    """Nothing is computed from values on the way, so that a device is never asked and slots can be queued."""
    scenario = make_scenario(name, **fields, dtype="float32")
    source = Unseen(4)
    state = scenario.initial(scenario.draw_initial(source))
    for slot in range(6):
        with ExitStack() as watched:
            if slot:  # constants are sent in the first one
                watched.enter_context(NoCopies())
                watched.enter_context(NoLists())
            problem = scenario.problem(state)
            observation = scenario.observation(state, problem)
            allocation = scenario.decode(torch.empty(4, scenario.action_size, device="meta"), problem)
            allocation = scenario.check_allocation(allocation, problem)
            truth = scenario.truth(state)
            outcome = scenario.outcome(state, allocation, truth)
            state = scenario.transition(state, allocation, scenario.draw(source, state), truth)
    assert outcome.utility.device.type == "meta"
    env = env_on_meta(scenario, monkeypatch)
    env.reset(seed=0)
    with NoCopies(), NoLists():
        for _ in range(6):
            observation, reward, *_ = env.step(torch.empty(4, scenario.action_size, device="meta"))
    assert reward.device.type == "meta"
    assert all(value.device.type == "meta" for value in parts(observation).values())
