"""dev.py on machines that lack something."""

from __future__ import annotations

import contextlib
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def checkout(tmp_path):
    """The files that dev.py needs, without an environment."""
    for name in ("dev.py", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    return tmp_path


INTERPRETER = getattr(sys, "_base_executable", None) or sys.executable
"""The Python that a user types: that of .venv, which runs the tests, has no pip of its own."""


def call(checkout, *arguments, **environment):
    return subprocess.run(
        [INTERPRETER, str(checkout / "dev.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
        timeout=120,
    )


def test_help_and_unknown_commands(checkout):
    assert "python3 dev.py compare" in call(checkout, "--help").stdout
    assert "python3 dev.py compare" in call(checkout).stdout
    result = call(checkout, "tset")
    assert result.returncode == 2
    assert "unknown command 'tset'" in result.stderr
    assert "test" in result.stderr


def test_without_pip_it_says_how_to_get_it_and_leaves_nothing(checkout):
    blocker = checkout / "blocked" / "pip"
    blocker.mkdir(parents=True)
    (blocker / "__init__.py").write_text("raise ImportError('no pip')")
    result = call(checkout, "test", PYTHONPATH=str(blocker.parent))
    assert result.returncode == 1
    assert "has no pip" in result.stderr
    assert "python3-pip" in result.stderr
    assert not (checkout / ".venv").exists()


def test_without_a_network_it_says_so_and_leaves_no_half_made_environment(checkout):
    if subprocess.run([INTERPRETER, "-m", "pip", "--version"], capture_output=True, check=False).returncode:
        pytest.skip(f"{INTERPRETER} has no pip, which is what the test beside this one is about")
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_EXTRA_INDEX_URL": "", "PIP_FIND_LINKS": ""}
    result = call(checkout, "test", PIP_RETRIES="0", PIP_TIMEOUT="2", PIP_CONFIG_FILE=os.devnull, **nowhere)
    assert result.returncode == 1
    assert "no network" in result.stderr
    assert not (checkout / ".venv").exists()


def test_installs_once_and_again_only_when_the_files_change(checkout, monkeypatch):
    monkeypatch.syspath_prepend(str(checkout))
    sys.modules.pop("dev", None)
    import dev

    calls = []

    def install(extras, fresh):
        calls.append((extras, fresh))
        dev.PYTHON.parent.mkdir(parents=True, exist_ok=True)
        dev.PYTHON.touch()

    monkeypatch.setattr(dev, "install", install)
    dev.ensure(())
    dev.ensure(())
    assert calls == [(("examples", "test"), True)]
    dev.ensure(("dev",))
    dev.ensure(())
    assert calls[1:] == [(("dev", "examples", "test"), False)]
    (checkout / "constraints.txt").write_text("numpy==2.4.6\n")
    dev.ensure(())
    assert calls[2:] == [(("examples", "test"), False)]
    sys.modules.pop("dev", None)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], ["-m", "not slow"]),
        (["--all"], []),
        (["--all", "-x"], ["-x"]),
        (["tests/test_x.py", "-k", "y"], ["-m", "not slow", "tests/test_x.py", "-k", "y"]),
        (["tests/test_x.py::test_y"], ["tests/test_x.py::test_y"]),
        (["-n", "0", "-m", "slow"], ["-m", "not slow", "-n", "0", "-m", "slow"]),
    ],
)
def test_the_quick_tests_run_unless_all_or_one_is_asked_for(checkout, arguments, line):
    dev = runpy.run_path(str(checkout / "dev.py"))
    assert dev["tests"](arguments) == [*dev["PYTEST"], *line]


@pytest.mark.parametrize("ending", ["SIGINT", "SIGTERM"])
def test_whoever_ends_it_the_command_has_time_to_save_what_is_finished(checkout, ending):
    """Ctrl-C is told to both processes, what a batch system says to the first one."""
    saves = "import signal\nsignal.signal(signal.SIGTERM, signal.default_int_handler)\n"
    saves += "import time\ntry:\n    print('ready', flush=True)\n    time.sleep(60)\nexcept KeyboardInterrupt:\n"
    saves += "    time.sleep(1)\n    print('saved')\n    raise SystemExit(130)\n"
    # A shell starts what it sends to the background with SIGINT ignored, and children inherit that.
    program = f"""
import runpy, signal, subprocess, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
dev = runpy.run_path({str(checkout / "dev.py")!r})
sys.exit(dev["finish"](subprocess.Popen([sys.executable, "-c", {saves!r}])))
"""
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            if ending == "SIGINT":
                os.killpg(process.pid, signal.SIGINT)
            else:
                process.terminate()
            assert process.communicate(timeout=30)[0] == "saved\n"
            assert process.returncode == 130
        finally:  # whatever failed here must not surface as a leak in the test that comes next
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def test_an_update_that_fails_leaves_the_environment_that_worked(checkout, monkeypatch):
    monkeypatch.syspath_prepend(str(checkout))
    sys.modules.pop("dev", None)
    import dev

    def works(extras, fresh):
        dev.PYTHON.parent.mkdir(parents=True, exist_ok=True)
        dev.PYTHON.touch()

    def fails(extras, fresh):
        assert not fresh
        raise SystemExit("no network")

    monkeypatch.setattr(dev, "install", works)
    dev.ensure(())
    stamp = dev.STAMP.read_text()
    monkeypatch.setattr(dev, "install", fails)
    with pytest.raises(SystemExit):
        dev.ensure(("dev",))
    assert dev.PYTHON.exists()
    assert dev.STAMP.read_text() == stamp
    dev.STAMP.unlink()  # an environment that somebody made by hand
    with pytest.raises(SystemExit):
        dev.ensure(())
    assert dev.PYTHON.exists()


def test_ray_is_tried_where_time_and_disk_are_left_and_a_line_says_where_not(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["rllib.py", "--before", "100"])
    rllib = runpy.run_path(str(ROOT / ".ci" / "rllib.py"))
    assert rllib["why_not"](float("inf")) is None or shutil.disk_usage(ROOT).free < rllib["DISK"]
    assert rllib["main"]() == 0
    assert "RLlib and Ray were NOT tried here: it needs" in capsys.readouterr().out
    for line in rllib["PINS"].read_text().splitlines():
        assert re.fullmatch(r"[a-z0-9.-]+==[0-9][a-z0-9.]*", line), line
