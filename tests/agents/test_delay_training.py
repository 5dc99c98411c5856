"""The delay task's policy: what it starts from, training through time, and the shipped file (spec learning 4, 7)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from jcas_agents import evaluate
from jcas_agents.checkpoint import load_policy, read, save_policy
from jcas_agents.data.episodes import draw_episodes
from jcas_agents.data.scenes import SPLITS, draw_scenes
from jcas_agents.learned import LearnedAllocator
from jcas_agents.policies.multicell import EquivariantPolicy, PolicyShape
from jcas_agents.sb3.adapter import SB3VectorAdapter
from jcas_agents.training.delay import DelayRecipe, DelayTrainer, begin, play
from jcas_baselines import BacklogProportional, DrainSearch

from jcas_env import JCASVectorEnv, MultiCell, MultiCellConfig
from jcas_env.scenarios.multicell.action import action_size, decode
from jcas_env.tree import stack

SMALL = {"users_per_cell": 4, "bs_antennas": 8, "ue_antennas": 2}


def config(**fields):
    return MultiCellConfig.preset("delay", **fields)


@pytest.fixture(scope="module")
def episodes():
    return draw_episodes([config(**SMALL)], 6, 6)


def backlogged(**fields):
    """A known problem after some slots under equal allocation."""
    scenario = MultiCell(config(load=1.0, **fields))
    generators = [np.random.default_rng(lane) for lane in range(3)]
    state = scenario.sample(generators)
    for _ in range(4):
        allocation = scenario.decode(np.zeros((3, scenario.action_size)), scenario.problem(state))
        state = scenario.transition(state, allocation, stack([scenario.draw(rng, state) for rng in generators]))
    return scenario.problem(state)


def test_the_untrained_policy_gives_bands_in_proportion_to_the_backlogs():
    """Up to the bend of the action's bounds, tanh(x) < x, and the offset of an empty group."""
    problem = backlogged()
    policy = EquivariantPolicy(PolicyShape(queues=True)).eval()
    allocation = LearnedAllocator(policy).allocate(problem)
    expected = BacklogProportional().solve(problem).allocation
    np.testing.assert_allclose(allocation.power, expected.power, rtol=1e-9)
    zero = decode(np.zeros((3, action_size(36, 3))), problem, logit_scale=5.0)
    np.testing.assert_allclose(allocation.bandwidth[:, 1], zero.bandwidth[:, 1], rtol=1e-9)
    ours, rule = allocation.bandwidth[:, 0], expected.bandwidth[:, 0]
    assert np.corrcoef(ours.ravel(), rule.ravel())[0, 1] > 0.98


def test_a_policy_without_queues_plays_a_network_with_queues():
    problem = backlogged(**SMALL)
    policy = EquivariantPolicy().eval()
    plain = replace(problem, reward="rate", arrival_rate=None, arrivals=None, waited=None)
    one, two = (LearnedAllocator(policy).allocate(p) for p in (problem, plain))
    np.testing.assert_array_equal(one.power, two.power)


def test_a_policy_for_queues_says_what_it_lacks_without_them():
    known = draw_scenes(config(reward="rate", **SMALL), 1, split="validation").known
    with pytest.raises(ValueError, match="20 features.*queues"):
        LearnedAllocator(EquivariantPolicy(PolicyShape(queues=True)).eval()).allocate(known)


def test_training_plays_the_same_queues_as_the_environment(episodes):
    """The same channels, arrivals and policy, through NumPy in double and torch in single precision."""
    torch.manual_seed(0)
    policy = EquivariantPolicy(PolicyShape(queues=True))
    with torch.no_grad():
        for value in policy.parameters():
            value.add_(0.05 * torch.randn_like(value))
    scenario = MultiCell(config(load=0.9, **SMALL))
    generators = [np.random.default_rng(SPLITS["train"] + lane) for lane in range(6)]
    drawn = stack([scenario.draw_initial(rng) for rng in generators])
    state = scenario.initial(drawn)
    first = torch.from_numpy(drawn.first.arrivals)
    lanes = begin(episodes, torch.arange(6), torch.full((6, 1), 0.9), first)
    for _ in range(6):
        innovation = stack([scenario.draw(rng, state) for rng in generators])
        allocation = LearnedAllocator(policy.eval()).allocate(scenario.problem(state))
        state = scenario.transition(state, allocation, innovation)
        lanes, slots = play(policy.action_for, episodes, lanes, torch.from_numpy(innovation.arrivals))
        np.testing.assert_allclose(lanes.traffic.arrivals.numpy(), state.traffic.arrivals)
        np.testing.assert_allclose(lanes.queue.detach().numpy(), state.queue, atol=30.0)  # of 1e5 bit a slot
    assert slots.max() > 0.5


def test_a_resumed_run_equals_an_uninterrupted_one_and_a_seed_its_repetition(episodes, tmp_path):
    recipe = DelayRecipe(steps=8, batch=4, window=3)
    whole = DelayTrainer(episodes, recipe)
    expected = list(whole.run())
    assert list(DelayTrainer(episodes, recipe).run()) == expected
    cut = DelayTrainer(episodes, recipe)
    list(cut.run(until=3))
    cut.save(tmp_path / "state.safetensors")
    resumed = DelayTrainer(episodes, recipe)
    resumed.load(*read(tmp_path / "state.safetensors"))
    np.testing.assert_allclose(list(resumed.run()), expected[3:], atol=1e-6)
    for one, two in zip(whole.policy.parameters(), resumed.policy.parameters(), strict=True):
        torch.testing.assert_close(one, two, atol=1e-6, rtol=0)
    with pytest.raises(ValueError, match="another recipe"):
        resumed.load({}, {"recipe": {"steps": 8}})


def test_the_window_must_divide_an_episode(episodes):
    with pytest.raises(ValueError, match="`window` must divide the 6 slots of an episode, got 4"):
        DelayTrainer(episodes, DelayRecipe(window=4))


def test_a_policy_for_queues_survives_the_way_through_a_file(tmp_path):
    policy = EquivariantPolicy(PolicyShape(queues=True))
    save_policy(tmp_path / "p.safetensors", policy, {})
    assert load_policy(tmp_path / "p.safetensors").shape.queues
    assert read(tmp_path / "p.safetensors")[1]["features"].endswith("waited")


@pytest.mark.slow
def test_a_short_run_shortens_the_queues():
    settings = config(users_per_cell=6)
    trainer = DelayTrainer(draw_episodes([settings], 24, 20), DelayRecipe(steps=40, batch=12))
    before = backlog(trainer.policy, settings)
    list(trainer.run())
    assert backlog(trainer.policy, settings) < 0.9 * before


def backlog(policy, settings):
    scenario = MultiCell(settings.with_fields({"load": 0.8, "horizon": 20}))
    return evaluate(scenario, LearnedAllocator(policy), episodes=12, seed=0).metrics["backlog_ms"].mean()


@pytest.mark.parametrize("load", [0.7, 0.9])
def test_the_shipped_policy_waits_less_than_the_rules(load):
    """Spec learning 7.3 on few episodes; against the drain search in the slow set."""
    scenario = MultiCell(config(load=load, horizon=50))
    learned = evaluate(scenario, LearnedAllocator.load("multicell-delay"), episodes=6, seed=0)
    rule = evaluate(scenario, BacklogProportional(), episodes=6, seed=0)
    limit = 0.5 if load == 0.7 else 0.8
    assert learned.metrics["backlog_ms"].mean() <= limit * rule.metrics["backlog_ms"].mean()


@pytest.mark.slow
@pytest.mark.parametrize("load", [0.7, 0.9])
def test_the_shipped_policy_waits_no_longer_than_the_drain_search(load):
    scenario = MultiCell(config(load=load, horizon=50))
    learned, drain = (
        evaluate(scenario, allocator, episodes=10, seed=0).metrics["backlog_ms"].mean()
        for allocator in (LearnedAllocator.load("multicell-delay"), DrainSearch())
    )
    assert learned <= drain


def test_sb3_gets_the_delay_reward_as_it_is():
    env = JCASVectorEnv(
        "multicell",
        config=config(observation="flat", horizon=2, load=1.2, **SMALL),
        num_envs=2,
        autoreset_mode="SameStep",
    )
    with pytest.raises(ValueError, match="`relative` must be False"):
        SB3VectorAdapter(env)
    adapter = SB3VectorAdapter(env, relative=False)
    adapter.seed(1)
    adapter.reset()
    for _ in range(2):
        _, reward, _, infos = adapter.step(np.zeros((2, env.single_action_space.shape[0]), dtype=np.float32))
    np.testing.assert_allclose(reward, [info["reward"] for info in infos], rtol=1e-6)
    assert (reward < 0).any()


def test_scenes_of_the_delay_task_can_be_taken_apart():
    scenes = draw_scenes(config(**SMALL), 3, split="validation")
    part = scenes.take(slice(2))
    np.testing.assert_array_equal(part.truth.arrivals, scenes.truth.arrivals[:2])
    assert part.known.arrival_rate.shape == (2, 12)
