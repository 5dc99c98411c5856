"""A scenario that the house does not know: registered in one line, it is made, played, solved, compared and drawn."""

from __future__ import annotations

import json
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from jcas_agents import evaluate
from jcas_baselines import ADMM, EqualAllocation, Solution
from jcas_baselines.solver import Method
from jcas_experiments import cli
from jcas_experiments.allocators import Roster
from jcas_experiments.scenarios import general
from jcas_experiments.scenarios.general import Fallback
from jcas_experiments.scenarios.registry import ENTRIES, Entry, roster_of
from support.toy import Toy, ToyAllocation, ToyConfig, ToyProblem
from typer.testing import CliRunner

from jcas_env import SCENARIOS, Status, make_scenario


class BestUser:
    """All power to the user of the best channel."""

    def solve(self, problem):
        best = problem.gain == problem.gain.max(axis=-1, keepdims=True)
        allocation = ToyAllocation(best.astype(float))
        code = np.full(problem.gain.shape[:-1], int(Status.FEASIBLE))
        return Solution(allocation, problem.utility(allocation), np.full(code.shape, np.inf), code, 0 * code)


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    monkeypatch.setitem(SCENARIOS, "toy", (Toy, ToyConfig))
    entry = {"entry_point": "jcas_env.envs:JCASEnv", "vector_entry_point": "jcas_env.envs:JCASVectorEnv"}
    gym.register(id="toy/Toy-v0", kwargs={"scenario": "toy"}, **entry)
    yield
    gym.registry.pop("toy/Toy-v0")


def compared(tmp_path, *arguments):
    files = ("--json", str(tmp_path / "n.json"), "--figure", str(tmp_path / "p.png"))
    result = CliRunner().invoke(cli.app, ["compare", "toy", "--episodes", "3", "--horizon", "2", *files, *arguments])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "p.png").exists()
    return json.loads((tmp_path / "n.json").read_text()), " ".join(result.output.split())


def test_gymnasium_makes_it():
    env = gym.make("toy/Toy-v0", users=4, render_mode="rgb_array")
    check_env(env.unwrapped, skip_render_check=True)
    env.reset(seed=7)
    *_, info = env.step(env.action_space.sample())
    assert set(info) >= {"rate", "utility", "violation"}
    assert env.render().ndim == 3
    envs = gym.make_vec("toy/Toy-v0", num_envs=3, users=4)
    observation, _ = envs.reset(seed=7)
    np.testing.assert_array_equal(observation[0], gym.make("toy/Toy-v0", users=4).reset(seed=7)[0])
    assert envs.step(envs.action_space.sample())[1].shape == (3,)


def test_a_scenario_of_which_no_painter_is_known_leaves_the_others_pictures_alone():
    code = (
        "from jcas_env import SCENARIOS, JCASEnv, MultiCellConfig, MultiCell\n"
        "SCENARIOS['other'] = (MultiCell, MultiCellConfig)\n"
        "env = JCASEnv('multicell', users_per_cell=2, render_mode='rgb_array'); env.reset(seed=0)\n"
        "assert env.render().ndim == 3\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_a_fault_of_a_registered_solver_is_no_sign_that_it_does_not_know_the_problem(monkeypatch):
    class Broken(Method):
        pass

    @Broken.register(ToyProblem)
    def _(problem, method):
        return None + 1

    monkeypatch.setitem(general.SOLVERS, "admm", (Broken, "fails"))
    assert set(roster_of("toy").allocators) == {"fallback", "equal", "admm"}
    assert not ADMM.knows(ToyProblem)


def test_a_solver_answers_once_it_is_registered_and_another_names_what_it_knows():
    problem = ToyProblem(np.array([1.0, 3.0]))
    assert EqualAllocation().solve(problem).objective == pytest.approx(np.log(1.5) + np.log(2.5))
    with pytest.raises(TypeError, match="ADMM solves .*MultiCellProblem.*, got ToyProblem"):
        ADMM().solve(problem)


def test_evaluate_needs_nothing_but_the_functions_of_a_scenario():
    result = evaluate(make_scenario("toy", users=4), Fallback(), episodes=3, seed=0)
    assert result.metrics.keys() == {"rate", "p5_rate", "jain"}
    np.testing.assert_allclose(result.utility, 4 * result.metrics["rate"])
    assert result.violation < 1e-12


def test_without_a_row_the_fallback_and_the_solvers_that_know_its_problem_play(tmp_path):
    roster = roster_of("toy")
    assert (tuple(roster.allocators), roster.reference) == (("fallback", "equal"), "equal")
    content, words = compared(tmp_path, "--set", "users=4")
    assert content["config"] == {"horizon": 2, "users": 4, "dtype": "float64"}
    for row in content["rows"]:
        assert (row["ratio_to_equal"], row["status"]) == (1.0, {"FEASIBLE": 6})
        assert row["utility"] == pytest.approx(4 * row["rate"])
    assert "p5_rate" in words


def test_a_row_of_the_table_adds_allocators(tmp_path, monkeypatch):
    allocators = {"fallback": (Fallback, "equal power"), "best": (BestUser, "best user")}
    monkeypatch.setitem(ENTRIES, "toy", Entry(Roster(allocators, default=("fallback", "best"), reference="fallback")))
    content, _ = compared(tmp_path)
    assert [row["allocator"] for row in content["rows"]] == ["fallback", "best"]
    assert all(row["violation"] < 1e-12 for row in content["rows"])
