"""The page of a comparison: self-contained, complete, and its sentences follow from its numbers."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from jcas_agents import evaluate
from jcas_baselines import EqualAllocation
from jcas_experiments import cli
from jcas_experiments.compare.comparison import Comparison, Played, Setting
from jcas_experiments.compare.regret import Yardstick
from jcas_experiments.compare.report import page
from jcas_experiments.compare.verdict import verdict
from jcas_experiments.scenarios.registry import roster_of
from typer.testing import CliRunner

from jcas_env import make_scenario

SMALL = {"users_per_cell": 3, "bs_antennas": 8, "ue_antennas": 2, "estimator": "perfect", "horizon": 2}
VOID = {"meta", "use", "path", "br"}


class Page(HTMLParser):
    """Tables of a page, and whether its elements are nested as they must be."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tables, self.fetched = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.fetched += [found[name] for name in ("src", "href") if name in found]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.tables[-1][-1][-1] += data


def comparison(utilities, *, bound=None, seconds=None, violation=None, names=None):
    """A comparison of made-up utilities, by allocator."""
    setting = Setting("multicell", make_scenario("multicell", **SMALL), 7, 3, roster_of("multicell"))
    prompt = evaluate(setting.scenario, EqualAllocation(), episodes=3, seed=7)
    played = {}
    for name, listed in utilities.items():
        values = np.asarray(listed, dtype=float)
        found = replace(
            prompt, utility=values, slot_utility=np.stack([values] * 2), violation=(violation or {}).get(name, 0.0)
        )
        played[name] = Played(found, (seconds or {}).get(name, 1e-3))
    yardstick = None if bound is None else Yardstick(np.asarray([2.0, 2.0, 2.0]), np.asarray(bound))
    return Comparison(setting, played, yardstick=yardstick)


def test_the_page_is_whole_fetches_nothing_and_shows_every_number():
    found = comparison({"equal": [1, 1.5, 2], "admm": [2, 1.5, 1]}, bound=[2.5, 2.5, 4.0])
    text = page(found, ["compare", "--set", "a=<b>&c"])
    read = Page(text)
    assert not [link for link in read.fetched if not link.startswith("#")]
    assert "@import" not in text
    table, users, scenes, made, config = read.tables
    assert [row[0] for row in table] == ["allocator", "equal", "admm"]
    assert table[1][1] == "1.50"
    assert scenes[1] == ["7", "1.000", "2.000", "2.000", "2.500", "20.00 %"]
    assert [row[0] for row in scenes[1:]] == ["7", "8", "9"]
    assert ["command", "jcas compare --set 'a=<b>&c'"] in made
    assert ["networks", "3, seeds 7 to 9, 2 slots each"] in made
    assert ["users_per_cell", "3"] in config
    assert len(users) == 3


def test_sentences_follow_from_the_numbers():
    sure = comparison(
        {"equal": [1.0, 1.0, 1.0], "admm": [2.0, 2.1, 2.2], "sca": [2.0, 2.1, 2.2]},
        bound=[2.5, 2.5, 2.5], seconds={"sca": 0.05, "admm": 0.001},
    )  # fmt: skip
    told = " ".join(verdict(sure))
    assert told.startswith("admm earns most: 2.10 Mbit/s.")
    assert "misses at most 16.0 % of what any allocation" in told
    assert "admm and sca earn the same in every episode." in told
    assert "sca and equal" not in told


def test_a_faster_one_that_earns_nearly_as_much_is_named():
    found = comparison({"admm": [2.0, 2.0, 2.0], "sca": [2.01, 2.01, 2.01]}, seconds={"sca": 0.05, "admm": 0.001})
    told = " ".join(verdict(found))
    assert "admm earns nearly as much and decides 50 times faster." in told
    assert "1.005 times admm (95 %: 1.005 to 1.005)" in told


def test_costs_are_no_gains():
    told = verdict(comparison({"sca": [-0.5, -0.5, -0.5], "admm": [-2.0, -2.0, -2.0]}))
    assert told[0] == "sca ranks first: utility -0.50 [Mbit/s], 0.250 times the cost of admm (95 %: 0.250 to 0.250)."


def test_what_is_not_feasible_earns_nothing():
    told = verdict(comparison({"equal": [9.0, 9.0, 9.0], "admm": [1.0, 1.0, 1.0]}, violation={"equal": 0.5}))
    assert told[0].startswith("admm earns most")
    assert "equal violates a constraint by 50 %: its numbers could not be earned." in told


@pytest.mark.parametrize(
    ("name", "words"), [("r.txt", "`--report` takes a file ending in .html"), ("no/r.html", "cannot be written")]
)
def test_a_page_that_cannot_be_written_is_refused_before_the_work(tmp_path, monkeypatch, name, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "no").touch()
    result = CliRunner().invoke(cli.app, ["compare", "--report", name])
    assert result.exit_code == 2
    assert words in result.stderr


def test_the_command_writes_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fields = [word for item in SMALL.items() for word in ("--set", f"{item[0]}={item[1]}")]
    arguments = ["--episodes", "2", "--allocators", "equal,admm", "--regret", "1", "--report", "r.html"]
    result = CliRunner().invoke(cli.app, ["compare", *fields, *arguments])
    assert result.exit_code == 0, result.output
    assert "report: r.html" in result.output
    tables = Page((tmp_path / "r.html").read_text()).tables
    assert [row[0] for row in tables[0]] == ["allocator", "equal", "admm"]
    assert [row[0] for row in tables[2]] == ["network", "0"]
