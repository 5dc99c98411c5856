"""``jcas train``: what it writes, that it resumes, and what it refuses."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from jcas_agents import evaluate
from jcas_agents.checkpoint import PRETRAINED, load_policy
from jcas_agents.learned import LearnedAllocator
from jcas_agents.sb3.adapter import RECIPES, ROLLOUT_LANES
from jcas_agents.training.multicell import MultiCellTrainer
from jcas_experiments.cli import app
from jcas_experiments.scenarios.registry import roster_of
from jcas_experiments.train import judging, tasks
from jcas_experiments.train.arenas import NETWORKS
from jcas_experiments.train.setups import SETUPS
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


def table_of(folder):
    """Columns of progress.csv by name, empty cells as NaN."""
    with (folder / "progress.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name] or "nan") for row in rows] for name in rows[0]}


def scalars(folder):
    """What TensorBoard shows: steps and values by tag, over all event files."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = {}
    for run in sorted({file.parent for file in folder.rglob("events*")}):
        events = EventAccumulator(str(run)).Reload()
        for tag in events.Tags()["scalars"]:
            found.setdefault(tag, []).extend((event.step, event.value) for event in events.Scalars(tag))
    return found


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
    seen, told = table_of(folder), scalars(folder / "tensorboard")
    assert seen["steps"] == [25]
    for name, column in seen.items():
        assert np.isfinite(column).all()
        assert name == "steps" or told[f"jcas/{name}"] == [(25, pytest.approx(column[0], rel=1e-6, abs=1e-12))]
    assert seen["gradient_norm"][0] > 0
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


@pytest.fixture
def _small_rollouts(monkeypatch):
    monkeypatch.setattr(judging, "EPISODES", 2)
    for algo in ("ppo", "sac"):
        monkeypatch.setitem(ROLLOUT_LANES, algo, 8)
    for network in NETWORKS:
        monkeypatch.setitem(RECIPES["sac", network][2], "learning_starts", 32)
        monkeypatch.setitem(RECIPES["sac", network][2], "batch_size", 32)
        monkeypatch.setitem(RECIPES["ppo", network][2], "batch_size", 32)


SMALL = {"multicell": "users_per_cell=2", "mesh": "users=2", "massive-mimo": "users=2"}


@pytest.mark.usefixtures("_small_rollouts")
@pytest.mark.parametrize("algo", ["ppo", "sac"])
@pytest.mark.parametrize(("scenario", "reward"), [(name, reward) for name in SETUPS for reward in SETUPS[name]])
def test_stable_baselines3_trains_on_every_scenario_and_reward(tmp_path, scenario, reward, algo):
    size = ("--algo", algo, "--reward", reward, "--minutes", "0.01", "--out", str(tmp_path), "--set", SMALL[scenario])
    bank = ("--scenes", "8") if scenario == "multicell" and reward != "delay" else ()
    result = call(scenario, *size, *bank, "--json", str(tmp_path / "runs.json"))
    assert result.exit_code == 0, result.output
    (run,) = json.loads((tmp_path / "runs.json").read_text())["runs"]
    seen, told = table_of(tmp_path / "seed-0"), scalars(tmp_path / "seed-0" / "tensorboard")
    assert list(seen) == run["curve_columns"]
    for name in seen:
        assert np.isfinite(seen[name]).all(), name
        if name not in ("steps", "cpu_seconds"):
            assert [value for _, value in told[f"jcas/{name}"]] == pytest.approx(seen[name], rel=1e-6, abs=1e-12)
    assert seen["gradient_norm"][-1] > 0
    assert seen["violation"][-1] < 1e-6 or scenario != "multicell"


def test_an_option_that_a_task_does_not_have_is_refused_in_one_line(tmp_path):
    for arguments, message in (
        (["multicell", "--set", "users_per_cell=2"], "`--set` is for ppo and sac"),
        (["multicell", "--algo", "ppo", "--set", "reward=fair"], "choose it by `--reward`"),
        (["multicell", "--algo", "ppo", "--set", "user_per_cell=2"], "users_per_cell"),
        (["mesh", "--algo", "sac", "--policy-network", "equivariant"], "is for multicell without queues"),
        (["mesh", "--algo", "sac", "--scenes", "8"], "bank of frozen scenes"),
        (["mesh", "--algo", "ppo", "--steps", "8"], "`--steps` is for the gradient"),
        (["mesh", "--algo", "ppo", "--stop-after", "8"], "`--stop-after` is for the gradient"),
        (["mesh", "--minutes", "0.01"], "`--minutes` is for ppo and sac"),
        (["massive-mimo", "--algo", "ppo", "--reward", "rate"], "tracking"),
    ):
        result = call(*arguments, "--out", str(tmp_path))
        assert result.exit_code == 2
        assert message in " ".join(result.output.split())


@pytest.mark.usefixtures("_small_rollouts")
@pytest.mark.parametrize("network", ["equivariant", pytest.param("mlp", marks=pytest.mark.slow)])
@pytest.mark.parametrize("algo", ["ppo", "sac"])
def test_stable_baselines3_trains_on_frozen_scenes_and_goes_on(tmp_path, algo, network):
    task = ("--algo", algo, "--policy-network", network, "--set", "users_per_cell=2", "--scenes", "8")
    size = (*task, "--minutes", "0.02", "--out", str(tmp_path))
    result = call("multicell", *size, "--json", str(tmp_path / "runs.json"))
    assert result.exit_code == 0, result.output
    (run,) = json.loads((tmp_path / "runs.json").read_text())["runs"]
    assert run["steps"] > 0
    assert run["over_equal"] > 0
    before = table_of(tmp_path / "seed-0")
    assert call("multicell", *size, "--resume", "--json", str(tmp_path / "runs.json")).exit_code == 0
    (later,) = json.loads((tmp_path / "runs.json").read_text())["runs"]
    assert later["steps"] > run["steps"]
    after = table_of(tmp_path / "seed-0")
    assert {name: column[: len(before[name])] for name, column in after.items()} == before
    assert len(set(after["steps"])) == len(after["steps"]) == len(before["steps"]) + 1
    told = scalars(tmp_path / "seed-0" / "tensorboard")["jcas/return"]
    assert [step for step, _ in told] == after["steps"]
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
    one, two = (table_of(tmp_path / name / "seed-0") for name in ("whole", "cut"))
    assert one == {name: pytest.approx(column, rel=1e-6) for name, column in two.items()}


def test_rows_of_a_run_that_died_after_it_last_saved_its_state_stand_once(tmp_path):
    task = ("--steps", "50", "--scenes", "8", "--out", str(tmp_path))
    assert call(*task, "--stop-after", "25").exit_code == 0
    state = tmp_path / "seed-0" / "state.safetensors"
    saved = state.read_bytes()
    assert call(*task, "--resume").exit_code == 0
    whole = table_of(tmp_path / "seed-0")
    state.write_bytes(saved)
    assert call(*task, "--resume").exit_code == 0
    assert whole == {name: pytest.approx(column, rel=1e-6) for name, column in table_of(tmp_path / "seed-0").items()}
    told = scalars(tmp_path / "seed-0" / "tensorboard")
    assert [step for step, _ in told["jcas/training_reward"]] == whole["steps"] == [25, 50]


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


@pytest.mark.parametrize("name", ["yardstick", "(yardstick)"])
def test_a_policy_named_like_the_yardstick_does_not_stand_in_its_place(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    file = Path(f"{name}.safetensors")
    for suffix in (".json", ".safetensors"):
        file.with_suffix(suffix).write_bytes((PRETRAINED / f"multicell-rate{suffix}").read_bytes())
    roster = roster_of("multicell").with_policies([file])
    assert roster.always == (f"{name}.safetensors",)


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
