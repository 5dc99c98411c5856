"""``jcas bench libraries``: a row for each program in ``examples/``, and the line that installs what is not there."""

from __future__ import annotations

import tomllib
from importlib.util import find_spec
from math import isnan

import pytest
from jcas_experiments.bench import libraries
from jcas_experiments.bench.libraries import EXAMPLES, LIBRARIES, PLAIN, cpu_seconds_of, library_rows
from jcas_experiments.bench.row import Plan
from jcas_experiments.bench.throughput.processes import ROOT

OTHERS = {
    "optuna_sweep.py",
    "minari_behaviour_cloning.py",
    *(f"own_{what}.py" for what in ("allocator", "estimator", "reward")),
}
"""Programs that do not train through a library."""


def test_every_program_that_trains_has_a_row_and_every_row_a_line_that_can_be_typed():
    files = {path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".yml")}
    assert sorted(library.file for library in LIBRARIES) == sorted(files - OTHERS)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for library in LIBRARIES:
        known = [f"pip install 'jcas-env[{extra}]'" for extra in extras]
        assert library.install in [*known, f"pip install -c constraints.txt {library.distribution}"]


def test_the_page_says_what_is_measured():
    page = (ROOT / "docs" / "ecosystem.md").read_text()
    for library in LIBRARIES:
        (row,) = (line for line in page.splitlines() if line.startswith("|") and f"examples/{library.file}" in line)
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[0].startswith(library.name.split(",")[0])
        assert cells[2:5] == [library.observation, library.mode, str(library.lines)]


def test_what_a_program_does_but_once_does_not_count(monkeypatch):
    """Imports of 5 s and a sample in 2 ms; the plain loop's in 1 ms."""
    cost = {library: 2e-3 for library in LIBRARIES} | {PLAIN: 1e-3}
    monkeypatch.setattr(libraries, "cpu_seconds_of", lambda library, samples: 5.0 + cost[library] * samples)
    monkeypatch.setattr(libraries.Library, "found", "1.0")
    plain, *others = library_rows(Plan())
    assert (plain.value, plain.ratio) == (pytest.approx(1000.0), None)
    assert plain.benchmark == "plain loop, PyTorch 1.0: flat, SAME_STEP, 22 lines"
    for row in others:
        assert (row.value, row.peer_value, row.ratio) == tuple(map(pytest.approx, (500.0, 1000.0, 0.5)))


def test_a_library_that_is_not_there_is_named_with_its_line(monkeypatch):
    absent = PLAIN._replace(name="Absent", distribution="no-such-distribution", install="pip install it")
    monkeypatch.setattr(libraries, "LIBRARIES", (absent, PLAIN))
    (row,) = library_rows(Plan(only="Absent"))
    assert row.benchmark == "Absent (not installed: pip install it)"
    assert isnan(row.value)
    assert row.ratio is None


def test_without_a_checkout_there_is_one_row_that_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(libraries, "EXAMPLES", tmp_path / "examples")
    (row,) = library_rows(Plan())
    assert "examples/ of a checkout" in row.benchmark


def test_a_program_that_fails_is_an_error_with_its_last_line(monkeypatch, tmp_path):
    (tmp_path / "fails.py").write_text("raise SystemExit('no such lanes')")
    monkeypatch.setattr(libraries, "EXAMPLES", tmp_path)
    with pytest.raises(RuntimeError, match=r"fails\.py failed: no such lanes"):
        cpu_seconds_of(PLAIN._replace(file="fails.py"), 1)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("torch") is None, reason="needs PyTorch: pip install 'jcas-env[train]'")
def test_the_plain_loop_is_timed():
    (row,) = library_rows(Plan(quick=True, only=PLAIN.name))
    assert row.value > 0
