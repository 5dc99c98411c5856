"""What every command does with files that it cannot write, and with Ctrl-C."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from jcas_experiments import cli
from jcas_experiments.bench.row import Row
from jcas_experiments.bench.suites import SUITES, Suite
from jcas_experiments.score import scores as scoring
from typer.testing import CliRunner


@pytest.fixture
def refuse(tmp_path, monkeypatch):
    """Runs a command; returns its line on standard error. Work that begins is a failure."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()

    def work(*_, **__):
        raise AssertionError("the work began")

    monkeypatch.setattr("jcas_experiments.compare.command.run_comparison", work)
    monkeypatch.setattr("jcas_experiments.bench.command.run_suites", work)
    monkeypatch.setattr("jcas_experiments.reproduce.command.compute", work)
    monkeypatch.setattr("jcas_experiments.train.seeds.train_gradient", work)
    monkeypatch.setattr("jcas_experiments.score.scores.scores", work)

    def run(*arguments):
        result = CliRunner().invoke(cli.app, list(arguments))
        assert result.exit_code == 2, result.output
        (line,) = result.stderr.splitlines()
        return line

    return run


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("compare", "--json", "file/x.json"), "--json"),
        (("compare", "--json", "folder"), "--json"),
        (("compare", "--figure", "file/x.png"), "--figure"),
        (("compare", "--figure", "x.nosuchformat"), "--figure"),
        (("compare", "--figure", "x"), "--figure"),
        (("reproduce", "lu-fig3", "--out", "file"), "--out"),
        (("reproduce", "lu-fig3", "--json", "file/x.json"), "--json"),
        (("bench", "--json", "file/x.json"), "--json"),
        (("train", "massive-mimo", "--out", "file"), "--out"),
        (("train", "massive-mimo", "--json", "file/x.json"), "--json"),
        (("score", "--json", "file/x.json"), "--json"),
        (("score", "--sets", ""), "--sets"),
    ],
)
def test_what_cannot_be_written_is_refused_before_the_work(refuse, arguments, option):
    assert f"`{option}" in refuse(*arguments)


def interrupted(*finished):
    def rows(*_, **__):
        yield from finished
        raise KeyboardInterrupt

    return rows


def test_ctrl_c_in_a_measurement_keeps_finished_rows(tmp_path, monkeypatch):
    row = Row("what", 1.0, "peer", 2.0, "ms", 2.0, 1.0)
    monkeypatch.setitem(SUITES, "mesh", Suite(interrupted(row), "test"))
    result = CliRunner().invoke(cli.app, ["bench", "mesh", "--json", str(tmp_path / "x.json")])
    assert result.exit_code == 130
    assert "interrupted: 1" in result.stdout
    assert (tmp_path / "x.json").exists()


def test_ctrl_c_in_a_score_keeps_finished_ratios_and_no_card(tmp_path, monkeypatch):
    monkeypatch.setattr(scoring, "scores", interrupted())
    monkeypatch.setattr(scoring, "write_card", lambda *_: pytest.fail("a card of an interrupted score"))
    result = CliRunner().invoke(cli.app, ["score", "--card", "--json", str(tmp_path / "x.json")])
    assert result.exit_code == 130
    assert "interrupted: 0" in result.stdout
    assert not (tmp_path / "x.json").exists()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (("--set", "reward=fair"), "/ADMM: exp of the difference"),
        (("--preset", "delay"), "/EQUAL: a ratio of costs, less is better"),
    ],
)
def test_the_table_says_what_its_ratios_are_where_they_are_not_ratios_of_gains(tmp_path, settings, words):
    small = ("--set", "users_per_cell=2", "--episodes", "2", "--horizon", "2", "--regret", "0")
    files = ("--figure", str(tmp_path / "x.png"))
    result = CliRunner().invoke(cli.app, ["compare", "--allocators", "equal,admm", *small, *settings, *files])
    assert result.exit_code == 0, result.output
    assert words in " ".join(result.stdout.split())


@pytest.mark.parametrize("arguments", [("train",), ("score",), ("compare", "--allocators", "equal,learned")])
def test_without_the_training_packages_a_command_names_what_to_install(tmp_path, arguments):
    code = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'torch': raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from jcas_experiments.cli import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", code, *arguments]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert "torch" in line
    assert "[train]" in line


COMMANDS = ("bench", "compare", "reproduce", "score", "train")
PACKAGE = Path(cli.__file__).parent


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_do_not_import_each_other(command):
    """What two of them need lies a floor below: allocators, links, networks, scenarios, statistics, views."""
    for path in (PACKAGE / command).rglob("*.py"):
        depth = len(path.relative_to(PACKAGE).parts)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level == depth:
                assert (node.module or "").split(".")[0] not in COMMANDS, f"{path}:{node.lineno}"
