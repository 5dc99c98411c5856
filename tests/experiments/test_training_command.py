"""``jcas train``: what it writes, that it resumes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from jcas_agents import evaluate
from jcas_agents.checkpoint import PRETRAINED, load_policy
from jcas_agents.learned import LearnedAllocator
from jcas_agents.sb3.adapter import RECIPES
from jcas_agents.training.multicell import MultiCellTrainer
from jcas_experiments.cli import app
from jcas_experiments.scenarios.registry import roster_of
from jcas_experiments.train import sb3 as train_sb3
from jcas_experiments.train import tasks
from typer.testing import CliRunner

from jcas_env import make_scenario
from jcas_env.scenarios.multicell import MultiCellConfig


@pytest.fixture(autouse=True)
def _few_configurations(monkeypatch):
    small = MultiCellConfig.preset("delay", users_per_cell=2, bs_antennas=8)
    monkeypatch.setattr(tasks, "delay_configs", lambda: [small])
    monkeypatch.setattr(tasks, "EPISODE", 10)
    monkeypatch.setattr(
        tasks,
        "mixed_configs",
        lambda reward: [MultiCellConfig.preset("luo2023-static", users_per_cell=2, reward=reward)],
    )


def call(*arguments):
    return CliRunner().invoke(app, ["train", *arguments])


@pytest.mark.parametrize("reward", ["rate", "fair", pytest.param("delay", marks=pytest.mark.slow)])
def test_a_run_leaves_a_policy_with_its_card_and_a_curve(tmp_path, reward):
    written = ("--json", str(tmp_path / "runs.json"))
    result = call("multicell", "--reward", reward, "--steps", "25", "--scenes", "8", "--out", str(tmp_path), *written)
    assert result.exit_code == 0, result.output
    folder = tmp_path / "seed-0"
    load_policy(folder / f"multicell-{reward}.safetensors")
    card = json.loads((folder / f"multicell-{reward}.json").read_text())
    assert card["recipe"]["steps"] == 25
    assert f"--reward {reward} --steps 25 --scenes 8 --seed 0" in card["command"]
    assert [step for step, _ in json.loads((folder / "curve.json").read_text())] == [25]
    assert any((folder / "tensorboard").iterdir())
    (run,) = json.loads((tmp_path / "runs.json").read_text())["runs"]
    assert run["complete"]
    assert run["card"] == card
    assert [step for step, _ in run["curve"]] == [25]


@pytest.mark.parametrize(("scenario", "name"), [("mesh", "mesh-sum"), ("massive-mimo", "massive-mimo-tracking")])
def test_the_small_policies_are_trained_and_decide(tmp_path, scenario, name):
    size = ("--steps", "2", "--scenes", "4", "--out", str(tmp_path))
    assert call(scenario, *size).exit_code == 0
    assert call(scenario, *size, "--resume").exit_code == 0
    allocator = LearnedAllocator.load(tmp_path / "seed-0" / f"{name}.safetensors")
    built = make_scenario(scenario, horizon=2)
    result = evaluate(built, allocator, episodes=2, seed=0)
    assert result.violation < 1.0
    assert np.isfinite(result.utility).all()


@pytest.mark.parametrize("network", ["equivariant", pytest.param("mlp", marks=pytest.mark.slow)])
@pytest.mark.parametrize("algo", ["ppo", "sac"])
def test_stable_baselines3_trains_on_frozen_scenes_and_goes_on(tmp_path, monkeypatch, algo, network):
    view = "flat" if network == "mlp" else "dict"
    small = MultiCellConfig.preset("luo2023-static", observation=view, users_per_cell=2)
    monkeypatch.setattr(train_sb3.SB3Run, "config", small)
    monkeypatch.setitem(RECIPES["sac", network][2], "learning_starts", 32)
    size = ("--algo", algo, "--policy-network", network, "--minutes", "0.02", "--scenes", "8", "--out", str(tmp_path))
    result = call("multicell", *size, "--json", str(tmp_path / "runs.json"))
    assert result.exit_code == 0, result.output
    (run,) = json.loads((tmp_path / "runs.json").read_text())["runs"]
    assert run["steps"] > 0
    assert run["over_equal"] > 0
    assert any((tmp_path / "seed-0" / "tensorboard").iterdir())
    assert call("multicell", *size, "--resume", "--json", str(tmp_path / "runs.json")).exit_code == 0
    (later,) = json.loads((tmp_path / "runs.json").read_text())["runs"]
    assert later["steps"] > run["steps"]
    if network == "equivariant":
        policy = LearnedAllocator.load(later["policy"])  # the network alone, as the analytic gradient leaves it
        assert evaluate(make_scenario("multicell", horizon=1), policy, episodes=2, seed=0).violation < 1e-6


def test_an_interrupted_run_goes_on_and_ends_like_an_uninterrupted_one(tmp_path, monkeypatch):
    arguments = ("--steps", "30", "--scenes", "8")
    assert call(*arguments, "--out", str(tmp_path / "whole")).exit_code == 0
    update = MultiCellTrainer.update

    def interrupted(trainer):
        if trainer.step == 12:
            raise KeyboardInterrupt
        return update(trainer)

    with monkeypatch.context() as patch:
        patch.setattr(MultiCellTrainer, "update", interrupted)
        result = call(*arguments, "--out", str(tmp_path / "cut"))
        assert result.exit_code == 130
        assert "interrupted after step 12" in result.output
    assert call(*arguments, "--out", str(tmp_path / "cut"), "--resume").exit_code == 0
    files = [tmp_path / name / "seed-0" / "multicell-rate.safetensors" for name in ("whole", "cut")]
    one, two = (load_policy(file).state_dict() for file in files)
    assert all((one[name] - two[name]).abs().max() < 1e-6 for name in one)


def test_what_is_not_there_is_refused_in_one_line():
    for arguments in (
        ["mesh", "--reward", "log"],
        ["meshes"],
        ["multicell", "--algo", "dqn"],
        ["multicell", "--algo", "ppo", "--policy-network", "cnn"],
        ["multicell", "--reward", "speed"],
    ):
        assert call(*arguments).exit_code == 2


def compared(tmp_path, *arguments):
    file = tmp_path / "compare.json"
    small = ("--episodes", "2", "--horizon", "1", "--regret", "0", "--set", "users_per_cell=2", "--json", str(file))
    result = CliRunner().invoke(app, ["compare", *small, "--figure", str(tmp_path / "c.png"), *arguments])
    return result, {row["allocator"]: row for row in json.loads(file.read_text())["rows"]} if file.exists() else {}


@pytest.mark.slow
def test_a_policy_file_is_compared_beside_the_yardsticks(tmp_path):
    call("--steps", "3", "--scenes", "4", "--out", str(tmp_path))
    file = str(tmp_path / "seed-0" / "multicell-rate.safetensors")
    result, rows = compared(tmp_path, "--policy", file)
    assert result.exit_code == 0, result.output
    assert list(rows) == ["equal", "admm", "multicell-rate", "constant", "vertex", "search-20", "search-50"]
    _, named = compared(tmp_path, "--policy", file, "--allocators", "sca,search-50")
    assert list(named) == ["sca", "search-50", "multicell-rate", "constant", "vertex", "search-20"]


@pytest.mark.parametrize(
    ("setting", "others"),
    [
        pytest.param("reward=rate", {"constant", "vertex", "search-20", "search-50"}, marks=pytest.mark.slow),
        ("reward=fair", {"search-20", "search-50"}),
    ],
)
def test_the_shipped_policy_of_the_reward_never_stands_alone(tmp_path, setting, others):
    result, rows = compared(tmp_path, "--allocators", "learned", "--set", setting)
    assert result.exit_code == 0, result.output
    assert set(rows) == {"learned", *others}


def test_bad_policy_files_are_refused_in_one_line(tmp_path):
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"PK")
    for file, message in ((broken, "refused"), (tmp_path / "absent.safetensors", "no policy file"), ("x.zip", "takes")):
        result, _ = compared(tmp_path, "--policy", str(file))
        assert result.exit_code == 2
        assert message in result.output
        assert "Traceback" not in result.output


def test_policies_of_several_seeds_have_short_names_of_their_own(tmp_path):
    for seed in ("seed-1", "seed-2"):
        (tmp_path / seed).mkdir()
        for suffix in (".json", ".safetensors"):
            source = PRETRAINED / f"multicell-rate{suffix}"
            (tmp_path / seed / source.name).write_bytes(source.read_bytes())
    files = [tmp_path / seed / "multicell-rate.safetensors" for seed in ("seed-1", "seed-2")]
    assert roster_of("multicell").with_policies(files).always == ("multicell-rate", "seed-2/multicell-rate")
    both = roster_of("multicell").with_policies([files[0], Path("multicell-rate")])
    assert both.always == ("multicell-rate", "seed-1/multicell-rate")  # a shipped one has no other name
