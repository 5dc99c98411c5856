"""The commands that README and docs name: every one is understood, and numbers stand beside one."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import pytest
import typer
from jcas_agents.checkpoint import PRETRAINED, load_policy
from jcas_agents.data.evaluation_sets import SETS
from jcas_experiments import cli
from typer.testing import CliRunner

ROOT = Path(__file__).resolve().parent.parent
PAGES = {path.name: path.read_text() for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]}
SHIPPED = str(PRETRAINED / "multicell-rate.safetensors")
STAND_FOR = {
    "SCENARIO": "multicell",
    "NAME": "mesh",
    "FILE": SHIPPED,
    "LOAD": "0.9",
    "SEED1": SHIPPED,
    "SEED2": SHIPPED,
}
"""What a reader puts for the words in capitals."""
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"(?:python3 dev\.py|jcas)\s+\S")


def commands(text: str) -> list[str]:
    """Command lines of a page: lines of its ``sh`` and indented blocks, and code among the words."""
    lines = [line for language, block in FENCE.findall(text) if language == "sh" for line in block.splitlines()]
    prose = FENCE.sub("", text)
    lines += [line.strip() for line in prose.splitlines() if line.startswith("    ")]
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]
    return [line.partition("  #")[0].strip() for line in [*lines, *spans] if COMMAND.match(line)]


NAMED = sorted({(page, line) for page, text in PAGES.items() for line in commands(text)})


class Understood(typer.Exit):
    """Raised where the work would begin."""


@pytest.fixture
def understand(tmp_path, monkeypatch):
    """Runs a command up to where its work would begin, beside another checkout and an earlier run's numbers."""
    here, parent = tmp_path / "here", tmp_path / "parent" / "jcas_env"
    here.mkdir()
    parent.mkdir(parents=True)
    (parent / "__init__.py").touch()
    (here / "old.json").write_text('{"run": {}, "rows": []}')
    monkeypatch.chdir(here)

    def work(*_, **__):
        raise Understood(0)

    def score(names, chosen, scenes, *, best, done, crew):
        for name in names:
            load_policy(name)
        unknown = set(chosen) - set(SETS)
        assert not unknown, unknown
        raise Understood(0)

    for place in (
        "compare.command.run_comparison",
        "bench.command.run_suites",
        "reproduce.command.compute",
        "train.seeds.train_gradient",
        "train.sb3.train_sb3",
        "dataset.command.record_all",
    ):
        monkeypatch.setattr(f"jcas_experiments.{place}", work)
    monkeypatch.setattr("jcas_experiments.score.scores.scores", score)
    # Neither a device nor Minari need be here.
    monkeypatch.setattr("jcas_experiments.bench.throughput.devices.sees_cuda", lambda: True)
    monkeypatch.setattr("jcas_experiments.dataset.command.require_minari", lambda: None)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(here))
    for command in ("compare", "reproduce", "score", "train"):  # Ray need not be here
        monkeypatch.setattr(f"jcas_experiments.{command}.command.crew_of", lambda *_: None)
    return lambda words: CliRunner().invoke(cli.app, words)


def test_the_pages_name_commands():
    assert len(NAMED) > 40
    assert {page for page, _ in NAMED} == set(PAGES)


@pytest.mark.parametrize(("page", "line"), NAMED)
def test_every_command_is_understood(page, line, understand):
    """Known command, options, scenario, preset, fields and their values, allocators, figures, measurements, sets."""
    line = line.replace("DIR/seed-0/", str(PRETRAINED) + "/").replace("multicell-rate-ppo.saf", "multicell-rate.saf")
    words = [re.sub(r"\b[A-Z]+\d?\b(?!\w)", lambda m: STAND_FOR.get(m[0], m[0]), word) for word in shlex.split(line)]
    if words[:2] == ["python3", "dev.py"]:
        known = runpy.run_path(str(ROOT / "dev.py"))["COMMANDS"]
        assert words[2] in known
        if words[2] in ("test", "lint"):
            return
        words = words[2:] if words[2] != "jcas" else words[3:]
    else:
        words = words[1:]
    if words in ([], ["..."]) or (len(words) == 1 and words[0] in typer.main.get_command(cli.app).commands):
        return
    result = understand(words)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("page", list(PAGES))
def test_every_option_exists(page):
    group = typer.main.get_command(cli.app)
    known = {option for command in group.commands.values() for p in command.params for option in p.opts}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", FENCE.sub("", PAGES[page])))
    assert named <= known | {"--all", "--help"}


@pytest.mark.parametrize("page", list(PAGES))
def test_every_test_that_is_named_exists(page):
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    for name in re.findall(r"`(test_\w+|Test\w+)`", PAGES[page]):
        assert re.search(rf"(?:def|class) {name}\b", tests), name


@pytest.mark.parametrize("page", list(PAGES))
def test_tables_of_numbers_stand_beside_a_command(page):
    """In the same section there is a command that prints them, or a program that a reader can run."""
    for section in re.split(r"^## ", PAGES[page], flags=re.MULTILINE):
        cells = re.findall(r"\|[^|\n]*\d\.\d[^|\n]*(?=\|)", section)
        if len(cells) >= 4:
            assert commands(section) or "python3 -c" in section, section.splitlines()[0]


def test_the_readme_is_short():
    assert len(PAGES["README.md"].splitlines()) <= 260
