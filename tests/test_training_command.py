"""``jcas train``: what it writes, that it resumes, and what it refuses."""

from __future__ import annotations

import json

import pytest
from jcas_agents.checkpoint import load_policy
from jcas_experiments import train as training
from jcas_experiments.cli import app
from typer.testing import CliRunner

from jcas_env.scenarios.multicell import MultiCellConfig


@pytest.fixture(autouse=True)
def _few_configurations(monkeypatch):
    small = MultiCellConfig.preset("delay", users_per_cell=2, bs_antennas=8)
    monkeypatch.setattr(training, "delay_config", lambda: small)
    monkeypatch.setattr(training, "EPISODE", 10)
    monkeypatch.setattr(
        training,
        "mixed_configs",
        lambda reward: [MultiCellConfig.preset("luo2023-static", users_per_cell=2, reward=reward)],
    )


def call(*arguments):
    return CliRunner().invoke(app, ["train", *arguments])


@pytest.mark.parametrize("reward", ["rate", "fair", "delay"])
def test_a_run_leaves_a_policy_with_its_card_and_a_curve(tmp_path, reward):
    result = call("multicell", "--reward", reward, "--steps", "25", "--scenes", "8", "--out", str(tmp_path))
    assert result.exit_code == 0, result.output
    folder = tmp_path / "seed-0"
    load_policy(folder / f"multicell-{reward}.safetensors")
    card = json.loads((folder / f"multicell-{reward}.json").read_text())
    assert card["recipe"]["steps"] == 25
    assert f"--reward {reward} --steps 25 --scenes 8 --seed 0" in card["command"]
    assert [step for step, _ in json.loads((folder / "curve.json").read_text())] == [25]
    assert any((folder / "tensorboard").iterdir())


def test_an_interrupted_run_goes_on_and_ends_like_an_uninterrupted_one(tmp_path, monkeypatch):
    arguments = ("--steps", "30", "--scenes", "8")
    assert call(*arguments, "--out", str(tmp_path / "whole")).exit_code == 0
    update = training.GradientTrainer.update

    def interrupted(trainer):
        if trainer.step == 12:
            raise KeyboardInterrupt
        return update(trainer)

    with monkeypatch.context() as patch:
        patch.setattr(training.GradientTrainer, "update", interrupted)
        result = call(*arguments, "--out", str(tmp_path / "cut"))
        assert result.exit_code == 130
        assert "interrupted after step 12" in result.output
    assert call(*arguments, "--out", str(tmp_path / "cut"), "--resume").exit_code == 0
    files = [tmp_path / name / "seed-0" / "multicell-rate.safetensors" for name in ("whole", "cut")]
    one, two = (load_policy(file).state_dict() for file in files)
    assert all((one[name] - two[name]).abs().max() < 1e-6 for name in one)


def test_what_is_not_there_is_refused_in_one_line():
    for arguments in (["mesh"], ["multicell", "--algo", "dqn"], ["multicell", "--reward", "speed"]):
        assert call(*arguments).exit_code == 2
