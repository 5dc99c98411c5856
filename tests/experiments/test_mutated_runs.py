"""Folders of interrupted commands with one thing wrong: ``--resume`` says in one line what, or ends as it must.

As many as ``--mutations`` says: ``python3 dev.py test --all --mutations 10000 tests/experiments/test_mutated_runs.py``.
"""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import dataclass

import pytest
from jcas_agents.checkpoint import load_policy
from jcas_experiments import cli
from jcas_experiments.kept import _digest
from jcas_experiments.score import scores as scoring
from jcas_experiments.train import tasks
from support.mutations import damage, forged_rows, forgery
from typer.main import get_command
from typer.testing import CliRunner

from jcas_env.scenarios.multicell import MultiCellConfig

COMPARE = (
    "compare", "--episodes", "2", "--horizon", "2", "--set", "users_per_cell=2", "--regret", "1",
    "--json", "n.json", "--figure", "f.png", "--allocators",
)  # fmt: skip
TRAIN = ("train", "multicell", "--scenes", "8", "--out", ".")


@dataclass(frozen=True)
class Case:
    """A command, what it goes on from, and what it must end with."""

    whole: tuple[str, ...]
    """The command, from beginning to end."""
    cut: tuple[str, ...]
    """What it was before it was interrupted."""
    state: str
    """File from which it goes on."""
    results: tuple[str, ...]
    """Files that it ends with, to the last byte those of a command that was not interrupted; none: they hold times."""
    share: float
    """Of all mutations."""


CASES = {
    "gradient": Case(
        (*TRAIN, "--steps", "4"), (*TRAIN, "--steps", "4", "--stop-after", "2"),
        "seed-0/state.safetensors", ("seed-0/state.safetensors", "seed-0/curve.json"), 0.4,
    ),
    "ppo": Case(
        (*TRAIN, "--algo", "ppo", "--minutes", "0.01"), (*TRAIN, "--algo", "ppo", "--minutes", "0.01"),
        "seed-0/state-ppo.safetensors", (), 0.05,
    ),
    "compare": Case(
        (*COMPARE, "equal,admm"), (*COMPARE, "equal"),
        "f.rows.json", ("n.json",), 0.2,
    ),
    "reproduce": Case(
        ("reproduce", "lu-fig3", "--quick", "--out", ".", "--json", "n.json"), (),
        "lu-fig3.rows.json", ("n.json", "lu-fig3.csv"), 0.2,
    ),
    "score": Case(
        ("score", "multicell-rate", "--sets", "n4-6users", "--scenes", "4", "--json", "n.json"), (),
        "n.rows.json", ("n.json",), 0.15,
    ),
}  # fmt: skip


@pytest.fixture
def run(monkeypatch):
    """Run a command in a folder, with small scenes; what is computed twice alike is computed once."""

    def few(reward):
        return [MultiCellConfig.preset("luo2023-static", users_per_cell=2, reward=reward)]

    monkeypatch.setattr(tasks, "mixed_configs", few)
    monkeypatch.setitem(scoring.RIVALS, "rate", ("equal", "constant", "vertex"))
    for name in (
        "compare.command.play", "compare.command.measure", "score.scores.evaluation_scenes", "train.tasks.draw_bank",
    ):  # fmt: skip
        remember(monkeypatch, f"jcas_experiments.{name}")
    command = get_command(cli.app)
    monkeypatch.setattr("typer.testing._get_command", lambda _: command)
    monkeypatch.setattr("jcas_agents.files.os.fsync", lambda _: None)

    def call(folder, arguments):
        monkeypatch.chdir(folder)
        return CliRunner().invoke(cli.app, list(arguments))

    return call


def remember(monkeypatch, target):
    """Let a function that is called with the same names and numbers answer from memory."""
    module, _, name = target.rpartition(".")
    function = getattr(__import__(module, fromlist=[name]), name)
    known = {}

    def answer(*arguments, **keywords):
        key = tuple(value for value in arguments if isinstance(value, str | int))
        if key not in known:
            known[key] = function(*arguments, **keywords)
        return known[key]

    monkeypatch.setattr(target, answer)


def begun(case, run, folder):
    """A folder in which a command was interrupted, and the results of one that was not."""
    whole, cut = folder / "whole", folder / "cut"
    for path in (whole, cut):
        path.mkdir()
    assert run(whole, case.whole).exit_code == 0
    if case.cut:
        assert run(cut, case.cut).exit_code == 0
    else:  # every other row is there
        shutil.copytree(whole, cut, dirs_exist_ok=True)
        content = json.loads((cut / case.state).read_text())
        content["rows"] = dict(list(content["rows"].items())[: len(content["rows"]) // 2])
        del content["sha256"]
        (cut / case.state).write_text(json.dumps({"sha256": _digest(content), **content}))
    return cut, {name: (whole / name).read_bytes() for name in case.results}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("wanted", [40, pytest.param(None, marks=pytest.mark.slow)])
def test_mutated_folders_meet_only_clean_refusals(run, tmp_path, name, wanted, request):
    case, rng = CASES[name], random.Random(f"20231 {name} {wanted}")
    cut, results = begun(case, run, tmp_path)
    count = round(case.share * (request.config.getoption("--mutations") if wanted is None else wanted))
    work, refused, events = tmp_path / "work", 0, []
    for number in range(count):
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(cut, work)
        what, honest = wronged(rng, work, case.state)
        result = run(work, (*case.whole, "--resume"))
        refused += result.exit_code != 0
        events += [f"{number}, {what}: {event}" for event in unclean(result)]
        if result.exit_code == 0:
            ended = {name: (work / name).read_bytes() for name in case.results}
            events += [
                f"{number}, {what}: it ended with another {n}" for n in results if honest and ended[n] != results[n]
            ]
            for policy in work.glob("seed-0/multicell-rate*.safetensors"):
                load_policy(policy)
    assert not events, "\n".join(events)
    assert count / 5 < refused < count


def wronged(rng, folder, state):
    """Do something to a folder; says what, and whether a hash can tell."""
    if rng.random() < 0.5:
        return damage(rng, folder), True
    forge = forgery if state.endswith(".safetensors") else forged_rows
    (folder / state).write_bytes(forge(rng, (folder / state).read_bytes()))
    return "forged", False


def unclean(result):
    """What is not as it must be in how a command ended: well, or refused in one line."""
    told = result.stderr.splitlines()
    if not isinstance(result.exception, SystemExit | None):
        yield repr(result.exception)
    elif "Traceback" in result.output or len(told) != (result.exit_code != 0):
        yield result.output
    elif result.exit_code not in (0, 2) and not (result.exit_code == 1 and "cannot be written" in told[0]):
        yield f"{result.exit_code} {told}"
