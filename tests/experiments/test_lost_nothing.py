"""Interrupted, piped, without a disk or a terminal that shows everything: no command loses what it has finished."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from jcas_agents.checkpoint import save_policy
from jcas_agents.training.multicell import MultiCellTrainer
from jcas_baselines import ADMM, EqualAllocation
from jcas_experiments import cli
from jcas_experiments.bench.suites import SUITES
from jcas_experiments.compare.comparison import play
from jcas_experiments.files import alone_in
from jcas_experiments.reproduce.registry import FIGURES
from jcas_experiments.score import scores as scoring
from jcas_experiments.train import tasks
from support.policies import stirred
from typer.testing import CliRunner

from jcas_env.scenarios.multicell import MultiCellConfig


class Killed(BaseException):
    """Ends a process at an exact point; nothing catches it."""


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(cli.app, list(arguments))


COMPARE = ("compare", "--episodes", "2", "--horizon", "2", "--set", "users_per_cell=2", "--regret", "0")
THREE = ("--regret", "1", "--allocators", "equal,exact,admm", "--latency", "--slot-ms", "1000")


def killed_at(monkeypatch, owner, name, call):
    """Replace a function by one that kills the process at its call of a number."""
    function, calls = getattr(owner, name), []

    def once(*arguments, **keywords):
        calls.append(1)
        if len(calls) == call:
            raise Killed
        return function(*arguments, **keywords)

    monkeypatch.setattr(owner, name, once)


def numbers(path):
    """Rows of a comparison without what a clock measures."""
    content = json.loads(path.read_text())
    for row in content["rows"]:
        del row["decision_ms"]
    return content


class TestCompare:
    def test_a_killed_comparison_goes_on_where_it_was_and_ends_alike(self, run, tmp_path, monkeypatch):
        whole = run(*COMPARE, *THREE, "--json", "whole.json", "--figure", "whole.png")
        assert whole.exit_code == 0, whole.output
        with monkeypatch.context() as patch:
            killed_at(patch, ADMM, "solve", 2)
            with pytest.raises(Killed):
                run(*COMPARE, *THREE, "--json", "cut.json")
        assert not (tmp_path / "cut.json").exists()
        played = []

        def counted(setting, name, *arguments, **keywords):
            played.append(name)
            return play(setting, name, *arguments, **keywords)

        monkeypatch.setattr("jcas_experiments.compare.command.play", counted)
        result = run(*COMPARE, *THREE, "--json", "cut.json", "--resume")
        assert result.exit_code == 0, result.output
        assert played == ["admm"]
        with monkeypatch.context() as patch:  # all of it is there, the yardstick too
            patch.setattr("jcas_experiments.compare.command.measure", lambda *_, **__: pytest.fail("searched again"))
            assert run(*COMPARE, *THREE, "--json", "cut.json", "--resume").exit_code == 0
        assert played == ["admm"]
        assert numbers(tmp_path / "cut.json") == numbers(tmp_path / "whole.json")

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (("--seed", "1"), "another scenes: seed 0, not 1"),
            (("--episodes", "3"), "another scenes: episodes 2, not 3"),
            (("--set", "reward=fair"), "another config: reward 'rate', not 'fair'"),
            (("--slot-ms", "20"), "another clock: clock None, not"),
        ],
    )
    def test_rows_of_another_comparison_are_refused_by_name(self, run, change, words):
        run(*COMPARE, "--allocators", "equal", "--figure", "x.png")
        arguments = (*COMPARE, "--allocators", "equal", "--figure", "x.png", *change)
        result = run(*arguments, "--resume")
        assert result.exit_code == 2
        assert words in result.stderr
        assert run(*arguments).exit_code == 0  # begun anew

    def test_a_policy_file_that_has_become_another_plays_again(self, run, tmp_path):
        arguments = (*COMPARE, "--policy", "p.safetensors", "--allocators", "equal", "--json", "n.json", "--resume")
        found = []
        for seed in (0, 1):
            save_policy(tmp_path / "p.safetensors", stirred(seed), {"reward": "rate"})
            assert run(*arguments).exit_code == 0
            rows = {row["allocator"]: row["utility"] for row in json.loads((tmp_path / "n.json").read_text())["rows"]}
            found.append(rows["p"])
        assert found[0] != found[1]

    @pytest.mark.parametrize("figure", ["/dev/full", "disk"])
    def test_what_cannot_be_written_at_the_end_loses_nothing_else(self, run, tmp_path, monkeypatch, figure):
        picture = tmp_path / "x.png"
        if figure == "disk":
            from jcas_agents.files import NotWrittenError

            def full(path, _):
                raise NotWrittenError(f"{path} cannot be written: No space left on device")

            monkeypatch.setattr("jcas_experiments.figures.write_file", full)
        else:
            picture.symlink_to("/dev/full")
        result = run(*COMPARE, "--allocators", "equal", "--figure", str(picture), "--json", "n.json")
        assert result.exit_code == 1
        assert "x.png cannot be written: No space left on device" in result.stderr
        assert "Traceback" not in result.output
        assert "4 feasible" in result.stdout
        assert json.loads((tmp_path / "n.json").read_text())["rows"]

    def test_two_results_in_one_file_are_refused(self, run, tmp_path):
        save_policy(tmp_path / "p.safetensors", stirred(), {})
        for arguments in (
            ("--json", "x.png", "--figure", "./x.png"),
            ("--json", "p.safetensors", "--policy", "p.safetensors"),
            ("--json", "x.rows.json", "--figure", "x.png"),
        ):
            result = run(*COMPARE, *arguments)
            assert result.exit_code == 2
            assert "are the same file" in result.stderr

    def test_names_are_printed_and_drawn_as_they_are(self, run, tmp_path):
        names = ["a[bold]", "run [v2]", "$\\frac", "_x", "[red]"]
        for name in names:
            save_policy(tmp_path / f"{name}.safetensors", stirred(), {"reward": "rate"})
        policies = [word for name in names for word in ("--policy", f"{name}.safetensors")]
        files = ("--figure", "q[/b]/[v2] $x.png", "--json", "[red].json")
        result = run(*COMPARE, *policies, "--allocators", "equal", *files)
        assert result.exit_code == 0, result.output
        assert {"figure: q[/b]/[v2] $x.png", "numbers: [red].json"} <= set(result.stdout.splitlines())
        for name in names:
            assert any(line.startswith(f"{name} ") for line in result.stdout.splitlines())
            assert f"unknown allocator {name!r}" in run(*COMPARE, "--allocators", name).stderr


class TestReproduce:
    def test_a_killed_figure_goes_on_and_ends_alike(self, run, tmp_path, monkeypatch):
        """Of a figure whose points stand for themselves only those that are missing are computed."""
        recipe, computed = FIGURES["nguyen-fig3"], []

        def counted(effort):
            for row in recipe.compute(effort):
                computed.append(row["antennas"])
                yield row
                if len(computed) == 2:
                    raise Killed

        assert run("reproduce", "nguyen-fig3", "--quick", "--out", "whole").exit_code == 0
        monkeypatch.setitem(FIGURES, "nguyen-fig3", replace(recipe, compute=counted))
        cut = ("reproduce", "nguyen-fig3", "--quick", "--out", "cut", "--json", "cut.json")
        with pytest.raises(Killed):
            run(*cut)
        assert run(*cut, "--resume").exit_code == 0
        assert len(computed) == len(set(computed)) == len(json.loads((tmp_path / "cut.json").read_text())["rows"])
        one, two = ((tmp_path / name / "nguyen-fig3.csv").read_text() for name in ("whole", "cut"))
        assert one == two
        result = run(*cut, "--resume", "--seed", "1")
        assert result.exit_code == 2
        assert "another effort: seed 0, not 1" in result.stderr

    @pytest.mark.parametrize("name", ["lu-fig3", "luo-fig9"])
    def test_rows_that_share_their_work_are_not_doubled(self, name):
        from jcas_experiments.reproduce.figure import Effort

        compute = FIGURES[name].compute
        rows = list(compute(Effort(quick=True)))
        assert list(compute(Effort(quick=True, wanted=frozenset({len(rows)})))) == rows[-1:]

    def test_a_full_disk_is_one_line(self, run, tmp_path, monkeypatch):
        assert run("reproduce", "lu-fig3", "--quick", "--json", "/dev/full").exit_code == 1
        assert (tmp_path / "results" / "quick" / "lu-fig3.csv").exists()


class TestScore:
    def test_a_killed_score_goes_on(self, run, tmp_path, monkeypatch):
        monkeypatch.setitem(scoring.RIVALS, "rate", ("equal", "constant", "vertex"))
        arguments = ("score", "multicell-rate", "--sets", "n4-6users", "--scenes", "4", "--json")
        assert run(*arguments, "whole.json").exit_code == 0
        with monkeypatch.context() as patch:
            killed_at(patch, scoring, "ratio_over_seeds", 5)
            with pytest.raises(Killed):
                run(*arguments, "cut.json")
        with monkeypatch.context() as patch:
            patch.setattr(EqualAllocation, "solve", lambda *_: pytest.fail("scored again"))
            assert run(*arguments, "cut.json", "--resume").exit_code == 0
        assert (tmp_path / "cut.json").read_text() == (tmp_path / "whole.json").read_text()
        result = run("score", "multicell-fair", *arguments[2:], "cut.json", "--resume")
        assert result.exit_code == 2
        assert "another policies" in result.stderr

    @pytest.mark.parametrize("name", ["mesh-sum", "multicell-delay"])
    def test_a_policy_without_evaluation_sets_is_refused(self, run, name):
        result = run("score", name)
        assert result.exit_code == 2
        assert "the evaluation sets are for multicell and ['rate', 'fair'], got a policy for" in result.stderr


# ---------------------------------------------------------------- training


@pytest.fixture
def train(run, monkeypatch):
    def few(reward):
        return [MultiCellConfig.preset("luo2023-static", users_per_cell=2, reward=reward)]

    monkeypatch.setattr(tasks, "mixed_configs", few)
    return lambda *arguments: run("train", *arguments)


RUN = ("multicell", "--steps", "30", "--scenes", "8", "--out", "run")


class TestTrain:
    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("--reward", "fair", "--steps", "30", "--scenes", "8"), "another task: reward 'rate', not 'fair'"),
            (("multicell", "--steps", "30", "--scenes", "9"), "another data: scenes 8, not 9"),
            (("multicell", "--steps", "31", "--scenes", "8"), "another recipe: steps 30, not 31"),
            (("mesh", "--steps", "30", "--scenes", "8"), "another task: scenario 'multicell', not 'mesh'"),
        ],
    )  # fmt: skip
    def test_another_run_is_not_gone_on_with(self, train, tmp_path, arguments, words):
        assert train(*RUN, "--stop-after", "3").exit_code == 0
        before = {path: path.read_bytes() for path in (tmp_path / "run" / "seed-0").iterdir() if path.is_file()}
        result = train(*arguments, "--out", "run", "--resume")
        assert result.exit_code == 2
        assert words in result.stderr
        assert {path: path.read_bytes() for path in before} == before

    @pytest.mark.parametrize("content", [None, "", "[[1, 2]", '{"a": 1}'])
    def test_the_curve_that_is_shown_may_be_missing_or_damaged(self, train, tmp_path, content):
        whole, folder = tmp_path / "whole" / "seed-0", tmp_path / "run" / "seed-0"
        assert train(*RUN[:-1], "whole").exit_code == 0
        assert train(*RUN, "--stop-after", "26").exit_code == 0
        (folder / "curve.json").unlink()
        if content is not None:
            (folder / "curve.json").write_text(content)
        assert train(*RUN, "--resume").exit_code == 0
        for name in ("curve.json", "state.safetensors"):
            assert (folder / name).read_bytes() == (whole / name).read_bytes()

    def test_a_run_that_is_not_there_begins_and_says_so(self, train):
        result = train(*RUN, "--stop-after", "2", "--resume")
        assert result.exit_code == 0
        assert "no run to go on with in run/seed-0: a new one begins" in result.stdout

    def test_one_folder_has_one_process(self, train, tmp_path):
        (tmp_path / "run" / "seed-0").mkdir(parents=True)
        with alone_in(tmp_path / "run" / "seed-0"):
            result = train(*RUN)
        assert result.exit_code == 2
        assert "another process is at work in run/seed-0" in result.stderr
        assert train(*RUN, "--stop-after", "2").exit_code == 0

    def test_tasks_have_folders_of_their_own(self, train, tmp_path):
        assert train("multicell", "--steps", "2", "--scenes", "4").exit_code == 0
        assert train("mesh", "--steps", "2", "--scenes", "4").exit_code == 0
        names = sorted(path.name for path in (tmp_path / "results" / "train").iterdir())
        assert names == ["mesh-sum", "multicell-rate"]

    def test_a_full_disk_is_one_line_and_leaves_the_last_state(self, train, tmp_path, monkeypatch):
        assert train(*RUN, "--stop-after", "3").exit_code == 0
        state = (tmp_path / "run" / "seed-0" / "state.safetensors").read_bytes()

        def full(_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("jcas_agents.files.os.fsync", full)
        result = train(*RUN, "--resume")
        assert result.exit_code == 1
        assert "cannot be written: No space left on device" in result.stderr
        assert "Traceback" not in result.output
        folder = tmp_path / "run" / "seed-0"
        assert (folder / "state.safetensors").read_bytes() == state
        assert not [path for path in folder.iterdir() if path.name.endswith(".part")]

    @pytest.mark.parametrize("step", [0, 12])
    def test_killed_at_a_step_a_run_ends_byte_for_byte_as_if_it_had_not_been(self, train, tmp_path, monkeypatch, step):
        assert train(*RUN[:-1], "whole").exit_code == 0
        monkeypatch.setattr("jcas_experiments.train.gradient.SAVE_EVERY", -1.0)
        update = MultiCellTrainer.update

        def killed(trainer):
            if trainer.step == step:
                raise Killed
            return update(trainer)

        with monkeypatch.context() as patch:
            patch.setattr(MultiCellTrainer, "update", killed)
            with pytest.raises(Killed):
                train(*RUN)
        assert train(*RUN, "--resume").exit_code == 0
        one, two = (tmp_path / name / "seed-0" / "state.safetensors" for name in ("whole", "run"))
        assert one.read_bytes() == two.read_bytes()


# ---------------------------------------------------------------- where output goes

SMALL = ("compare", "--allocators", "equal", "--episodes", "2", "--horizon", "1", "--regret", "0", "--json", "n.json")


def shell(folder, command, **environment):
    """Run a shell's line in which JCAS is the command."""
    import os

    line = command.replace("JCAS", f"{sys.executable} -m jcas_experiments")
    return subprocess.run(
        line, shell=True, cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


@pytest.mark.parametrize(
    ("line", "status", "told"),
    [
        ("JCAS {} > /dev/full", 1, "error: standard output could not take all that was printed: No space left"),
        ("JCAS {} | true", 0, ""),
        ("JCAS {} >&-", 0, ""),
        ("JCAS {} >&- 2>&-", 0, ""),
        ("JCAS {} 2> /dev/full", 0, ""),
        ("JCAS compare --help > /dev/full", 1, "error: standard output"),
        ("JCAS compare --help | true", 0, ""),
    ],
)
def test_output_that_is_lost_ends_cleanly_with_the_results_on_disk(tmp_path, line, status, told):
    done = shell(tmp_path, line.format(" ".join(SMALL)))
    assert done.returncode == status, done.stderr
    assert done.stderr.startswith(told)
    assert len(done.stderr.splitlines()) == bool(told)
    if "{}" in line:
        assert json.loads((tmp_path / "n.json").read_text())["rows"]
        assert list((tmp_path / "results").glob("compare-multicell-*.png"))


def test_a_terminal_that_cannot_show_a_sign_gets_another(tmp_path):
    done = shell(tmp_path, f"JCAS {' '.join(SMALL)}", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "+-95 %" in done.stdout
    assert "?" not in done.stdout
    for command in ("", "compare"):
        done = shell(tmp_path, f"JCAS {command} --help", PYTHONIOENCODING="ascii")
        assert done.returncode == 0, done.stderr
        assert "Usage" in done.stdout


@pytest.mark.parametrize("ending", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_whoever_ends_a_command_the_finished_rows_are_written(tmp_path, ending):
    """Ctrl-C, a batch system, a terminal that is closed."""
    # What runs in the background, or under nohup, has its children ignore signals.
    heed = "signal.default_int_handler" if ending == "SIGINT" else "signal.SIG_DFL"
    program = f"import signal; signal.signal(signal.{ending}, {heed}); from jcas_experiments.cli import main; main()"
    line = [sys.executable, "-c", program, *SMALL, "--figure", "f.png", "--allocators", "equal,joint"]
    line += ["--episodes", "30"]
    with subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while not (tmp_path / "f.rows.json").exists() and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(getattr(signal, ending))
        printed, told = process.communicate()
    assert (process.returncode, told) == (130, "")
    assert "interrupted: 1 of 2 allocators finished; go on with --resume" in printed
    assert [row["allocator"] for row in json.loads((tmp_path / "n.json").read_text())["rows"]] == ["equal"]


def at_once(*_, **__):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("line", "target"),
    [
        (("score", "--sets", "n4-6users", "--scenes", "2"), "score.scores.policy_hashes"),
        (("score", "--sets", "n4-6users", "--scenes", "2"), "score.scores.evaluation_scenes"),
        (("bench", "closed-forms", "--quick"), None),
        (("reproduce", "lu-fig3", "--quick"), None),
        (SMALL[:-2], "compare.command.play"),
        (("train", "--steps", "2", "--scenes", "4"), "train.seeds.train_gradient"),
    ],
)
def test_interrupted_before_its_first_row_a_command_leaves_the_file_of_the_last_one(run, monkeypatch, line, target):
    Path("n.json").write_text("numbers of the last run")
    monkeypatch.setitem(FIGURES, "lu-fig3", replace(FIGURES["lu-fig3"], compute=at_once))
    monkeypatch.setitem(SUITES, "closed-forms", SUITES["closed-forms"]._replace(rows=at_once))
    if target is not None:
        monkeypatch.setattr(f"jcas_experiments.{target}", at_once)
    result = run(*line, "--json", "n.json")
    assert result.exit_code == 130, result.output
    assert isinstance(result.exception, SystemExit)
    assert Path("n.json").read_text() == "numbers of the last run"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device here")
def test_numbers_on_a_full_device_leave_it_a_device(run):
    result = run(*SMALL[:-1], "/dev/full")
    assert result.exit_code == 1
    assert "/dev/full cannot be written: No space left on device" in result.stderr
    assert "2 feasible" in result.stdout
    assert Path("/dev/full").is_char_device()
