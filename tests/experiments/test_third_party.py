"""A scenario that the house does not know: registered in one line, it is evaluated and compared."""

from __future__ import annotations

import json

import numpy as np
import pytest
from jcas_agents import evaluate
from jcas_baselines import Solution
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
        if not isinstance(problem, ToyProblem):
            raise TypeError(problem)
        best = problem.gain == problem.gain.max(axis=-1, keepdims=True)
        allocation = ToyAllocation(best.astype(float))
        code = np.full(problem.gain.shape[:-1], int(Status.FEASIBLE))
        return Solution(allocation, problem.utility(allocation), np.full(code.shape, np.inf), code, 0 * code)


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    monkeypatch.setitem(SCENARIOS, "toy", (Toy, ToyConfig))


def compared(tmp_path, *arguments):
    files = ("--json", str(tmp_path / "n.json"), "--figure", str(tmp_path / "p.png"))
    result = CliRunner().invoke(cli.app, ["compare", "toy", "--episodes", "3", "--horizon", "2", *files, *arguments])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "p.png").exists()
    return json.loads((tmp_path / "n.json").read_text()), " ".join(result.output.split())


def test_evaluate_needs_nothing_but_the_functions_of_a_scenario():
    result = evaluate(make_scenario("toy", users=4), Fallback(), episodes=3, seed=0)
    assert result.metrics.keys() == {"rate", "p5_rate", "jain"}
    np.testing.assert_allclose(result.utility, 4 * result.metrics["rate"])
    assert result.violation < 1e-12


def test_without_a_row_the_fallback_plays_and_every_metric_has_its_column(tmp_path):
    content, words = compared(tmp_path, "--set", "users=4")
    assert content["config"] == {"horizon": 2, "users": 4}
    (row,) = content["rows"]
    assert (row["allocator"], row["ratio_to_fallback"], row["status"]) == ("fallback", 1.0, {"FEASIBLE": 6})
    assert row["utility"] == pytest.approx(4 * row["rate"])
    assert "p5_rate" in words


def test_solvers_that_know_the_problem_type_are_found(monkeypatch):
    monkeypatch.setitem(general.SOLVERS, "equal", (BestUser, "best user"))
    roster = roster_of("toy")
    assert (tuple(roster.allocators), roster.reference) == (("fallback", "equal"), "equal")


def test_a_row_of_the_table_adds_allocators(tmp_path, monkeypatch):
    allocators = {"fallback": (Fallback, "equal power"), "best": (BestUser, "best user")}
    monkeypatch.setitem(ENTRIES, "toy", Entry(Roster(allocators, default=("fallback", "best"), reference="fallback")))
    content, _ = compared(tmp_path)
    assert [row["allocator"] for row in content["rows"]] == ["fallback", "best"]
    assert all(row["violation"] < 1e-12 for row in content["rows"])
