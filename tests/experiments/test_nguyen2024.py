"""nguyen2024 Figs. 1 to 3 and the comparison of allocators on the massive MIMO scenario, in their quick form."""

from __future__ import annotations

import json

import numpy as np
import pytest
from jcas_experiments import cli
from jcas_experiments.bench.massive_mimo import massive_mimo_rows
from jcas_experiments.reproduce.figure import Effort, Table
from jcas_experiments.reproduce.registry import FIGURES
from jcas_experiments.scenarios.registry import roster_of
from typer.testing import CliRunner

NAMED = {
    "nguyen-fig1": ("antennas", "snr_com_db", "proposed", "proposed_simulated", "equal_power", "equal_full"),
    "nguyen-fig2": ("crb_proposed", "crb_equal_power", "crb_equal_full"),
    "nguyen-fig3": ("antennas", "proposed", "crb_proposed"),
    "tracking-regret": ("setting", "allocator", "reward", "regret"),
}


@pytest.fixture(scope="module")
def tables():
    plan, made = Effort(seed=0, quick=True), {}
    for name in NAMED:
        recipe = FIGURES[name]
        rows = tuple(tuple(row[column] for column in recipe.all_columns) for row in recipe.compute(plan))
        assert len(rows) == recipe.size(plan)
        made[name] = Table(recipe.all_columns, rows)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("name", list(NAMED))
def test_columns_and_verdicts(name, tables):
    assert set(NAMED[name]) <= set(FIGURES[name].columns)
    lines = FIGURES[name].verdict(tables[name])
    assert len(lines) >= 3
    numbers = [tables[name][column] for column in FIGURES[name].columns if column not in ("setting", "allocator")]
    assert all(np.isfinite(values).all() for values in numbers)


@pytest.mark.slow
def test_fig1_simulation_follows_the_closed_form_and_the_gain_grows(tables):
    table = tables["nguyen-fig1"]
    for name in ("proposed", "equal_power", "equal_full"):
        np.testing.assert_allclose(table[f"{name}_simulated"], table[name], rtol=0.03)  # 300 channels a layout
        assert (table["proposed"] >= table[name]).all()
    gain = {}
    for antennas in (15, 35):
        last = table.where(antennas=antennas, snr_com_db=30.0)
        gain[antennas] = last["proposed"][0] / last["equal_power"][0]
    assert 1.17 < gain[15] < gain[35] < 1.30


@pytest.mark.slow
def test_fig2_bounds_are_met_without_effort(tables):
    table = tables["nguyen-fig2"]
    assert max(table[f"crb_{name}"].max() for name in ("proposed", "equal_power", "equal_full")) < 1e-4
    assert (table["crb_equal_full"] < table["crb_proposed"]).all()
    assert table["gap_sca"].max() < 1e-3
    assert (table["gap_sca_low"] > table["gap_sca"]).all()


@pytest.mark.slow
def test_fig3_the_weak_echo_costs_rate(tables):
    table = tables["nguyen-fig3"]
    assert (np.diff(table["proposed"]) > 0).all()
    assert (np.diff(table["crb_proposed"]) < 0).all()
    weak = table["proposed_weak_echo"]
    assert np.isnan(weak[:2]).all()
    assert (weak[2:5] < table["proposed"][2:5]).all()
    np.testing.assert_allclose(weak[5:], table["proposed"][5:])


def test_compare_runs_the_roster(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    names = [name for name in roster_of("massive-mimo").allocators if name not in ("sca-cvxpy", "sca-low")]
    arguments = ["compare", "massive-mimo", "--episodes", "2", "--horizon", "3", "--json", "c.json"]
    result = CliRunner().invoke(cli.app, [*arguments, "--allocators", ",".join(names)])
    assert result.exit_code == 0, result.output
    rows = {row["allocator"]: row for row in json.loads((tmp_path / "c.json").read_text())["rows"]}
    assert list(rows) == names
    assert all(row["violation"] < 1e-9 and row["utility"] is not None for row in rows.values())
    assert rows["sca"]["utility"] == pytest.approx(rows["exact"]["utility"], rel=1e-2)
    assert list((tmp_path / "results").glob("compare-massive-mimo-*.png"))


def test_compare_of_the_papers_frame(tmp_path, monkeypatch):
    """One frame, perfect angle: nothing beats the exact optimum, and SCA as printed agrees with the closed form."""
    monkeypatch.chdir(tmp_path)
    arguments = ["compare", "massive-mimo", "--preset", "nguyen2024-binding", "--episodes", "6", "--json", "c.json"]
    result = CliRunner().invoke(cli.app, [*arguments, "--allocators", "exact,sca,sca-cvxpy,equal,equal-half,myopic"])
    assert result.exit_code == 0, result.output
    rows = {row["allocator"]: row["utility"] for row in json.loads((tmp_path / "c.json").read_text())["rows"]}
    assert max(rows, key=rows.get) == "exact"
    assert rows["sca-cvxpy"] == pytest.approx(rows["sca"], abs=1e-3)
    assert rows["equal"] < rows["sca"]


@pytest.mark.slow
def test_the_benchmark_has_its_rows():
    rows = list(massive_mimo_rows(frames=20, cone_frames=1))
    assert [row.target for row in rows[:2]] == [10_000.0, 500.0]
    assert all(row.ratio > 0 for row in rows)


@pytest.mark.slow
def test_regret_of_one_frame_policies(tables):
    """Nobody beats the clairvoyant bound by more than the error of its grid, and a rule per frame is far from it."""
    table = tables["tracking-regret"]
    assert table["regret"].min() > -0.02
    fading = table.where(setting="tracking-fading")
    assert np.argmax(fading["reward"]) == 0
    assert fading.where(allocator="exact-per-frame")["regret"][0] > 0.5
