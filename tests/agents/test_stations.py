"""Base stations that decide each for its cell: what they may see, how they are trained, and what is shipped."""

from __future__ import annotations

import json
import pickle
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from jcas_agents import evaluate
from jcas_agents.agent import PolicyAgent
from jcas_agents.checkpoint import PRETRAINED, load_policy, save_policy
from jcas_agents.data.station_scenes import draw_station_scenes
from jcas_agents.learned import LearnedAllocator, StationsAllocator
from jcas_agents.policies.stations import StationPolicy, StationShape, seen_by_stations
from jcas_agents.training.stations import StationTrainer, draw_station_bank
from jcas_agents.training.trainer import TrainingRecipe
from jcas_baselines import ConstantRule, EqualAllocation
from jcas_experiments import cli
from support.policies import static_config, stirred
from typer.testing import CliRunner

from jcas_env import JCASEnv, JCASVectorEnv, make_scenario
from jcas_env.scenarios.multicell.local import local_views
from jcas_env.scenarios.multicell.observation import structured

SMALL = {"users_per_cell": 4, "estimator": "crb", "horizon": 5}
NAME = "multicell-rate-local"


@pytest.fixture
def policy():
    return stirred(kind=StationPolicy)


class Watching(StationPolicy):
    """Notes what it is shown."""

    def act(self, observation):
        self.shown = observation
        return super().act(observation)


@pytest.mark.skipif(find_spec("pettingzoo") is None, reason="needs PettingZoo: pip install 'jcas-env[pettingzoo]'")
@pytest.mark.parametrize("fields", [SMALL, SMALL | {"cells": 1}, SMALL | {"cells": 7, "reward": "fair"}])
def test_in_a_comparison_it_sees_what_the_parallel_environment_shows(fields):
    """Slot after slot the same views to the last bit, so the same decisions; rewards differ by rounding."""
    from jcas_env.envs.parallel_env import JCASParallelEnv

    policy = stirred(kind=Watching)
    parallel, single = JCASParallelEnv(**fields), JCASEnv(**fields)
    allocator = StationsAllocator(policy)
    for seed in (3, 4):  # the second episode begins with nobody having reported
        views, _ = parallel.reset(seed=seed)
        single.reset(seed=seed)
        while parallel.agents:
            decision = allocator.decide(single, None)
            shown = policy.shown
            for cell, view in enumerate(views.values()):
                for name, part in view.items():
                    np.testing.assert_array_equal(shown[name][cell], part)
            views, rewards, *_ = parallel.step({agent: policy.act(view) for agent, view in views.items()})
            _, reward, *_ = single.step_allocation(decision.allocation)
            assert rewards["station_0"] == pytest.approx(reward, rel=1e-5)


def test_a_station_decides_from_its_cell_and_from_reports_alone(policy):
    """What happens elsewhere in this slot changes nothing here: gains at others' users, their groups' sensing."""
    known = draw_scene(lanes=2)
    before = structured(draw_scene(lanes=2, seed=9))
    elsewhere = known.cell != 0
    gain = np.where(elsewhere[..., :, None], 3.0 * known.gain, known.gain)
    moved = known.changed(gain=gain, sensing_gain=np.where(elsewhere, 2.0, 1.0) * known.sensing_gain)
    here, there = policy.decide(known, before), policy.decide(moved, before)
    at_home = ~elsewhere[0]
    np.testing.assert_array_equal(here.power[..., at_home], there.power[..., at_home])
    np.testing.assert_array_equal(here.bandwidth[..., at_home], there.bandwidth[..., at_home])
    assert not np.allclose(here.power[..., elsewhere[0]], there.power[..., elsewhere[0]])


def draw_scene(lanes, seed=0, **fields):
    scenario = make_scenario("multicell", **SMALL | fields)
    return scenario.problem(scenario.sample(range(seed, seed + lanes)))


def test_reports_come_from_the_last_slot_and_change_what_is_decided(policy):
    known, before = draw_scene(lanes=1), structured(draw_scene(lanes=1, seed=5))
    silent, told = policy.decide(known), policy.decide(known, before)
    assert not np.allclose(silent.power, told.power)
    zeros = {name: np.zeros_like(part) for name, part in before.items()}
    np.testing.assert_array_equal(silent.power, policy.decide(known, zeros).power)


def test_what_is_remembered_belongs_to_an_environment_and_to_an_episode(policy):
    """Interleaved environments, a second look in the same slot, a reset, and lanes that end at different times."""
    allocator, alone = StationsAllocator(policy), StationsAllocator(policy)
    first, second, same = (JCASEnv(**SMALL) for _ in range(3))
    for env, seed in ((first, 1), (second, 2), (same, 1)):
        env.reset(seed=seed)
    for _ in range(3):
        for env in (first, second, first):
            decision = allocator.decide(env, None)
        again, single = allocator.decide(first, None), alone.decide(same, None)
        np.testing.assert_array_equal(again.allocation.power, single.allocation.power)
        for env, chosen in ((first, again), (second, decision), (same, single)):
            env.step_allocation(chosen.allocation)
    first.reset(seed=7)
    fresh = policy.decide(first.problem)
    np.testing.assert_array_equal(allocator.decide(first, None).allocation.power, fresh.power)


def test_a_copy_for_another_process_remembers_nothing(policy):
    allocator, env = StationsAllocator(policy), JCASEnv(**SMALL)
    env.reset(seed=0)
    decided = allocator.decide(env, None).allocation
    copied = pickle.loads(pickle.dumps(allocator))
    assert len(allocator.heard) == 1
    assert not copied.heard
    np.testing.assert_array_equal(copied.decide(env, None).allocation.power, decided.power)


def test_lanes_are_remembered_each_for_itself(policy):
    """A lane that begins anew has no reports; it decides what the same network decides alone."""
    lanes = JCASVectorEnv("multicell", num_envs=3, autoreset_mode="Disabled", **SMALL)
    lanes.reset(seed=0)
    allocator = StationsAllocator(policy)
    for _ in range(2):
        lanes.step_allocation(allocator.decide(lanes, None).allocation)
    lanes.reset(seed=20, options={"reset_mask": np.array([False, True, False])})
    decided = allocator.decide(lanes, None).allocation
    fresh = policy.decide(lanes.problem)
    np.testing.assert_allclose(decided.power[1], fresh.power[1], rtol=1e-5)
    assert not np.allclose(decided.power[0], fresh.power[0], rtol=1e-3)
    single, alone = JCASEnv("multicell", **SMALL), StationsAllocator(policy)
    single.reset(seed=2)
    for _ in range(2):
        single.step_allocation(alone.decide(single, None).allocation)
    np.testing.assert_allclose(alone.decide(single, None).allocation.power, decided.power[2], rtol=1e-5)


def test_training_starts_at_the_equal_allocation_and_learns():
    bank = draw_station_bank([static_config(positioning_share=None, users_per_cell=4)], 96)
    trainer = StationTrainer(bank, TrainingRecipe(steps=60, batch=32))
    rewards = list(trainer.run())
    assert rewards[0] == pytest.approx(0.0, abs=1e-9)
    assert np.mean(rewards[-10:]) > 0.4


def test_scenes_are_those_of_episodes_and_the_first_slot_has_no_reports():
    scenes = draw_station_scenes(static_config(users_per_cell=3), 2, 3, split="validation")
    assert len(scenes) == 6
    assert scenes.views["reports"].shape == (6, 3, 2, 18)
    np.testing.assert_array_equal(scenes.views["reports"][:2], 0.0)
    assert (np.abs(scenes.views["reports"][2:]).max(axis=(1, 2, 3)) > 0).all()
    own = scenes.take(slice(0, 2))
    known = own.known
    np.testing.assert_array_equal(own.views["users"], seen_by_stations(known)["users"])
    # In slot 2 station 0 is told what station 1 measured in slot 1, when the share was a random one.
    before = structured(scenes.known)["users"][2:4].reshape(2, 3, 3, 15).mean(axis=2)
    np.testing.assert_allclose(scenes.views["reports"][4:, 0, 0, :15], before[:, 1], rtol=1e-6)


def test_views_are_the_same_in_torch_and_lane_by_lane():
    known, before = draw_scene(lanes=3), structured(draw_scene(lanes=3, seed=5))
    now = structured(known)
    views = local_views(now, before)
    tensors = local_views(*({n: torch.from_numpy(p) for n, p in side.items()} for side in (now, before)))
    alone = local_views(*({n: p[1] for n, p in side.items()} for side in (now, before)))
    for name, part in views.items():
        np.testing.assert_allclose(tensors[name].numpy(), part, rtol=1e-6)
        np.testing.assert_array_equal(alone[name], part[1])


def test_what_is_no_view_of_a_station_is_refused(policy):
    env = JCASEnv(**SMALL)
    observation, _ = env.reset(seed=0)
    with pytest.raises(ValueError, match="decides for one base station; its view lacks station"):
        PolicyAgent(policy).decide(env, observation)
    with pytest.raises(ValueError, match="assignment='geometric'"):
        policy.decide(draw_scene(lanes=8, assignment="svd", users_per_cell=2))
    with pytest.raises(ValueError, match="`queues` must be False"):
        StationShape(queues=True)


def test_a_file_says_who_sees_what(tmp_path, policy):
    file = tmp_path / "p.safetensors"
    card = save_policy(file, policy, {"reward": "rate"})
    assert card["sees"] == "station"
    assert isinstance(load_policy(file), StationPolicy)
    assert isinstance(LearnedAllocator.load(file), StationsAllocator)
    save_policy(file, policy, {"sees": "users"})
    with pytest.raises(ValueError, match=r"sees 'users'; in multicell there are \['network', 'station'\]"):
        load_policy(file)


def test_the_shipped_policy_beats_the_rules_and_not_the_central_one():
    scenario = make_scenario("multicell", horizon=5)
    kinds = (EqualAllocation(), ConstantRule(), LearnedAllocator.load(NAME), LearnedAllocator.load("multicell-rate"))
    equal, constant, local, central = (
        evaluate(scenario, allocator, episodes=12, seed=500).utility.mean() for allocator in kinds
    )
    assert equal < constant < local < central
    assert local > 1.03 * constant


def test_a_shipped_policy_is_compared_by_name_beside_the_yardsticks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["compare", "--policy", NAME, "--episodes", "2", "--horizon", "2", "--regret", "0", "--json", "r.json"]
    result = CliRunner().invoke(cli.app, words)
    assert result.exit_code == 0, result.output
    rows = [row["allocator"] for row in json.loads((tmp_path / "r.json").read_text())["rows"]]
    assert rows == ["equal", "admm", NAME, "constant", "vertex", "search-20", "search-50"]
    result = CliRunner().invoke(cli.app, ["compare", "--policy", "multicell-rate-locale"])
    assert result.exit_code == 2
    assert NAME in result.output


def test_it_is_trained_by_a_command(tmp_path):
    words = ["train", "multicell", "--local", "--steps", "2", "--scenes", "2", "--out", str(tmp_path)]
    result = CliRunner().invoke(cli.app, words)
    assert result.exit_code == 0, result.output
    assert isinstance(load_policy(tmp_path / "seed-0" / f"{NAME}.safetensors"), StationPolicy)
    for wrong, message in (
        (["--reward", "fair"], "`--local` trains multicell rate, got multicell fair"),
        (["--algo", "ppo"], "`--local` is trained by gradient"),
    ):
        result = CliRunner().invoke(cli.app, [*words, *wrong])
        assert result.exit_code == 2
        assert message in result.output
    card = json.loads((PRETRAINED / f"{NAME}.json").read_text())
    assert "--local" in card["command"]
