"""What somebody meets in the first hour: a quick comparison, names of files, what can be set, one thread."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import fields
from importlib import import_module
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest
from jcas_experiments import cli
from jcas_experiments.compare import command
from jcas_experiments.console import Bars
from jcas_experiments.looks import looks
from rich.console import Console
from typer.testing import CliRunner

from jcas_env.scenarios import SCENARIOS

SMALL = ("--set", "users_per_cell=3", "--set", "bs_antennas=8", "--set", "ue_antennas=2", "--set", "estimator=perfect")
EQUAL = ("compare", *SMALL, "--allocators", "equal", "--regret", "0")


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments: CliRunner().invoke(cli.app, list(arguments))


def pictures(folder):
    return sorted(path.name for path in (folder / "results").glob("*.png"))


def test_a_second_comparison_leaves_the_first_ones_picture_alone(run, tmp_path):
    short = ("--episodes", "2", "--horizon", "2")
    for count in (1, 2):
        assert run(*EQUAL, *short).exit_code == 0
        assert len(pictures(tmp_path)) == count
    assert run(*EQUAL, *short, "--resume").exit_code == 0
    assert len(pictures(tmp_path)) == 2


def test_quick_is_small_and_named_so(run, tmp_path):
    result = run(*EQUAL, "--quick")
    assert result.exit_code == 0, result.output
    assert f"{command.QUICK.episodes} episodes of {command.QUICK.horizon} slots" in result.output
    (name,) = pictures(tmp_path)
    assert name.startswith("compare-multicell-quick-2")
    longer = run(*EQUAL, "--quick", "--episodes", "3")
    assert f"3 episodes of {command.QUICK.horizon} slots" in longer.output


def test_resume_without_a_figure_finds_the_same_comparison_among_others(run, tmp_path):
    for seed in ("1", "2"):
        assert run(*EQUAL, "--episodes", "2", "--horizon", "2", "--seed", seed).exit_code == 0
    before = pictures(tmp_path)
    assert run(*EQUAL, "--episodes", "2", "--horizon", "2", "--seed", "1", "--resume").exit_code == 0
    assert pictures(tmp_path) == before
    other = run(*EQUAL, "--episodes", "2", "--horizon", "2", "--seed", "3", "--resume")
    assert other.exit_code == 2
    assert "seed" in other.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--allocators", "equal,drain"), "error: drain: "),
        (("--allocators", "equal,max-weight"), "error: max-weight: "),
    ],
)
def test_who_cannot_work_on_the_problem_says_so_before_the_work(run, monkeypatch, arguments, words):
    def work(*_, **__):
        raise AssertionError("the work began")

    monkeypatch.setattr(command, "run_comparison", work)
    result = run("compare", *SMALL, *arguments)
    assert result.exit_code == 2
    assert words in result.stderr


def test_the_version_is_that_of_the_package(run):
    assert run("--version").output.strip() == f"jcas-env {version('jcas-env')}"


@pytest.mark.parametrize("name", SCENARIOS)
def test_config_lists_every_field_with_the_value_in_force(run, name):
    output = run("config", name).output
    for item in fields(SCENARIOS[name][1]):
        assert any(line.startswith(item.name) for line in output.splitlines()), item.name


def test_config_shows_presets_and_settings(run):
    lines = run("config", "--preset", "luo2023-fig8", "--set", "cells=7").output.splitlines()
    values = {words[0]: words[1] for words in map(str.split, lines) if len(words) > 1}
    assert (values["ue_antennas"], values["cells"], values["bs_antennas"]) == ("18", "7", "20")
    assert "did you mean" in run("config", "--preset", "luo2023-fig88").stderr


@pytest.mark.parametrize("name", SCENARIOS)
def test_presets_are_listed_with_what_they_set(run, name):
    output = run("presets", name).output
    for preset in SCENARIOS[name][1].presets():
        assert any(line.startswith(preset) for line in output.splitlines())


@pytest.mark.parametrize(("given", "threads"), [(None, "1"), ("2", "2")])
def test_the_command_takes_one_thread_unless_told_otherwise(given, threads):
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    environment |= {} if given is None else {"OMP_NUM_THREADS": given}
    code = (
        "import sys, os; import jcas_experiments.__main__ as m; assert 'numpy' not in sys.modules; "
        "sys.argv = ['jcas', '--version']\n"
        "try: m.start()\nexcept SystemExit: print(os.environ['OMP_NUM_THREADS'], 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split()[-2:] == [threads, "True"]


def test_the_command_is_installed_with_its_entry_point():
    (script,) = (entry for entry in entry_points(group="console_scripts") if entry.name == "jcas")
    module, name = script.value.split(":")
    assert callable(getattr(import_module(module), name))


def test_forty_curves_are_told_apart_without_colour_and_without_dashes():
    found = [look for look, _ in zip(looks(), range(40), strict=False)]
    assert len(set(found)) == len(found)
    assert len({(look.marker, look.dash) for look in found}) == len(found)


GREEDY = """
from jcas_baselines import EqualAllocation
class Greedy:
    def solve(self, problem):
        fair = EqualAllocation().solve(problem)
        return type(fair)(fair.allocation._replace(power=2 * fair.allocation.power), *list(vars(fair).values())[1:])
made = Greedy()
held = Greedy()
held.rule = lambda power: power
def make():
    return Greedy()
number = 3
"""


@pytest.fixture
def own(run, tmp_path):
    """Compares what a module of the user's own holds, by its name."""
    (tmp_path / "mine.py").write_text(GREEDY)
    yield lambda name: run(
        "compare", *SMALL, "--episodes", "2", "--horizon", "2", "--regret", "0", "--allocators", f"equal,{name}",
        "--json", "n.json",
    )  # fmt: skip
    sys.modules.pop("mine", None)
    sys.path[:] = [entry for entry in sys.path if entry != str(tmp_path)]


def test_an_allocator_that_no_other_process_can_have_is_refused_before_the_work(run, own, tmp_path, monkeypatch):
    assert own("mine:held").exit_code == 0, "in one process there is nothing to hand on"
    monkeypatch.setattr(command, "run_comparison", lambda *_: pytest.fail("the work began"))
    result = run("compare", *SMALL, "--allocators", "equal,mine:held", "--jobs", "2")
    assert result.exit_code == 2
    assert "mine:held cannot be shared by `--jobs` or `--ray`" in result.stderr


@pytest.mark.parametrize("name", ["mine:Greedy", "mine:made", "mine:make"])
def test_an_infeasible_allocator_of_ones_own_is_marked_by_its_violation(own, tmp_path, name):
    result = own(name)
    assert result.exit_code == 0, result.output
    rows = {row["allocator"]: row for row in json.loads((tmp_path / "n.json").read_text())["rows"]}
    assert rows[name]["violation"] == pytest.approx(1.0, abs=1e-9), "twice the budget"
    assert "violates a constraint by 100.0 %" in " ".join(result.output.split())
    assert rows["equal"]["violation"] <= 1e-9
    assert result.output.count("NOT FEASIBLE") == 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("yours:Greedy", "there is no module 'yours'"),
        ("mine:Gredy", "did you mean 'Greedy'?"),
        ("mine:number", "an allocator has `solve(problem)`"),
        (":Greedy", "`--allocators :Greedy`"),
        ("mine:", "`--allocators mine:`"),
        ("..mine:Greedy", "`--allocators ..mine:Greedy`"),
    ],
)
def test_what_is_no_allocator_of_ones_own_is_refused_by_name(own, name, words):
    result = own(name)
    assert result.exit_code == 2, result.output
    assert words in result.stderr


def test_the_example_of_an_own_allocator_is_feasible_and_lies_between(run, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "examples"))
    names = "equal,equal-group,own_allocator:Between"
    result = run("compare", *SMALL, "--episodes", "8", "--horizon", "1", "--regret", "0", "--allocators", names,
                 "--set", "positioning_share=0.5", "--json", "n.json")  # fmt: skip
    assert result.exit_code == 0, result.output
    rows = json.loads((tmp_path / "n.json").read_text())["rows"]
    assert rows[2]["violation"] <= 1e-9
    assert rows[0]["utility"] > rows[2]["utility"] > rows[1]["utility"]


@pytest.mark.parametrize("terminal", [True, False])
def test_long_work_without_a_terminal_prints_a_plain_line_now_and_then(monkeypatch, capsys, terminal):
    clock = iter(range(0, 1000, 4))
    monkeypatch.setattr("jcas_experiments.console.monotonic", lambda: next(clock))
    console = Console(file=io.StringIO(), force_terminal=terminal)
    with Bars(console=console) as bars:
        task = bars.add_task("equal", total=40, unit="slots")
        for _ in range(40):
            bars.advance(task)
    lines = capsys.readouterr().err.splitlines()
    assert bool(lines) is not terminal
    assert all(line.startswith("equal: ") and " of 40 slots" in line for line in lines)
    assert len(lines) < 12
