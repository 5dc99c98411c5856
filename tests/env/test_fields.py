"""Fields are scanned where a user states them, and only there; what goes around the scan is the same problem."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from jcas_baselines import Exact
from support.scenes import static

from jcas_env import MassiveMIMOProblem, MeshProblem, MultiCellProblem, RelaxedProblem
from jcas_env.scenarios.massive_mimo import MassiveMIMO
from jcas_env.scenarios.mesh import Mesh


def multicell():
    return static(2).problem


def mesh():
    scenario = Mesh()
    return scenario.problem(scenario.initial(scenario.draw_initial(np.random.default_rng(0))))


def massive_mimo():
    scenario = MassiveMIMO()
    return scenario.problem(scenario.initial(scenario.draw_initial(np.random.default_rng(0))))


def relaxed():
    return static(2).problem.relaxed(positioning_share=0.5)


SCANNED = {
    MultiCellProblem: (multicell, "leakage"),
    MeshProblem: (mesh, "snr"),
    MassiveMIMOProblem: (massive_mimo, "estimate_variance"),
    RelaxedProblem: (relaxed, "weight"),
}
CASES = pytest.mark.parametrize("kind", SCANNED, ids=lambda kind: kind.__name__)


@CASES
def test_what_the_code_derives_passes_the_scan_of_a_user(kind):
    make, _ = SCANNED[kind]
    problem = make()
    again = replace(problem)
    for item in fields(problem):
        np.testing.assert_array_equal(getattr(again, item.name), getattr(problem, item.name), err_msg=item.name)


@CASES
def test_a_user_is_told_and_the_code_is_trusted(kind):
    make, name = SCANNED[kind]
    problem = make()
    broken = {name: -np.abs(np.asarray(getattr(problem, name))) - 1.0}
    with pytest.raises(ValueError, match=rf"`{name}` must be .*{name}\["):
        replace(problem, **broken)
    np.testing.assert_array_equal(getattr(problem.changed(**broken), name), broken[name])


@CASES
def test_changed_fields_forget_what_was_computed_and_leave_the_original(kind):
    make, name = SCANNED[kind]
    problem = make()
    before = getattr(problem, name)
    vars(problem)["computed"] = "earlier"
    other = problem.changed(**{name: 2.0 * before})
    assert "computed" not in vars(other)
    assert getattr(problem, name) is before
    assert type(other) is kind


@CASES
def test_unknown_and_missing_fields_are_named(kind):
    make, name = SCANNED[kind]
    with pytest.raises(TypeError, match="powre"):
        make().changed(powre=1.0)
    given = {item.name: getattr(make(), item.name) for item in fields(kind) if item.name != name}
    with pytest.raises(TypeError, match=name):
        kind.trusted(**given)


def test_floors_are_whole_subcarriers_for_the_code_as_for_a_user():
    problem = static(1).problem.changed(subcarrier_spacing=1e6, band_floor=1.0)
    assert problem.band_floor == 1e6


def test_a_share_to_relax_at_lies_between_none_and_all():
    for share in (0.0, 1.0, 1.5):
        with pytest.raises(ValueError, match=r"`positioning_share` must be in \(0, 1\), got positioning_share\[0, 0\]"):
            static(1).problem.relaxed(positioning_share=share)


@CASES
@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_what_follows_from_a_state_is_scanned_where_it_does_not_look_right(kind, value):
    make, name = SCANNED[kind]
    stated = {item.name: getattr(make(), item.name) for item in fields(kind)}
    last = np.array(stated[name])
    last[..., -1] = value
    with pytest.raises(ValueError, match=rf"`{name}` must be .* = {value}"):
        kind.derived(**(stated | {name: last}))


@CASES
def test_what_follows_from_a_state_is_not_scanned_where_it_looks_right(kind, monkeypatch):
    make, name = SCANNED[kind]
    stated = {item.name: getattr(make(), item.name) for item in fields(kind)}
    monkeypatch.setattr(kind, "check_fields", None)
    np.testing.assert_array_equal(getattr(kind.derived(**stated), name), stated[name])


def test_without_power_and_demands_a_frame_is_scanned_and_found_right():
    problem = massive_mimo()
    stated = {item.name: getattr(problem, item.name) for item in fields(problem)}
    empty = MassiveMIMOProblem.derived(
        **(stated | {"power_budget": 0.0, "crb_limit": np.inf, "prior_variance": np.inf})
    )
    assert empty.power_budget == 0.0


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # the floors overflow
def test_a_share_that_leaves_no_numbers_of_the_floors_is_named():
    with pytest.raises(
        ValueError, match=r"`power_floor` must be finite and at least 0, got power_floor\[0, 0, 1\] = inf"
    ):
        static(1).problem.relaxed(positioning_share=1e-320)


def test_one_share_for_all_cells_is_assembled_as_that_of_each():
    problem = static(2, users_per_cell=2).problem
    allocation = Exact().solve(problem.relaxed(positioning_share=0.4)).allocation
    for one, each in zip(
        problem.assemble(allocation, 0.4), problem.assemble(allocation, np.full((2, 3), 0.4)), strict=True
    ):
        np.testing.assert_array_equal(one, each)


@pytest.mark.parametrize("name", ["estimate_variance", "noise_power", "crb_limit", "target_angle", "prior_variance"])
def test_a_number_that_is_missing_is_named(name):
    with pytest.raises(ValueError, match=rf"`{name}` must be .* = nan"):
        replace(massive_mimo(), **{name: None})
