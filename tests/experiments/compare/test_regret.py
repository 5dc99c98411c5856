"""Regret to the best found, and the certified distance from the optimum, in the comparison."""

from __future__ import annotations

import json
from math import exp

import numpy as np
import pytest
from jcas_agents import evaluate
from jcas_baselines import Exact
from jcas_experiments import cli
from jcas_experiments.compare.regret import Forecast, Yardstick, columns, measure, shortfall
from typer.testing import CliRunner

from jcas_env import JCASVectorEnv, make_scenario

SMALL = {"users_per_cell": 4, "bs_antennas": 8, "ue_antennas": 2, "horizon": 2, "estimator": "ls"}


def compared(tmp_path, monkeypatch, *arguments):
    """What a run of the command writes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "140")
    result = CliRunner().invoke(cli.app, ["compare", *arguments, "--json", "c.json"])
    assert result.exit_code == 0, result.output
    return json.loads((tmp_path / "c.json").read_text()), result.output


def test_the_first_slot_is_the_one_that_is_searched():
    """The known allocation earns in the evaluation what the yardstick's truth says that it earns."""
    scenario = make_scenario("multicell", **SMALL)
    env = JCASVectorEnv(scenario, num_envs=3)
    env.reset(seed=5)
    solution = Exact().solve(env.problem)
    result = evaluate(scenario, Exact(), episodes=3, seed=5)
    np.testing.assert_allclose(env.truth.utility(solution.allocation), result.slot_utility[0])
    np.testing.assert_allclose(result.slot_utility.mean(axis=0), result.utility)


@pytest.mark.slow
def test_flagship(tmp_path, monkeypatch):
    """What was found is not better than the bound, no allocator is better than what was found."""
    settings = [word for name, value in SMALL.items() for word in ("--set", f"{name}={value}")]
    content, output = compared(
        tmp_path, monkeypatch, "--episodes", "3", "--regret", "2", "--allocators", "equal,exact,sca", *settings
    )
    best, bound = (np.array(content["yardstick"][key]) for key in ("best_found", "bound"))
    assert best.shape == bound.shape == (2,)
    assert np.all(best <= bound)
    rows = {row["allocator"]: row for row in content["rows"]}
    for row in rows.values():
        assert 0 <= row["regret_to_best_found"] <= row["within_of_bound"] < 1
    assert rows["sca"]["regret_to_best_found"] < rows["equal"]["regret_to_best_found"]
    assert "regret" in output
    assert "within" in output


def test_no_certificate_for_logarithms(tmp_path, monkeypatch):
    settings = [word for name, value in SMALL.items() for word in ("--set", f"{name}={value}")]
    content, _ = compared(
        tmp_path, monkeypatch, "--episodes", "1", "--allocators", "equal", "--set", "reward=fair", *settings
    )
    (row,) = content["rows"]
    assert row["within_of_bound"] is None
    gain = content["yardstick"]["best_found"][0] - row["utility"]  # the mean over both slots: near that of the first
    assert row["regret_to_best_found"] == pytest.approx(1.0 - exp(-gain), abs=0.1)


def test_mesh_is_certified_and_tracking_has_no_yardstick(tmp_path, monkeypatch):
    content, _ = compared(tmp_path, monkeypatch, "mesh", "--episodes", "2", "--allocators", "equal,exact")
    rows = {row["allocator"]: row for row in content["rows"]}
    assert -1e-9 <= rows["exact"]["regret_to_best_found"] <= rows["exact"]["within_of_bound"] < 1e-2
    assert rows["equal"]["within_of_bound"] > rows["exact"]["within_of_bound"]
    content, output = compared(tmp_path, monkeypatch, "massive-mimo", "--episodes", "2", "--allocators", "equal")
    assert "yardstick" not in content
    assert "regret" not in output


def test_what_an_allocator_found_counts_as_found():
    yardstick = Yardstick(np.array([2.0, 4.0]), np.array([4.0, 6.0]))
    first = {"a": np.array([3.0, 3.0, 9.0]), "b": np.array([1.5, 2.0, 9.0])}
    rows = columns(yardstick, first, logarithmic=False)
    assert rows["a"] == {"regret_to_best_found": pytest.approx(1 - 6 / 7), "within_of_bound": pytest.approx(0.4)}
    assert rows["b"]["regret_to_best_found"] == pytest.approx(0.5)
    assert columns(None, first, logarithmic=False) == {"a": {}, "b": {}}


def test_no_yardstick_for_who_chooses_the_groups():
    """Both are for the given groups: who leaves them has no regret, and what it finds is nobody's regret."""
    yardstick = Yardstick(np.array([2.0, 4.0]), np.array([4.0, 6.0]))
    first = {"a": np.array([1.5, 3.0]), "free": np.array([9.0, 9.0])}
    rows = columns(yardstick, first, logarithmic=False, regrouping={"free"})
    assert rows["free"] == {"regret_to_best_found": None, "within_of_bound": None}
    assert rows["a"]["regret_to_best_found"] == pytest.approx(0.25)


def test_the_table_has_a_dash_for_who_chooses_the_groups_and_says_what_the_yardstick_does(tmp_path, monkeypatch):
    settings = [word for name, value in SMALL.items() for word in ("--set", f"{name}={value}")]
    content, output = compared(
        tmp_path, monkeypatch, "--episodes", "1", "--allocators", "equal,admm-grouping,sca-grouping", *settings
    )
    rows = {row["allocator"]: row for row in content["rows"]}
    for name in ("admm-grouping", "sca-grouping"):
        assert rows[name]["regret_to_best_found"] is rows[name]["within_of_bound"] is None
    assert rows["equal"]["within_of_bound"] > 0
    words = " ".join(output.split())
    assert "chooses groups of its own" in words
    assert "yardstick: searching and bounding the first slot of 1 scenes (--regret 0 leaves it out)" in words


def test_the_yardstick_says_how_long_it_will_take(monkeypatch):
    clock = iter([0.0, 100.0])
    monkeypatch.setattr("jcas_experiments.compare.regret.perf_counter", lambda: next(clock))
    said = []
    watch = Forecast(8, said.append)
    for _ in range(8):
        watch.advance(1)
    start, estimate = said
    assert "first slot of 8 scenes" in start
    assert estimate == "yardstick: 1 of 8 scenes took 100 s, about 700 s to go"


def test_logarithms_are_compared_by_differences():
    assert shortfall(np.array([1.0, 2.0]), np.array([1.5, 2.5]), logarithmic=True) == pytest.approx(1 - exp(-0.5))
    assert shortfall(np.array([-1.0]), np.array([np.inf]), logarithmic=True) is None


def test_none_is_measured_where_none_is_asked_for():
    scenario = make_scenario("multicell", **SMALL)
    assert measure("multicell", scenario, seed=0, scenes=0, on_scene=lambda _: None) is None
