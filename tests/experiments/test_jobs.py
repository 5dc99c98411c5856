"""Work that processes share: the numbers of one process, whoever dies or interrupts meanwhile."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from jcas_experiments import cli
from jcas_experiments.compare.shared import SharedPlay
from jcas_experiments.jobs.crew import LostWorkerError, portions
from jcas_experiments.jobs.local import LocalCrew
from jcas_experiments.score import scores as scoring
from support import jobs
from typer.testing import CliRunner


def ignore(*_):
    """Hear nothing."""


@pytest.fixture(scope="module")
def two():
    with LocalCrew(2) as crew:
        yield crew


class TestCrew:
    def test_every_task_is_answered_and_tells(self, two):
        told = []
        tasks = [partial(jobs.told_square, number=number) for number in range(5)]
        answers = dict(two.work(tasks, lambda index, what: told.append((index, what))))
        assert {index: found.get() for index, found in answers.items()} == {n: n**2 for n in range(5)}
        assert sorted(told) == [(n, ("began", n)) for n in range(5)]
        assert len(two.workers) == 2

    def test_tasks_may_be_added_on_the_way(self, two):
        tasks = [partial(jobs.told_square, number=3)]
        found = []
        for _, answer in two.work(tasks, ignore):
            found.append(answer.get())
            if len(found) < 3:
                tasks.append(partial(jobs.told_square, number=found[-1]))
        assert found == [9, 81, 6561]

    def test_a_worker_has_one_thread_and_ours_keep_theirs(self, two):
        before = dict(os.environ)
        assert dict(two.work([jobs.threads], ignore))[0].get() == ["1", "1", "1"]
        assert dict(os.environ) == before

    def test_an_error_is_that_of_the_task_with_its_traceback(self, two):
        answers = dict(two.work([jobs.fault, jobs.odd_fault], ignore))
        assert type(answers[0].error) is np.linalg.LinAlgError
        assert "in fault" in answers[0].error.__notes__[0]
        with pytest.raises(RuntimeError, match="TwoArgumentsError: one two"):
            answers[1].get()

    @pytest.mark.parametrize("times", [1, 2])
    def test_a_worker_that_dies_costs_its_task_after_a_second_try(self, two, tmp_path, times):
        deaths = [0, times, 0]
        tasks = [partial(jobs.mortal, number=n, folder=tmp_path, times=t) for n, t in enumerate(deaths)]
        told = []
        answers = dict(two.work(tasks, lambda _, number: told.append(number)))
        assert (answers[0].get(), answers[2].get()) == (0, 2)
        assert sorted(told) == [0, 1, 1, 2]
        if times == 1:
            assert answers[1].get() == 1
        else:
            with pytest.raises(LostWorkerError, match=r"ended with signal 9 \(SIGKILL\), twice"):
                answers[1].get()

    def test_an_interrupted_worker_says_what_it_has_kept(self):
        heard = []

        def on_told(_, what):
            heard.append(what)
            os.kill(os.getpid(), signal.SIGINT)

        def work(crew):
            for index, found in crew.work([jobs.asleep], on_told):
                heard.append((index, found.get()))

        with LocalCrew(1) as crew, pytest.raises(KeyboardInterrupt):
            work(crew)
        assert heard == ["asleep", (0, "kept")]
        assert not multiprocessing.active_children()

    def test_workers_end_with_a_parent_that_is_killed(self, tmp_path):
        code = (
            "import os, signal\nfrom jcas_experiments.jobs.local import LocalCrew\nfrom support import jobs\n"
            "def on_told(*_):\n"
            "    print(crew.workers[0].process.pid, flush=True)\n"
            "    os.kill(os.getpid(), signal.SIGKILL)\n"
            "if __name__ == '__main__':\n"
            "    with LocalCrew(1) as crew:\n"
            "        list(crew.work([jobs.asleep], on_told))\n"
        )
        (tmp_path / "main.py").write_text(code)
        path = os.pathsep.join([*sys.path, str(Path(jobs.__file__).parent.parent)])
        environment = {**os.environ, "PYTHONPATH": path}
        done = subprocess.run(
            [sys.executable, "main.py"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, check=False
        )
        assert done.returncode == -signal.SIGKILL
        pid, end = int(done.stdout), time.monotonic() + 30
        while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]:
            assert time.monotonic() < end, "the worker goes on"
            time.sleep(0.05)

    def test_pieces_are_those_of_one_process(self):
        assert portions(130, 64) == [range(64), range(64, 128), range(128, 130)]
        assert portions(3, 64) == [range(3)]


# ---------------------------------------------------------------- the commands


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(cli.app, list(arguments))


COMPARE = ("compare", "--episodes", "3", "--horizon", "2", "--set", "users_per_cell=2", "--regret", "2")
THREE = ("--allocators", "equal,admm,gbd", "--slot-ms", "10", "--declared-latency", "equal=0",
         "--declared-latency", "admm=10", "--declared-latency", "gbd=20")  # fmt: skip
SCORE = ("score", "multicell-rate", "--sets", "n2", "--scenes", "4")
FIGURE = ("reproduce", "nguyen-fig3", "--quick")
TRAIN = ("train", "mesh", "--steps", "2", "--scenes", "4", "--seeds", "3")
RUN_FILES = ("curve.json", "state.safetensors", "mesh-sum.safetensors")


def numbers(path):
    """A comparison without what a clock measures."""
    content = json.loads(Path(path).read_text())
    for row in content["rows"]:
        del row["decision_ms"]
        row.pop("decision_ms_beside_processes", None)
    return content


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr("jcas_experiments.compare.shared.LANES", 2)
    monkeypatch.setattr("jcas_agents.evaluation.LANES", 2)
    monkeypatch.setattr("jcas_experiments.compare.regret.TOGETHER", 1)
    monkeypatch.setitem(scoring.RIVALS, "rate", ("equal", "constant", "vertex"))


@pytest.mark.usefixtures("few")
class TestAnyNumberOfJobs:
    def test_compare(self, run):
        for count in (1, 2, 3):
            result = run(*COMPARE, *THREE, "--json", f"{count}.json", "--figure", f"{count}.png", "--jobs", str(count))
            assert result.exit_code == 0, result.output
            said = f"up to {count} processes at work beside each other"
            assert (said in " ".join(result.stdout.split())) == (count > 1)
        assert numbers("1.json") == numbers("2.json") == numbers("3.json")
        assert [row["allocator"] for row in numbers("1.json")["rows"]] == ["equal", "admm", "gbd"]
        rows = json.loads(Path("3.json").read_text())["rows"]
        assert {row["decision_ms_beside_processes"] for row in rows} == {3}

    @pytest.mark.slow
    def test_score(self, run):
        for count in (1, 2, 3):
            result = run(*SCORE, "--json", f"{count}.json", "--jobs", str(count))
            assert result.exit_code == 0, result.output
        assert Path("1.json").read_text() == Path("2.json").read_text() == Path("3.json").read_text()

    @pytest.mark.parametrize("figure", ["nguyen-fig3", pytest.param("lu-fig3", marks=pytest.mark.slow)])
    def test_reproduce(self, run, figure):
        for count in (1, 2, 3):
            result = run(
                "reproduce", figure, "--quick", "--out", str(count), "--json", f"{count}.json", "--jobs", str(count)
            )
            assert result.exit_code == 0, result.output
        assert Path("1.json").read_text() == Path("2.json").read_text() == Path("3.json").read_text()
        assert (Path("1") / f"{figure}.csv").read_text() == (Path("3") / f"{figure}.csv").read_text()

    @pytest.mark.slow
    def test_train(self, run):
        for count in (1, 2, 3):
            result = run(*TRAIN, "--out", str(count), "--json", f"{count}.json", "--jobs", str(count))
            assert result.exit_code == 0, result.output
        for seed in range(3):
            for name in RUN_FILES:
                one, *others = ((Path(str(n)) / f"seed-{seed}" / name).read_bytes() for n in (1, 2, 3))
                assert others == [one, one], name
        one, three = (Path(f"{n}.json").read_text().replace(f'"{n}/', '"') for n in (1, 3))
        assert one == three

    @pytest.mark.parametrize("command", [COMPARE, SCORE, FIGURE, TRAIN], ids=lambda words: words[0])
    @pytest.mark.parametrize("count", ["0", "-1", "two", "1.5"])
    def test_what_is_no_positive_number_is_refused_before_the_work(self, run, tmp_path, command, count):
        result = run(*command, "--jobs", count)
        assert result.exit_code == 2
        assert "--jobs" in result.stderr
        assert not list(tmp_path.iterdir())

    def test_who_refuses_is_told_from_who_fails(self, run):
        """The words of a refusal, and exit status 2, as without a crew."""
        task = ("compare", "massive-mimo", "--episodes", "1", "--horizon", "2", "--set", "objective=min")
        one, two = (run(*task, "--allocators", "sca,exact", "--figure", f"{n}.png", "--jobs", n) for n in "12")
        assert (one.exit_code, two.exit_code) == (2, 2)
        assert one.stderr == two.stderr
        assert "error: sca: " in two.stderr
        assert "Traceback" not in two.output


DEADLY = {
    "compare": (COMPARE + THREE, "compare.shared.records_piece", jobs.mortal_records, "ADMM"),
    "score": (SCORE, "score.scores.score_one", jobs.mortal_score, "constant"),
    "reproduce": (FIGURE, "reproduce.shared.tell_rows", jobs.mortal_rows, "2"),
    "train": ((*TRAIN, "--out", "run"), "train.seeds.train_in_worker", jobs.mortal_run, "1"),
}
"""Command line, what its workers do, the same with deaths, and in which of the tasks."""


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(
    "command", ["compare", *(pytest.param(name, marks=pytest.mark.slow) for name in list(DEADLY)[1:])]
)
class TestAWorkerThatIsKilled:
    @pytest.mark.slow
    def test_is_replaced_once(self, run, monkeypatch, command):
        words, place, task, name = DEADLY[command]
        monkeypatch.setattr(f"jcas_experiments.{place}", task)
        Path("mortal").write_text(f"{name} 1")
        result = run(*words, "--jobs", "2", "--json", "n.json")
        assert result.exit_code == 0, result.output
        assert Path("task-0").exists()

    def test_costs_its_row_alone_and_resume_makes_it(self, run, monkeypatch, command):
        words, place, task, name = DEADLY[command]
        with monkeypatch.context() as patch:
            patch.setattr(f"jcas_experiments.{place}", task)
            Path("mortal").write_text(f"{name} 2")
            result = run(*words, "--jobs", "2", "--json", "n.json")
        assert result.exit_code == 1, result.output
        assert "ended with signal 9 (SIGKILL), twice" in result.stderr
        lost = json.loads(Path("n.json").read_text())
        if command == "compare":
            assert "FAILED:" in result.stdout
            assert "LostWorkerError" in lost["failed"]["admm"]
        else:
            assert "LOST" in result.stderr
            assert "SIGKILL" in str(lost["missing" if command == "train" else "lost"])
        result = run(*words, "--jobs", "2", "--json", "n.json", "--resume")
        assert result.exit_code == 0, result.output
        whole = json.loads(Path("n.json").read_text())
        rows = "runs" if command == "train" else "rows"
        assert len(whole[rows]) == len(lost[rows]) + 1


@pytest.mark.usefixtures("few")
class TestInterrupted:
    def test_a_comparison_keeps_its_rows_and_goes_on(self, run, monkeypatch):
        """Interrupted after the first row: the others are played after --resume, by another number of processes."""
        assert run(*COMPARE, *THREE, "--json", "whole.json").exit_code == 0
        results = SharedPlay.results

        def once(play, crew, on_slot):
            for count, result in enumerate(results(play, crew, on_slot)):
                if count == 1:
                    raise KeyboardInterrupt
                yield result

        with monkeypatch.context() as patch:
            patch.setattr(SharedPlay, "results", once)
            result = run(*COMPARE, *THREE, "--json", "cut.json", "--figure", "cut.png", "--jobs", "2")
        assert result.exit_code == 130
        assert "interrupted: 1 of 3 allocators finished" in result.stdout
        (finished,) = (row["allocator"] for row in numbers("cut.json")["rows"])
        played = []

        def counted(play, crew, on_slot):
            played.extend(play.rows)
            return results(play, crew, on_slot)

        monkeypatch.setattr(SharedPlay, "results", counted)
        result = run(*COMPARE, *THREE, "--json", "cut.json", "--figure", "cut.png", "--jobs", "3", "--resume")
        assert result.exit_code == 0, result.output
        assert sorted([finished, *played]) == ["admm", "equal", "gbd"]
        assert numbers("cut.json") == numbers("whole.json")

    @pytest.mark.slow
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_runs_are_saved_and_go_on_to_the_same_end(self, run, tmp_path, number):
        """Ctrl-C in a terminal reaches all processes, SIGTERM the command alone: both save, and nobody stays behind."""
        long = ("train", "mesh", "--steps", "400", "--scenes", "4", "--seeds", "2", "--jobs", "2")
        command = [sys.executable, "-m", "jcas_experiments", *long, "--out", "cut"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
            try:
                _wait_for(lambda: all((tmp_path / "cut" / f"seed-{n}" / ".lock").exists() for n in (0, 1)), process)
                time.sleep(2.0)
                if number == signal.SIGINT:
                    os.killpg(process.pid, number)
                else:
                    process.send_signal(number)
                printed = process.communicate(timeout=120)[0]
            finally:
                process.kill()
        if process.returncode == 0:
            pytest.skip("this machine was too quick: the runs had ended before the signal")
        assert process.returncode == 130, printed
        assert "go on with --resume" in printed
        assert run(*long, "--out", "cut", "--resume").exit_code == 0
        assert run(*long, "--out", "whole").exit_code == 0
        for seed in (0, 1):
            one, two = (tmp_path / name / f"seed-{seed}" / "state.safetensors" for name in ("cut", "whole"))
            assert one.read_bytes() == two.read_bytes()


def _wait_for(condition, process):
    end = time.monotonic() + 120
    while not condition():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.parametrize("command", [COMPARE, SCORE, FIGURE, TRAIN], ids=lambda words: words[0])
def test_without_ray_the_line_that_installs_it_is_named(tmp_path, command):
    code = "import sys; sys.modules['ray'] = None; from jcas_experiments.cli import main; sys.argv[0] = 'jcas'; main()"
    words = [sys.executable, "-c", code, *command, "--ray", "local"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "this needs ray, which is not installed: python3 -m pip install -e '.[rllib]'" in done.stderr
