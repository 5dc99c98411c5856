"""Training: gradients through the physics, seeds, resumption, and what a run stops at (spec learning 2, 4)."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from jcas_agents.checkpoint import read
from jcas_agents.data.evaluation_sets import evaluation_scenes
from jcas_agents.data.scenes import draw_scenes
from jcas_agents.learned import LearnedAllocator
from jcas_agents.policies.multicell import EquivariantPolicy
from jcas_agents.training.mesh import MeshRecipe, MeshTrainer, draw_frames
from jcas_agents.training.multicell import MultiCellTrainer, draw_bank, equal_utility, utility_of
from jcas_agents.training.tracking import TrackingRecipe, TrackingTrainer, draw_tracking
from jcas_agents.training.trainer import BadGradientError, TrainingRecipe
from jcas_baselines import SCA, ConstantRule
from support.policies import static_config

from jcas_env import MassiveMIMOConfig, MeshConfig
from jcas_env.scenarios.multicell.action import decode


@pytest.fixture(scope="module")
def bank():
    return draw_bank([static_config(users_per_cell=4)], 64)


def curve(trainer, until=None):
    return list(trainer.run(until=until))


@pytest.mark.parametrize("reward", ["rate", "fair"])
def test_reward_through_torch_equals_numpy_and_its_gradient_equals_differences(reward):
    scenes = draw_scenes(
        static_config(users_per_cell=3, positioning_share=None, reward=reward, csi_delay=1), 3, split="train"
    )
    tensors = scenes.torch()
    action = torch.from_numpy(np.random.default_rng(0).uniform(-0.4, 0.4, (3, 4 * 9 + 3)))

    def utility(a):
        return tensors.truth.utility(decode(a, tensors.known, logit_scale=5.0))

    plain = scenes.truth.utility(decode(action.numpy(), scenes.known, logit_scale=5.0))
    np.testing.assert_allclose(utility(action).numpy(), plain, rtol=1e-10)
    assert torch.autograd.gradcheck(utility, action.requires_grad_(), atol=1e-6, rtol=1e-6)


def test_the_equal_utility_is_that_of_the_untrained_policy(bank):
    torch.testing.assert_close(utility_of(EquivariantPolicy(), bank[0]).detach(), equal_utility(bank[0]))


def test_the_same_seed_gives_the_same_curve_and_another_seed_another(bank):
    recipe = TrainingRecipe(steps=6, batch=8)
    first = curve(MultiCellTrainer(bank, recipe))
    assert curve(MultiCellTrainer(bank, recipe)) == first
    assert curve(MultiCellTrainer(bank, replace(recipe, seed=1))) != first


def test_a_resumed_run_equals_an_uninterrupted_one(bank, tmp_path):
    recipe = TrainingRecipe(steps=12, batch=8)
    whole = MultiCellTrainer(bank, recipe)
    expected = curve(whole)
    cut = MultiCellTrainer(bank, recipe)
    curve(cut, until=5)
    cut.save(tmp_path / "state.safetensors")
    resumed = MultiCellTrainer(bank, recipe)
    resumed.load(*read(tmp_path / "state.safetensors"))
    np.testing.assert_allclose(curve(resumed), expected[5:], atol=1e-6)
    for one, two in zip(whole.policy.parameters(), resumed.policy.parameters(), strict=True):
        torch.testing.assert_close(one, two, atol=1e-6, rtol=0)


def test_a_run_is_not_resumed_with_another_recipe(bank, tmp_path):
    trainer = MultiCellTrainer(bank, TrainingRecipe(steps=3, batch=4))
    trainer.save(tmp_path / "state.safetensors")
    with pytest.raises(ValueError, match="another recipe"):
        MultiCellTrainer(bank, TrainingRecipe(steps=4, batch=4)).load(*read(tmp_path / "state.safetensors"))


SMALL = {
    "mesh": lambda: MeshTrainer(draw_frames(MeshConfig(), 8), MeshRecipe(steps=6, batch=4)),
    "tracking": lambda: TrackingTrainer(
        MassiveMIMOConfig(horizon=4), draw_tracking(MassiveMIMOConfig(horizon=4), 8), TrackingRecipe(steps=6, batch=4)
    ),
}
"""Trainers of the small policies."""


@pytest.mark.parametrize("name", SMALL)
def test_the_small_policies_resume_as_if_they_had_never_stopped(name, tmp_path):
    whole, cut, resumed = (SMALL[name]() for _ in range(3))
    expected = curve(whole)
    curve(cut, until=3)
    cut.save(tmp_path / "state.safetensors")
    resumed.load(*read(tmp_path / "state.safetensors"))
    assert curve(resumed) == expected[3:]
    for one, two in zip(whole.policy.parameters(), resumed.policy.parameters(), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("name", SMALL)
def test_a_bad_frame_stops_the_training_and_its_batch_is_saved(name, tmp_path):
    trainer = SMALL[name]()
    with torch.no_grad():
        trainer.policy.embed.bias[0] = torch.nan
    with pytest.raises(BadGradientError, match="not finite|objective nan"):
        trainer.update()
    saved = json.loads(trainer.save_bad_batch(tmp_path).read_text())
    assert saved == {"step": 0, "entries": trainer.batch(0).tolist()}
    assert read(tmp_path / "bad-step.safetensors")[1]["step"] == 0


def test_a_trainer_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    SMALL["mesh"]()
    assert torch.equal(torch.rand(3), expected)


def test_training_stops_at_a_gradient_that_is_not_finite_and_saves_the_batch(bank, tmp_path):
    trainer = MultiCellTrainer(bank, TrainingRecipe(steps=3, batch=4))
    with torch.no_grad():
        trainer.policy.mix[0, 0] = torch.nan
    with pytest.raises(BadGradientError, match="not finite"):
        trainer.update()
    saved = json.loads(trainer.save_bad_batch(tmp_path).read_text())
    assert saved["step"] == 0
    assert saved["scenes"] == trainer.batch(0)[1].tolist()
    assert read(tmp_path / "bad-step.safetensors")[1]["step"] == 0


@pytest.mark.slow
def test_a_short_run_clears_the_constant_rule_by_five_percent():
    settings = static_config(users_per_cell=8)
    trainer = MultiCellTrainer(draw_bank([settings], 256), TrainingRecipe(steps=250, batch=32))
    curve(trainer)
    held_out = draw_scenes(settings, 64, split="validation")
    learned = held_out.truth.utility(LearnedAllocator(trainer.policy).allocate(held_out.known)).mean()
    constant = held_out.truth.utility(ConstantRule().solve(held_out.known).allocation).mean()
    assert learned >= 1.05 * constant


@pytest.mark.slow
def test_a_minute_of_training_comes_near_sca():
    trainer = MultiCellTrainer(draw_bank([static_config()], 1024), TrainingRecipe(steps=600))
    curve(trainer)
    held_out = evaluation_scenes("n4", 64)
    learned = held_out.truth.utility(LearnedAllocator(trainer.policy).allocate(held_out.known)).mean()
    assert learned >= 0.985 * held_out.truth.utility(SCA().solve(held_out.known).allocation).mean()
