"""RLlib trains on our environments, and commands share their work on Ray: in an environment of its own.

``python3 .ci/rllib.py`` makes that. Everything runs in programs of its own, as Ray's warnings are not ours.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
pytestmark = [
    pytest.mark.rllib,
    pytest.mark.skipif(
        find_spec("ray") is None, reason="needs Ray: pip install 'jcas-env[rllib]'; .ci/rllib.py tries it"
    ),
]


@pytest.fixture
def program(tmp_path):
    """Runs Python in an empty folder, with a home of its own; returns the finished process."""

    def run(*words):
        paths = [ROOT, ROOT / "agents", ROOT / "baselines", ROOT / "experiments", ROOT / "tests"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "RAY_USAGE_STATS_ENABLED": "0"}
        words = [sys.executable, *map(str, words)]
        return subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return run


def jcas(program, *words, before=""):
    code = f"import sys\n{before}\nfrom jcas_experiments.cli import main\nif __name__ == '__main__': main()"
    return program("-c", code, *words)


COMMANDS = {
    "compare": (
        ("compare", "--episodes", "2", "--horizon", "2", "--set", "users_per_cell=2", "--regret", "1",
         "--allocators", "equal,admm"),
        "compare.shared.records_piece", "mortal_records", "ADMM",
    ),
    "score": (("score", "multicell-rate", "--sets", "n2", "--scenes", "4"),
              "score.scores.score_one", "mortal_score", "constant"),
    "reproduce": (("reproduce", "nguyen-fig3", "--quick", "--out", "OUT"),
                  "reproduce.shared.tell_rows", "mortal_rows", "2"),
    "train": (("train", "mesh", "--steps", "2", "--scenes", "4", "--seeds", "2", "--out", "OUT"),
              "train.seeds.train_in_worker", "mortal_run", "1"),
}  # fmt: skip
"""Command line, what its workers do, the same with a death, and in which of the tasks."""


@pytest.mark.parametrize("command", COMMANDS)
def test_rows_of_a_command_are_the_same_on_ray_though_a_worker_is_killed(program, tmp_path, command):
    words, place, task, name = COMMANDS[command]
    few = "import jcas_experiments.score.scores as s; s.RIVALS['rate'] = ('equal', 'constant')\n"
    module, _, function = place.rpartition(".")
    deadly = f"import support.jobs, jcas_experiments.{module} as m\nm.{function} = support.jobs.{task}\n"
    (tmp_path / "mortal").write_text(f"{name} 1")
    for out, sharing, before in (("one", (), few), ("ray", ("--ray", "local", "--jobs", "2"), few + deadly)):
        own = [out if word == "OUT" else word for word in words]
        done = jcas(program, *own, "--json", f"{out}.json", *sharing, before=before)
        assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "task-0").exists(), "nobody was killed"
    one, two = (json.loads((tmp_path / f"{out}.json").read_text().replace("ray/", "one/")) for out in ("one", "ray"))
    for row in one["rows"] + two["rows"] if command == "compare" else ():
        del row["decision_ms"]
        row.pop("decision_ms_beside_processes", None)
    assert one == two


def test_a_cluster_that_does_not_answer_is_one_line(program):
    done = jcas(program, "compare", "--episodes", "1", "--ray", "nowhere:1")
    assert done.returncode == 2
    assert "`--ray nowhere:1`" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [("1600",), ("1600", "--stations"), ("1600", "--runners", "1")], ids=" ".join)
def test_the_example_trains(program, words):
    """A dict observation reaches the network, on native lanes and by station; an episode has 100 slots."""
    done = program(ROOT / "examples" / "rllib_ppo.py", *words)
    assert done.returncode == 0, done.stderr
    steps, _, earned = done.stdout.splitlines()[-1].partition(" steps, return of an episode ")
    assert int(steps) >= 1600
    assert float(earned) > 100


def test_lanes_are_native_and_a_foreign_environment_is_refused(program):
    code = """
import numpy as np
from jcas_agents.rllib import on_lanes
from jcas_env import JCASVectorEnv
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner
if __name__ == "__main__":
    for id in ("jcas/MultiCell-v0", "jcas/Mesh-v0", "jcas/MassiveMIMO-v0"):
        for kind in ("dict", "flat"):
            runner = SingleAgentEnvRunner(config=on_lanes(PPOConfig(), id, num_envs=3, observation=kind))
            assert isinstance(runner.env.unwrapped, JCASVectorEnv) and runner.num_envs == 3
            episodes = runner.sample(num_timesteps=9, random_actions=False)
            assert sum(map(len, episodes)) == 9
    try:
        on_lanes(PPOConfig(), "CartPole-v1")
    except ValueError as error:
        assert "`id` must be an environment of jcas_env, got 'CartPole-v1'" in str(error)
    else:
        raise SystemExit("not refused")
"""
    done = program("-c", code)
    assert done.returncode == 0, done.stdout + done.stderr
