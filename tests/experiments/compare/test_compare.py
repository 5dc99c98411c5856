"""The comparison and the command line, as a newcomer meets them."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from jcas_agents import PolicyAgent, SolverAgent, decision_time, evaluate
from jcas_agents.agent import as_allocator
from jcas_agents.evaluation import jain_index
from jcas_baselines import ADMM, EqualAllocation, Exact, Solution
from jcas_experiments import cli
from jcas_experiments.allocators import refuses
from jcas_experiments.compare.command import run_comparison
from jcas_experiments.compare.comparison import Comparison, Played, Setting
from jcas_experiments.compare.table import legend, show
from jcas_experiments.files import plain, write_json
from jcas_experiments.scenarios.registry import roster_of
from jcas_experiments.statistics import mean_interval, paired_ratio, ratio_over_seeds
from rich.console import Console
from typer.testing import CliRunner

from jcas_env import MultiCellConfig, Status, make_scenario

SMALL = {"users_per_cell": 4, "bs_antennas": 8, "ue_antennas": 2, "horizon": 3}
ARGUMENTS = [word for item in SMALL.items() if item[0] != "horizon" for word in ("--set", f"{item[0]}={item[1]}")]


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "140")

    def invoke(*arguments):
        quick = ("--regret", "0") if arguments[0] == "compare" and "--regret" not in arguments else ()
        return CliRunner().invoke(cli.app, [*arguments, *quick])

    return invoke


class TestEvaluation:
    def test_episodes_are_paired_and_reproducible(self):
        scenario = make_scenario("multicell", **SMALL)
        a = evaluate(scenario, EqualAllocation(), episodes=3, seed=5)
        b = evaluate(scenario, EqualAllocation(), episodes=3, seed=5)
        np.testing.assert_array_equal(a.utility, b.utility)
        shifted = evaluate(scenario, EqualAllocation(), episodes=2, seed=6)
        np.testing.assert_allclose(shifted.utility, a.utility[1:], rtol=1e-9)  # episode i is seed + i
        assert a.user_rates.shape == (3, 3, 12)
        np.testing.assert_allclose(a.metrics["rate"], a.user_rates.mean(axis=(0, 2)))
        assert a.status == {"FEASIBLE": 9}
        assert a.episodes == 3

    def test_chunks_do_not_change_the_result(self, monkeypatch):
        scenario = make_scenario("multicell", **SMALL)
        whole = evaluate(scenario, ADMM(), episodes=5, seed=0)
        monkeypatch.setattr("jcas_agents.evaluation.LANES", 2)
        steps = []
        parts = evaluate(scenario, ADMM(), episodes=5, seed=0, on_slot=steps.append)
        np.testing.assert_allclose(parts.utility, whole.utility, rtol=1e-9)
        assert sum(steps) == 15

    def test_a_policy_is_an_allocator_too(self):
        scenario = make_scenario("multicell", **SMALL)

        class Zero:
            def act(self, observation):
                return np.zeros((*observation["gains"].shape[:-2], scenario.action_size))

        result = evaluate(scenario, Zero(), episodes=2, seed=0)
        assert np.isnan(result.objective).all()
        assert result.violation < 1e-9
        assert isinstance(as_allocator(Zero()), PolicyAgent)
        assert isinstance(as_allocator(ADMM()), SolverAgent)
        both = type("Both", (Zero,), {"decide": lambda self, env, observation: None})()
        assert as_allocator(both) is both
        assert isinstance(as_allocator(type("Policy", (Zero,), {"decide": lambda self, problem: None})()), PolicyAgent)
        with pytest.raises(TypeError, match="solve"):
            as_allocator(object())

    def test_the_fallback_is_played_and_counted_where_nothing_is_feasible(self):
        scenario = make_scenario("multicell", **SMALL)

        class Stubborn:
            def solve(self, problem):
                solution = EqualAllocation().solve(problem)
                power = solution.allocation.power.copy()
                power[1] = np.nan
                status = np.array([Status.FEASIBLE, Status.INFEASIBLE])
                return Solution(solution.allocation._replace(power=power), *solution_parts(solution), status, status)

        def solution_parts(solution):
            return solution.objective, solution.bound

        result = evaluate(scenario, Stubborn(), episodes=2, seed=0)
        assert np.isfinite(result.utility).all()
        assert result.status == {"FEASIBLE": 3, "INFEASIBLE": 3}

    def test_decision_time_is_that_of_a_single_scene(self):
        seconds = decision_time(make_scenario("multicell", **SMALL), Exact(), seed=0, decisions=3)
        assert 0 < seconds < 5

    def test_jain_index_by_hand(self):
        np.testing.assert_allclose(jain_index(np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])), [1.0, 0.5, 1.0])


class TestStatistics:
    def test_interval_covers_the_mean_of_a_known_sample(self):
        values = np.array([1.0, 2.0, 3.0, 4.0])
        low, high = mean_interval(values)  # 2.5 +- 3.182 * 0.6455
        assert (low, high) == (pytest.approx(0.446, abs=1e-3), pytest.approx(4.554, abs=1e-3))
        assert mean_interval(values[:1]) == [None, None]

    def test_ratio_is_of_means_and_paired(self, rng):
        base = rng.uniform(1, 3, 200)
        ratio, (low, high) = paired_ratio(1.1 * base + rng.normal(0, 0.01, 200), base)
        assert ratio == pytest.approx(1.1, abs=0.002)
        assert high - low < 0.005  # unpaired it would be some ten times wider
        assert low < 1.1 < high
        assert paired_ratio(base, None) == (None, None)
        assert paired_ratio(base, base) == (1.0, [1.0, 1.0])

    def test_interval_over_seeds_and_scenes(self):
        rng = np.random.default_rng(2)
        base = rng.uniform(1.0, 2.0, 200)
        one = 1.1 * base + rng.normal(0, 0.05, 200)
        ratio, interval = ratio_over_seeds(one[None], base)
        expected, bounds = paired_ratio(one, base)
        assert ratio == pytest.approx(expected, rel=1e-12)
        np.testing.assert_allclose(interval, bounds, atol=2e-3)
        # Equal seeds add nothing to the interval, unequal ones do; and the ratio is that of their mean.
        assert ratio_over_seeds(np.stack([one, one, one]), base)[1] == pytest.approx(interval, abs=2e-3)
        spread, (low, high) = ratio_over_seeds(np.stack([0.95 * one, one, 1.05 * one]), base)
        assert spread == pytest.approx(expected, rel=1e-12)
        assert high - low > 2 * (interval[1] - interval[0])
        logarithmic, _ = ratio_over_seeds(np.log(one)[None], np.log(base), logarithmic=True)
        assert logarithmic == pytest.approx(np.exp(np.log(one).mean() - np.log(base).mean()), rel=1e-12)


class TestCompareCommand:
    def test_table_figure_and_json(self, run, tmp_path):
        result = run("compare", "--episodes", "4", "--horizon", "2", "--json", "out/numbers.json", *ARGUMENTS)
        assert result.exit_code == 0, result.output
        for word in ("equal-group", "eba-pa", "exact", "admm", "/ADMM", "Jain", "relaxed", "feasible", "stationary"):
            assert word in result.output
        report = json.loads((tmp_path / "out" / "numbers.json").read_text())
        assert report.keys() == {"scenario", "config", "seed", "episodes", "rows"}
        assert (report["scenario"], report["seed"], report["episodes"]) == ("multicell", 0, 4)
        assert report["config"]["users_per_cell"] == 4
        assert report["config"]["horizon"] == 2
        rows = {row["allocator"]: row for row in report["rows"]}
        asked = {
            "allocator", "utility", "utility_ci95", "ratio_to_admm", "rate_mbps", "positioning_rate_mbps",
            "p5_rate_mbps", "jain", "decision_ms", "status",
        }  # fmt: skip
        for row in rows.values():
            assert asked <= row.keys()
            assert row["utility_ci95"][0] < row["utility"] < row["utility_ci95"][1]
            assert sum(row["status"].values()) == 8
            assert row["violation"] < 1e-9
        assert rows["admm"]["ratio_to_admm"] == 1.0
        assert rows["exact"]["ratio_to_admm"] == pytest.approx(1.0, abs=0.02)
        (picture,) = (tmp_path / "results").glob("compare-multicell-*.png")
        assert picture.read_bytes()[:4] == b"\x89PNG"

    def test_the_static_preset_is_the_setting_of_the_tables(self, run, tmp_path):
        result = run("compare", "--preset", "luo2023-static", "--episodes", "30", "--allocators", "equal,admm",
                     "--json", "n.json")  # fmt: skip
        assert result.exit_code == 0, result.output
        report = json.loads((tmp_path / "n.json").read_text())
        assert (report["config"]["horizon"], report["config"]["positioning_share"]) == (1, 0.5)
        rows = {row["allocator"]: row for row in report["rows"]}
        assert rows["admm"]["utility"] == pytest.approx(18.55, rel=0.1)
        assert rows["equal"]["ratio_to_admm"] == pytest.approx(0.873, abs=0.06)

    def test_without_admm_there_is_no_ratio(self, run, tmp_path):
        result = run("compare", "--episodes", "2", "--horizon", "1", "--allocators", "equal", "--json", "n.json",
                     *ARGUMENTS)  # fmt: skip
        assert result.exit_code == 0
        assert json.loads((tmp_path / "n.json").read_text())["rows"][0]["ratio_to_admm"] is None

    def test_utilities_are_related_to_whom_one_asks_for(self, run, tmp_path):
        small = "--episodes 2 --horizon 1 --allocators equal --json n.json"
        given = ["compare", *small.split(), *ARGUMENTS]
        result = run(*given, "--reference", "exact")
        assert result.exit_code == 0
        rows = {row["allocator"]: row for row in json.loads((tmp_path / "n.json").read_text())["rows"]}
        assert list(rows) == ["equal", "exact"]
        assert rows["equal"]["ratio_to_exact"] == pytest.approx(rows["equal"]["utility"] / rows["exact"]["utility"])
        assert rows["exact"]["ratio_to_exact"] == 1.0
        result = run(*given, "--reference", "exakt")
        assert result.exit_code == 2
        assert "did you mean 'exact'" in result.stderr

    def test_an_allocator_that_refuses_the_problem_does_so_before_the_work(self, run, tmp_path):
        """SCA knows no least rate as its objective; the exact optimum does."""
        arguments = ["--episodes", "1", "--horizon", "2", "--set", "objective=min", "--json", "n.json"]
        result = run("compare", "massive-mimo", "--allocators", "sca,exact", *arguments)
        assert result.exit_code == 2
        assert "error: sca: " in result.stderr
        assert "Traceback" not in result.output
        assert not list(tmp_path.rglob("*.*"))

    @pytest.mark.parametrize("error", [np.linalg.LinAlgError("Singular matrix"), ZeroDivisionError("by zero")])
    def test_a_fault_is_no_refusal(self, run, tmp_path, monkeypatch, error):
        """A LinAlgError is a ValueError, and nevertheless nobody's way to say that a problem is not for it."""

        def broken(self, problem):
            raise error

        monkeypatch.setattr(ADMM, "solve", broken)
        result = run("compare", "--episodes", "2", "--horizon", "1", "--allocators", "admm,equal", "--json", "n.json",
                     *ARGUMENTS)  # fmt: skip
        assert result.exit_code == 1
        assert "FAILED" in result.output
        assert f"{type(error).__name__}: {error}" in result.stderr
        assert "in broken" in result.stderr
        report = json.loads((tmp_path / "n.json").read_text())
        assert report["failed"] == {"admm": repr(error)}
        assert [row["allocator"] for row in report["rows"]] == ["equal"]

    def test_only_what_is_raised_on_purpose_refuses(self):
        with pytest.raises(ValueError, match="broadcast") as shapes:
            np.zeros(2) + np.zeros(3)
        assert not refuses(shapes.value)
        with pytest.raises(TypeError) as words:
            ADMM().solve(None)
        assert refuses(words.value)

    def test_a_fault_of_the_yardstick_keeps_the_table(self, run, monkeypatch):
        def broken(*_, **__):
            return 1 / 0

        monkeypatch.setattr("jcas_experiments.compare.command.measure", broken)
        result = run(
            "compare", "--episodes", "1", "--horizon", "1", "--allocators", "equal", "--regret", "1", *ARGUMENTS
        )
        assert result.exit_code == 1
        assert "1 feasible" in result.output
        assert "yardstick: Traceback" in result.stderr

    def test_one_estimator(self, run):
        result = run("compare", *ARGUMENTS, "--estimator", "spomp", "--set", "estimator=ls")
        assert result.exit_code == 2
        assert "`--estimator spomp` and `--set estimator=ls` both choose the estimator" in result.stderr

    def test_ctrl_c_keeps_finished_rows(self, run, tmp_path, monkeypatch):
        solve = ADMM.solve

        calls = iter((False,))  # the first call asks whether the problem is one for it

        def interrupted(self, problem):
            if next(calls, True):
                raise KeyboardInterrupt
            return solve(self, problem)

        monkeypatch.setattr(ADMM, "solve", interrupted)
        result = run("compare", "--episodes", "2", "--horizon", "1", "--allocators", "equal,exact,admm",
                     "--json", "n.json", *ARGUMENTS)  # fmt: skip
        monkeypatch.setattr(ADMM, "solve", solve)
        assert result.exit_code == 130
        assert "2 of 3 allocators finished" in result.output
        rows = json.loads((tmp_path / "n.json").read_text())["rows"]
        assert [row["allocator"] for row in rows] == ["equal", "exact"]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--allocators", "equl"], "unknown allocator 'equl': did you mean 'equal'?"),
            (["--allocators", " , "], "`--allocators` is empty"),
            (["multicel"], "unknown scenario 'multicel': did you mean 'multicell'?"),
            (["--preset", "luo2023-fig88"], "unknown preset 'luo2023-fig88': did you mean"),
            (["--set", "users=3"], "MultiCellConfig got an unexpected keyword argument 'users'"),
            (["--set", "floor"], "`--set` takes FIELD=VALUE, got 'floor'"),
            (["--set", "positioning_share=0.95"], "`positioning_share` must lie in (0.12, 0.88)"),
        ],
    )
    def test_bad_input_is_one_line_and_exit_code_2(self, run, arguments, message):
        result = run("compare", *arguments)
        assert result.exit_code == 2
        assert message in result.output
        assert len(result.output.strip().splitlines()) == 1
        assert "Traceback" not in result.output

    def test_help_teaches(self, run):
        text = run("compare", "--help").output
        for word in ("--allocators", "--preset", "--set", "--json", "admm", "Examples", "Ctrl-C"):
            assert word in text
        assert "compare" in run("--help").output

    def test_runs_as_a_module(self):
        done = subprocess.run(
            [sys.executable, "-m", "jcas_experiments", "--help"], capture_output=True, text=True, check=True
        )
        assert "compare" in done.stdout


def test_narrow_terminals_get_the_short_table():
    setting = Setting("multicell", make_scenario("multicell", **SMALL), 0, 2, roster_of("multicell"))
    console = Console(width=100, record=True, force_terminal=False)
    comparison, complete = run_comparison(setting, ["equal"], console)
    assert complete
    show(comparison, console)
    text = console.export_text()
    assert "95 % interval" not in text
    assert "utility" in text


@pytest.mark.parametrize(
    ("utilities", "said"),
    [
        ({"admm": -2.0, "equal": -3.0}, True),
        ({"admm": -2.0, "equal": 1.0}, True),  # the reference counts, not who stands beside it
        ({"admm": 2.0, "equal": -1.0}, False),
        ({"equal": -1.0}, False),  # no reference, no ratio
    ],
)
def test_ratios_are_those_of_costs_where_the_reference_has_a_mean_below_zero(utilities, said):
    setting = Setting("multicell", make_scenario("multicell", **SMALL), 0, 2, roster_of("multicell"))
    prompt = evaluate(setting.scenario, EqualAllocation(), episodes=2, seed=0)
    played = {name: Played(replace(prompt, utility=np.full(2, utility)), 0.0) for name, utility in utilities.items()}
    assert ("/ADMM: a ratio of costs" in legend(Comparison(setting, played))) is said


class TestFiles:
    def test_numbers_become_what_json_knows(self, tmp_path):
        path = tmp_path / "a" / "numbers.json"
        write_json(path, {"x": np.float64(1.5), "y": [float("nan"), np.arange(2)], "z": (1, None)})
        assert json.loads(path.read_text()) == {"x": 1.5, "y": [None, [0, 1]], "z": [1, None]}

    def test_plain_keeps_what_json_knows(self):
        assert plain({"a": True, 2: "text"}) == {"a": True, "2": "text"}


def test_default_config_of_the_comparison_is_the_environments(run, tmp_path):
    run("compare", "--episodes", "1", "--horizon", "1", "--allocators", "equal", "--json", "n.json")
    config = json.loads((tmp_path / "n.json").read_text())["config"]
    expected = plain(asdict(MultiCellConfig(horizon=1)))
    assert config == expected
    assert Path("results").exists()
